"""Pairs of answers, labelled by hand: what differs is never the same, what is the same is never different."""

import json
from collections import Counter
from pathlib import Path

import pytest

from llm_tiers import Answer
from llm_tiers.agreement.equality import FinalAnswers

CORPUS = [json.loads(line) for line in Path(__file__).with_name("corpus.jsonl").read_text("utf-8").splitlines() if line]
FORBIDDEN = {"different": (True,), "same": (False,), "same, short": (False,), "open": (True, False)}


def said(text):
    return Answer("small", text, text)


@pytest.mark.parametrize(("kind", "label", "one", "other"), CORPUS)
def test_a_pair_is_told_as_it_is_or_not_at_all(kind, label, one, other):
    for left, right in ((one, other), (other, one)):
        assert FinalAnswers().same(said(left), said(right)) not in FORBIDDEN[label]


@pytest.mark.parametrize("text", sorted({text for _, _, *pair in CORPUS for text in pair}))
def test_every_text_is_the_same_as_itself_unless_it_declines(text):
    declining = {"I can't help with that.", "I'm sorry, but I cannot answer that.", "I don't know.", "Abstain"}
    assert FinalAnswers().same(said(text), said(text)) is (text not in declining)


def test_nine_in_ten_of_the_same_short_answers_are_found():
    found = Counter(FinalAnswers().same(said(one), said(other)) for _, label, one, other in CORPUS if "short" in label)
    assert found[True] >= 0.9 * found.total()


def test_the_corpus_is_wide():
    assert len(CORPUS) >= 400
    assert len({kind for kind, *_ in CORPUS}) >= 18
