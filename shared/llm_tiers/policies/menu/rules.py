"""The menu: the rules to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from llm_tiers.errors import ConfigError
from llm_tiers.policies.menu.rule import Cascade, Judged, Rule, Single

__all__ = ["agree_all", "agree_two", "menu_of", "rule_named"]

_LARGEST = 4
"""The most members of a cascade, except for the one of all tiers: larger ones multiply the menu of a long ladder."""


def menu_of(ladder: Sequence[str], *, judged: bool = False) -> tuple[Rule, ...]:
    """Return the rules over a ladder: single tiers, cascades of three and four tiers, and the one of all.

    The tiers of a cascade need not follow each other. The top tier alone comes last.

    Args:
        ladder: Names of the tiers, cheapest first.
        judged: Whether to add the rules "a tier, if its verdict is valid, otherwise a dearer one".
    """
    # The top tier comes last, since the guarantee relies on its place.
    names = tuple(ladder)
    singles: list[Rule] = [Single(names, name) for name in names[:-1]]
    cascades = [Cascade(names, chosen) for size in range(3, _LARGEST + 1) for chosen in combinations(names, size)]
    if len(names) > _LARGEST:
        cascades.append(Cascade(names, names))
    verdicts = [Judged(names, one, other) for one, other in combinations(names, 2)] if judged else []
    return (*singles, *cascades, *verdicts, Single(names, names[-1]))


def rule_named(ladder: Sequence[str], name: str) -> Rule:
    """Return the rule of the menu with this name: a tier's name, or for example `a+b>c` (a and b agree: b, else c).

    Raises:
        ConfigError: The menu of this ladder has no such rule.
    """
    # Compared, not parsed: a tier's name may hold any character.
    menu = {rule.name: rule for rule in menu_of(ladder, judged=True)}
    if name not in menu:
        raise ConfigError(f"rule {name!r} is unknown for the tiers {', '.join(ladder)}; there are {', '.join(menu)}")
    return menu[name]


def agree_two(ladder: Sequence[str]) -> Rule:
    """Return the rule: the two cheapest tiers; if they differ, the third. In a ladder of two, the top tier alone."""
    names = tuple(ladder)
    return Cascade(names, names[:3]) if len(names) > 2 else Single(names, names[-1])  # noqa: PLR2004


def agree_all(ladder: Sequence[str]) -> Rule:
    """Return the rule: tier by tier until two agree, else the top. In a ladder of two, the top tier alone."""
    names = tuple(ladder)
    return Cascade(names, names) if len(names) > 2 else Single(names, names[-1])  # noqa: PLR2004
