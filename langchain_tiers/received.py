"""The chunks of one answer as they come, with the arguments of its tool calls kept from taking forever to read."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import AIMessageChunk

from llm_tiers.call.growing_json import GrowingJson

__all__ = ["Received"]


class Received:
    """Chunks, and what the tool calls in them say so far.

    LangChain reads the arguments of a streamed tool call again whenever it joins chunks, in its own run and in the
    user's, and that may take minutes (see `GrowingJson`). Arguments for which it would are taken out of the chunks,
    which LangChain's runs hold too, and out of all that follow; the stream goes on to its end, so that its tokens are
    counted. What was taken out is kept here.
    """

    def __init__(self) -> None:
        self.chunks: list[AIMessageChunk] = []
        self._arguments: dict[int, GrowingJson] = {}
        self._hopeless: set[int] = set()

    def add(self, chunk: AIMessageChunk) -> AIMessageChunk:
        """Take the next chunk and return it."""
        self.chunks.append(chunk)
        for part in chunk.tool_call_chunks:
            # LangChain joins parts with an index only.
            if (index := part["index"]) is not None:
                growing = self._arguments.setdefault(index, GrowingJson())
                if growing.add(part["args"] or ""):
                    self._give_up(index)
        # Once only: looks at all arguments at each chunk would take a time that grows with the square of their number.
        if chunk.chunk_position == "last":
            self.end()
        return chunk

    def end(self) -> None:
        """Look at all arguments, since no more will come: the next that LangChain does is to join the chunks."""
        for index, growing in self._arguments.items():
            if index not in self._hopeless and growing.end():
                self._give_up(index)

    def taken_out(self) -> dict[int, str]:
        """Return the arguments that were taken out, by the index of their call."""
        return {index: self._arguments[index].text for index in self._hopeless}

    def _give_up(self, index: int) -> None:
        # All chunks the first time, afterwards the last one alone.
        chunks: Sequence[AIMessageChunk] = self.chunks[-1:] if index in self._hopeless else self.chunks
        self._hopeless.add(index)
        for chunk in chunks:
            for part in chunk.tool_call_chunks:
                if part["index"] == index:
                    part["args"] = ""
