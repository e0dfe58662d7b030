"""Perform what the flow of a call asks for: `drive` in the caller's thread, `adrive` in asyncio.

Nothing is decided here. `drive_live` and `adrive_live` also pass on chunks: those of a `Handoff` as they come, those
of an answer that was judged when it is accepted. `drive` and `adrive` pass on none, so there a handoff is a model call
like any other (`_without_handoff`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from llm_tiers.call.answer import Answer
from llm_tiers.call.requests import (
    Consult,
    Consulted,
    Flow,
    Generate,
    Handoff,
    ModelCall,
    Recall,
    Reply,
    Request,
    Response,
)
from llm_tiers.errors import TierError
from llm_tiers.flow.attempt import Attempt
from llm_tiers.flow.deadline import Busy, awithin, in_thread, within
from llm_tiers.flow.patience import HistoryTooSlow, prepare
from llm_tiers.history.record import Recollection
from llm_tiers.owned import owned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm_tiers.call.performer import AsyncPerformer, Performer
    from llm_tiers.flow.grading import GradingFlow
    from llm_tiers.flow.ledger import Ledger
    from llm_tiers.flow.shadow import Shadow, ShadowFlow
    from llm_tiers.history.record import History
    from llm_tiers.trace import Grading

__all__ = ["adrive", "adrive_live", "drive", "drive_grading", "drive_live", "drive_shadow"]


def drive(flow: Flow, performer: Performer, history: History | None, ledger: Ledger) -> Answer:
    """Run a flow to its end.

    Args:
        flow: The flow; it is closed whatever happens.
        performer: Calls the models.
        history: Where past calls are looked up, or None.
        ledger: The account of the call, which every model call is charged to.

    Returns:
        The accepted answer.

    Raises:
        AllTiersFailed: As the flow does.
    """
    live = drive_live(_without_handoff(flow), performer, history, ledger)
    while True:
        try:
            next(live)
        except StopIteration as stop:
            return cast("Answer", stop.value)


def drive_live(
    flow: Flow, performer: Performer, history: History | None, ledger: Ledger
) -> Generator[Any, None, Answer]:
    """Run a flow to its end, yield the chunks of the accepted answer as early as they may go out, and return it."""
    with closing(flow):
        response: Response | None = None
        while True:
            try:
                request = _advance(flow, response)
            except StopIteration as stop:
                yield from _withheld(stop.value)
                return cast("Answer", stop.value)
            match request:
                case Handoff(call):
                    response = yield from _stream(call, performer, ledger)
                case Generate(calls):
                    response = _generate(calls, performer, ledger)
                case Recall():
                    response = _recall(request, history, ledger)
                case _:
                    raise TypeError(f"the flow asked for {request!r}, which is no request")


async def adrive(flow: Flow, performer: AsyncPerformer, history: History | None, ledger: Ledger) -> Answer:
    """Run a flow to its end in asyncio; as `drive`."""
    async with owned(adrive_live(_without_handoff(flow), performer, history, ledger)) as live:
        async for item in live:
            if isinstance(item, Answer):
                return item
    raise RuntimeError("the flow ended without an answer")


async def adrive_live(
    flow: Flow, performer: AsyncPerformer, history: History | None, ledger: Ledger
) -> AsyncGenerator[Any, None]:
    """Run a flow to its end in asyncio; yield chunks as `drive_live` does and, last, the accepted answer."""
    with closing(flow):
        response: Response | None = None
        while True:
            try:
                request = _advance(flow, response)
            except StopIteration as stop:
                for chunk in _withheld(stop.value):
                    yield chunk
                yield stop.value
                return
            match request:
                case Handoff(call):
                    async with owned(_astream(call, performer, ledger)) as stream:
                        async for item in stream:
                            if isinstance(item, Answer | TierError):
                                response = item
                            else:
                                yield item
                case Generate(calls):
                    response = await _agenerate(calls, performer, ledger)
                case Recall():
                    response = await asyncio.to_thread(_recall, request, history, ledger)
                case _:
                    raise TypeError(f"the flow asked for {request!r}, which is no request")


def drive_grading(
    flow: GradingFlow, performer: Performer | None, ledger: Ledger, consult: Callable[[Consult], Consulted]
) -> Grading:
    """Run the grading of a call to its end, in the thread that grades.

    Args:
        flow: The grading.
        performer: Calls the grading model; None where a function grades.
        ledger: An account of its own, so that the call's stays as the user was given it.
        consult: Calls the user's function.
    """
    with closing(flow):
        response: Response | None = None
        while True:
            try:
                request = next(flow) if response is None else flow.send(response)
            except StopIteration as stop:
                return cast("Grading", stop.value)
            match request:
                case Generate(calls) if performer is not None:
                    response = _generate(calls, performer, ledger)
                case Consult():
                    response = consult(request)
                case _:
                    raise TypeError(f"the grading asked for {request!r}, which is no request of a grading")


def drive_shadow(flow: ShadowFlow, performer: Performer, history: History | None, ledger: Ledger) -> Shadow:
    """Run the shadow of a call to its end, in the thread that follows it.

    Args:
        flow: The shadow.
        performer: Calls the models.
        history: Where past calls are looked up, or None.
        ledger: An account of its own, so that the call's stays as the user was given it.
    """
    with closing(flow):
        response: Response | None = None
        while True:
            try:
                request = next(flow) if response is None else flow.send(response)
            except StopIteration as stop:
                return cast("Shadow", stop.value)
            match request:
                case Handoff(call):
                    (response,) = _generate((call,), performer, ledger)
                case Generate(calls):
                    response = _generate(calls, performer, ledger)
                case Recall():
                    response = _recall(request, history, ledger)
                case _:
                    raise TypeError(f"the shadow asked for {request!r}, which is no request of a call")


def _advance(flow: Flow, response: Response | None) -> Request:
    return next(flow) if response is None else flow.send(response)


def _withheld(answer: Answer) -> tuple[Any, ...]:
    """Return the chunks of an accepted answer that the user has not seen yet."""
    return () if answer.live else answer.chunks


def _without_handoff(flow: Flow) -> Flow:
    """Ask for a plain model call wherever the flow hands off."""
    with closing(flow):
        response: Response | None = None
        while True:
            try:
                request = _advance(flow, response)
            except StopIteration as stop:
                return cast("Answer", stop.value)
            if isinstance(request, Handoff):
                replies = yield Generate((request.call,))
                (response,) = cast("tuple[Reply]", replies)
            else:
                response = yield request


def _recall(request: Recall, history: History | None, ledger: Ledger) -> Recollection:
    """Look up the history; a failure becomes a warning, since the user's answer does not depend on the history."""
    if history is None:
        return Recollection()
    wanted: dict[str, Any] = {} if request.study is None else {"study": request.study}
    if ledger.call.principal is not None and getattr(history, "knows_principals", False):
        wanted["principal"] = ledger.call.principal
    # Embedded once for each call, however often the flow asks.
    ask = partial(history.recall, request.text, node=request.node, k=request.k, vector=ledger.vector, **wanted)
    try:
        prepare(history)
        found = ledger.history_time.within(history, ask)
    except (HistoryTooSlow, Busy) as error:
        return Recollection(error=str(error))
    except Exception as error:  # noqa: BLE001 -- the boundary to the history: the error becomes a warning in the trace
        return Recollection(error=f"{type(error).__name__}: {error}")
    ledger.vector = found.vector
    return found


def _stream(call: ModelCall, performer: Performer, ledger: Ledger) -> Generator[Any, None, Reply]:
    if (refusal := ledger.refusal(call)) is not None:
        return refusal
    attempt = Attempt(call, ledger, ledger.begin_step())
    with attempt.charged(), _closing_unless_late(performer.stream(call)) as stream:
        while attempt.is_chunk(item := _next_within(attempt, stream)):
            yield item
    return attempt.outcome


def _next_within(attempt: Attempt, stream: Generator[Any, None, Answer]) -> Any:
    # Active only here, and not around the `yield`: what the user does with a chunk is no part of the model call.
    with attempt.observed.active():
        return within(attempt.thread_seconds, partial(_next, stream), attempt.late)


def _next(stream: Generator[Any, None, Answer]) -> Any:
    """Return the next chunk, or the answer at the end; an exception for the end would not pass between threads."""
    try:
        return next(stream)
    except StopIteration as stop:
        return stop.value


@contextmanager
def _closing_unless_late(stream: Generator[Any, None, Answer]) -> Iterator[Generator[Any, None, Answer]]:
    try:
        yield stream
    finally:
        # A late stream still runs in its thread: it refuses to be closed, and is when that ends.
        with suppress(ValueError):
            stream.close()


def _generate(calls: tuple[ModelCall, ...], performer: Performer, ledger: Ledger) -> tuple[Reply, ...]:
    """Call the first model here and the others in threads that see the caller's context.

    A performer that answers at once is asked here alone: to start a thread takes longer than its answer.
    """
    step = ledger.begin_step()

    def one(call: ModelCall) -> Reply:
        if (refusal := ledger.refusal(call)) is not None:
            return refusal
        attempt = Attempt(call, ledger, step)
        with attempt.charged(), attempt.observed.active():
            attempt.reply = within(attempt.thread_seconds, partial(performer.generate, call), attempt.late)
        return attempt.outcome

    # The first runs in the caller's own thread: most calls have only one, and need no other.
    first, *beside = calls
    if getattr(performer, "answers_at_once", False):
        return tuple(map(one, calls))
    # A thread cannot be cancelled: where the first call is interrupted, nobody waits for the others.
    others = [in_thread(partial(one, call), "llm-tiers") for call in beside]
    return (one(first), *(other.result() for other in others))


async def _astream(call: ModelCall, performer: AsyncPerformer, ledger: Ledger) -> AsyncGenerator[Any, None]:
    if (refusal := ledger.refusal(call)) is not None:
        yield refusal
        return
    attempt = Attempt(call, ledger, ledger.begin_step())
    with attempt.charged():
        async with owned(performer.astream(call)) as stream:
            while attempt.reply is None:
                # Around the one chunk and not around the `yield`: the time that the user takes for a chunk is not the
                # tier's, and `asyncio.timeout` would cancel the user's task.
                with attempt.observed.active():
                    async with awithin(attempt.seconds):
                        item = await anext(stream)
                if attempt.is_chunk(item):
                    yield item
    yield attempt.outcome


async def _agenerate(calls: tuple[ModelCall, ...], performer: AsyncPerformer, ledger: Ledger) -> tuple[Reply, ...]:
    step = ledger.begin_step()

    async def one(call: ModelCall) -> Reply:
        if (refusal := ledger.refusal(call)) is not None:
            return refusal
        attempt = Attempt(call, ledger, step)
        with attempt.charged(), attempt.observed.active():
            async with awithin(attempt.seconds):
                attempt.reply = await performer.agenerate(call)
        return attempt.outcome

    if len(calls) == 1:
        return (await one(calls[0]),)
    tasks = [asyncio.create_task(one(call)) for call in calls]
    try:
        return tuple(await asyncio.gather(*tasks))
    finally:
        # Where the user's task is cancelled, the calls end before it does: none goes on unaccounted for.
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
