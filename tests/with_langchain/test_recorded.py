"""Recorded answers of real models over HTTP, if there is a file of them.

    LLM_TIERS_RECORDED=answers.jsonl.gz python -m pytest tests/with_langchain/test_recorded.py

The file's format is that of `llm_tiers.testing.Recording`.
"""

import os
import random
from functools import reduce
from operator import add
from pathlib import Path

import pytest

from llm_tiers import AccuracyEstimator
from llm_tiers.testing import Recording

RECORDED = os.environ.get("LLM_TIERS_RECORDED")

pytestmark = pytest.mark.skipif(not RECORDED, reason="LLM_TIERS_RECORDED names no file of recorded answers")


@pytest.fixture(scope="module")
def recording():
    return Recording.load(Path(RECORDED))


@pytest.fixture(scope="module")
def questions(recording):
    """A hundred and fifty of them, the same each time."""
    return random.Random(0).sample(recording.questions, 150)


def served(server, recording):
    """Return the tokens that the server has reported, in and out."""
    replies = [recording.scripts()[request.model](request) for request in server.requests]
    return sum(reply.input_tokens for reply in replies), sum(reply.output_tokens for reply in replies)


def test_what_is_returned_stands_and_what_is_counted_was_served(server, recording, questions, chat, tiered, take):
    server.scripts = recording.scripts()
    tiers = [chat(name) for name in recording.models]
    model = tiered(tiers=tiers, prices=dict.fromkeys(recording.models, (1, 1)), starter=AccuracyEstimator(seed=1))

    for question in questions:
        server.forget()
        answer = reduce(add, take(model, question.prompt))

        tier = answer.response_metadata["tiers"]["final"]
        recorded = question.answers[tier]
        assert answer.text == recorded.text
        # Two models may have said the same: then the text stands if one of them was found right.
        said_so = [other.verdict for other in question.answers.values() if other.text == answer.text]
        assert tier == recording.models[-1] or "yes" in said_so
        counted = answer.usage_metadata["input_tokens"], answer.usage_metadata["output_tokens"]
        assert counted == served(server, recording)
