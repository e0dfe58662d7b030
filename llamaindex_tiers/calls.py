"""One call of the user, ready to be answered: at once or in chunks, in sync code or in asyncio."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llamaindex_tiers.last_chunk import LastChunk
from llamaindex_tiers.pieces import as_response
from llamaindex_tiers.results import keep_trace
from llm_tiers.flow.engine import Outcome
from llm_tiers.integration.chunks import result_last
from llm_tiers.owned import owned

if TYPE_CHECKING:
    from llamaindex_tiers.performer import LLMPerformer
    from llm_tiers.call.call import Call
    from llm_tiers.flow.engine import Engine

__all__ = ["PreparedCall"]


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """A call with all that is needed to answer it.

    Attributes:
        engine: Runs the call.
        call: The call as the core knows it.
        performer: Calls the tiers' models.
    """

    engine: Engine
    call: Call
    performer: LLMPerformer

    def run(self) -> Any:
        """Return the response, or the object that was asked for."""
        return self._result(self.engine.run(self.call, self.performer))

    async def arun(self) -> Any:
        """Return the response in asyncio, or the object that was asked for."""
        return self._result(await self.engine.arun(self.call, self.performer))

    def stream(self) -> Generator[Any, None, None]:
        """Yield the response's chunks, the last one with the trace."""
        run, last = self.performer.run, LastChunk()
        live = result_last(self.engine.stream(self.call, self.performer))
        # All of this begins with the first chunk: a stream that nobody reads opens no span and calls no model.
        with run.reported_errors(), run.open_inside() as inside, closing(inside.each_in_span(live)) as items:
            for item in items:
                if not isinstance(item, Outcome):
                    yield from last.passing(item)
        # The method's own span was left when it returned this generator: observers learn of the end by this event.
        run.report_end(self.performer.request, item)
        self._report(item)
        yield from last.ending(item)

    async def astream(self) -> AsyncGenerator[Any, None]:
        """Yield the response's chunks in asyncio; as `stream`."""
        run, last = self.performer.run, LastChunk()
        live = self.engine.astream(self.call, self.performer)
        with run.reported_errors(), run.open_inside() as inside:
            async with owned(inside.aeach_in_span(live)) as items:
                async for item in items:
                    if not isinstance(item, Outcome):
                        for chunk in last.passing(item):
                            yield chunk
        run.report_end(self.performer.request, item)
        self._report(item)
        for end in last.ending(item):
            yield end

    def _result(self, outcome: Outcome) -> Any:
        response, shape = as_response(outcome), self.performer.request.shape
        self._report(outcome)
        return response if shape is None else shape.checked(response)

    def _report(self, outcome: Outcome) -> None:
        self.performer.run.place.report(outcome.trace)
        keep_trace(outcome.answer.message, outcome.trace)
