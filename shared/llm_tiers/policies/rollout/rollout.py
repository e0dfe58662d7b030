"""Which calls are served by the user's present tier alone, and which are really tiered."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from llm_tiers.arguments import kind_of, require, require_number
from llm_tiers.policies.starters.base import Plan, Planning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_tiers.call.call import Call
    from llm_tiers.ladder.tiers import Ladder
    from llm_tiers.policies.policy import Policy

__all__ = ["MODES", "Mode", "Rollout", "Serve", "as_rollout"]

Mode: TypeAlias = Literal["tier", "observe"]

MODES = ("tier", "observe")
"""What `mode=` may be: every call is tiered, which is the default; or the present tier serves."""

DEFAULT_SHARE = 0.2


class Serve:
    """Let one tier answer as if there were no other: its answer stands, and its failure is the call's.

    Args:
        tier: Name of the tier.
    """

    assumes_above = False

    def __init__(self, tier: str) -> None:
        self.tier = tier

    def __repr__(self) -> str:
        return f"Serve({self.tier!r})"

    def plan(self, call: Call, ladder: Ladder) -> Planning:  # noqa: ARG002
        """Plan that tier; the history is not asked, which would take time."""
        yield from ()  # a starter is a generator, even if it asks for nothing
        return Plan(start=self.tier, reason=f"observed: {self.tier} serves")


@dataclass(frozen=True, slots=True)
class Rollout:
    """How calls pass from the user's present tier to tiering.

    Attributes:
        serve: Name of the tier that serves the calls that are not tiered.
        ramp: Share of the conversations that are really tiered, in [0, 1].
        share: Largest share of what the served calls cost that asking the other tiers off the path may add, in [0, 1].
        most_usd: Most US$ that it may cost in all, as long as the model lives; None for no bound but the share.
    """

    serve: str
    ramp: float = 0.0
    share: float = DEFAULT_SHARE
    most_usd: float | None = None

    def is_tiered(self, call: Call) -> bool:
        """Say whether a call is really tiered; all calls of a conversation are, or none is.

        Drawn from the conversation, so every process draws the same, and a larger share keeps the conversations that a
        smaller one had.
        """
        return random.Random(f"ramp:{call.conversation or call.id}").random() < self.ramp

    def may_answer(self, tier: str) -> bool:
        """Say whether a user may get an answer of this tier."""
        return self.ramp > 0 or tier == self.serve

    @property
    def identity(self) -> str:
        """What decides which calls are tiered, and who answers the others."""
        return f"serve={self.serve},ramp={self.ramp!r}"

    def serving(self, policy: Policy) -> Policy:
        """Return the policy by which the present tier serves; answers are compared as by the one that is observed."""
        return replace(policy, starter=Serve(self.serve))


def as_rollout(
    tiers: Sequence[str],
    *,
    mode: object = None,
    serve: object = None,
    ramp: object = None,
    observe_share: object = None,
    observe_usd: object = None,
) -> Rollout | None:
    """Make a rollout of a user's arguments; None where every call is tiered.

    Args:
        tiers: Names of the ladder's tiers, cheapest first.
        mode: One of `MODES`, or None for the first.
        serve: Name of the tier that serves; None for the top.
        ramp: Share of the conversations that are really tiered, in [0, 1]; None for none.
        observe_share: Largest share of the spend that asking the other tiers may add, in [0, 1]; None for 0.2.
        observe_usd: Most US$ that it may cost in all; None for no such bound.

    Raises:
        ConfigError: An argument is wrong, or is given without `mode="observe"`.
    """
    known = ", ".join(map(repr, MODES))
    require(mode is None or mode in MODES, f"mode={_shown(mode)} is unknown; there are {known}")
    given = {"serve": serve, "ramp": ramp, "observe_share": observe_share, "observe_usd": observe_usd}
    if mode != "observe":
        idle = next((name for name, value in given.items() if value is not None), None)
        require(
            idle is None,
            f"{idle}={_shown(given.get(idle or ''))} needs mode='observe', in which a tier serves and tiering is "
            "observed; without it every call is tiered",
        )
        return None
    names = ", ".join(map(repr, tiers))
    require(
        serve is None or serve in tiers,
        f"serve={_shown(serve)} must name the tier that answers as before; the ladder has {names}",
    )
    return Rollout(
        tiers[-1] if serve is None else str(serve),
        _share(ramp, "ramp", 0.0, "0.1 tiers every tenth conversation"),
        _share(observe_share, "observe_share", DEFAULT_SHARE, "0.2 adds a fifth of the spend at most"),
        _dollars(observe_usd),
    )


def _share(value: Any, argument: str, default: float, example: str) -> float:
    if value is None:
        return default
    require_number(value, argument)
    # Written so that NaN fails too.
    require(0 <= value <= 1, f"{argument}={value!r} must lie in [0, 1]; {example}")
    return float(value)


def _dollars(value: Any) -> float | None:
    if value is None:
        return None
    require_number(value, "observe_usd")
    require(0 <= value < math.inf, f"observe_usd={value!r} must be 0 or more US$, and finite; None sets no bound")
    return float(value)


def _shown(value: object) -> str:
    return repr(value)[:80] if isinstance(value, str | int | float) else f"({kind_of(value)})"
