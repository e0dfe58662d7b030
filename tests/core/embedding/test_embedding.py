"""What may be passed as `embedding=`, and what comes out of it."""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_tiers.embedding import Embedding, as_embedding
from llm_tiers.errors import ConfigError


def letters(text):
    """Count a, b and c."""
    return [text.count(letter) for letter in "abc"]


class Asked:
    """A LlamaIndex embedding as far as it is looked at; callable on nodes, like the real ones."""

    model_name = "text-embedding-3-small"
    api_key = "sk-secret"

    def get_text_embedding(self, text):
        return letters(text)

    def __call__(self, nodes):
        raise AssertionError("this is for nodes")


class InBatches:
    """A Chroma embedding function that inherits nothing."""

    def __init__(self, model_name="small"):
        self.model_name = model_name

    def __call__(self, input):  # noqa: A002 - Chroma's name for it
        assert isinstance(input, list)
        return [np.array(letters(text), dtype=np.float32) for text in input]

    def name(self):
        return "letters"


class Callable:
    def __init__(self, model="one"):
        self.model = model

    def __call__(self, text):
        return letters(text)


def test_a_function_gives_unit_vectors():
    embedding = as_embedding(letters)
    assert embedding.dimension is None
    vector = embedding.embed("aaabbbb")
    assert vector.dtype == np.float32
    assert vector.tolist() == pytest.approx([0.6, 0.8, 0.0])
    assert embedding.dimension == 3
    assert embedding.lasting


def test_the_name_of_a_function_says_where_it_is():
    assert as_embedding(letters).name == f"{__name__}.letters"
    assert Embedding(letters, name="letters-1").name == "letters-1"


@pytest.mark.parametrize("source", [lambda text: [1.0], partial(letters)])
def test_what_has_no_lasting_name_says_so(source):
    assert not as_embedding(source).lasting
    assert Embedding(source, name="mine").lasting


def test_chroma_functions_get_lists():
    embedding = as_embedding(InBatches())
    assert embedding.embed("ab").tolist() == pytest.approx([0.5**0.5, 0.5**0.5, 0])
    assert embedding.name == "letters:small"
    assert as_embedding(InBatches("large")).name == "letters:large"


def test_a_chroma_function_without_a_name_is_called_by_its_class():
    from chromadb import EmbeddingFunction  # late: a second

    class Mine(EmbeddingFunction):
        def __init__(self):
            pass

        def __call__(self, input):  # noqa: A002 - Chroma's name for it
            return [np.array(letters(text), dtype=np.float32) for text in input]

    embedding = as_embedding(Mine())
    assert embedding.name.endswith("Mine")
    assert embedding.embed("c").tolist() == [0, 0, 1]


def test_llamaindex_embeddings_are_known_by_their_method():
    embedding = as_embedding(Asked())
    assert embedding.embed("b").tolist() == [0, 1, 0]
    assert embedding.name == "Asked:text-embedding-3-small"


def test_two_models_of_one_class_differ():
    assert as_embedding(Callable("one")).name != as_embedding(Callable("two")).name
    assert as_embedding(Callable("one").__call__).name != as_embedding(Callable("two").__call__).name


def test_no_key_is_shown():
    class Remote(Callable):
        api_key = "sk-secret"

    shown = as_embedding(Remote(model="https://user:sk-secret@host/model?key=sk-secret"))
    assert "sk-secret" not in shown.name + repr(shown) + repr(as_embedding(Asked()))
    assert shown.name.endswith("https://host/model")


def test_models_behind_two_ports_of_one_host_are_two_models():
    class Remote:
        def __init__(self, model):
            self.model = model

        def embed_query(self, text):
            return [1.0]

        embed_documents = embed_query

    one, other = (as_embedding(Remote(f"http://user:secret@127.0.0.1:{port}/v1")).name for port in (8001, 8002))
    assert one.endswith("http://127.0.0.1:8001/v1")
    assert other.endswith("http://127.0.0.1:8002/v1")


@pytest.mark.parametrize("source", [3, object(), ["a"], b"wordllama"])
def test_other_objects_are_refused(source):
    with pytest.raises(ConfigError, match="embedding"):
        as_embedding(source)


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="'wordllama', 'minilm' and 'hashed'"):
        as_embedding("openai")


def test_a_class_is_refused_with_a_hint():
    with pytest.raises(ConfigError, match=r"did you mean Asked\(\)"):
        as_embedding(Asked)


@pytest.mark.parametrize(
    "result", ["text", None, 1.0, [], [[1.0, 2.0]], [1.0, "x"], {"a": 1}, [None, 1.0], [[1], [1, 2]]]
)
def test_a_result_that_is_no_vector_is_refused(result):
    with pytest.raises(ConfigError, match="embedding"):
        Embedding(lambda text: result).embed("x")


def test_a_result_of_another_length_is_refused():
    embedding = Embedding(lambda text: [1.0] * len(text))
    embedding.embed("ab")
    with pytest.raises(ConfigError, match="3 numbers after 2"):
        embedding.embed("abc")


@pytest.mark.parametrize("result", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0], [np.nan, np.nan]])
def test_a_vector_without_a_direction_becomes_zeros(result):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Embedding(lambda text: result).embed("x").tolist() == [0, 0]


@given(st.lists(st.floats(allow_nan=True), min_size=1, max_size=20))
def test_every_vector_has_unit_length_or_is_zero(numbers):
    norm = float(np.linalg.norm(Embedding(lambda text: numbers).embed("x").astype(np.float64)))
    assert norm == 0 or norm == pytest.approx(1, abs=1e-5)


def test_an_embedding_that_raises_is_not_hidden():
    def broken(text):
        raise TimeoutError("no network")

    with pytest.raises(TimeoutError, match="no network"):
        as_embedding(broken).embed("x")


def test_a_name_that_is_no_text_is_refused():
    with pytest.raises(ConfigError, match="name: an embedding's name must be a text that is not empty"):
        Embedding(lambda text: [1.0], name=5)


def test_numbers_that_are_not_finite_are_told_once_with_the_embedding_and_the_fix(caplog):
    broken = Embedding(lambda text: [np.nan, 1.0], name="broken")
    for _ in range(3):
        broken.embed("x")
    (told,) = caplog.records
    assert "'broken' returned 1 of 2 numbers that are not finite" in told.getMessage()
    assert "mend the function, or pass another embedding=" in told.getMessage()
