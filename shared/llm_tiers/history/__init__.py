"""Past calls: what is kept of them, and how similar ones are found."""

from llm_tiers.history.choice import as_history
from llm_tiers.history.chroma import ChromaHistory
from llm_tiers.history.record import History, Neighbour, Recollection, Record, Study

__all__ = ["ChromaHistory", "History", "Neighbour", "Recollection", "Record", "Study", "as_history"]
