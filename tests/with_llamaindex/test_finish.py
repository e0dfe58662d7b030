"""An answer that was cut, filtered or never came does not stand below the top; the top's is returned with a warning."""

from types import SimpleNamespace

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata
from llama_index.core.llms import CustomLLM

from llamaindex_tiers.pieces import answer_of
from llm_tiers import FixedStarter, Tier
from llm_tiers.testing import HttpError, Reply, ToolCall

ASK = "What is the capital of France?"

UNFINISHED = {
    "length": (Reply("Paris is", finish_reason="length"), "cut short at the limit of tokens"),
    "content_filter": (Reply("Paris is", finish_reason="content_filter"), "filtered by the provider"),
}


def given(method, asked):
    return (ASK,) if method == "complete" else (asked,)


def text_of(response):
    return response.text if hasattr(response, "text") else response.message.content


@pytest.mark.parametrize("policy", ["estimate", "default"])
@pytest.mark.parametrize("method", ["complete", "chat"])
@pytest.mark.parametrize(("reply", "why"), UNFINISHED.values(), ids=UNFINISHED)
def test_below_the_top_it_goes_one_tier_up_and_leaves_no_label(
    server, tiered, take, asked, judged, trace_of, reply, why, policy, method
):
    server.scripts |= {"small": judged(reply), "medium": judged("Paris")}
    llm = tiered(policy=policy)

    last = take(llm, method, *given(method, asked))[-1]

    assert text_of(last) == "Paris"
    assert trace_of(last)["final"] != "small"
    (record,) = llm._engine.history.export()
    assert "small" not in {*record["labels"], *record["said"], *record["answered"]}


@pytest.mark.parametrize("method", ["complete", "chat"])
@pytest.mark.parametrize(("reply", "why"), UNFINISHED.values(), ids=UNFINISHED)
def test_at_the_top_it_is_returned_with_a_warning_and_teaches_nothing(
    server, tiered, take, asked, trace_of, reply, why, method
):
    server.scripts["large"] = reply
    llm = tiered(starter=FixedStarter("large"))

    last = take(llm, method, *given(method, asked))[-1]

    assert text_of(last) == "Paris is"
    assert trace_of(last)["warnings"] == [f"the answer of large was {why}"]
    assert list(llm._engine.history.export()) == []


def test_a_cut_answer_never_stands_in_for_a_top_that_fails(server, tiered, take, asked):
    server.scripts |= {"medium": Reply("Paris is", finish_reason="length"), "large": HttpError(500)}

    last = take(tiered(judge=lambda question, answer: None), "chat", asked)[-1]

    assert last.message.content == "Lyon"


def test_a_cut_tool_call_does_not_stand_though_it_fits(server, tiered, take, look_up, trace_of):
    calls = (ToolCall("look_up", {"city": "Paris"}),)
    server.scripts |= {"small": Reply(calls=calls, finish_reason="length"), "medium": Reply(calls=calls)}

    assert trace_of(take(tiered(), "chat_with_tools", [look_up], ASK)[-1])["final"] == "medium"


def test_a_cut_object_does_not_stand_though_it_fits(server, tiered, take, city, prompt):
    def script(people, finish):
        return Reply(calls=(ToolCall("City", {"name": "Ulm", "people": people}),), finish_reason=finish)

    traces = []
    server.scripts |= {"small": script(12, "length"), "medium": script(128_928, None)}
    llm = tiered(on_trace=traces.append)

    assert take(llm, "structured_predict", city, prompt, country="Germany")[-1].people == 128_928
    assert traces[-1].final == "medium"


@pytest.mark.parametrize(
    ("raw", "finish"),
    [
        ({"stop_reason": "max_tokens"}, "length"),
        (SimpleNamespace(stop_reason="refusal"), "filter"),
        ({"choices": [{"finish_reason": "length"}]}, "length"),
        (SimpleNamespace(status="incomplete", incomplete_details=SimpleNamespace(reason="content_filter")), "filter"),
        (
            SimpleNamespace(
                type="response.incomplete",
                response=SimpleNamespace(
                    status="incomplete", incomplete_details=SimpleNamespace(reason="max_output_tokens")
                ),
            ),
            "length",
        ),
        (SimpleNamespace(status="completed", incomplete_details=None), None),
        ({"type": "message_delta", "delta": SimpleNamespace(stop_reason="max_tokens")}, "length"),
        ({"type": "message_delta", "delta": {"stop_reason": "refusal"}}, "filter"),
        ({"type": "content_block_delta", "delta": SimpleNamespace(type="text_delta", text="Par")}, None),
        (None, None),
    ],
)
def test_other_providers_forms(raw, finish):
    answer = answer_of(Tier(object(), name="small"), ChatResponse(message=ChatMessage(content="Par"), raw=raw))
    assert answer.finish == finish
    assert (answer.value is None) is (finish == "filter")


class Anthropic(CustomLLM):
    """Says why it ends where Anthropic's class says it: whole in `raw`, streamed in the message of the last chunk."""

    reason: str
    text: str = "Paris is the capital"

    @property
    def metadata(self):
        return LLMMetadata(is_chat_model=True, model_name="claude")

    def chat(self, messages, **kwargs):
        message = ChatMessage(role="assistant", content=self.text)
        return ChatResponse(message=message, raw={"stop_reason": self.reason, "role": "assistant"})

    def stream_chat(self, messages, **kwargs):
        message = ChatMessage(role="assistant", content=self.text, additional_kwargs={"stop_reason": None})
        yield ChatResponse(message=message, delta=self.text, raw={"type": "content_block_delta"})
        told = message.model_copy(update={"additional_kwargs": {"stop_reason": self.reason}})
        yield ChatResponse(message=told, delta="", raw={"type": "message_delta"})

    def complete(self, prompt, formatted=False, **kwargs):
        return CompletionResponse(text=self.text, raw={"stop_reason": self.reason})

    def stream_complete(self, prompt, formatted=False, **kwargs):
        yield CompletionResponse(text=self.text, delta=self.text, additional_kwargs={"stop_reason": self.reason})


@pytest.mark.parametrize("method", ["complete", "chat"])
@pytest.mark.parametrize("reason", ["max_tokens", "refusal"])
def test_anthropics_way_to_say_it(tiered, take, asked, trace_of, method, reason):
    tiers = [
        Tier(Anthropic(reason=reason), name="small"),
        Tier(Anthropic(reason="end_turn", text="Paris"), name="large"),
    ]

    llm = tiered(tiers=tiers, judge=lambda question, answer: True, prices={"small": (1, 2), "large": (1, 2)})
    last = take(llm, method, *given(method, asked))[-1]

    assert (text_of(last), trace_of(last)["final"]) == ("Paris", "large")
    assert trace_of(last)["attempts"][0]["by"] == "finish"


def test_a_blank_beginning_of_the_top_is_not_joined_to_an_earlier_answer(server, tiered, stream, asked):
    server.scripts |= {"small": "Marseille", "large": Reply("  \n ")}
    llm = tiered(judge=lambda question, answer: None if answer == "Marseille" else False)

    chunks = stream(llm, "chat", asked)

    assert "".join(chunk.delta or "" for chunk in chunks) == "Marseille"
    assert chunks[-1].message.content == "Marseille"


def test_a_blank_beginning_belongs_to_the_words_after_it(server, tiered, stream, asked):
    server.scripts["large"] = Reply("  \n Paris")

    chunks = stream(tiered(starter=FixedStarter("large")), "chat", asked)

    assert "".join(chunk.delta or "" for chunk in chunks) == "  \n Paris"
