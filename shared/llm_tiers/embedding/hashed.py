"""An embedding of our own that needs no model: words and pieces of words, hashed into one vector."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

if TYPE_CHECKING:
    from llm_tiers.embedding.vector import Vector

__all__ = ["HASHED", "hashed"]

HASHED = "hashed:words-pieces-1024"
"""The name that histories keep. What changes a vector changes the name."""

_DIMENSION = 1024

_LONGEST_TEXT = 16_384
"""Characters of a text that are read, so that a call takes some tens of milliseconds at most."""

_LONGEST_WORD = 32
"""Characters of a word that are cut into pieces, so that one endless word costs no more than others."""

_PIECES = 3, 4
"""Characters in a piece of a word."""

_WORD_WEIGHT = 3
"""The weight of a whole word, where a piece has 1: otherwise the word's many pieces would outweigh it."""

_TOKEN = re.compile(r"\w+|[^\w\s]")


def hashed(text: str) -> Vector:
    """Return the 1024 signed sums of the words and pieces in `text`, each weighted by 1 + ln(count), words three times.

    Texts are similar if they share words, or beginnings, middles or ends of words; what words mean is unknown. The same
    text gives the same vector in every process and on every machine.
    """
    counts = Counter(_features(text[:_LONGEST_TEXT].lower()))
    if not counts:
        return np.zeros(_DIMENSION, dtype=np.float32)
    # Python's own hash differs from process to process.
    hashes = np.fromiter((crc32(feature.encode("utf-8", "replace")) for feature in counts), np.int64, len(counts))
    weights = 1 + np.log(np.fromiter(counts.values(), np.float64, len(counts)))
    weights *= [_WORD_WEIGHT if feature[0] == "w" else 1 for feature in counts]
    # Signed, so that features which share a place cancel as often as they add up.
    signs = 1 - 2 * (hashes & 1)
    vector: Vector = np.bincount((hashes >> 1) % _DIMENSION, weights=signs * weights, minlength=_DIMENSION).astype(
        np.float32
    )
    return vector


def _features(text: str) -> Iterator[str]:
    for token in _TOKEN.findall(text):
        yield f"w{token}"
        if token[0].isalnum() or token[0] == "_":
            # The blanks distinguish the pieces at a word's ends from those inside.
            word = f" {token[:_LONGEST_WORD]} "
            for size in _PIECES:
                for start in range(len(word) - size + 1):
                    yield f"p{word[start : start + size]}"
