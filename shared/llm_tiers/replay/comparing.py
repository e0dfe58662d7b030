"""Comparing recorded answers: a table has few different ones, so each pair is compared once in a replay."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from llm_tiers.agreement.equality import FinalAnswers

if TYPE_CHECKING:
    from llm_tiers.agreement.equality import Equality
    from llm_tiers.call.answer import Answer
    from llm_tiers.policies.policy import Policy

__all__ = ["ComparedOnce", "comparing_once"]

_Said: TypeAlias = tuple[str, str | None]


class ComparedOnce:
    """An equality of recorded answers that knows the pairs it has compared. They are text alone: no tools, no form.

    Args:
        equality: When two answers are the same. It must depend on their texts and values alone.
    """

    def __init__(self, equality: Equality) -> None:
        self._equality = equality
        self._known: dict[tuple[_Said, _Said], bool | None] = {}

    def same(self, one: Answer, other: Answer) -> bool | None:
        """Compare two answers, or return what comparing the same two showed."""
        pair = (one.text, one.value), (other.text, other.value)
        if pair not in self._known:
            self._known[pair] = self._equality.same(one, other)
        return self._known[pair]


def comparing_once(policy: Policy) -> Policy:
    """Return a policy that compares two recorded answers once; one whose comparison takes no time stays as it is."""
    if not isinstance(policy.equality, FinalAnswers):
        return policy
    # Reading final answers in texts takes a third of a replay otherwise.
    return replace(policy, equality=ComparedOnce(policy.equality))
