"""The answer beside the object built from it: `include_raw=True`, where what cannot be read raises nothing."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.runnables import Runnable, RunnableSerializable
from langchain_core.runnables.config import patch_config
from langchain_core.runnables.utils import AddableDict
from pydantic import ConfigDict, ValidationError

from langchain_tiers.structured import UNFIT, ObjectParser
from llm_tiers.errors import AllTiersFailed
from llm_tiers.trace import SHORT_TRACE

if TYPE_CHECKING:
    from langchain_core.callbacks import AsyncCallbackManagerForChainRun, CallbackManagerForChainRun
    from langchain_core.runnables import RunnableConfig

    from llm_tiers.errors import TierError

__all__ = ["RawAndParsed"]

_UNREADABLE = (ValidationError, OutputParserException, json.JSONDecodeError)
"""What clients raise where the answer came, and is not the object."""

_UNFINISHED = frozenset({"LengthFinishReasonError", "ContentFilterFinishReasonError"})
"""What OpenAI's client raises in place of an object that was cut short or filtered; by name, as it may be absent."""

_PLACE = re.compile(r"line \d+ column \d+")
"""How the reader of JSON in OpenAI's client ends its messages; what it raises is a plain ValueError."""


class RawAndParsed(RunnableSerializable[Any, dict[str, Any]]):
    """Asks a model and returns `raw` (the message), `parsed` and `parsing_error`, whole or as they come.

    LangChain's own composition passes on what its parser raises in a stream, and what a client raises that reads the
    object itself.

    Attributes:
        model: The tiered model, bound to a structured output.
        parser: Builds the object.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    model: Runnable[Any, Any]
    parser: ObjectParser

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:  # noqa: A002
        """Ask, and return message, object and error."""
        return self._call_with_config(self._take, input, config, **kwargs)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:  # noqa: A002
        """Ask in asyncio; as `invoke`."""
        return await self._acall_with_config(self._atake, input, config, **kwargs)

    def stream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[dict[str, Any]]:  # noqa: A002
        """Ask, and yield the message in its chunks, then the object, then the error."""
        yield from self._transform_stream_with_config(iter([input]), self._chunks, config, **kwargs)

    async def astream(
        self,
        input: Any,  # noqa: A002 -- the name in LangChain's interface
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[dict[str, Any]]:
        """Ask in asyncio; as `stream`."""

        async def given() -> AsyncIterator[Any]:
            yield input

        async for item in self._atransform_stream_with_config(given(), self._achunks, config, **kwargs):
            yield item

    def _take(
        self, given: Any, run_manager: CallbackManagerForChainRun, config: RunnableConfig, **kwargs: Any
    ) -> dict[str, Any]:
        child = patch_config(config, callbacks=run_manager.get_child("raw"))
        try:
            raw = self.model.invoke(given, child, **kwargs)
        except AllTiersFailed as error:
            return {"raw": AIMessage(**_without_answer(error)), "parsed": None, "parsing_error": error}
        return {"raw": raw, **self._read(raw)}

    async def _atake(
        self, given: Any, run_manager: AsyncCallbackManagerForChainRun, config: RunnableConfig, **kwargs: Any
    ) -> dict[str, Any]:
        child = patch_config(config, callbacks=run_manager.get_child("raw"))
        try:
            raw = await self.model.ainvoke(given, child, **kwargs)
        except AllTiersFailed as error:
            return {"raw": AIMessage(**_without_answer(error)), "parsed": None, "parsing_error": error}
        return {"raw": raw, **self._read(raw)}

    def _chunks(
        self,
        given: Iterator[Any],
        run_manager: CallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,
    ) -> Iterator[dict[str, Any]]:
        child = patch_config(config, callbacks=run_manager.get_child("raw"))
        chunks: list[Any] = []
        try:
            for chunk in self.model.stream(next(given), child, **kwargs):
                chunks.append(chunk)
                yield AddableDict(raw=chunk)
        except AllTiersFailed as error:
            yield AddableDict(raw=AIMessageChunk(**_without_answer(error), chunk_position="last"))
            yield from _told(None, error)
            return
        yield from _told(**self._read(_joined(chunks)))

    async def _achunks(
        self,
        given: AsyncIterator[Any],
        run_manager: AsyncCallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,
    ) -> AsyncIterator[dict[str, Any]]:
        child = patch_config(config, callbacks=run_manager.get_child("raw"))
        chunks: list[Any] = []
        try:
            async for chunk in self.model.astream(await anext(given), child, **kwargs):
                chunks.append(chunk)
                yield AddableDict(raw=chunk)
        except AllTiersFailed as error:
            yield AddableDict(raw=AIMessageChunk(**_without_answer(error), chunk_position="last"))
            for item in _told(None, error):
                yield item
            return
        for item in _told(**self._read(_joined(chunks))):
            yield item

    def _read(self, message: AIMessage) -> dict[str, Any]:
        try:
            return {"parsed": self.parser.built(message), "parsing_error": None}
        except (OutputParserException, *UNFIT) as error:
            return {"parsed": None, "parsing_error": error}


def _told(parsed: Any, parsing_error: Exception | None) -> Iterator[dict[str, Any]]:
    # One key at a time, as LangChain does: whoever sums the items up gets all three.
    yield AddableDict(parsed=parsed)
    yield AddableDict(parsing_error=parsing_error)


def _joined(chunks: list[Any]) -> AIMessage:
    first, *rest = chunks
    message: AIMessage = first.__add__(rest) if rest else first
    return message


def _without_answer(error: AllTiersFailed) -> dict[str, Any]:
    """Return what is left of a message whose answer its client could not read.

    Raises:
        AllTiersFailed: No answer came at all.
    """
    if not any(map(_is_about_the_answer, error.exceptions)):
        raise error
    metadata = {} if error.trace is None else {"tiers": error.trace.to_dict(SHORT_TRACE)}
    return {"content": "", "response_metadata": metadata}


def _is_about_the_answer(error: TierError) -> bool:
    kind = error.origin.kind
    if issubclass(kind, _UNREADABLE) or kind.__name__ in _UNFINISHED:
        return True
    return kind is ValueError and _PLACE.search(str(error.cause)) is not None
