"""`grade=` over real clients: profiled calls are graded once the user has the answer."""

import asyncio
import copy
import os
import pickle
import subprocess
import sys
import textwrap
import threading

import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.tracers import BaseTracer

from llm_tiers import ConfigError, Grader, Tier, UnknownTrace
from llm_tiers.history.reading import read_records
from llm_tiers.testing import Hang, HttpError

ASK = "What is the capital of France?"
GRADES = {"small": 0.0, "medium": 1.0, "large": 1.0}


def right(question, answer):
    return answer == "Paris"


async def right_later(question, answer):
    await asyncio.sleep(0)
    return answer == "Paris"


def trace_of(items):
    return items[-1].response_metadata["tiers"]


@pytest.fixture
def profiled(server, judged, tiered):
    """Make a model that profiles every call, and keeps its traces; the judge lets only the top tier's answer stand."""
    server.scripts["medium"] = judged("Paris", "no")

    def make(grade, **settings):
        traces = []
        model = tiered(grade=grade, audit=1.0, on_trace=traces.append, **settings)
        return model, traces

    return make


@pytest.mark.parametrize("grade", [right, right_later], ids=["sync", "async"])
def test_each_way_to_ask_is_graded_after_the_answer(profiled, take, grade, tmp_path):
    model, traces = profiled(grade, history=tmp_path)
    returned = trace_of(take(model, ASK))
    model.close()

    assert returned["grading"]["state"] == "pending"
    assert [trace.trace_id for trace in traces] == [returned["trace_id"]]
    assert traces[0].grading.grades == GRADES
    assert read_records(str(tmp_path))[0].grades["grader"] == GRADES


def test_a_stream_ends_before_its_answers_are_graded(profiled):
    let_go = threading.Event()
    model, traces = profiled(lambda question, answer: let_go.wait(30))
    assert "".join(chunk.text for chunk in model.stream(ASK)) == "Paris"
    assert traces == []
    let_go.set()
    assert model.flush_grades(30)
    assert traces[0].grading.state == "done"


def test_async_calls_leave_no_task_behind(profiled):
    model, _ = profiled(right_later)

    async def ask():
        await asyncio.gather(*(model.ainvoke(ASK) for _ in range(3)))
        assert await model.aflush_grades(30)
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(ask()) == set()


def test_the_messages_and_the_node_reach_a_function_that_names_them(profiled):
    seen = []
    model, _ = profiled(lambda question, answer, messages, node: seen.append((messages, node)), node="facts")
    messages = [SystemMessage("Be brief."), HumanMessage(ASK)]
    model.invoke(messages)
    assert model.flush_grades(30)
    assert seen[0] == (tuple(messages), "facts")


@pytest.mark.parametrize("wrap", [lambda model: model, lambda model: Tier(model, price=(1, 2)), Grader])
def test_a_model_grades_with_its_own_question(profiled, server, chat, take, wrap):
    server.scripts["examiner"] = lambda request: "1" if "\nParis\n" in request.text else "0"
    model, traces = profiled(
        wrap(chat("examiner")), prices=dict.fromkeys(("small", "medium", "large", "examiner"), (1, 2))
    )
    take(model, ASK)
    assert model.flush_grades(30)

    asked = [request for request in server.requests if request.model == "examiner"]
    assert len(asked) == 2
    assert all(ASK in request.text for request in asked)
    assert traces[0].grading.grades == GRADES
    assert traces[0].grading.cost_usd > 0
    assert [attempt.tier for attempt in traces[0].attempts if attempt.role == "grade"] == ["examiner"] * 2


def test_a_tier_grades_the_others_and_not_itself_and_without_the_settings_of_answers(profiled, server):
    server.scripts["large"] = lambda request: "0.5" if "grade answers" in request.text else "Paris"
    model, traces = profiled("large", temperature=0.25)
    model.invoke(ASK)
    assert model.flush_grades(30)

    assert traces[0].grading.grades == {"small": 0.5, "medium": 0.5}
    assert traces[0].grading.outcomes["large"].startswith("own answer")
    grading = [request.settings for request in server.requests if "grade answers" in request.text]
    assert len(grading) == 2
    assert not any("temperature" in settings for settings in grading)


def test_pairs_are_compared_with_the_top_tiers_answer(profiled, server, chat):
    server.scripts |= {"small": "Lyon", "medium": "Marseille", "examiner": "no"}
    model, traces = profiled(Grader(chat("examiner"), pairwise=True, both_orders=1.0))
    model.invoke(ASK, model=None)
    assert model.flush_grades(30)
    # "no" in both orders means that the order did not matter.
    assert traces[0].grading.grades == {"small": 0.0, "medium": 0.0, "large": 1.0}
    assert traces[0].grading.contradicted == {"small": False, "medium": False}


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [(HttpError(500, "down"), "failed: "), (Hang(), "failed: no answer within 0.3 s"), ("Well...", "nonsense: ")],
    ids=["down", "hangs", "chats"],
)
def test_a_model_that_gives_no_grade_leaves_the_call(profiled, server, chat, take, fault, outcome):
    server.scripts["examiner"] = fault
    model, traces = profiled(Grader(chat("examiner"), timeout=0.3))
    assert "Paris" in "".join(item.text for item in take(model, ASK))
    assert model.flush_grades(30)

    assert traces[0].grading.grades == {}
    assert all(said.startswith(outcome) for said in traces[0].grading.outcomes.values())
    assert len(traces[0].grading.outcomes) == 3


def test_the_graders_calls_belong_to_no_run_of_the_users(profiled, server, chat):
    seen = []

    class Tracer(BaseTracer):
        def _persist_run(self, run):
            seen.append(run)

    server.scripts["examiner"] = "1"
    model, _ = profiled(chat("examiner"))
    model.invoke(ASK, config={"callbacks": [Tracer()]})
    assert model.flush_grades(30)
    names = [child.metadata["llm_tiers_role"] for run in seen for child in run.child_runs]
    assert "grade" not in names
    assert len(names) >= 3


def test_feedback_grades_a_tiers_answer(profiled, tmp_path):
    model, _ = profiled(right, history=tmp_path)
    trace_id = trace_of([model.invoke(ASK)])["trace_id"]
    assert model.flush_grades(30)
    model.feedback(trace_id, correct=False)
    asyncio.run(model.afeedback(trace_id, correct=0.75, tier="small"))
    with pytest.raises(ConfigError, match="tier='huge' did not answer"):
        model.feedback(trace_id, correct=True, tier="huge")
    with pytest.raises(UnknownTrace):
        model.feedback("unknown", correct=True, tier="small")
    model.close()

    (record,) = read_records(str(tmp_path))
    assert record.grades == {"grader": GRADES, "feedback": {record.final: 0.0, "small": 0.75}}


@pytest.mark.parametrize(
    ("grade", "match"),
    [
        pytest.param(0.5, "grade must be a function .* not a float", id="number"),
        pytest.param(dict, "grade must be a function .* not the class dict", id="class"),
        pytest.param([], "grade must be a function .* not a list", id="list"),
        pytest.param("huge", "grade='huge' is no tier; the ladder has 'small'", id="no-tier"),
        pytest.param(lambda answer: True, "must take a question and an answer", id="one-argument"),
        pytest.param(
            lambda question, answer, *, key: True, "must take a question and an answer", id="unknown-argument"
        ),
        pytest.param(Tier(object(), name="examiner"), "grade: its model must be a chat model", id="no-chat-model"),
    ],
)
def test_a_wrong_grader_is_refused_before_any_call(server, tiered, grade, match):
    with pytest.raises(ConfigError, match=match):
        tiered(grade=grade, audit=1.0)
    assert server.requests == ()


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"timeout": 0}, "timeout=0.* more than 0 seconds"),
        ({"timeout": True}, "timeout.* must be a number"),
        ({"both_orders": 1.5}, r"both_orders=1\.5.* in \[0, 1\]"),
        ({"max_usd": -1}, "max_usd=-1.* at least 0"),
        ({"pairwise": "yes"}, "pairwise='yes'.* True or False"),
        ({"pairwise": True}, "pairwise=True.* takes a model"),
        ({"effort": 1}, "effort.* must be a name"),
    ],
)
def test_wrong_bounds_are_refused(settings, match):
    with pytest.raises(ConfigError, match=f"grade: .*{match}"):
        Grader(right, **settings)


def test_a_grader_that_cannot_grade_this_ladder_is_refused(server, chat, tiered):
    with pytest.raises(ConfigError, match="'large' is the top tier and would compare answers with its own"):
        tiered(grade=Grader(chat("large"), pairwise=True))
    with pytest.raises(ConfigError, match=r"max_usd.* needs the price of 'examiner'"):
        tiered(grade=Grader(chat("examiner"), max_usd=1.0))
    assert server.requests == ()


class TestCopies:
    def test_a_copy_may_have_another_grader_and_shares_what_is_learned(self, profiled, take):
        model, traces = profiled(lambda question, answer: None)
        twin = model.model_copy(update={"grade": right})
        take(twin, ASK)
        assert twin.flush_grades(30)
        assert traces[0].grading.grades == GRADES
        twin.close()

    def test_a_deep_copy_grades_too(self, profiled):
        model, traces = profiled(right)
        twin = copy.deepcopy(model)
        twin.invoke(ASK)
        twin.close()
        assert traces[0].grading.grades == GRADES

    @pytest.mark.parametrize("kind", ["function", "model"])
    def test_a_grader_is_pickled(self, server, chat, tiered, kind):
        server.scripts["examiner"] = "1"
        grade = right if kind == "function" else Grader(chat("examiner"), timeout=5)
        with pickle.loads(pickle.dumps(tiered(grade=grade, audit=1.0, history=None))) as again:  # noqa: S301
            trace_id = trace_of([again.invoke(ASK)])["trace_id"]
            assert again.flush_grades(30)
            again.feedback(trace_id, correct=True)
            assert isinstance(again.grade, Grader) == (kind == "model")


def test_a_program_that_ends_without_closing_keeps_its_grades(tmp_path):
    program = """
        import time
        from langchain_openai import ChatOpenAI
        from langchain_tiers import TieredChatModel
        from llm_tiers.testing import LoopbackServer

        def grade(question, answer):
            time.sleep(0.2)
            return answer == "Paris"

        server = LoopbackServer({"small": "Lyon", "large": "Paris"})
        server.start()
        tiers = [ChatOpenAI(model=name, base_url=server.base_url, api_key="k") for name in ("small", "large")]
        prices = {"small": (1, 2), "large": (3, 4)}
        model = TieredChatModel(tiers=tiers, history=PATH, audit=1.0, grade=grade, prices=prices)
        model.invoke("What is the capital of France?")
    """
    source = textwrap.dedent(program).replace("PATH", repr(str(tmp_path)))
    subprocess.run([sys.executable, "-c", source], check=True, env=dict(os.environ), timeout=120)
    (record,) = read_records(str(tmp_path))
    assert record.grades == {"grader": {"small": 0.0, "large": 1.0}}
