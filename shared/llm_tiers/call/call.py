"""What the core knows of one call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from llm_tiers.call.form import Form
    from llm_tiers.ladder.tiers import Tier

__all__ = ["Call"]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the tiered model, without the framework's own objects except `messages`.

    Attributes:
        id: The trace id.
        query: The text that is embedded and looked up in the history.
        ask: The human ask as the judge reads it; empty if it is the same as the query.
        context: The conversation before the ask, as the judge reads it.
        since: What was done since the ask, such as tool calls and their results, as the judge reads it.
        node: Where in the user's graph the call comes from; `""` is the root, `/` separates levels.
        created: When the call began, in seconds since 1970.
        pin: Name of the one tier that must answer, or None.
        tokens: Length of the input in tokens, or None if it is not known.
        needs: What a tier must be able to do to serve the call, such as `"tools"` or `"images"`.
        form: The form that an answer must have, or None where plain text will do.
        settings: Names of the settings that the user gives the call.
        timeout: Seconds to wait for each tier; it replaces the tier's own time-out. None keeps the tier's own.
        down: Names of the tiers that are not asked now, since they fail, each with the reason.
        conversation: What all calls of one conversation share, such as its id or its first message; empty if unknown.
        principal: What stands for whoever asks, hashed; None where nobody in particular does.
        kind: Returns what stands for requests that are like this one in all but their texts; None where unknown.
        messages: The framework's own messages, for a grader that takes them; the core does not read them.
        around: The OpenTelemetry context that the call was described in, or None.
        traced: Whether somebody else makes OpenTelemetry spans of the model calls, with their tokens.
    """

    id: str
    query: str = field(repr=False)
    ask: str = field(default="", repr=False)
    context: str = field(default="", repr=False)
    since: str = field(default="", repr=False)
    node: str = ""
    created: float = 0.0
    pin: str | None = None
    tokens: int | None = None
    needs: frozenset[str] = frozenset()
    form: Form | None = field(default=None, repr=False)
    settings: frozenset[str] = frozenset()
    timeout: float | None = None
    down: Mapping[str, str] = field(default_factory=dict)
    conversation: str = field(default="", repr=False)
    principal: str | None = None
    kind: Callable[[], Hashable] | None = field(default=None, repr=False, compare=False)
    messages: tuple[Any, ...] = field(default=(), repr=False, compare=False)
    around: Any = field(default=None, repr=False, compare=False)
    traced: bool = field(default=False, compare=False)

    @property
    def question(self) -> str:
        """What the judge takes for the question."""
        return self.ask or self.query

    def shortfall(self, tier: Tier) -> str | None:
        """Say why a tier cannot serve the call, or is not asked now; None where it can."""
        return tier.shortfall(self.needs, self.tokens) or self.down.get(tier.name)
