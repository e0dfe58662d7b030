"""What becomes of a call when a tier fails: 14 faults x 3 positions x 4 ways x 2 frameworks, each with its outcome.

    python tests/faults/fault_matrix.py

asks every cell, prints the matrix and ends with status 1 where a cell is not as stated; `make faults` does it. First
with a fixed start at the tier that fails, where it is stated who answers; then under every named policy, which decides
itself whom to ask. The tests ask a part of the cells: every fault at every position, in ways and frameworks by turns,
and every fault under every policy.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import product
from operator import add
from typing import Any

from langchain_openai import ChatOpenAI
from llama_index.llms.openai_like import OpenAILike

from langchain_tiers import TieredChatModel
from llamaindex_tiers import TieredLLM
from llm_tiers import AllTiersFailed, FixedStarter, Tier
from llm_tiers.ladder.circuits import forget_circuits
from llm_tiers.testing import BrokenJson, Cut, Hang, HttpError, LoopbackServer, Reply

ASK = "What is the capital of France?"
TIERS = ("small", "medium", "large")
FRAMEWORKS = ("langchain", "llamaindex")
WAYS = ("sync", "async", "stream", "astream")
REFUSED = "refused request"
IN_STREAM = "error in the stream"

FAULTS: dict[str, Callable[[], Any]] = {
    "rate limit": lambda: HttpError(429, "Rate limit reached"),
    "rate limit, retry after": lambda: HttpError(429, "Rate limit reached", retry_after=60),
    "server error": lambda: HttpError(500),
    "overloaded": lambda: HttpError(503),
    "wrong key": lambda: HttpError(401, "Incorrect API key"),
    "forbidden": lambda: HttpError(403),
    "no such model": lambda: HttpError(404),
    "context length": lambda: HttpError(400, "The maximum context length is 8192", code="context_length_exceeded"),
    REFUSED: lambda: HttpError(400, "Invalid value for 'messages[0].name'", code="invalid_value"),
    "cut connection": Cut,
    "broken JSON": BrokenJson,
    "hang": Hang,
    "answer cut short": lambda: Reply("Par", finish_reason="length"),
    IN_STREAM: lambda: HttpError(529, "Overloaded", code="overloaded_error", after="Mar"),
}

OPENS = frozenset({"rate limit, retry after", "wrong key", "forbidden", "no such model"})
"""Faults after which the tier is not asked for a while, the first time already."""


@dataclass(frozen=True)
class Cell:
    """One call: the tier that it starts at has a fault, the others are well."""

    fault: str
    position: str
    way: str
    framework: str

    def __str__(self) -> str:
        return f"{self.fault}-{self.position}-{self.way}-{self.framework}"

    @property
    def stated(self) -> str:
        """The outcome that is stated: who answers, or that the call fails."""
        if self.fault == REFUSED:
            return "raises"  # no tier of the provider would take it
        if self.position != "large":
            return TIERS[TIERS.index(self.position) + 1]
        if self.fault == IN_STREAM and "stream" in self.way:
            return "raises"  # half of the answer has been shown
        if self.fault == "answer cut short":
            return "large"  # the top tier's is returned as it is, with a warning
        return "medium, degraded"


@dataclass(frozen=True)
class PolicyCell(Cell):
    """One call under a policy, at a node of which nothing is known: one of the three tiers has a fault."""

    policy: str

    def __str__(self) -> str:
        return f"{self.policy}-{super().__str__()}"

    @property
    def may_raise(self) -> bool:
        """Whether the call fails where the tier with the fault is asked."""
        # Half of an answer may have been shown.
        return self.fault == REFUSED or (self.fault == IN_STREAM and "stream" in self.way)


CELLS = [Cell(*parts) for parts in product(FAULTS, TIERS, WAYS, FRAMEWORKS)]
_SHORT = len(WAYS) * len(FRAMEWORKS) + 1
SHORT = CELLS[::_SHORT] + [
    next(cell for cell in CELLS if (cell.fault, cell.position) == pair)
    for pair in sorted(set(product(FAULTS, TIERS)) - {(cell.fault, cell.position) for cell in CELLS[::_SHORT]})
]
"""Every fault at every position, in ways and frameworks by turns."""


POLICIES = ("default", "doubt", "agree", "estimate", "llm-at", "linucb", "linucb-rules", "metallm")
POLICY_CELLS = [PolicyCell(*parts) for parts in product(FAULTS, TIERS, WAYS, FRAMEWORKS, POLICIES)]
_OF_FAULT = len(POLICY_CELLS) // len(FAULTS)
SHORT_OF_POLICIES = [
    next(
        cell
        for cell in POLICY_CELLS[number * _OF_FAULT :]
        if (cell.policy, cell.position, cell.way, cell.framework)
        == (policy, TIERS[turn % 3], WAYS[turn % 4], FRAMEWORKS[turn // 4 % 2])
    )
    for number in range(len(FAULTS))
    for turn, policy in enumerate(POLICIES, start=number * len(POLICIES))
]
"""Every fault under every policy, at positions, in ways and frameworks by turns."""


@contextlib.contextmanager
def event_loop() -> Iterator[None]:
    """Give sync code an event loop: LlamaIndex would make one, and never close it."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def ladder_of(cell: Cell, server: LoopbackServer) -> list[Tier]:
    settings = {"api_key": "sk-of-the-matrix", "max_retries": 0}
    if cell.framework == "langchain":
        models = [ChatOpenAI(model=name, base_url=server.base_url, **settings) for name in TIERS]
    else:
        like = {"api_base": server.base_url, "is_chat_model": True, **settings}
        models = [OpenAILike(model=name, **like) for name in TIERS]
    waits = 0.3 if cell.fault == "hang" else None
    return [
        Tier(model, price=(1, 2), timeout=waits if name == cell.position else None)
        for name, model in zip(TIERS, models, strict=True)
    ]


def asked(cell: Cell, model: Any) -> dict[str, Any]:
    """Ask in the cell's way and return the trace."""
    if cell.framework == "langchain":
        return reduce(add, _langchain(cell, model)).response_metadata["tiers"]
    return _llamaindex(cell, model)[-1].additional_kwargs["tiers"]


def _langchain(cell: Cell, model: Any) -> list[Any]:
    async def streamed() -> list[Any]:
        return [chunk async for chunk in model.astream(ASK)]

    match cell.way:
        case "sync":
            return [model.invoke(ASK)]
        case "async":
            return [asyncio.run(model.ainvoke(ASK))]
        case "stream":
            return list(model.stream(ASK))
    return asyncio.run(streamed())


def _llamaindex(cell: Cell, model: Any) -> list[Any]:
    async def whole() -> list[Any]:
        return [await model.acomplete(ASK)]

    async def streamed() -> list[Any]:
        return [chunk async for chunk in await model.astream_complete(ASK)]

    if cell.way.startswith("a"):
        return asyncio.run(whole() if cell.way == "async" else streamed())
    with event_loop():
        return [model.complete(ASK)] if cell.way == "sync" else list(model.stream_complete(ASK))


def outcome_of(cell: Cell, server: LoopbackServer) -> tuple[str, list[str]]:
    """Ask a cell; return its outcome, and what is wrong besides."""
    starter = FixedStarter(cell.position)
    with _asking(cell, server, starter=starter, judge=lambda question, answer: True) as (model, trace, raised):
        outcome = "raises" if raised else trace["final"] + (", degraded" if trace.get("degraded") else "")
        return outcome, list(_flaws(cell, server, trace, model.stats()["tiers"][cell.position]["state"]))


def flaws_under_policy(cell: PolicyCell, server: LoopbackServer) -> list[str]:
    """Ask a cell under its policy; return what is not as it is for all of them.

    A healthy tier answers, or one whose answer was cut short: the top tier, or in a stream one that was shown live. The
    tier with the fault is asked for an answer at most once. Only a request that it refuses, or half an answer that was
    shown, may fail the call.
    """
    with _asking(cell, server, policy=cell.policy) as (_, trace, raised):
        requests = [request for request in server.requests_to(cell.position) if not request.judges]
        flaws = [f"{len(requests)} requests to the tier that fails"] if len(requests) > 1 else []
        if raised:
            return flaws if cell.may_raise and requests else [*flaws, "raises"]
        # At the top there is nobody else to ask; what streams live has been shown.
        returned = cell.fault == "answer cut short" and (cell.position == "large" or "stream" in cell.way)
        if trace["final"] == cell.position and requests and not returned:
            flaws.append("the tier that fails answers")
        return flaws


@contextlib.contextmanager
def _asking(
    cell: Cell, server: LoopbackServer, **settings: Any
) -> Iterator[tuple[TieredChatModel | TieredLLM, dict[str, Any], bool]]:
    """Ask a cell; give the model, the trace, and whether the call failed."""
    forget_circuits()
    server.forget()
    fault = FAULTS[cell.fault]()
    server.scripts = dict.fromkeys(TIERS, _paris) | {cell.position: fault}
    kind = TieredChatModel if cell.framework == "langchain" else TieredLLM
    # All of the trace: what a message shows of it is short in LangChain.
    whole = {"trace_bytes": None} if kind is TieredChatModel else {}
    with kind(tiers=ladder_of(cell, server), history_timeout=None, **settings, **whole) as model:
        try:
            trace, raised = asked(cell, model), False
        except AllTiersFailed as error:
            trace, raised = error.trace.to_dict(), True
        finally:
            if isinstance(fault, Hang):
                fault.release()
        yield model, trace, raised


def _paris(request: Any) -> str:
    return "yes" if request.judges else "Paris"


def _flaws(cell: Cell, server: LoopbackServer, trace: dict[str, Any], state: str) -> Iterator[str]:
    if len(server.requests_to(cell.position)) != 1:
        yield f"{len(server.requests_to(cell.position))} requests to the tier that fails"
    own = [attempt for attempt in trace["attempts"] if attempt["tier"] == cell.position]
    if len(own) != 1:
        yield f"{len(own)} attempts in the trace"
    if cell.fault != "answer cut short" and not all(attempt.get("error") for attempt in own):
        yield "the trace does not name the error"
    if state != ("open" if cell.fault in OPENS else "closed"):
        yield f"the breaker is {state}"
    if trace.get("degraded") and not any(warning.startswith("degraded: ") for warning in trace["warnings"]):
        yield "no warning says that the answer is degraded"


def main() -> int:
    """Ask every cell and print what came of it."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore", ResourceWarning)
    wrong, signs = [], {}
    for cell in CELLS:
        # A server for each cell: a request that a call has left behind may arrive after the next one has begun.
        with LoopbackServer({}) as server:
            outcome, flaws = outcome_of(cell, server)
            if outcome != cell.stated:
                flaws = [f"{outcome} instead of {cell.stated}", *flaws]
            wrong += [f"{cell}: {flaw}" for flaw in flaws]
            signs[cell] = "x" if flaws else {"raises": "!", "medium, degraded": "v"}.get(outcome, outcome[0])
    print("Who answers: s(mall), m(edium), l(arge), v = medium as a last resort, ! = raises; x = not as stated.")
    print(f"In each field: {', '.join(WAYS)}.\n")
    print(f"{'fault':24}", *(f"{framework[:5]} {position:7}" for framework in FRAMEWORKS for position in TIERS))
    for fault in FAULTS:
        fields = [
            "".join(signs[Cell(fault, position, way, framework)] for way in WAYS)
            for framework in FRAMEWORKS
            for position in TIERS
        ]
        print(f"{fault:24}", *(f"{field:13}" for field in fields))
    print(f"\n{len(CELLS)} cells, {len({line.partition(':')[0] for line in wrong})} not as stated", *wrong, sep="\n")
    return max(1 if wrong else 0, _print_policies())


def _print_policies() -> int:
    """Ask every cell under every policy, and print how many are not as they are for all."""
    wrong = {}
    for cell in POLICY_CELLS:
        with LoopbackServer({}) as server:
            flaws = flaws_under_policy(cell, server)
            if flaws:
                wrong[cell] = flaws
    each = len(TIERS) * len(WAYS) * len(FRAMEWORKS)
    print(f"\nUnder every policy, {each} cells in each field; so many are not as stated:\n")
    print(f"{'fault':24}", *(f"{policy:13}" for policy in POLICIES))
    for fault in FAULTS:
        counts = [sum((cell.fault, cell.policy) == (fault, policy) for cell in wrong) for policy in POLICIES]
        print(f"{fault:24}", *(f"{count:<13}" for count in counts))
    print(f"\n{len(POLICY_CELLS)} cells, {len(wrong)} not as stated")
    print(*(f"{cell}: {', '.join(flaws)}" for cell, flaws in wrong.items()), sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
