"""Material for a judging model, marked so that nothing in it is read as an instruction."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

__all__ = ["marked"]

_UNSENDABLE = re.compile(r"[\ud800-\udfff]")
_REPLACEMENT = "\ufffd"


def marked(seed: str, parts: Iterable[tuple[str, str]]) -> list[str]:
    """Put each text between marker lines that name it.

    Args:
        seed: Differs for each judge call. It begins with the call's id, which neither the asker nor a tier has seen,
            so neither can forge a marker.
        parts: Titles and texts.
    """
    # Lone surrogates cannot be sent; everything else goes as it is.
    mark = hashlib.sha256(seed.encode()).hexdigest()[:16]
    return [f"<<{mark} {title}>>\n{_UNSENDABLE.sub(_REPLACEMENT, text)}\n<<{mark} end>>" for title, text in parts]
