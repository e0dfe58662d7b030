"""Two judges made one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_tiers.judges.base import Case, Judge, JudgeFunction, Judgement, Review, Verdict
from llm_tiers.judges.function import as_judge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm_tiers.tiers import Ladder, Tier

__all__ = ["Both", "Either"]


class _Pair(Judge):
    """Two judges, the second asked only where the first leaves it open."""

    def __init__(self, first: Judge | JudgeFunction, second: Judge | JudgeFunction) -> None:
        self.first = as_judge(first)
        self.second = as_judge(second)

    def invitation(self, tier: Tier, ladder: Ladder) -> str | None:
        return self.first.invitation(tier, ladder) or self.second.invitation(tier, ladder)

    def identity(self) -> str:
        return f"{type(self).__name__}({self.first.identity()}, {self.second.identity()})"

    def own_tiers(self) -> Iterator[Tier]:
        yield from self.first.own_tiers()
        yield from self.second.own_tiers()

    def check(self, ladder: Ladder) -> None:
        self.first.check(ladder)
        self.second.check(ladder)

    def _review(self, case: Case, decisive: Verdict) -> Review:
        """Take the first judge's verdict if it is `decisive`, else the second's; any doubt that is left remains."""
        one = yield from self.first.review(case)
        if one.verdict is decisive:
            return one
        two = yield from self.second.review(case)
        warning = "; ".join(filter(None, (one.warning, two.warning))) or None
        if two.verdict is decisive:
            return Judgement(decisive, two.by, warning)
        doubt = Verdict.UNCERTAIN in (one.verdict, two.verdict)
        return Judgement(Verdict.UNCERTAIN if doubt else two.verdict, f"{one.by}, {two.by}", warning)


class Either(_Pair):
    """Accept what one of two judges accepts."""

    def __repr__(self) -> str:
        return f"({self.first!r} | {self.second!r})"

    def review(self, case: Case) -> Review:
        """Ask the second judge only where the first does not accept."""
        return self._review(case, Verdict.VALID)


class Both(_Pair):
    """Accept what both of two judges accept."""

    def __repr__(self) -> str:
        return f"({self.first!r} & {self.second!r})"

    def review(self, case: Case) -> Review:
        """Ask the second judge only where the first does not reject."""
        return self._review(case, Verdict.INVALID)
