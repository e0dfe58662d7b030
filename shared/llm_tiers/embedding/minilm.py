"""all-MiniLM-L6-v2, run by onnxruntime from Chroma's cache or from a folder that the user names."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from llm_tiers.embedding.lazy import Lazy
from llm_tiers.errors import ConfigError

if TYPE_CHECKING:
    from llm_tiers.embedding.vector import Vector

__all__ = ["MiniLM"]

_GRAPH = "model.onnx"
_TOKENIZER = "tokenizer.json"

_LONGEST = 256
"""Word pieces, the two special ones included; sentence-transformers cuts texts for this model at the same length."""


class MiniLM:
    """The sentence encoder all-MiniLM-L6-v2: 384 dimensions, English, texts up to 256 word pieces.

    The files are looked for when the object is made, and loaded at the first text.

    Args:
        folder: Where `model.onnx` and `tokenizer.json` lie; nothing is downloaded then. None for the folder where
            Chroma's own function for this model keeps them (below `~/.cache/chroma`); if they are not there, Chroma
            downloads them (80 MB) at once and checks their hash.

    Raises:
        ConfigError: `folder` lacks one of the files; or the model is not in the cache and cannot be downloaded.
    """

    NAME: ClassVar[str] = "minilm:all-MiniLM-L6-v2"
    """The name that histories keep."""

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        if folder is None:
            place = _cached()
        else:
            place = Path(folder).expanduser().absolute()
            if missing := _missing(place):
                msg = (
                    f"MiniLM(folder=...): {missing} is missing in {place}; name the folder of {_GRAPH} and {_TOKENIZER}"
                )
                raise ConfigError(msg)
        self._embed = Lazy(_load, place)

    def __call__(self, text: str) -> Vector:
        """Return the mean of the token vectors of `text`, of which the first 256 word pieces are read."""
        vector: Vector = self._embed(text)
        return vector


def _missing(folder: Path) -> str | None:
    return next((name for name in (_GRAPH, _TOKENIZER) if not (folder / name).is_file()), None)


def _cached() -> Path:
    """Return the folder of Chroma's cache, filled."""
    import httpx  # late, like Chroma, whose import takes a second
    from chromadb.utils.embedding_functions import ONNXMiniLM_L6_V2

    place = Path(ONNXMiniLM_L6_V2.DOWNLOAD_PATH) / ONNXMiniLM_L6_V2.EXTRACTED_FOLDER_NAME
    if _missing(place):
        try:
            ONNXMiniLM_L6_V2()(["a text, for Chroma downloads its model at the first one"])
        # ValueError: the hash of what came is wrong. OSError: it cannot be written, or is no archive.
        except (httpx.HTTPError, OSError, ValueError) as error:
            msg = (
                f"embedding='minilm': the model is not in {place} and could not be downloaded "
                f"({type(error).__name__}). Copy {_GRAPH} and {_TOKENIZER} from a machine that has them and pass "
                f"embedding=MiniLM(folder=...), or take the default embedding"
            )
            raise ConfigError(msg) from error
    return place


def _load(folder: Path) -> Callable[[str], Vector]:
    import onnxruntime  # late, like the tokenizer: a program that does not use this embedding does not pay for it
    from tokenizers import Tokenizer

    tokenizer: Any = Tokenizer.from_file(str(folder / _TOKENIZER))
    # Chroma's function pads each text to 256 word pieces, which takes seven times as long for the same vector.
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=_LONGEST)
    session: Any = onnxruntime.InferenceSession(str(folder / _GRAPH), providers=["CPUExecutionProvider"])

    def embed(text: str) -> Vector:
        ids = np.array([tokenizer.encode(text).ids], dtype=np.int64)
        states = session.run(
            None, {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        )[0]
        # Without padding every position counts, so the mean needs no mask.
        mean: Vector = states[0].mean(axis=0)
        return mean

    return embed
