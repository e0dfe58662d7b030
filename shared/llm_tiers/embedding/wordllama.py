"""WordLlama's vectors, read from the files of its package without its code.

A text's vector is the mean of its tokens' vectors, so numpy and a tokenizer are enough. The package's compiled part
has no wheel for Python 3.14 and later; pip installs version 0.2.2 there, whose weights are the same to the last byte.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from llm_tiers.embedding.vector import Vector

__all__ = ["WORDLLAMA", "find_wordllama", "load_wordllama"]

WORDLLAMA = "wordllama:l2_supercat_256"
"""The name that histories keep."""

_WEIGHTS = "weights/l2_supercat_256.safetensors"
_TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"

_LONGEST_TEXT = 65_536
"""Characters of a text that are read: a mean over more tokens changes little."""


def find_wordllama() -> Path | None:
    """Return the folder of the package `wordllama`, or None where it or its weights are not installed."""
    spec = importlib.util.find_spec("wordllama")
    for folder in spec.submodule_search_locations or () if spec is not None else ():
        if all((Path(folder) / name).is_file() for name in (_WEIGHTS, _TOKENIZER)):
            return Path(folder)
    return None


def load_wordllama(folder: Path) -> Callable[[str], Vector]:
    """Read the vectors and the tokenizer of the package in `folder`: 33 MB in memory, a tenth of a second."""
    from safetensors.numpy import load_file  # late: a program that does not use this embedding does not pay for it
    from tokenizers import Tokenizer

    tokenizer: Any = Tokenizer.from_file(str(folder / _TOKENIZER))
    tokenizer.no_truncation()
    table = load_file(str(folder / _WEIGHTS))["embedding.weight"].astype(np.float32)

    def embed(text: str) -> Vector:
        # One text at a time: the tokenizer's batches start threads, which complain after a fork.
        ids = tokenizer.encode(text[:_LONGEST_TEXT], add_special_tokens=False).ids
        # None is left out with these two files; a tokenizer with tokens added after training would have some.
        ids = [token for token in ids if token < len(table)]
        vector: Vector = table[ids].mean(axis=0) if ids else np.zeros(table.shape[1], dtype=np.float32)
        return vector

    return embed
