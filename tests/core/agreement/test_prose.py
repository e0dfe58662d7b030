"""Free text in objects and in tools' arguments, where an equality leaves it out."""

import json

import pytest

from llm_tiers import Answer, ToolCall
from llm_tiers.agreement.equality import FinalAnswers

ONE = "Please book the large room for Monday morning"
OTHER = "The large room should be reserved on Monday before noon"


def calling(**arguments):
    return Answer("a", "", "call", tool_calls=(ToolCall("book", arguments),))


def holding(**fields):
    text = json.dumps(fields)
    return Answer("a", text, text)


@pytest.mark.parametrize("answer", [calling, holding])
def test_sentences_beside_other_values_are_left_out(answer):
    one, other = answer(room=7, note=ONE), answer(room=7, note=OTHER)
    assert FinalAnswers().same(one, other) is None
    assert FinalAnswers(skip_prose=True).same(one, other) is True


@pytest.mark.parametrize("answer", [calling, holding])
def test_other_values_still_tell_answers_apart(answer):
    one, other = answer(room=7, note=ONE), answer(room=8, note=OTHER)
    assert FinalAnswers(skip_prose=True).same(one, other) is False


def test_short_texts_are_compared():
    one, other = calling(city="San Francisco"), calling(city="New York City")
    assert FinalAnswers(skip_prose=True).same(one, other) is None


def test_an_object_of_sentences_alone_is_compared():
    assert FinalAnswers(skip_prose=True).same(holding(note=ONE), holding(note=OTHER)) is None
    assert FinalAnswers(skip_prose=True).same(holding(note=ONE), holding(note=ONE)) is True


def test_the_same_tool_with_nothing_but_sentences_is_the_same_call():
    assert FinalAnswers(skip_prose=True).same(calling(note=ONE), calling(note=OTHER)) is True
