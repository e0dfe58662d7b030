"""What the core needs of a conversation: the human ask, and what was said before and after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Ask", "Turn", "position_of_ask", "read_turns"]

_SHORT = 16
"""Most characters of an ask such as "yes" or "go ahead", which means nothing without the turn before it."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation.

    Attributes:
        speaker: Who speaks, as a judge reads it.
        text: What is said, tool calls included, as a judge reads it.
        words: What is said, without tool calls.
        asks: A human speaks.
        talks: A human or a model speaks; not a system prompt, nor what a tool gave back.
    """

    speaker: str
    text: str = field(repr=False)
    words: str = field(repr=False)
    asks: bool = False
    talks: bool = True


@dataclass(frozen=True, slots=True)
class Ask:
    """What the human wants.

    Attributes:
        text: The human ask.
        query: The text to embed: the ask, with the turn before it where the ask alone says too little.
        context: The conversation before the ask, as a judge reads it.
        since: What was done since the ask, tool calls and what the tools said, as a judge reads it.
    """

    text: str = field(repr=False)
    query: str = field(repr=False)
    context: str = field(repr=False)
    since: str = field(repr=False)


def position_of_ask(asks: Sequence[bool]) -> int:
    """Return the position of the ask: the last human turn, or the last turn where no human speaks.

    Args:
        asks: Of each turn, whether a human speaks.
    """
    human = [position for position, by_human in enumerate(asks) if by_human]
    # A prompt of system messages alone asks something too.
    return human[-1] if human else len(asks) - 1


def read_turns(turns: Sequence[Turn]) -> Ask:
    """Find the ask in a conversation of at least one turn."""
    position = position_of_ask([turn.asks for turn in turns])
    text, before, after = turns[position].text, turns[:position], turns[position + 1 :]
    return Ask(text, _query(text, before), _conversation(before), _conversation(after))


def _query(ask: str, before: Sequence[Turn]) -> str:
    if len(ask) > _SHORT:
        return ask
    # What a tool gave back is skipped: "yes" answers the model's question before it.
    words = (turn.words for turn in reversed(before) if turn.talks)
    return "\n".join(filter(None, (next(filter(None, words), ""), ask)))


def _conversation(turns: Sequence[Turn]) -> str:
    return "\n\n".join(f"{turn.speaker}: {turn.text}" for turn in turns)
