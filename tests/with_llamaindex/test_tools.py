"""Tools: each tier is given them in its own way, and what does not fit goes one tier up."""

import json

import pytest
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index.core.llms.mock import MockLLM

from llm_tiers import ConfigError, FixedStarter, PromptJudge, Tier
from llm_tiers.testing import Reply, ToolCall, obliging

ASK = "Look up Paris."


def call(arguments, name="look_up"):
    return Reply(calls=(ToolCall(name, arguments),))


@pytest.fixture(autouse=True)
def served(server):
    server.scripts |= {"medium": obliging, "large": obliging}


@pytest.mark.parametrize(
    "wrong",
    [
        call({}),
        call({"city": 3}),
        call({"city": "Lyon", "river": "Rhône"}),
        call('{"city": "Ly'),
        call("[]"),
        call({"city": "Lyon"}, name="look_down"),
    ],
    ids=["missing", "of another type", "unknown argument", "malformed", "no object", "unknown tool"],
)
def test_a_call_that_does_not_fit_goes_one_up(server, tiered, take, look_up, trace_of, wrong):
    server.scripts["small"] = wrong
    llm = tiered()

    items = take(llm, "chat_with_tools", [look_up], user_msg=ASK)

    (selection,) = llm.get_tool_calls_from_response(items[-1])
    assert (selection.tool_name, selection.tool_kwargs) == ("look_up", {"city": ASK})
    first, second = trace_of(items[-1])["attempts"]
    assert (first["by"], first["verdict"]) == ("schema", "invalid")
    assert (second["by"], second["verdict"]) == ("schema", "valid")
    assert "Lyon" not in json.dumps(trace_of(items[-1]))


def test_a_call_that_fits_needs_no_judge_unless_asked(server, tiered, take, look_up):
    server.scripts["small"] = obliging

    take(tiered(), "chat_with_tools", [look_up], user_msg=ASK)
    assert [request.judges for request in server.requests] == [False]

    server.forget()
    take(tiered(judge=PromptJudge(judge_formed=True)), "chat_with_tools", [look_up], user_msg=ASK)
    assert [request.judges for request in server.requests] == [False, True]


def test_a_missing_call_where_one_is_forced_goes_one_up(server, tiered, take, look_up, trace_of):
    server.scripts["small"] = "I would rather talk."

    items = take(tiered(), "chat_with_tools", [look_up], user_msg=ASK, tool_required=True)

    assert trace_of(items[-1])["attempts"][0]["why"] == "no tool called"
    assert server.requests[0].settings["tool_choice"] == "required"


def test_a_tool_that_must_be_called_by_name(server, tiered, look_up, trace_of):
    server.scripts["small"] = "I would rather talk."

    answer = tiered().chat_with_tools([look_up], user_msg=ASK, tool_choice="look_up")

    assert trace_of(answer)["attempts"][0]["why"] == "look_up not called"


def test_every_chunk_can_be_read_for_tool_calls(server, tiered, stream, look_up):
    server.scripts["small"] = obliging
    llm = tiered()

    items = stream(llm, "chat_with_tools", [look_up], user_msg=ASK)

    calls = [llm.get_tool_calls_from_response(item, error_on_no_tool_call=False) for item in items]
    assert calls[0] == []
    assert calls[-1][0].tool_kwargs == {"city": ASK}


def test_chunks_are_replayed_as_they_came(server, tiered, stream, look_up):
    """OpenAI's integration lets all chunks share one list of tool calls, which grows."""
    server.scripts["small"] = obliging

    items = stream(tiered(), "chat_with_tools", [look_up], user_msg=ASK)

    sizes = [len(calls[0].function.arguments) for item in items if (calls := _legacy(item))]
    assert sizes[0] < sizes[-1]


def _legacy(item):
    return item.message.additional_kwargs.get("tool_calls")


def test_the_history_of_the_user_stays_as_it_is(server, tiered, take, look_up):
    history = [ChatMessage(role="user", content="Hello."), ChatMessage(role="assistant", content="Hello!")]
    server.scripts["small"] = call({})

    take(tiered(), "chat_with_tools", [look_up], user_msg=ASK, chat_history=history)

    assert [message.content for message in history] == ["Hello.", "Hello!"]
    assert [len(request.messages) for request in server.requests] == [3, 3]


def test_text_is_judged_with_what_the_tools_said(server, tiered, look_up):
    server.scripts["small"] = "Paris has 2 million people."
    called = ChatMessage(
        role="assistant", blocks=[ToolCallBlock(tool_call_id="1", tool_name="look_up", tool_kwargs={})]
    )
    told = ChatMessage(role="tool", content="2 million", additional_kwargs={"tool_call_id": "1"})
    server.scripts["medium"] = lambda request: "yes" if request.judges else obliging(request)

    tiered().chat_with_tools([look_up], chat_history=[ChatMessage(content=ASK), called, told])

    assert "2 million" in server.requests[1].ask


def test_tools_given_to_chat_reach_every_tier_in_its_own_format(server, tiered, look_up):
    server.scripts["small"] = call({})
    llm = tiered()

    answer = llm.chat(**llm._prepare_chat_with_tools([look_up], user_msg=ASK))

    assert llm.get_tool_calls_from_response(answer)[0].tool_kwargs == {"city": ASK}
    assert server.requests[0].settings["tools"][0]["function"]["name"] == "look_up"


def test_tools_in_the_providers_format_are_checked_too(server, tiered, look_up, asked, trace_of):
    server.scripts["small"] = call({})

    answer = tiered().chat(asked, tools=[look_up.metadata.to_openai_tool()])

    assert trace_of(answer)["attempts"][0]["by"] == "schema"


def test_tiers_that_cannot_call_tools_are_skipped(server, like, tiered, take, look_up, trace_of):
    mock = Tier(MockLLM(), name="mock", price=(1, 1))
    llm = tiered(tiers=[mock, like("small", is_function_calling_model=False), like("large")])

    items = take(llm, "chat_with_tools", [look_up], user_msg=ASK)

    assert llm.metadata.is_function_calling_model
    warnings = trace_of(items[-1])["warnings"]
    assert warnings == ["tier mock skipped: no tools", "tier small skipped: no tools"]


def test_predict_and_call(server, tiered, look_up):
    server.scripts["small"] = call({})

    assert tiered().predict_and_call([look_up], user_msg=ASK).response == f"{ASK} has 2 million people."


async def test_predict_and_call_in_asyncio(server, tiered, look_up):
    server.scripts["small"] = call({})

    assert (await tiered().apredict_and_call([look_up], user_msg=ASK)).response == f"{ASK} has 2 million people."


def test_no_tool_call_is_an_error_where_one_is_expected(tiered, asked):
    llm = tiered(starter=FixedStarter("small"), judge=lambda question, answer: True)
    with pytest.raises(ValueError, match="at least one tool call"):
        llm.get_tool_calls_from_response(llm.chat(asked))


def test_no_tools_is_a_chat(server, tiered, take):
    items = take(tiered(judge=lambda question, answer: True), "chat_with_tools", [], user_msg=ASK)

    assert items[-1].message.content == "Lyon"
    assert "tools" not in server.requests[0].settings


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"tools": ["look_up"], "user_msg": ASK}, r"tools\[0\] is no tool but a str; make one: FunctionTool"),
        ({"tools": []}, "user_msg, chat_history: there is no message"),
        ({"tools": [], "chat_history": [ASK]}, r"\[0\] is no ChatMessage but a str"),
    ],
)
def test_bad_input(server, tiered, take, given, match):
    with pytest.raises(ConfigError, match=match):
        take(tiered(), "chat_with_tools", **given)
    assert server.requests == ()
