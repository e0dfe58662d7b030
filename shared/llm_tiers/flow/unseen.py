"""What is kept of a call, so that what tiering would have done on it can be found out once it has ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_tiers.call.performer import Performer
    from llm_tiers.policies.policy import Policy

__all__ = ["Unseen"]


@dataclass(frozen=True, slots=True)
class Unseen:
    """What is needed to find out, after a call, what tiering would have done on it.

    Attributes:
        policy: The policy that would have answered.
        performer: Calls the tiers' models for the same request, in no run of the user's.
    """

    policy: Policy
    performer: Performer
