"""How the core calls a LlamaIndex LLM: the performer of one call."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.output_parsers.base import OutputParserException

from llamaindex_tiers.pieces import answer_of, finish_of, joined, says, tagged_chunk, unreadable
from llamaindex_tiers.request import Request
from llamaindex_tiers.responses import Recorded, arecording_each, recording, recording_each
from llamaindex_tiers.runs import OuterRun
from llamaindex_tiers.usage import is_for_us
from llm_tiers.integration.chunks import afrom_first_word, from_first_word, result_last, withholding
from llm_tiers.integration.failures import tier_errors
from llm_tiers.integration.finish import last_finish
from llm_tiers.integration.models import knows
from llm_tiers.owned import owned

if TYPE_CHECKING:
    from llm_tiers.call.answer import Answer
    from llm_tiers.call.requests import ModelCall
    from llm_tiers.ladder.tiers import Ladder, Tier

__all__ = ["LLMPerformer"]

_EFFORT = "reasoning_effort"
"""How LLMs call their setting for the effort of reasoning."""

_STREAM_OPTIONS = "stream_options"

_UNREADABLE = (ValueError, TypeError, KeyError, AssertionError, RecursionError, OutputParserException)
"""What LlamaIndex raises where a model's answer is no object of the class asked for."""


@dataclass(frozen=True, slots=True)
class LLMPerformer:
    """Calls LLMs for one call of the user.

    Attributes:
        request: What the user asks.
        run: The user's call among spans and callbacks.
        streaming: The user takes the answer in chunks, so every tier is asked for them; a judge is not.
        judging: The tiers as they judge, without the settings that are meant for answers; by default as they are.
    """

    request: Request
    run: OuterRun
    streaming: bool = False
    judging: Ladder | None = None

    def generate(self, call: ModelCall) -> Answer:
        """Call a model and wait for its answer."""
        if self._in_chunks(call):
            return withholding(list(result_last(self.stream(call))))
        attempt = _Attempt(call.tier, self._wants_object(call), self._settings(call))
        with attempt.failing(), self._model(call) as model, attempt.reading(), recording(attempt.recorded):
            # `structured_predict` returns an object and nothing else: text and tokens come from the events that are
            # recorded.
            attempt.response = self._asked(call, model, "")()
        return attempt.answer()

    async def agenerate(self, call: ModelCall) -> Answer:
        """Call a model and wait for its answer."""
        if self._in_chunks(call):
            return withholding([item async for item in self.astream(call)])
        attempt = _Attempt(call.tier, self._wants_object(call), self._settings(call))
        with attempt.failing(), self._model(call) as model, attempt.reading(), recording(attempt.recorded):
            attempt.response = await cast("Awaitable[Any]", self._asked(call, model, "a")())
        return attempt.answer()

    def stream(self, call: ModelCall) -> Generator[Any, None, Answer]:
        """Call a model, yield its chunks as they come, and return the whole answer."""
        attempt = _Attempt(call.tier, self._wants_object(call), self._settings(call))
        with attempt.failing(), self._model(call) as model, attempt.reading():
            # A generator, so that the request is sent with the first chunk and inside the recording.
            opened = partial(_opened, self._asked(call, model, "stream_"))
            chunks = recording_each(opened(), attempt.recorded)
            attempt.blank = [*(yield from from_first_word(attempt.taking(chunks), says))]
        return attempt.answer()

    async def astream(self, call: ModelCall) -> AsyncGenerator[Any, None]:
        """Call a model, yield its chunks as they come and, last, the whole `Answer`."""
        attempt = _Attempt(call.tier, self._wants_object(call), self._settings(call))
        with attempt.failing(), self._model(call) as model, attempt.reading():
            opened = _aopened(self._asked(call, model, "astream_"))
            taken = attempt.ataking(arecording_each(opened, attempt.recorded))
            async with owned(afrom_first_word(taken, says, attempt.blank)) as chunks:
                async for chunk in chunks:
                    yield chunk
        yield attempt.answer()

    def detached(self) -> LLMPerformer:
        """Return a performer of the same request, among no spans and callbacks of the user's, without streaming."""
        return replace(self, run=self.run.detached(), streaming=False)

    def _in_chunks(self, call: ModelCall) -> bool:
        return self.streaming and call.prompt is None

    def _settings(self, call: ModelCall) -> frozenset[str]:
        return frozenset(self.request.settings) if call.prompt is None else frozenset()

    def _wants_object(self, call: ModelCall) -> bool:
        return call.prompt is None and self.request.shape is not None

    @contextmanager
    def _model(self, call: ModelCall) -> Iterator[_Unshown]:
        tier = call.tier
        if call.prompt is not None:
            # A judge is asked without the user's `temperature` and `max_tokens`, which are meant for answers.
            tier = next((judge for judge in self.judging or () if judge.name == tier.name), tier)
        effort = {_EFFORT: call.effort} if call.effort is not None and knows(tier.model, _EFFORT) else {}
        with self.run.connected(tier.model, effort) as connected:
            held = _Unshown(connected)
            del connected
            yield held

    def _asked(self, call: ModelCall, held: _Unshown, way: str) -> _Unshown:
        if call.prompt is None:
            return _Unshown(self.request.asked_of(held.value, way, call.postscript, call.without))
        if not held.value.metadata.is_chat_model:
            # A completion model knows no roles, so the system's words come first.
            text = f"{call.prompt.system}\n\n{call.prompt.user}"
            return _Unshown(partial(getattr(held.value, f"{way}complete"), text))
        messages = [
            ChatMessage(role=MessageRole.SYSTEM, content=call.prompt.system),
            ChatMessage(role=MessageRole.USER, content=call.prompt.user),
        ]
        return _Unshown(partial(getattr(held.value, f"{way}chat"), messages))


class _Unshown:
    """Holds a model, or a call of one, whose representation shows its key: tracebacks may show the values of locals.

    Args:
        value: What it holds.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __call__(self) -> Any:
        """Make the call."""
        return self.value()


@dataclass(slots=True)
class _Attempt:
    """One call of one model, while it lasts."""

    tier: Tier
    wants_object: bool
    settings: frozenset[str] = frozenset()
    recorded: Recorded = field(default_factory=Recorded)
    chunks: list[Any] = field(default_factory=list)
    blank: list[Any] = field(default_factory=list)
    response: Any = None

    def failing(self) -> AbstractContextManager[None]:
        return tier_errors(self.tier, (OutputParserException,), settings=self.settings)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Take an answer that is no object for an answer, and no failure of the tier: it is known what it can do."""
        try:
            yield
        except _UNREADABLE as error:
            # Without a response it was the client that failed, and not the reading.
            if not (self.wants_object and self.recorded.responses):
                raise
            self.response = unreadable(self.recorded.responses, error)

    def taking(self, chunks: Generator[Any]) -> Generator[Any]:
        with closing(chunks):
            for chunk in chunks:
                yield from self._shown(chunk)

    async def ataking(self, chunks: AsyncGenerator[Any]) -> AsyncGenerator[Any]:
        async with owned(chunks) as taken:
            async for chunk in taken:
                for shown in self._shown(chunk):
                    yield shown

    def _shown(self, chunk: Any) -> tuple[Any, ...]:
        """Keep a chunk, and return it unless the user's own model would not have sent it."""
        hidden = _STREAM_OPTIONS not in self.settings and is_for_us(self._source(chunk), self.tier.model)
        if hidden and self.wants_object and self.chunks and chunk == self.chunks[-1]:
            # The object before stands for it, and carries the trace.
            return ()
        # Before it is shown: an agent asks for the tool calls of each chunk as it comes.
        self.chunks.append(tagged_chunk(self.tier, chunk))
        return () if hidden and not self.wants_object else (self.chunks[-1],)

    def _source(self, chunk: Any) -> Any:
        # An object is made of the chunk that came last.
        return self.recorded.piece if self.wants_object else chunk

    def answer(self) -> Answer:
        response = joined(self.chunks) if self.response is None else self.response
        finish = last_finish((*self.recorded.finishes, *map(finish_of, (*self.chunks, response))))
        answer = answer_of(self.tier, response, self.recorded.responses if self.wants_object else ())
        # A stream may say it before its last chunk, and an object does not say it at all.
        value = None if finish == "filter" else answer.value
        return replace(answer, value=value, finish=finish, chunks=tuple(self.blank))


def _opened(ask: Callable[[], Any]) -> Generator[Any]:
    """Ask for a stream, and yield what it gives."""
    yield from ask()


async def _aopened(ask: Callable[[], Any]) -> AsyncGenerator[Any]:
    """Ask for a stream in asyncio, and yield what it gives."""
    async with owned(await ask()) as stream:
        async for chunk in stream:
            yield chunk
