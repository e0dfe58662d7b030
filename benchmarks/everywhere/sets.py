"""A recorded set as the benchmark sees it: what each tier said, whether it was right, and what it cost."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llm_tiers.policies.menu.pattern import in_order
from llm_tiers.policies.menu.profile import UNASKED, ProfiledCall
from llm_tiers.replay import BUNDLED, ReplayTable, load_table

__all__ = ["Outcome", "RecordedSet", "files", "price_of"]


def files() -> list[Path]:
    """Return the files named by LLM_TIERS_REPLAY, separated by colons, or else those that come with the package."""
    return [Path(name) for name in os.environ.get("LLM_TIERS_REPLAY", "").split(":") if name] or list(BUNDLED)


def price_of(quality: float) -> float:
    """Return what a usual answer of the dearest tier may cost, in probability of a right answer."""
    return 0.5 * float(1 - quality) ** 3


@dataclass(frozen=True)
class Outcome:
    """What a policy reached on a stream.

    Attributes:
        accuracy: Share of right answers.
        cost: What a call cost on average, in usual answers of the dearest tier.
        profiled: How many calls all tiers answered.
        calibration: How far the stated confidence was from the share of right answers, in the second half; or None.
        late: Accuracy and cost from call 100 on.
    """

    accuracy: float
    cost: float
    profiled: int = 0
    calibration: float | None = None
    late: tuple[float, float] | None = None

    def worth(self, quality: float) -> float:
        """Points of accuracy less the price of the cost."""
        return 100 * (self.accuracy - price_of(quality) * self.cost)


@dataclass(frozen=True)
class RecordedSet:
    """What K tiers answered to N questions.

    Attributes:
        table: The file as it was read.
        right: N x K, how right each answer is, in [0, 1].
    """

    table: ReplayTable
    right: NDArray[np.float64]

    @classmethod
    def load(cls, path: Path, *, by_quality: bool = False) -> RecordedSet:
        """Read a file; `by_quality` takes its grades of 1 to 10 for how right an answer is."""
        table = load_table(path)
        if by_quality:
            with np.load(path, allow_pickle=False) as arrays:
                return cls(table, arrays["quality"].astype(float) / 10)
        return cls(table, table.correct.astype(float))

    @property
    def name(self) -> str:
        return self.table.path.stem

    @property
    def names(self) -> tuple[str, ...]:
        return self.table.tiers

    @cached_property
    def costs(self) -> NDArray[np.float64]:
        """N x K, in usual answers of the dearest tier."""
        spent = self.table.gen_in * self.table.price_in + self.table.gen_out * self.table.price_out
        return np.asarray(spent / spent[:, -1].mean())

    @cached_property
    def usual(self) -> dict[str, float]:
        """What an answer of 300 tokens to 1,000 costs by the prices, in units of the dearest tier's."""
        # As `PriceBook.usual` assumes, since the policy knows no more before the first call.
        price = 1_000 * self.table.price_in + 300 * self.table.price_out
        return dict(zip(self.names, (price / price[-1]).tolist(), strict=True))

    @cached_property
    def said(self) -> list[tuple[int, ...]]:
        return [in_order(row) for row in self.table.answer_equal.tolist()]

    @cached_property
    def singles(self) -> list[Outcome]:
        return [Outcome(a, c) for a, c in zip(self.right.mean(0).tolist(), self.costs.mean(0).tolist(), strict=True)]

    @property
    def top_is_best(self) -> bool:
        return int(self.right.mean(0).argmax()) == len(self.names) - 1

    def best_single(self, quality: float) -> float:
        """The worth of the best single tier, known in hindsight."""
        return max(single.worth(quality) for single in self.singles)

    @cached_property
    def verdict_costs(self) -> NDArray[np.float64]:
        """N x K, what a verdict on each answer cost, in usual answers of the dearest tier."""
        table = self.table
        spent = table.gen_in * table.price_in + table.gen_out * table.price_out
        judging = (
            table.judge_in * table.price_in[table.judge_tier] + table.judge_out * table.price_out[table.judge_tier]
        )
        return np.asarray(judging / spent[:, -1].mean())

    @property
    def has_verdicts(self) -> bool:
        """Whether nearly all answers below the top were judged; the few others count as left open."""
        return bool((self.table.judge_tier[:, :-1] >= 0).mean() > 0.9)  # noqa: PLR2004

    def call(self, row: int, *, graded: bool, top: bool = True, judged: bool = False) -> ProfiledCall:
        """The question as a call that all tiers answered, or all but the top."""
        asked = len(self.names) - (not top)
        said = self.said[row] if top else (*self.said[row][:-1], UNASKED)
        grades = tuple(self.right[row, :asked].tolist()) if graded else ()
        costs, source = tuple(self.costs[row].tolist()), "grader" if graded else None
        verdicts, judging = (self.verdicts_on(row), tuple(self.verdict_costs[row].tolist())) if judged else ((), ())
        vector = self.table.embedding[row]
        return ProfiledCall(
            str(row), said, costs, grades, source, verdicts=verdicts, verdict_costs=judging, vector=vector
        )

    def verdicts_on(self, row: int) -> tuple[bool | None, ...]:
        """What the recorded judge said of each answer."""
        return tuple(None if said < 0 else bool(said) for said in self.table.verdict[row].tolist())


# As `profiled_call` numbers them: by first appearance, so that equal patterns are found in a cache.
