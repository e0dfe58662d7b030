"""The embedding that needs no model."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_tiers.embedding import as_embedding


def test_texts_that_share_words_or_pieces_of_words_are_alike():
    embed = as_embedding("hashed").embed
    query = embed("What is the capital of France?")
    assert query @ embed("Name the capital city of France.") > 0.4
    # No word in common, but pieces of words.
    assert embed("reversing lists") @ embed("reverse a list") > 0.1
    assert abs(query @ embed("Solve x^2 = 4 for x.")) < 0.2


@given(st.text(max_size=200))
def test_every_text_has_a_vector_of_unit_length_or_nothing_to_say(text):
    vector = as_embedding("hashed").embed(text)
    assert vector.shape == (1024,)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5) or not vector.any()


def test_blank_texts_resemble_nothing():
    assert not as_embedding("hashed").embed(" \n\t").any()


def test_another_process_makes_the_same_vector():
    script = (
        "import json; from llm_tiers.embedding import as_embedding; "
        "print(json.dumps(as_embedding('hashed').embed('Où est la gare? 日本 x^2').tolist()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == as_embedding("hashed").embed("Où est la gare? 日本 x^2").tolist()


def test_no_text_is_too_long():
    embed = as_embedding("hashed").embed
    text = " ".join(f"word{number}" for number in range(5_000))
    assert embed(text).tolist() == embed(text * 100).tolist()
    # One endless word counts by its beginning.
    assert embed("a" * 10_000_000).any()
