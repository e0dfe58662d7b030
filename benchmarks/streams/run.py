"""A stream through the product, call by call, and what came of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from langchain_tiers import TieredChatModel
from llm_tiers import PromptJudge, Tier, Trace
from streams.kinds import Stream
from streams.models import judge_within_process

__all__ = ["Ran", "run"]


@dataclass(frozen=True, slots=True)
class Ran:
    """The outcome of a stream.

    Attributes:
        stream: The stream.
        finals: By call, the position of the tier whose answer was returned.
        costs: By call, US$.
        profiled: By call, whether tiers were asked in order to learn.
    """

    stream: Stream
    finals: tuple[int, ...]
    costs: tuple[float, ...]
    profiled: tuple[bool, ...]

    def accuracy(self, start: int, end: int | None = None) -> float:
        """Share of right answers among some calls."""
        rows = list(range(len(self.finals)))[start:end]
        return float(np.mean([self.stream.right[row, self.finals[row]] for row in rows]))

    def cost(self, start: int, end: int | None = None, *, served: bool = False) -> float:
        """Mean cost of some calls in US$; `served` leaves profiled ones out."""
        rows = list(range(len(self.costs)))[start:end]
        return float(np.mean([self.costs[row] for row in rows if not (served and self.profiled[row])]))

    def left(self) -> int:
        """The first call from which on the cheapest tier's answer is no longer returned."""
        kept = [call for call, final in enumerate(self.finals) if final == 0]
        return kept[-1] + 1 if kept else 0


def run(stream: Stream, tiers: Sequence[Tier], seed: int, *, policy: str = "default") -> Ran:
    """Answer a stream; if there is a grade function, it has finished before the next call."""
    judge = None if stream.judge is None else PromptJudge(model=judge_within_process(stream, seed))
    model = TieredChatModel(list(tiers), policy=policy, grade=_grade_of(stream, seed), judge=judge)
    asked = model.bind_tools([stream.tool], tool_choice=stream.tool_name) if stream.tool else model
    finals, costs, profiled = [], [], []
    with model:
        for call in range(len(stream.right)):
            answer = asked.invoke(stream.question(call))
            trace = Trace.model_validate(answer.response_metadata["tiers"])
            # Otherwise it would depend on the machine's speed which grades the next call knows of.
            model.flush_grades()
            finals.append(stream.tiers.index(trace.final or stream.tiers[-1]))
            costs.append(trace.cost_usd or 0.0)
            profiled.append(trace.reason.startswith("profiled"))
    return Ran(stream, tuple(finals), tuple(costs), tuple(profiled))


def _grade_of(stream: Stream, seed: int) -> Callable[[str, str], bool] | None:
    if stream.grader is None:
        return None
    reliability = stream.grader

    def grade(question: str, answer: str) -> bool:
        call = stream.number(question)
        tier = next(tier for tier in range(len(stream.tiers)) if stream.said(call, tier).text == answer)
        # By lot, but the same for the same answer, as it would be with a model that grades at temperature 0.
        errs = random.Random(f"{seed}-{call}-{tier}").random() >= reliability
        return bool(stream.right[call, tier]) != errs

    return grade
