"""Past calls: what is kept of them, and how similar ones are found."""

from llm_tiers.history.choice import as_history
from llm_tiers.history.chroma import ChromaHistory
from llm_tiers.history.embedding import Embedding, as_embedding
from llm_tiers.history.record import History, Neighbour, Recollection, Record, Study, Vector

__all__ = [
    "ChromaHistory",
    "Embedding",
    "History",
    "Neighbour",
    "Recollection",
    "Record",
    "Study",
    "Vector",
    "as_embedding",
    "as_history",
]
