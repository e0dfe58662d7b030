"""Tools: bound to every tier in its own way, judged by their schemas, never seen by the judge."""

import json
from functools import reduce
from importlib.metadata import version
from operator import add

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from packaging.version import Version
from pydantic import BaseModel, Field

from langchain_tiers import TieredChatModel
from llm_tiers import ConfigError, FixedStarter, PromptJudge, Tier
from llm_tiers.policies.judges import Schema
from llm_tiers.testing import Reply, ToolCall

ASK = "What is the weather in Paris, three days from now?"


@tool
def weather(city: str, days: int = 0) -> str:
    """Tell the weather of a city, some days from now."""
    return f"sunny in {city}"


@tool
def clock() -> str:
    """Tell the time."""
    return "noon"


GOOD = Reply(calls=(ToolCall("weather", {"city": "Paris", "days": 3}),))


def trace_of(answer):
    return answer.response_metadata["tiers"]


def steps(answer):
    return [(attempt["tier"], attempt["role"], attempt["verdict"]) for attempt in trace_of(answer)["attempts"]]


@pytest.fixture
def ask(take):
    """Ask in each of the four ways; return the message."""
    return lambda model, messages=ASK: reduce(add, take(model, messages))


def test_a_call_that_fits_is_accepted_without_a_judge(server, tiered, ask):
    server.scripts["small"] = GOOD

    answer = ask(tiered().bind_tools([weather, clock]))

    assert [(call["name"], call["args"]) for call in answer.tool_calls] == [("weather", {"city": "Paris", "days": 3})]
    assert steps(answer) == [("small", "generate", "valid")]
    assert trace_of(answer)["attempts"][0]["by"] == "schema"
    assert {call["function"]["name"] for call in server.requests[0].settings["tools"]} == {"weather", "clock"}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (Reply(calls=(ToolCall("temperature", {"city": "Paris"}),)), "unknown tool"),
        (Reply(calls=(ToolCall("weather", {"town": "Paris"}),)), "weather: $ fails 'required'"),
        (Reply(calls=(ToolCall("weather", {"city": "Paris", "days": "three"}),)), "weather: $.days fails 'type'"),
        (Reply(calls=(ToolCall("weather", '{"city": "Par'),)), "weather: malformed arguments"),
        (Reply(calls=(ToolCall("clock"), ToolCall("weather", {}))), "weather: $ fails 'required'"),
    ],
)
def test_a_call_that_does_not_fit_goes_one_tier_up(server, tiered, ask, said, why):
    server.scripts |= {"small": said, "medium": GOOD}

    answer = ask(tiered().bind_tools([weather, clock]))

    assert answer.tool_calls[0]["args"] == {"city": "Paris", "days": 3}
    assert steps(answer) == [("small", "generate", "invalid"), ("medium", "generate", "valid")]
    assert (trace_of(answer)["attempts"][0]["by"], trace_of(answer)["attempts"][0]["why"]) == ("schema", why)


@pytest.mark.parametrize(
    ("choice", "why"),
    [
        ("any", "no tool called"),
        ("required", "no tool called"),
        (True, "no tool called"),
        ("weather", "weather not called"),
        ({"type": "function", "function": {"name": "weather"}}, "weather not called"),
    ],
)
def test_a_call_that_is_forced_and_missing_goes_one_tier_up(server, tiered, ask, choice, why):
    server.scripts |= {"small": "It is sunny.", "medium": GOOD}

    answer = ask(tiered().bind_tools([weather, clock], tool_choice=choice))

    assert steps(answer) == [("small", "generate", "invalid"), ("medium", "generate", "valid")]
    assert trace_of(answer)["attempts"][0]["why"] == why


def test_text_where_a_tool_may_be_called_is_judged_by_the_judge(server, tiered, ask, judged):
    server.scripts |= {"small": "It is sunny.", "medium": judged(GOOD, verdict="no")}

    answer = ask(tiered().bind_tools([weather]))

    assert steps(answer) == [
        ("small", "generate", "invalid"),
        ("medium", "judge", None),
        ("medium", "generate", "valid"),
    ]


def test_the_judge_sees_what_the_tools_said_and_no_tools(server, tiered, ask):
    server.scripts["small"] = "It is sunny in Paris."
    messages = [
        HumanMessage(ASK),
        AIMessage("", tool_calls=[{"name": "weather", "args": {"city": "Paris", "days": 3}, "id": "1"}]),
        ToolMessage("sunny in Paris", tool_call_id="1"),
    ]

    ask(tiered().bind_tools([weather], tool_choice="auto"), messages)

    answering, judging = server.requests
    assert answering.settings["tool_choice"] == "auto"
    assert not {"tools", "tool_choice"} & judging.settings.keys()
    assert 'weather({"city": "Paris", "days": 3})' in judging.ask
    assert "tool: sunny in Paris" in judging.ask


def test_the_judge_may_be_asked_about_calls_too(server, tiered, judged):
    server.scripts |= {"small": GOOD, "medium": judged(GOOD, verdict="no")}

    answer = tiered(judge=PromptJudge(judge_formed=True)).bind_tools([weather]).invoke(ASK)

    assert steps(answer)[:2] == [("small", "generate", "invalid"), ("medium", "judge", None)]


def test_a_function_judges_calls_that_fit_unless_the_schema_is_enough(server, tiered):
    server.scripts |= {"small": GOOD, "medium": GOOD}
    seen = []

    def never(question, answer):
        seen.append(answer)
        return False

    answer = tiered(judge=never).bind_tools([weather]).invoke(ASK)
    assert trace_of(answer)["final"] == "large"
    assert seen == ['weather({"city": "Paris", "days": 3})'] * 2

    answer = tiered(judge=Schema() | never).bind_tools([weather]).invoke(ASK)
    assert trace_of(answer)["final"] == "small"


def test_a_call_of_the_top_tier_that_does_not_fit_is_returned_and_told(server, tiered, ask):
    bad = Reply(calls=(ToolCall("weather", {}),))
    server.scripts |= {"small": bad, "medium": bad, "large": bad}
    model = tiered()

    answer = ask(model.bind_tools([weather]))

    assert answer.tool_calls[0]["args"] == {}
    assert "weather: $ fails 'required'" in trace_of(answer)["warnings"][0]
    assert model._engine.history.stats().records == 0


def test_options_reach_each_tier_and_only_if_given(server, tiered):
    server.scripts |= {"small": "no", "medium": GOOD}

    tiered().bind_tools([weather], tool_choice="any", parallel_tool_calls=False, strict=True).invoke(ASK)
    first, second = server.requests
    assert first.settings == second.settings
    assert (first.settings["tool_choice"], first.settings["parallel_tool_calls"]) == ("required", False)
    assert first.settings["tools"][0]["function"]["strict"] is True

    server.forget()
    tiered().bind_tools([weather]).invoke(ASK)
    assert not {"tool_choice", "parallel_tool_calls"} & server.requests[0].settings.keys()
    assert "strict" not in server.requests[0].settings["tools"][0]["function"]


class Forecast(BaseModel):
    """A forecast."""

    city: str
    degrees: int = Field(ge=-80, le=60)


_STRICT_BY_ITSELF = pytest.mark.skipif(
    Version(version("langchain-openai")) < Version("1.4"),
    reason="langchain-openai refuses tools beside a response_format that are not strict, before 1.4 by default",
)


@pytest.mark.parametrize(
    "options", [{"strict": True}, pytest.param({}, marks=_STRICT_BY_ITSELF)], ids=["strict", "by itself"]
)
def test_an_object_in_place_of_a_tool_call_has_to_fit_too(server, tiered, ask, options):
    server.scripts |= {
        "small": json.dumps({"city": "Paris", "degrees": "warm"}),
        "medium": json.dumps({"city": "Paris", "degrees": 21}),
    }
    shape = {"type": "json_schema", "json_schema": {"name": "Forecast", "schema": Forecast.model_json_schema()}}

    answer = ask(tiered().bind_tools([weather], response_format=shape, **options))

    assert json.loads(answer.text) == {"city": "Paris", "degrees": 21}
    assert steps(answer) == [("small", "generate", "invalid"), ("medium", "generate", "valid")]


def test_strict_with_an_empty_list_of_tools_is_dropped(server, tiered, ask):
    # LangChain's agents bind both where an agent has an output class and no tools.
    server.scripts["small"] = json.dumps({"city": "Paris", "degrees": 21})
    shape = {"type": "json_schema", "json_schema": {"name": "Forecast", "schema": Forecast.model_json_schema()}}

    answer = ask(tiered().bind_tools([], response_format=shape, strict=True))

    assert steps(answer) == [("small", "generate", "valid")]


def test_a_response_format_without_tools_is_kept_to(server, tiered):
    server.scripts |= {"small": "sunny", "medium": json.dumps({"city": "Paris"})}

    answer = tiered().invoke(ASK, response_format={"type": "json_object"})

    assert steps(answer) == [("small", "generate", "invalid"), ("medium", "generate", "valid")]
    assert trace_of(answer)["attempts"][0]["why"] == "no JSON"


def test_kinds_of_tools(server, tiered):
    def look_up(word: str) -> str:
        """Look up a word."""
        return word

    as_dict = {"name": "add", "description": "Add.", "parameters": {"type": "object", "properties": {}}}
    server.scripts["small"] = Reply(calls=(ToolCall("add"),))

    answer = tiered().bind_tools([weather, look_up, Forecast, as_dict]).invoke(ASK)

    assert steps(answer) == [("small", "generate", "valid")]
    names = [bound["function"]["name"] for bound in server.requests[0].settings["tools"]]
    assert names == ["weather", "look_up", "Forecast", "add"]


def test_tools_given_with_the_call_are_judged_as_well(server, tiered):
    server.scripts |= {"small": Reply(calls=(ToolCall("nothing"),)), "medium": Reply(calls=(ToolCall("clock"),))}
    bound = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}

    answer = tiered().invoke(ASK, tools=[bound])

    assert answer.tool_calls[0]["name"] == "clock"


def test_a_tool_whose_schema_is_none_is_refused_before_any_call(server, tiered):
    wrong = {"type": "function", "function": {"name": "add", "parameters": {"type": "thing"}}}
    with pytest.raises(ConfigError, match=r"tools: 'add' has no valid JSON schema: \$.type"):
        tiered().bind_tools([wrong])
    with pytest.raises(ValueError, match="Unsupported function"):
        tiered().bind_tools([3])
    assert server.requests == ()


def test_a_tier_that_cannot_call_tools_is_skipped(chat, server, tiered):
    mute = Tier(GenericFakeChatModel(messages=iter(())), name="mute", price=(1, 1))
    server.scripts["medium"] = GOOD

    answer = (
        tiered(tiers=[mute, chat("medium"), chat("large")], starter=FixedStarter()).bind_tools([weather]).invoke(ASK)
    )

    assert steps(answer) == [("medium", "generate", "valid")]
    assert trace_of(answer)["warnings"] == ["tier mute skipped: no tools"]


def test_what_the_call_taught_is_remembered(server, tiered):
    server.scripts |= {"small": Reply(calls=(ToolCall("weather", {}),)), "medium": GOOD}
    model = tiered()

    model.bind_tools([weather]).invoke(ASK)

    (record,) = model._engine.history.export()
    assert record["labels"] == {"small": False, "medium": True, "large": True}


def test_a_ladder_may_be_a_tier_of_a_ladder(chat, server, tiered):
    server.scripts |= {"small": Reply(calls=(ToolCall("weather", {}),)), "medium": GOOD}
    inner = tiered(tiers=[chat("small"), chat("medium")])
    tiers = [Tier(inner, name="inner"), chat("large")]
    outer = TieredChatModel(tiers, prices={"inner": (1, 1), "large": (9, 9)}, policy="estimate")

    answer = outer.bind_tools([weather]).invoke(ASK)

    assert answer.tool_calls[0]["args"] == {"city": "Paris", "days": 3}
    assert steps(answer) == [("inner", "generate", "valid")]
    outer.close()


def test_a_response_format_that_asks_for_no_object_is_none_of_our_business(server, tiered):
    for answer in (
        tiered().invoke(ASK, response_format={"type": "text"}),
        tiered().bind_tools([weather], response_format={}).invoke(ASK),
    ):
        assert steps(answer) == [("small", "generate", "valid"), ("medium", "judge", None)]


@pytest.mark.parametrize(
    "city",
    [{"type": "string", "pattern": "^\\p{L}+$"}, {"type": "number", "minimum": 0, "exclusiveMinimum": True}],
    ids=["a pattern of JavaScript's", "OpenAPI"],
)
def test_a_schema_in_another_dialect_is_taken_on_trust(server, tiered, city):
    schema = {"type": "object", "properties": {"city": city}}
    bound = {"type": "function", "function": {"name": "add", "parameters": schema}}
    server.scripts["small"] = Reply(calls=(ToolCall("add", {"city": 3}),))

    assert steps(tiered().bind_tools([bound]).invoke(ASK)) == [("small", "generate", "valid")]


@tool
def counts(numbers: dict[str, int]) -> str:
    """Count."""
    return str(numbers)


def test_why_a_call_does_not_fit_shows_no_name_that_the_model_made_up(server, tiered):
    said = ToolCall("counts", {"numbers": {"my_mothers_maiden_name": "Smith"}})
    server.scripts |= {"small": Reply(calls=(said,)), "medium": Reply(calls=(ToolCall("counts", {"numbers": {}}),))}

    answer = tiered().bind_tools([counts]).invoke(ASK)

    assert trace_of(answer)["attempts"][0]["why"] == "counts: $.numbers.* fails 'type'"


@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_a_broken_call_beside_text_goes_one_tier_up_where_nothing_streams_too(chat, server, tiered, way):
    server.scripts |= {"small": Reply("Let me see.", calls=(ToolCall("weather", '{"city": '),)), "medium": GOOD}
    names = ("small", "medium", "large")
    model = tiered(tiers=[chat(name, disable_streaming=True) for name in names]).bind_tools([weather])

    answer = model.invoke(ASK) if way == "invoke" else reduce(add, model.stream(ASK))

    assert steps(answer) == [("small", "generate", "invalid"), ("medium", "generate", "valid")]


def test_a_pinned_tier_whose_call_does_not_fit_is_told(server, tiered):
    server.scripts["large"] = Reply(calls=(ToolCall("weather", {}),))

    answer = tiered().bind_tools([weather]).invoke(ASK, model="large")

    assert trace_of(answer)["warnings"] == [
        "the answer of large does not have the form asked for: weather: $ fails 'required'"
    ]
