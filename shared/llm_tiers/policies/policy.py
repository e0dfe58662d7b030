"""A policy: how a call is answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llm_tiers.agreement.equality import Equality, ExactEquality, FinalAnswers
from llm_tiers.errors import ConfigError

if TYPE_CHECKING:
    from llm_tiers.ladder.tiers import Ladder
    from llm_tiers.policies.judges.judge import Judge
    from llm_tiers.policies.starters.base import Starter

__all__ = ["Policy"]


@dataclass(frozen=True, slots=True)
class Policy:
    """How a call is answered.

    Attributes:
        name: How the trace calls it.
        starter: Chooses the tier that answers first.
        judge: Decides whether an answer stands.
        equality: When two answers are the same, for the labels and for a judge that compares.
        audit: Chance, in [0, 1], that all tiers answer a call, so that what each would have said is known; the
            answer returned is the same. `llm-tiers calibrate` needs some such calls.
        calibrated_on: Names of the tiers that the knob was calibrated on, cheapest first; empty: on none.
    """

    name: str
    starter: Starter
    judge: Judge
    equality: Equality = field(default_factory=FinalAnswers)
    audit: float = 0.0
    calibrated_on: tuple[str, ...] = ()

    @property
    def missing_counts(self) -> bool:
        """Whether a missing answer is treated as an answer: it is judged, and the top tier's is returned.

        LLM-AT's code does this. Otherwise a missing answer goes one tier up without being judged, and where the top
        tier's is missing an earlier answer may be returned.
        """
        return isinstance(self.equality, ExactEquality) and self.equality.missing_counts

    @property
    def needs_prices(self) -> bool:
        """Whether the policy must know what the top tier costs."""
        return bool(getattr(self.starter, "needs_prices", False))

    def check_means(self, top: str, *, priced: bool, graded: bool) -> None:
        """Check that there is what a policy that proves something needs.

        Args:
            top: Name of the top tier.
            priced: Whether its price is known.
            graded: Whether answers are graded.

        Raises:
            ConfigError: The price, or the grades, are missing.
        """
        if self.needs_prices and not priced:
            raise ConfigError(
                f"policy={self.starter!r} must know what the top tier costs, and no price of {top!r} is known; give "
                f"Tier(model, price=(input, output)) in US$ per million tokens"
            )
        if getattr(self.starter, "needs_grades", False) and not graded:
            raise ConfigError(
                f"policy={self.starter!r} needs grades and nobody gives any; give grade= (a function of question and "
                "answer, or a model), or of='equality'"
            )

    def check(self, ladder: Ladder) -> None:
        """Check that the ladder has what the policy names, and is the one that it was calibrated on.

        Raises:
            ConfigError: A tier is missing, or the ladder is another one.
        """
        if self.calibrated_on and self.calibrated_on != ladder.names:
            raise ConfigError(
                f"settings: they were calibrated on the tiers {', '.join(self.calibrated_on)}, but this ladder is "
                f"{', '.join(ladder.names)}, and what was measured does not hold for it; calibrate anew, or give "
                "policy= and its knob instead"
            )
        self.judge.check(ladder)
        # A starter is a protocol with one method, so that a user's own need not have a `check`.
        check = getattr(self.starter, "check", None)
        if check is not None:
            check(ladder)
