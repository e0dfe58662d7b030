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


BY_SQL = [
    "SELECT name FROM orders WHERE total > 5",
    "SELECT name FROM visits WHERE total > 5",
]


@pytest.mark.parametrize("field", ["sql", "query", "statement", "db_query"])
@pytest.mark.parametrize("answer", [calling, holding])
def test_queries_to_a_database_are_compared(answer, field):
    one, other = (answer(**{field: query}, database=1) for query in BY_SQL)
    assert FinalAnswers(skip_prose=True).same(one, other) is not True


@pytest.mark.parametrize(
    ("field", "one", "other"),
    [
        ("command", "rm -r build and dist now", "rm -r src and dist now"),
        ("code", "for each in things do that", "for each in others do that"),
        ("expression", "price plus tax times number bought", "price plus tax times number sold"),
        ("query", "status:open AND owner:ann", "status:open AND owner:bob"),
        ("note", "open", "closed"),
        ("city", "San Francisco", "New York City"),
        ("level", 3, 4),
        ("query", "hotel prices in Rome", "hotel prices in Oslo"),
        ("answer", "It ends in May of this year", "It ends in June of next year"),
    ],
)
def test_what_is_exact_is_compared(field, one, other):
    assert FinalAnswers(skip_prose=True).same(calling(**{field: one}), calling(**{field: other})) is not True


@pytest.mark.parametrize(
    ("field", "one", "other"),
    [
        ("query", "cheap flights Rome Paris", "flights from Rome to Paris in May"),
        ("search_query", "current hotel prices Rome", "Rome hotel prices 2026"),
        ("reason", "late delivery", "arrived too late"),
        ("text", "因为客户投诉了发货延迟的问题", "发货太晚了所以客户非常不满意"),
        ("confidence", 0.9, 0.85),
        ("confidence_score", "high", "medium"),
    ],
)
@pytest.mark.parametrize("answer", [calling, holding])
def test_what_models_seldom_word_alike_is_left_out(answer, field, one, other):
    answers = answer(kind="refund", **{field: one}), answer(kind="refund", **{field: other})
    assert FinalAnswers(skip_prose=True).same(*answers) is True
    assert FinalAnswers().same(*answers) is not True


@pytest.mark.parametrize("answer", [calling, holding])
@pytest.mark.parametrize("without", [{}, {"note": None}])
def test_a_note_may_be_left_out(answer, without):
    equality = FinalAnswers(skip_prose=True)
    assert equality.same(answer(room=7, note=ONE), answer(room=7, **without)) is True
    assert equality.same(answer(room=7, note=ONE), answer(room=8, **without)) is False


def test_a_null_in_an_object_is_a_field_left_out():
    assert FinalAnswers().same(holding(room=7, until=None), holding(room=7)) is True
    assert FinalAnswers().same(holding(room=7, until=8), holding(room=7)) is None


def test_an_own_confidence_alone_is_compared():
    assert FinalAnswers(skip_prose=True).same(holding(confidence=0.9), holding(confidence=0.2)) is False


@pytest.mark.parametrize(
    "written",
    [
        "Here is the JSON:\n```json\n{}\n```",
        "```\n{}\n```\n\nLet me know if you need more.",
        "Sure!\n\n```JSON\n{}\n```",
    ],
)
def test_a_line_beside_a_block_of_json_is_no_part_of_it(written):
    held = '{"room": 7}'
    text = written.format(held)
    assert FinalAnswers().same(Answer("a", text, text), Answer("b", held, held)) is True
    assert FinalAnswers().same(Answer("a", text, text), Answer("b", '{"room": 8}', '{"room": 8}')) is False


def test_an_explanation_with_a_block_of_json_is_a_text():
    one, other = (f"First do this.\nThen {then}.\n```json\n{{}}\n```" for then in ("call us", "wait"))
    assert FinalAnswers().same(Answer("a", one, one), Answer("b", other, other)) is not True


@pytest.mark.parametrize("answer", [calling, holding])
def test_a_text_that_counts_may_be_left_open(answer):
    equality = FinalAnswers(compare={"note": lambda one, other: None}, skip_prose=True)
    assert equality.same(answer(room=7, note=ONE), answer(room=7, note=OTHER)) is None
