"""`grade=` over LlamaIndex's real clients: profiled calls are graded once the user has the answer."""

import asyncio
import json
import pickle
import threading

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.instrumentation.events.llm import LLMChatStartEvent

from llamaindex_tiers import TierDecision
from llm_tiers import ConfigError, Grader, Tier
from llm_tiers.history.reading import read_records
from llm_tiers.testing import HttpError, obliging

ASK = "What is the capital of France?"
GRADES = {"small": 0.0, "medium": 1.0, "large": 1.0}


def right(question, answer):
    return answer == "Paris"


async def right_later(question, answer):
    await asyncio.sleep(0)
    return answer == "Paris"


@pytest.fixture
def profiled(server, judged, tiered):
    """Make an LLM that profiles every call, and keeps its traces; the judge lets only the top tier's answer stand."""
    server.scripts["medium"] = judged("Paris", "no")

    def make(grade, **settings):
        traces = []
        llm = tiered(grade=grade, audit=1.0, on_trace=traces.append, **settings)
        return llm, traces

    return make


@pytest.mark.parametrize("grade", [right, right_later], ids=["sync", "async"])
def test_each_way_to_complete_is_graded_after_the_answer(profiled, take, trace_of, grade, tmp_path):
    llm, traces = profiled(grade, history=tmp_path)
    returned = trace_of(take(llm, "complete", ASK)[-1])
    llm.close()

    assert returned["grading"]["state"] == "pending"
    assert [trace.trace_id for trace in traces] == [returned["trace_id"]]
    assert traces[0].grading.grades == GRADES
    assert read_records(str(tmp_path))[0].grades["grader"] == GRADES


def test_a_chat_gives_its_messages_to_a_function_that_names_them(profiled, take):
    seen = []
    llm, _ = profiled(lambda question, answer, *, messages: seen.append((question, messages[-1].content)))
    take(llm, "chat", [ChatMessage("Be brief.", role="system"), ChatMessage(ASK)])
    assert llm.flush_grades(30)
    assert set(seen) == {(ASK, ASK)}


def test_an_object_is_graded_as_json(profiled, server, take, city, prompt):
    server.scripts = dict.fromkeys(server.scripts, obliging)
    seen = []
    llm, _ = profiled(lambda question, answer: seen.append(answer))
    take(llm, "structured_predict", city, prompt, country="France")
    assert llm.flush_grades(30)
    assert len(seen) == 1, "equal objects need one grade"
    assert json.loads(seen[0]).keys() == {"name", "people"}


def test_the_event_of_a_call_does_not_wait_for_its_grades(profiled, events):
    let_go = threading.Event()
    llm, traces = profiled(lambda question, answer: let_go.wait(30))
    llm.complete(ASK)
    (decision,) = [event for event in events if isinstance(event, TierDecision)]
    assert decision.trace["grading"]["state"] == "pending"
    assert traces == []
    let_go.set()
    assert llm.flush_grades(30)
    assert traces[0].grading.state == "done"
    assert len([event for event in events if isinstance(event, TierDecision)]) == 1


@pytest.mark.parametrize("wrap", [lambda llm: llm, lambda llm: Tier(llm, name="examiner"), Grader])
def test_a_model_grades_outside_the_users_spans(profiled, server, like, take, events, wrap):
    server.scripts["examiner"] = lambda request: "1" if "\nParis\n" in request.text else "0"
    llm, traces = profiled(wrap(like("examiner")))
    take(llm, "complete", ASK)
    assert llm.flush_grades(30)

    assert traces[0].grading.grades == GRADES
    grading = [event for event in events if isinstance(event, LLMChatStartEvent) and "grade" in str(event.messages)]
    assert len(grading) == 2
    assert {event.span_id for event in grading}.isdisjoint(
        {event.span_id for event in events if isinstance(event, TierDecision)}
    )


def test_pairs_are_compared_with_the_top_tiers_answer(profiled, server, like):
    server.scripts |= {"small": "Lyon", "medium": "Marseille", "examiner": "yes"}
    llm, traces = profiled(Grader(like("examiner"), pairwise=True, both_orders=1.0))
    llm.complete(ASK)
    assert llm.flush_grades(30)
    assert traces[0].grading.grades == {"small": 1.0, "medium": 1.0, "large": 1.0}
    assert traces[0].grading.contradicted == {"small": False, "medium": False}


def test_a_model_that_fails_leaves_the_call(profiled, server, like, take):
    server.scripts["examiner"] = HttpError(500, "down")
    llm, traces = profiled(like("examiner"))
    assert "Paris" in str(take(llm, "complete", ASK)[-1])
    assert llm.flush_grades(30)
    assert traces[0].grading.grades == {}
    assert all(said.startswith("failed: ") for said in traces[0].grading.outcomes.values())


def test_a_tier_grades_the_others_and_not_itself(profiled, server):
    server.scripts["large"] = lambda request: "0.5" if "grade answers" in request.text else "Paris"
    llm, traces = profiled("large")
    llm.complete(ASK)
    assert llm.flush_grades(30)
    assert traces[0].grading.grades == {"small": 0.5, "medium": 0.5}


def test_feedback_grades_a_tiers_answer(profiled, trace_of, tmp_path):
    llm, _ = profiled(right, history=tmp_path)
    trace_id = trace_of(llm.complete(ASK))["trace_id"]
    assert llm.flush_grades(30)
    llm.feedback(trace_id, correct=True)
    asyncio.run(llm.afeedback(trace_id, correct=0.25, tier="small"))
    with pytest.raises(ConfigError, match="tier='huge' did not answer"):
        llm.feedback(trace_id, correct=True, tier="huge")
    llm.close()
    (record,) = read_records(str(tmp_path))
    assert record.grades == {"grader": GRADES, "feedback": {record.final: 1.0, "small": 0.25}}


@pytest.mark.parametrize(
    ("grade", "match"),
    [
        pytest.param(0.5, "grade must be a function .* not a float", id="number"),
        pytest.param(dict, "grade must be a function .* not the class dict", id="class"),
        pytest.param("huge", "grade='huge' is no tier", id="no-tier"),
        pytest.param(Tier(object(), name="examiner"), "grade: its model must be an LLM", id="no-llm"),
    ],
)
def test_a_wrong_grader_is_refused_before_any_call(server, tiered, grade, match):
    with pytest.raises(ConfigError, match=match):
        tiered(grade=grade, audit=1.0)
    assert server.requests == ()


def test_a_grader_is_copied_and_pickled(profiled, server, like):
    server.scripts["examiner"] = "1"
    llm, traces = profiled(lambda question, answer: None)
    twin = llm.model_copy(update={"grade": Grader(like("examiner"))})
    twin.complete(ASK)
    twin.close()
    assert traces[0].grading.grades == dict.fromkeys(GRADES, 1.0)

    unhooked = twin.model_copy(update={"on_trace": None, "history": None})
    with unhooked, pickle.loads(pickle.dumps(unhooked)) as again:  # noqa: S301
        again.complete(ASK)
        assert again.flush_grades(30)
    assert len([request for request in server.requests if request.model == "examiner"]) == 4
