"""An answer that was cut, filtered or never came does not stand below the top; the top's is returned with a warning."""

from functools import reduce
from operator import add

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import BaseModel

from langchain_tiers.performer import answer_of
from llm_tiers import FixedStarter, Tier
from llm_tiers.testing import HttpError, Reply, ToolCall

ASK = "What is the capital of France?"

UNFINISHED = {
    "length": (Reply("Paris is", finish_reason="length"), "cut short at the limit of tokens"),
    "no text": (Reply("", finish_reason="length"), "cut short at the limit of tokens"),
    "content_filter": (Reply("Paris is", finish_reason="content_filter"), "filtered by the provider"),
}


def trace_of(answer):
    return answer.response_metadata["tiers"]


@pytest.fixture
def ask(take):
    return lambda model, given=ASK: reduce(add, take(model, given))


@pytest.mark.parametrize("policy", ["estimate", "default", "agree"])
@pytest.mark.parametrize(("reply", "why"), UNFINISHED.values(), ids=UNFINISHED)
def test_below_the_top_it_goes_one_tier_up_and_leaves_no_label(server, tiered, ask, judged, reply, why, policy):
    server.scripts |= {"small": judged(reply), "medium": judged("Paris")}
    model = tiered(policy=policy)

    answer = ask(model)

    assert answer.content == "Paris"
    assert trace_of(answer)["final"] != "small"
    (record,) = model._engine.history.export()
    assert "small" not in {*record["labels"], *record["said"], *record["answered"]}


@pytest.mark.parametrize(("reply", "why"), UNFINISHED.values(), ids=UNFINISHED)
def test_the_trace_says_why_and_no_judge_is_asked(server, tiered, ask, judged, reply, why):
    server.scripts["small"] = judged(reply)

    first = trace_of(ask(tiered()))["attempts"][0]

    assert (first["tier"], first["verdict"], first["by"], first["why"]) == ("small", "invalid", "finish", why)
    assert [request.model for request in server.requests if request.judges] == ["medium"]


@pytest.mark.parametrize(("reply", "why"), UNFINISHED.values(), ids=UNFINISHED)
def test_at_the_top_it_is_returned_with_a_warning_and_teaches_nothing(server, tiered, ask, reply, why):
    server.scripts["large"] = reply
    model = tiered(starter=FixedStarter("large"))

    answer = ask(model)

    assert answer.content == reply.text
    assert trace_of(answer)["warnings"] == [f"the answer of large was {why}"]
    assert list(model._engine.history.export()) == []


def test_an_earlier_answer_is_better_than_a_filtered_one_of_the_top(server, tiered, ask):
    server.scripts["large"] = Reply("", finish_reason="content_filter")

    answer = ask(tiered(judge=lambda question, answer: None))

    assert answer.content == "Paris"
    assert trace_of(answer)["final"] == "medium"


def test_a_cut_answer_never_stands_in_for_a_top_that_fails(server, tiered, ask):
    server.scripts |= {"medium": Reply("Paris is", finish_reason="length"), "large": HttpError(500)}

    assert ask(tiered(judge=lambda question, answer: None)).content == "Lyon"


def test_a_pinned_tier_is_returned_with_a_warning(server, tiered):
    server.scripts["small"] = Reply("Paris is", finish_reason="length")

    answer = tiered().invoke(ASK, model="small")

    assert trace_of(answer)["warnings"] == ["the answer of small was cut short at the limit of tokens"]


def test_a_cut_tool_call_does_not_stand_though_it_fits(server, tiered, ask):
    def look_up(city: str, country: str = "") -> str:
        """Look up a city."""

    call = Reply(calls=(ToolCall("look_up", {"city": "Paris"}),), finish_reason="length")
    server.scripts |= {"small": call, "medium": Reply(calls=(ToolCall("look_up", {"city": "Paris"}),))}

    assert trace_of(ask(tiered().bind_tools([look_up])))["final"] == "medium"


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_a_cut_object_does_not_stand_though_it_fits(server, tiered, take, method):
    schema = {
        "title": "City",
        "description": "A city.",
        "type": "object",
        "properties": {"name": {"type": "string"}, "people": {"type": "integer"}},
        "required": ["name"],
    }
    traces = []

    def city(name, finish):
        text, fields = f'{{"name": "{name}"}}', {"name": name}
        calls = (ToolCall("City", fields),) if method == "function_calling" else ()
        return Reply("" if calls else text, calls, finish_reason=finish)

    server.scripts |= {"small": city("Par", "length"), "medium": city("Paris", None)}
    model = tiered(on_trace=traces.append).with_structured_output(schema, method=method)

    assert take(model, ASK)[-1] == {"name": "Paris"}
    assert traces[-1].final == "medium"


@pytest.mark.parametrize(
    ("metadata", "finish"),
    [
        ({"stop_reason": "max_tokens"}, "length"),
        ({"stop_reason": "refusal"}, "filter"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"status": "completed"}, None),
    ],
)
def test_other_providers_forms(metadata, finish):
    answer = answer_of(Tier(object(), name="small"), AIMessage("Par", response_metadata=metadata))
    assert answer.finish == finish
    assert (answer.value is None) is (finish == "filter")


class Anthropic(BaseChatModel):
    """Says why it ends where Anthropic's class says it: streamed, in a last chunk without text."""

    reason: str
    text: str = "Paris is the capital"

    @property
    def _llm_type(self):
        return "anthropic-like"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        message = AIMessage(self.text, response_metadata={"stop_reason": self.reason, "stop_sequence": None})
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        yield ChatGenerationChunk(message=AIMessageChunk(self.text))
        told = {"stop_reason": self.reason, "stop_sequence": None}
        yield ChatGenerationChunk(message=AIMessageChunk("", response_metadata=told, chunk_position="last"))


@pytest.mark.parametrize("reason", ["max_tokens", "refusal", "model_context_window_exceeded"])
def test_anthropics_way_to_say_it(tiered, ask, reason):
    tiers = [
        Tier(Anthropic(reason=reason), name="small"),
        Tier(Anthropic(reason="end_turn", text="Paris"), name="large"),
    ]

    answer = ask(tiered(tiers=tiers, judge=lambda question, answer: True, prices={"small": (1, 2), "large": (1, 2)}))

    assert (answer.content, trace_of(answer)["final"]) == ("Paris", "large")
    assert trace_of(answer)["attempts"][0]["by"] == "finish"


@pytest.mark.parametrize("finish_reason", ["length", "content_filter"])
@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
async def test_an_object_that_the_client_will_not_parse_is_charged(server, tiered, way, finish_reason):
    class City(BaseModel):
        """A city."""

        name: str

    cut = Reply('{"name": "Par', finish_reason=finish_reason, input_tokens=70, output_tokens=9)
    server.scripts |= {"small": cut, "medium": '{"name": "Paris"}'}
    traces = []
    model = tiered(on_trace=traces.append).with_structured_output(City, method="json_schema")

    city = model.invoke(ASK) if way == "invoke" else await model.ainvoke(ASK)

    first = traces[-1].attempts[0]
    assert city == City(name="Paris")
    assert (first.tier, first.input_tokens, first.output_tokens) == ("small", 70, 9)
    assert first.cost_usd == pytest.approx((70 * 1 + 9 * 2) / 1e6)
    assert '"name"' not in first.error


@pytest.mark.parametrize("way", ["stream", "astream"])
async def test_a_blank_beginning_of_the_top_is_not_joined_to_an_earlier_answer(server, tiered, way):
    server.scripts |= {"small": "Marseille", "large": Reply("  \n ")}
    model = tiered(judge=lambda question, answer: None if answer == "Marseille" else False)

    chunks = list(model.stream(ASK)) if way == "stream" else [chunk async for chunk in model.astream(ASK)]

    assert reduce(add, chunks).content == "Marseille"


def test_a_blank_beginning_belongs_to_the_words_after_it(server, tiered, ask):
    server.scripts["large"] = Reply("  \n Paris")

    assert ask(tiered(starter=FixedStarter("large"))).content == "  \n Paris"


def test_a_blank_answer_that_is_all_there_is_is_streamed(server, tiered):
    server.scripts["large"] = Reply("  \n ")

    chunks = list(tiered(starter=FixedStarter("large")).stream(ASK))

    assert reduce(add, chunks).content == "  \n "
    assert all(isinstance(chunk, AIMessageChunk) for chunk in chunks)
