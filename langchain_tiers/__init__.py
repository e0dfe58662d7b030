"""A LangChain chat model over a ladder of LLM tiers: call by call, the cheapest tier that gets it right."""

from langchain_tiers.chat_model import TieredChatModel

__all__ = ["TieredChatModel"]
