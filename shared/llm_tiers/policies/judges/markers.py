"""Material for a judging model, marked so that nothing in it is read as an instruction."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

__all__ = ["marked"]


def marked(seed: str, parts: Iterable[tuple[str, str]]) -> list[str]:
    """Put each text between marker lines that name it.

    Args:
        seed: Differs for each judge call. It begins with the call's id, which neither the asker nor a tier has seen,
            so neither can forge a marker.
        parts: Titles and texts.
    """
    mark = hashlib.sha256(seed.encode()).hexdigest()[:16]
    return [f"<<{mark} {title}>>\n{text}\n<<{mark} end>>" for title, text in parts]
