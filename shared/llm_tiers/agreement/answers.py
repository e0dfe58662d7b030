"""Who said what, by tier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

__all__ = ["Answers", "blocks_of"]

Answers: TypeAlias = Sequence[int | None]
"""One entry a tier, cheapest first: equal numbers are equal answers, -1 is a missing answer, None was not asked."""


def blocks_of(answers: Answers) -> dict[int, list[int]]:
    """Return by answer the positions of the tiers that gave it; missing answers and tiers not asked are left out."""
    blocks: dict[int, list[int]] = {}
    for position, answer in enumerate(answers):
        # -1 is a missing answer, and two of them agree on nothing.
        if answer is not None and answer >= 0:
            blocks.setdefault(answer, []).append(position)
    return blocks
