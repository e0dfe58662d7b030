"""Fixtures of the history's tests."""

import pytest
from past_calls import EMBEDDING

from llm_tiers.history import ChromaHistory


@pytest.fixture(params=["memory", "folder"])
def place(request, tmp_path):
    """Where a history is: it must not matter."""
    return None if request.param == "memory" else tmp_path / "tiers"


@pytest.fixture
def history(place):
    with ChromaHistory(place, embedding=EMBEDDING) as opened:
        yield opened
