"""Who grades the answers of profiled calls, and within which bounds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from llm_tiers.arguments import kind_of, require, require_number
from llm_tiers.errors import ConfigError
from llm_tiers.ladder.tiers import Ladder, Tier
from llm_tiers.policies.graders.function import GradeFunction
from llm_tiers.usage import Usage

if TYPE_CHECKING:
    from llm_tiers.ladder.prices import PriceBook

__all__ = ["Grader", "as_grader"]

_FIX = "a function of question and answer, a model, a Tier, the name of a tier, or Grader(...)"


class Grader:
    """Grades the tiers' answers on profiled calls, after the user has the answer.

    A function takes question and answer as text, and also `messages=` and `node=` if its signature names them. It
    returns True or False, a number in [0, 1], or None if it has no opinion, and may be async. It runs in a thread of
    its own. An async function runs in an event loop that the tiered models of the process share, not in the caller's
    loop, which may have ended by then. So a client that is bound to an event loop must be made inside the function.

    A model is asked, with a prompt of its own, how right each answer is, or with `pairwise=True` whether it is at least
    as good as the top tier's. The latter suits texts and objects for which no key exists. The two answers are shown in
    random order, and for a share of the pairs the model is asked in both orders: if it contradicts itself the grade is
    one half, and `grader_error` says how often it does. An answer that is the same as the top tier's is not asked
    about. A model that is a tier of the ladder, by its name or its model's, never grades its own answers.

    If a grader fails, is late or replies with nonsense, the call gets no grade: the trace says what happened, and the
    log says it once for each kind. A function that never ends keeps its thread; while eight do so, no other is started.

    Args:
        grade: The function or the model: a model of the framework, a `Tier`, or a tier's name.
        pairwise: Whether to compare answers with the top tier's; takes a model.
        both_orders: Share of the pairs, in [0, 1], that are shown in both orders.
        timeout: Seconds for each grade.
        max_usd: The most US$ that one tiered model spends on grading. After that it grades no more calls, and the
            traces say so; a call whose grading has begun is graded to its end. None: no bound except the share of
            profiled calls.
        effort: Reasoning effort asked of the model, such as `"minimal"`.

    Raises:
        ConfigError: An argument is wrong.
    """

    def __init__(
        self,
        grade: Any,
        *,
        pairwise: bool = False,
        both_orders: float = 0.1,
        timeout: float = 60.0,
        max_usd: float | None = None,
        effort: str | None = None,
    ) -> None:
        self.function, self.model = _function_or_model(grade)
        require(isinstance(pairwise, bool), f"grade: Grader(pairwise={pairwise!r}) must be True or False")
        for argument, value in (("both_orders", both_orders), ("timeout", timeout)):
            require_number(value, f"grade: Grader({argument})")
        require(0 <= both_orders <= 1, f"grade: Grader(both_orders={both_orders!r}) must lie in [0, 1]")
        require(0 < timeout < math.inf, f"grade: Grader(timeout={timeout!r}) must be more than 0 seconds, and finite")
        if max_usd is not None:
            require_number(max_usd, "grade: Grader(max_usd)")
            require(max_usd >= 0, f"grade: Grader(max_usd={max_usd!r}) must be at least 0 US$, or None")
        require(
            effort is None or isinstance(effort, str),
            f"grade: Grader(effort=...) must be a name, or None, not {kind_of(effort)}",
        )
        asks = "takes a model to ask; a function grades each answer by itself"
        require(self.function is None or not pairwise, f"grade: Grader(pairwise=True) {asks}")
        self.pairwise = pairwise
        self.both_orders = both_orders
        self.timeout = timeout
        self.max_usd = max_usd
        self.effort = effort

    def __repr__(self) -> str:
        # Not the model itself, because its `repr` may show a key.
        return f"Grader({self.name}, pairwise={self.pairwise})"

    @property
    def name(self) -> str:
        """The name of the function, the model or the tier."""
        if self.function is not None:
            return self.function.name
        return self.model.name if isinstance(self.model, Tier) else str(self.model)

    def tier(self, ladder: Ladder) -> Tier | None:
        """Return the model that grades; None where a function does."""
        return ladder[self.model] if isinstance(self.model, str) else self.model

    def own_names(self, ladder: Ladder) -> frozenset[str]:
        """Return the names of the tiers that are the grader itself."""
        grader = self.tier(ladder)
        return frozenset() if grader is None else frozenset(tier.name for tier in ladder if _is_same(tier, grader))

    def check(self, ladder: Ladder, prices: PriceBook) -> None:
        """Check the grader against the ladder and the prices.

        Raises:
            ConfigError: It names a tier that the ladder lacks, it would compare its own answers, or its cost cannot be
                bounded since no price is known.
        """
        if isinstance(self.model, str) and self.model not in ladder:
            names = ", ".join(map(repr, ladder.names))
            raise ConfigError(f"grade={self.model!r} is no tier; the ladder has {names}; or give the model itself")
        grader = self.tier(ladder)
        if grader is None:
            return
        # Every comparison is with the top tier's answer, so this grader would be a party to all of them. Without
        # `pairwise` a tier may grade, since its own answers are left out.
        if self.pairwise and ladder.top.name in self.own_names(ladder):
            raise ConfigError(
                f"grade: {grader.name!r} is the top tier and would compare answers with its own; give Grader(model, "
                "pairwise=True) another model"
            )
        if self.max_usd is not None and prices.cost(grader, Usage(1, 1)) is None:
            raise ConfigError(
                f"grade: Grader(max_usd=...) needs the price of {grader.name!r}; give "
                f"prices={{{grader.name!r}: (input, output)}} in US$ per million tokens"
            )


def as_grader(grade: object) -> Grader | None:
    """Return a grader for a grader, a function or a model; None for None.

    Raises:
        ConfigError: It is something else.
    """
    return grade if isinstance(grade, Grader | None) else Grader(grade)


def _function_or_model(grade: Any) -> tuple[GradeFunction | None, Tier | str | None]:
    if isinstance(grade, Grader):
        raise ConfigError("grade: a Grader must not be given a Grader; give it the function or the model")
    if isinstance(grade, type):
        raise ConfigError(f"grade must be {_FIX}, not {kind_of(grade)}")
    if isinstance(grade, Tier | str):
        return None, grade
    if callable(grade):
        return GradeFunction.of(grade), None
    try:
        return None, Tier(grade)
    except ConfigError:
        raise ConfigError(f"grade must be {_FIX}, not {kind_of(grade)}") from None


def _is_same(tier: Tier, grader: Tier) -> bool:
    # Also by the model's name: one model at two reasoning efforts would still grade what it said itself.
    names = tier.model_name is not None and tier.model_name == grader.model_name
    return tier.name == grader.name or tier.model is grader.model or names
