"""For tests without a provider: a server on this machine that speaks the providers' protocol."""

from llm_tiers.testing.loopback import Hang, HttpError, LoopbackRequest, LoopbackServer, Reply, Script

__all__ = ["Hang", "HttpError", "LoopbackRequest", "LoopbackServer", "Reply", "Script"]
