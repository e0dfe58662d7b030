"""Scripted streams: what each tier says to each of a few hundred calls, and whether it is right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Said", "Stream", "free_text", "shared_difficulty", "tool_calls", "two_tiers"]

TIERS = ("gpt-5-nano", "gpt-5-mini", "gpt-5")
PRICES = {"gpt-5-nano": (0.05, 0.4), "gpt-5-mini": (0.25, 2.0), "gpt-5": (1.25, 10.0)}
"""US$ per million tokens, input and output, as listed in 2025."""

_TICKET: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "open_ticket",
        "description": "Open a ticket for an order.",
        "parameters": {
            "type": "object",
            "properties": {
                "order": {"type": "integer"},
                "kind": {"type": "string", "enum": ["refund", "return", "question"]},
                "reason": {"type": "string"},
            },
            "required": ["order", "kind", "reason"],
        },
    },
}

_SUBJECTS = ("The customer", "Our client", "The buyer", "Someone", "The caller", "A shopper")
_VERBS = ("writes", "reports", "complains", "explains", "mentions", "says")
_REST = ("late delivery", "a broken cup", "the wrong colour", "a missing part", "an old invoice", "two parcels")


@dataclass(frozen=True, slots=True)
class Said:
    """One answer.

    Attributes:
        text: What the model writes; empty for a tool call.
        arguments: The arguments of a call of the stream's tool, or None.
    """

    text: str
    arguments: dict[str, Any] | None = None


@dataclass(frozen=True)
class Stream:
    """A sequence of calls that is the same under every policy.

    Attributes:
        name: As in the table.
        tiers: Names of the tiers, cheapest first.
        right: Calls x tiers, whether the answer is right.
        said: Takes the number of a call and the position of a tier, and returns what that tier says.
        tokens: Input and output tokens of each answer.
        tool: The tool that the model is asked to call, as OpenAI describes one, or None.
        grader: How often the grade function is right, or None if nobody grades.
        judge: How often the judging model is right, or None if there is none. It is of the middle tier.
    """

    name: str
    tiers: tuple[str, ...]
    right: NDArray[np.bool_]
    said: Callable[[int, int], Said]
    tokens: tuple[int, int]
    tool: dict[str, Any] | None = None
    grader: float | None = None
    judge: float | None = None

    @property
    def tool_name(self) -> str:
        """The tool's name, empty where there is none."""
        return "" if self.tool is None else str(self.tool["function"]["name"])

    def question(self, call: int) -> str:
        """The ask. It holds the call's number, by which a scripted model looks up what it says."""
        return f"Case {call}: what should be done?"

    def number(self, text: str) -> int:
        """The number of the call that asks this, or that a judge is asked about in this."""
        return int(text.split("Case ", maxsplit=1)[1].split(":", maxsplit=1)[0])

    @cached_property
    def costs(self) -> NDArray[np.float64]:
        """By tier, what an answer costs in US$."""
        given, written = self.tokens
        return np.array([(given * PRICES[tier][0] + written * PRICES[tier][1]) / 1e6 for tier in self.tiers])


def tool_calls(coincide: float, calls: int, seed: int) -> Stream:
    """Tool calls that are all valid and right, whose arguments coincide on a share of the calls.

    Order and kind are always the same. The reason is a sentence, which each tier words in its own way on the other
    calls.
    """
    draw = np.random.default_rng(seed)
    alike = draw.random(calls) < coincide
    wording = draw.integers(0, 6, (calls, len(TIERS), 3))

    def said(call: int, tier: int) -> Said:
        words = wording[call, 0 if alike[call] else tier]
        kind = ("refund", "return", "question")[call % 3]
        return Said("", {"order": 1000 + call, "kind": kind, "reason": _sentence(words, None if alike[call] else tier)})

    right = np.ones((calls, len(TIERS)), dtype=np.bool_)
    return Stream(f"tool calls, {coincide:.0%} coincide", TIERS, right, said, (600, 60), tool=_TICKET)


def free_text(
    skills: Sequence[float],
    grader: float | None,
    calls: int,
    seed: int,
    *,
    context: bool = False,
    judge: float | None = None,
) -> Stream:
    """Free text, no two answers alike; with `context` the input is long, as in RAG."""
    draw = np.random.default_rng(seed)
    hard = shared_difficulty(draw, calls, len(skills))
    wording = draw.integers(0, 6, (calls, len(skills), 3))
    kind = "RAG" if context else "free text"
    by = "ungraded" if grader is None else f"graded, {grader:.0%} right"
    by += "" if judge is None else f", judge {judge:.0%} right"
    return Stream(
        f"{kind} {'/'.join(f'{skill:.2f}'[1:] for skill in skills)}, {by}",
        TIERS,
        hard < np.array(skills),
        lambda call, tier: Said(_sentence(wording[call, tier], tier)),
        (1_700, 150) if context else (300, 250),
        grader=grader,
        judge=judge,
    )


def two_tiers(grader: float | None, calls: int, seed: int) -> Stream:
    """Free text of two tiers, of which the cheap one is always wrong."""
    # The worst case for a policy that explores: every call that it gives to the cheap tier is lost.
    wording = np.random.default_rng(seed).integers(0, 6, (calls, 2, 3))
    right = np.tile([False, True], (calls, 1))
    by = "ungraded" if grader is None else "graded by a check"
    return Stream(
        f"two tiers, the cheap one wrong, {by}",
        ("gpt-5-nano", "gpt-5"),
        right,
        lambda call, tier: Said(_sentence(wording[call, tier], tier)),
        (300, 250),
        grader=grader,
    )


def shared_difficulty(draw: np.random.Generator, calls: int, tiers: int) -> NDArray[np.float64]:
    """Draw how hard each call is to each tier: for every second one the same, as real models' errors are correlated."""
    shared, own = draw.random((calls, 1)), draw.random((calls, tiers))
    return np.where(draw.permutation(calls)[:, None] % 2 == 0, shared, own)


def _sentence(words: NDArray[np.int64], tier: int | None) -> str:
    who, how, what = (part[int(word)] for part, word in zip((_SUBJECTS, _VERBS, _REST), words, strict=True))
    # A tier's own ending, so that two tiers never write the same by chance.
    ending = "" if tier is None else f", as far as version {'abc'[tier]} of this text can tell"
    return f"{who} {how} {what} to the shop{ending}."
