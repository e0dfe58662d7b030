"""For tests without a provider: a server on this machine that speaks the providers' protocol."""

from llm_tiers.testing.loopback import LoopbackServer
from llm_tiers.testing.obliging import obliging
from llm_tiers.testing.recording import Recording
from llm_tiers.testing.turns import BrokenJson, Cut, Hang, HttpError, LoopbackRequest, Reply, Script, ToolCall, Turn

__all__ = [
    "BrokenJson",
    "Cut",
    "Hang",
    "HttpError",
    "LoopbackRequest",
    "LoopbackServer",
    "Recording",
    "Reply",
    "Script",
    "ToolCall",
    "Turn",
    "obliging",
]
