"""Targets for a policy, and which point reaches them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from llm_tiers.calibration.intervals import Interval, intervals

if TYPE_CHECKING:
    from llm_tiers.calibration.points import Point

__all__ = ["AsGoodAs", "AtLeast", "Target", "Within"]


class Target(Protocol):
    """What a point must reach."""

    @property
    def text(self) -> str:
        """The target in words."""

    def reached(self, point: Point) -> bool:
        """Whether a point reaches it."""

    def best(self, points: Sequence[Point]) -> Point:
        """Return the best of points that reach it."""

    def nearest(self, points: Sequence[Point]) -> Point:
        """Return the point that comes nearest, where none reaches it."""


@dataclass(frozen=True, slots=True)
class AtLeast:
    """An accuracy, as cheaply as possible.

    The lower end of the interval must reach it: if only the mean had to, about half of the points chosen would in
    truth fall short.

    Attributes:
        accuracy: Share of right answers, in [0, 1].
    """

    accuracy: float

    @property
    def text(self) -> str:
        """The target in words."""
        return f"accuracy of at least {self.accuracy:g}, by the lower end of its interval"

    def reached(self, point: Point) -> bool:
        """Whether the interval lies above it."""
        return point.accuracy.low >= self.accuracy

    def best(self, points: Sequence[Point]) -> Point:
        """Return the cheapest."""
        return _cheapest(points)

    def nearest(self, points: Sequence[Point]) -> Point:
        """Return the one with the highest lower end."""
        return max(points, key=lambda point: (point.accuracy.low, -point.cost.mean))


@dataclass(frozen=True, slots=True)
class Within:
    """A budget, spent as well as possible.

    Costs have a long tail, so the upper end of the interval must lie within it.

    Attributes:
        cost: US$ for 1,000 calls.
    """

    cost: float

    @property
    def text(self) -> str:
        """The target in words."""
        return f"at most US$ {self.cost:.4g} for 1,000 calls, by the upper end of its interval"

    def reached(self, point: Point) -> bool:
        """Whether the interval lies below it."""
        return point.cost.high <= self.cost

    def best(self, points: Sequence[Point]) -> Point:
        """Return the most accurate."""
        return max(points, key=lambda point: (point.accuracy.mean, -point.cost.mean))

    def nearest(self, points: Sequence[Point]) -> Point:
        """Return the cheapest."""
        return min(points, key=lambda point: point.cost.high)


@dataclass(frozen=True, slots=True)
class AsGoodAs:
    """As right as another way to answer, as cheaply as possible.

    Both were measured on the same questions, so the choice of questions does not affect the difference. The mean must
    reach it: a point whose lower end reached it would be better, not as good.

    Attributes:
        other: The point of the other way.
    """

    other: Point

    @property
    def text(self) -> str:
        """The target in words."""
        return f"as good as {self.other.policy.removeprefix('single:')} on the same questions, on average"

    def reached(self, point: Point) -> bool:
        """Whether it is right as often."""
        return point.accuracy.mean >= self.other.accuracy.mean

    def best(self, points: Sequence[Point]) -> Point:
        """Return the cheapest."""
        return _cheapest(points)

    def nearest(self, points: Sequence[Point]) -> Point:
        """Return the most accurate."""
        return max(points, key=lambda point: (point.accuracy.mean, -point.cost.mean))

    def difference(self, point: Point) -> Interval:
        """Return how much more often the point is right, question by question."""
        # Pairs on one question share its difficulty, which so cancels out.
        return intervals([point.measured.right - self.other.measured.right])[0]


def _cheapest(points: Sequence[Point]) -> Point:
    # The accuracy breaks ties, such as those between tiers without a price.
    return min(points, key=lambda point: (point.cost.mean, -point.accuracy.mean))
