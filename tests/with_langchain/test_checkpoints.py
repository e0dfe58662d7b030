"""What a conversation weighs: the trace is a part of each message, and so of each checkpoint."""

import asyncio
import json

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph

from llm_tiers import AllTiersFailed, ConfigError, FixedStarter, UnknownTrace
from llm_tiers.testing import HttpError

ASK = "What is the capital of France?"
TURNS = 30


def weight(model):
    """Return the bytes of the last checkpoint's messages, and the messages."""
    saver = InMemorySaver()

    def chat(state):
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState).add_node("chat", chat).add_edge(START, "chat").add_edge("chat", END)
    compiled = graph.compile(checkpointer=saver)
    config = {"configurable": {"thread_id": "1"}}
    for turn in range(TURNS):
        compiled.invoke(
            {"messages": [("human", f"{turn}: what is the capital of the country of this number?")]}, config
        )
    messages = compiled.get_state(config).values["messages"]
    return len(saver.serde.dumps_typed({"messages": messages})[1]), messages


@pytest.mark.parametrize("policy", ["menu", "estimate", "doubt", "agree"])
def test_a_checkpoint_weighs_little_more_than_the_plain_models(server, chat, tiered, policy):
    server.scripts |= dict.fromkeys(("small", "medium", "large"), "The capital of that country is Paris.")
    traces = []

    plain, _ = weight(chat("large"))
    ours, messages = weight(tiered(policy=policy, trace_bytes=480, on_trace=traces.append))

    assert ours <= 1.15 * plain
    told = [message.response_metadata["tiers"] for message in messages if message.type == "ai"]
    assert max(len(json.dumps(trace).encode()) for trace in told) <= 480
    # The whole of it goes to the hook, and both are of the same calls.
    assert [trace["trace_id"] for trace in told] == [trace.trace_id for trace in traces]
    assert all(attempt.input_tokens for trace in traces for attempt in trace.attempts if attempt.error is None)


def test_the_short_trace_is_the_default_in_all_ways_to_ask(server, tiers, chat, tiered, judged):
    server.scripts |= {
        "small": "Lyon",
        "medium": judged("Marseille", verdict="no"),
        "large": judged("Paris"),
    }
    from langchain_tiers import TieredChatModel

    with TieredChatModel(tiers, policy="estimate", prices=dict.fromkeys(("small", "medium", "large"), (1, 2))) as model:

        async def streamed():
            return [chunk async for chunk in model.astream(ASK)][-1]

        answers = [
            model.invoke(ASK),
            asyncio.run(model.ainvoke(ASK)),
            list(model.stream(ASK))[-1],
            asyncio.run(streamed()),
        ]

    for answer in answers:
        trace = answer.response_metadata["tiers"]
        assert len(json.dumps(trace).encode()) <= 480
        assert trace["final"] == "large"
        assert [attempt["tier"] for attempt in trace["attempts"]][-1] == "large"
        assert answer.usage_metadata["input_tokens"] > 0


def test_the_whole_trace_on_request(tiered):
    seen = []
    answer = tiered(trace_bytes=None, starter=FixedStarter("small"), on_trace=seen.append).invoke(ASK)

    assert answer.response_metadata["tiers"].keys() == seen[0].model_dump().keys()


@pytest.mark.parametrize("wrong", [0, -1, 479, True, "480"])
def test_a_length_that_no_trace_has_room_in_is_refused(tiered, wrong):
    with pytest.raises(ConfigError, match="trace_bytes"):
        tiered(trace_bytes=wrong)


def test_the_history_has_the_whole_trace_of_which_the_message_has_a_part(server, tiered, take, tmp_path):
    seen = []
    model = tiered(trace_bytes=480, history=tmp_path, on_trace=seen.append)

    told = take(model, ASK)[-1].response_metadata["tiers"]

    kept = model.history.trace(told["trace_id"])
    assert len(json.dumps(told)) <= 480
    assert kept.to_dict(None) == seen[0].to_dict(None)
    assert [attempt.seconds for attempt in kept.attempts] != [0.0, 0.0]


def test_after_a_grading_the_history_has_its_trace(server, tiered, tmp_path):
    seen = []
    model = tiered(history=tmp_path, on_trace=seen.append, audit=1.0, grade=lambda question, answer: answer == "Paris")

    told = model.invoke(ASK).response_metadata["tiers"]
    assert model.flush_grades()

    kept = model.history.trace(told["trace_id"])
    assert kept.grading.grades == {"small": 0.0, "medium": 1.0, "large": 1.0}
    assert kept.to_dict(None) == seen[0].to_dict(None)


def test_a_pinned_call_has_no_record_and_its_message_says_all(server, tiered, take, tmp_path):
    """The message has a part of a trace only, and the history keeps traces of calls that teach something."""
    seen = []
    model = tiered(trace_bytes=480, history=tmp_path, on_trace=seen.append)

    told = take(model.bind(model="large"), ASK)[-1].response_metadata["tiers"]

    whole = seen[0].to_dict(None)
    (told_attempt,), (attempt,) = told.pop("attempts"), whole.pop("attempts")
    # What is left out says nothing, or stands beside it: the tokens of the only attempt are those of the call.
    assert not [name for name in whole.keys() - told.keys() if whole[name]]
    assert told["usage"] == {name: tokens for name, tokens in whole["usage"].items() if tokens}
    beside = {"input_tokens", "output_tokens", "seconds"}
    assert told_attempt == {name: said for name, said in attempt.items() if said is not None and name not in beside}
    with pytest.raises(UnknownTrace):
        model.feedback(told["trace_id"], correct=True)


def test_a_call_that_fails_has_no_record_and_its_error_has_the_whole_trace(server, tiered, take, tmp_path):
    server.scripts |= dict.fromkeys(("small", "medium", "large"), HttpError(500))
    seen = []

    with pytest.raises(AllTiersFailed) as failure:
        take(tiered(trace_bytes=480, history=tmp_path, on_trace=seen.append), ASK)

    assert failure.value.trace == seen[0]
    assert len(failure.value.trace.attempts) == 3
