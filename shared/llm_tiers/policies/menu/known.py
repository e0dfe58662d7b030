"""What is known of a node: its profile, and the choice that follows from it at the price of the call at hand."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from llm_tiers.policies.menu.outcomes import cost_of, rules_of
from llm_tiers.policies.menu.packing import packed, unpacked
from llm_tiers.policies.menu.profile import NO_PROFILE, Profile, ProfiledCall, profiled_call
from llm_tiers.policies.menu.underway import Underway
from llm_tiers.policies.menu.worth import Choice, choose

if TYPE_CHECKING:
    from llm_tiers.history.packed import Packed
    from llm_tiers.history.record import Record
    from llm_tiers.policies.menu.rule import Rule

__all__ = ["Known", "ProfileOf"]

_PRICES = 16
"""The number of prices for which the choice is kept: those of a few settings, not of a random one for each call."""


@dataclass(frozen=True)
class Known:
    """What a node's past calls show.

    Attributes:
        profile: The node's profile.
        usual: Tier names, cheapest first, each with the usual cost of an answer.
        priors: The tiers' own `prior`, cheapest first; empty if none has one.
        judged: Whether there is a judge.
        underway: The node's profiled calls that have not ended; the same for all that is known of it over time.
    """

    profile: Profile
    usual: tuple[tuple[str, float], ...]
    priors: tuple[float | None, ...] = ()
    judged: bool = False
    underway: Underway = field(default_factory=Underway, repr=False, compare=False)
    _choices: dict[tuple[float, float | None], Choice] = field(default_factory=dict, repr=False, compare=False)

    def choice(self, price: float, worth_usd: float | None = None) -> Choice:
        """Return what is chosen where a right answer is worth so much.

        Args:
            price: What a usual answer of the top tier may cost, in probability of a right answer.
            worth_usd: What a right answer is worth in US$; None if `price` determines it.
        """
        # Made when it is asked for: of the many records that a study learns from, only the last one's choice is used.
        key = (price, worth_usd)
        chosen = self._choices.get(key)
        if chosen is None:
            usual = dict(self.usual)
            chosen = choose(self.profile, usual, price, worth_usd=worth_usd, priors=self.priors, judged=self.judged)
            if len(self._choices) >= _PRICES:
                self._choices.clear()
            self._choices[key] = chosen
        return chosen

    def after(self, cost: float, call: ProfiledCall | None, rule: Rule | None = None) -> Known:
        """Return what is known after one more call.

        Args:
            cost: What the call cost, in US$.
            call: What it says of all tiers, or None.
            rule: The rule that would have answered it if it had not been profiled; None where it was profiled for
                others, such as an audit, so that learning did not cost anything.
        """
        instead = cost if call is None or rule is None else cost_of(rule, call)
        profile = self.profile.after(cost, call, instead)
        # An ordinary call shows nothing about rules that were not run, so only a profiled one changes the choice.
        return replace(self, profile=profile, _choices=self._choices if call is None else {})

    def revised(self, call: ProfiledCall) -> Known:
        """Return what is known after one of the profiled calls was graded."""
        return replace(self, profile=self.profile.revised(call), _choices={})


@dataclass(frozen=True, slots=True)
class ProfileOf:
    """The study that makes a node's profile from its records: one for all prices.

    Attributes:
        usual: Tier names, cheapest first, each with the usual cost of an answer.
        priors: The tiers' own `prior`, cheapest first; empty if none has one.
        judged: Whether there is a judge, so that rules that need its verdicts are on the menu.
    """

    usual: tuple[tuple[str, float], ...]
    priors: tuple[float | None, ...] = ()
    judged: bool = False

    def start(self) -> Known:
        """Return what is known before the first call."""
        return Known(NO_PROFILE, self.usual, self.priors, self.judged)

    def learn(self, result: Known, record: Record) -> Known:
        """Return what is known after one more call."""
        usual = dict(self.usual)
        call = profiled_call(record, usual)
        result.underway.end(record.id)
        cost = sum(usual.get(name, 0.0) for name in record.answered) if record.cost_usd is None else record.cost_usd
        # The rule of then, which it was settled by: the grades of now would name another.
        # What was asked off the path of a call that was only observed has a bound of its own.
        learns = call is not None and record.rule is not None and record.planned is None
        rules = rules_of(tuple(usual), self.judged) if learns else ()
        return result.after(cost, call, next((rule for rule in rules if rule.name == record.rule), None))

    def revise(self, result: Known, before: Record, after: Record) -> Known:  # noqa: ARG002
        """Return what is known after a call was graded."""
        call = profiled_call(after, dict(self.usual))
        return result if call is None else result.revised(call)

    def identity(self) -> str:
        """Return which study it is; the number goes up with what `learn` and `revise` do."""
        return f"menu 2 {self.usual!r} {self.priors!r} {self.judged}"

    def pack(self, result: Known) -> Packed | None:
        """Return what is known as it is kept."""
        return packed(result.profile)

    def unpack(self, packed: Packed) -> Known:
        """Return what was known; where something else was packed, one of `REFUSALS` is raised."""
        return Known(unpacked(packed, len(self.usual)), self.usual, self.priors, self.judged)
