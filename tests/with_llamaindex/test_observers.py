"""What counts tokens and traces calls: every model call is seen once, inside the span of the one call."""

import logging
import time
from inspect import signature

import pytest
from llama_index.core import Settings
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent, LLMChatStartEvent
from llama_index.core.instrumentation.span import SimpleSpan, active_span_id
from llama_index.core.llms.mock import MockLLM
from llama_index.core.rate_limiter import TokenBucketRateLimiter
from llama_index_instrumentation.dispatcher import instrument_tags
from openinference.instrumentation.llama_index import LlamaIndexInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from llamaindex_tiers import TierDecision, TieredLLM
from llamaindex_tiers.spans import _open_spans
from llm_tiers import AllTiersFailed, ConfigError, FixedStarter, Tier
from llm_tiers.testing import HttpError, obliging

ASK = "What is the capital of France?"


@pytest.fixture
def counter():
    return TokenCountingHandler(tokenizer=str.split)


@pytest.fixture
def telemetry():
    """OpenInference at work; returns what it has exported."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = LlamaIndexInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    yield exporter.get_finished_spans
    instrumentor.uninstrument()


def tokens_in(spans):
    return sum((span.attributes or {}).get("llm.token_count.prompt", 0) for span in spans)


@pytest.fixture(params=["complete", "chat", "chat_with_tools", "structured_predict"])
def ask_it(request, server, asked, look_up, city, prompt):
    """Ask in each method; the cheapest tier is wrong, so two tiers answer, and for texts a model judges both."""
    server.scripts |= {
        "small": lambda request: "no" if request.judges else "Lyon",
        "medium": lambda request: "no" if request.judges else obliging(request),
        "large": obliging,
    }
    given = {
        "complete": (ASK,),
        "chat": (asked,),
        "chat_with_tools": ([look_up], ASK, None, False, True, True),
        "structured_predict": (city, prompt),
    }[request.param]
    kwargs = {"country": "France"} if request.param == "structured_predict" else {}
    return lambda llm, take: take(llm, request.param, *given, **kwargs)


def test_a_token_counter_counts_each_call_once(tiered, take, ask_it, counter, sent):
    ask_it(tiered(callback_manager=CallbackManager([counter])), take)

    assert counter.prompt_llm_token_count == sent()
    assert len(counter.llm_token_counts) > 1


# An instrumentor's error is swallowed, and so is a warning that pydantic gives it.
quiet = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@quiet
def test_openinference_counts_each_call_once(tiered, take, ask_it, telemetry, sent):
    ask_it(tiered(), take)

    assert tokens_in(telemetry()) == sent()


@quiet
def test_openinference_logs_nothing_for_each_call(tiered, take, ask_it, telemetry, caplog):
    ask_it(tiered(), take)

    # It logs LlamaIndex's own events that it does not know, as it does for any LLM.
    assert not [record for record in caplog.records if "TierDecision" in record.getMessage()]


@quiet
def test_the_calls_inside_are_children_of_the_one_span(tiered, take, asked, telemetry, swept):
    take(tiered(judge=lambda question, answer: swept("Paris" in answer)), "chat", asked)

    spans = telemetry()
    outer = next(span for span in spans if span.name.startswith("TieredLLM.") and span.parent is None)
    inner = [span for span in spans if span.name.startswith("OpenAILike.")]
    assert len(inner) >= 2
    by_id = {span.context.span_id: span for span in spans}

    def root(span):
        while span.parent is not None:
            span = by_id[span.parent.span_id]
        return span

    assert {root(span).context.span_id for span in inner} == {outer.context.span_id}
    assert all(span.end_time for span in spans)


@pytest.fixture
def swept(telemetry):
    """Answer once OpenInference has let go of every span that has ended; it looks for them ten times a second."""
    queue = LlamaIndexInstrumentor()._span_handler._export_queue

    def swept(answer):
        for _ in range(200):
            if all(span.active for span in list(queue.spans.values())):
                break
            time.sleep(0.05)
        return answer

    return swept


class TestCallbackManagers:
    """Merged for each call, whichever order they were set in."""

    def check(self, llm, counter, sent):
        llm.complete(ASK)
        assert len(counter.llm_token_counts) == 2
        assert counter.prompt_llm_token_count == sent()

    def test_set_with_the_llm(self, tiered, counter, sent):
        self.check(tiered(callback_manager=CallbackManager([counter])), counter, sent)

    def test_set_after_it(self, tiered, counter, sent):
        llm = tiered()
        llm.complete(ASK, model="large")
        before = sent()
        llm.callback_manager = CallbackManager([counter])
        self.check(llm, counter, lambda: sent() - before)

    def test_set_with_the_tiers(self, tiered, like, counter, sent):
        manager = CallbackManager([counter])
        llm = tiered(tiers=[like(name, callback_manager=manager) for name in ("small", "medium")])
        self.check(llm, counter, sent)

    def test_set_with_both(self, tiered, like, counter, sent):
        manager = CallbackManager([counter])
        models = [like(name, callback_manager=manager) for name in ("small", "medium")]
        self.check(tiered(tiers=models, callback_manager=CallbackManager([counter])), counter, sent)

    @pytest.mark.parametrize("first", ["llm", "manager"])
    def test_set_in_the_settings(self, tiered, tiers, counter, sent, first):
        before = Settings._llm, Settings._callback_manager
        try:
            if first == "manager":
                Settings.callback_manager = CallbackManager([counter])
            Settings.llm = tiered()
            Settings.callback_manager = CallbackManager([counter])
            self.check(Settings.llm, counter, sent)
        finally:
            Settings._llm, Settings._callback_manager = before

    def test_the_tiers_stay_as_they_are(self, tiered, tiers, counter):
        tiered(callback_manager=CallbackManager([counter])).complete(ASK)
        assert [tier.callback_manager.handlers for tier in tiers] == [[], [], []]

    def test_a_client_is_made_once(self, tiered, counter):
        llm = tiered(callback_manager=CallbackManager([counter]))
        llm.complete(ASK)
        clients = [tier.model._client for tier in llm._engine.ladder]
        llm.complete(ASK)

        assert clients[0] is not None
        assert [tier.model._client for tier in llm._engine.ladder] == clients


def test_a_budget_of_tokens_stops_a_call(tiered):
    counter = TokenCountingHandler(tokenizer=str.split, token_budget=1)
    with pytest.raises(AllTiersFailed, match="Token budget exceeded"):
        tiered(callback_manager=CallbackManager([counter])).complete(ASK)


def test_a_rate_limiter_is_asked_for_every_model_call(tiered, like):
    acquired = []

    class Limiter(TokenBucketRateLimiter):
        def acquire(self, num_tokens=0):
            acquired.append(num_tokens)

    tiered(rate_limiter=Limiter()).complete(ASK)

    assert len(acquired) == 2


class TestDecision:
    def test_every_call_is_told(self, tiered, take, ask_it, events):
        ask_it(tiered(), take)

        (decision,) = [event for event in events if isinstance(event, TierDecision)]
        assert decision.trace["final"]
        assert decision.class_name() == "TierDecision"
        assert decision.span_id.startswith("TieredLLM.")
        assert decision.model_dump()["trace"]["attempts"]

    def test_a_failed_call_is_told(self, server, tiered, take, asked, events):
        server.scripts = dict.fromkeys(server.scripts, HttpError(500))
        with pytest.raises(AllTiersFailed):
            take(tiered(), "chat", asked)

        (decision,) = [event for event in events if isinstance(event, TierDecision)]
        assert decision.trace["final"] is None

    def test_beside_the_users_own_hook(self, tiered, events):
        traces = []
        tiered(on_trace=traces.append).complete(ASK)

        assert len(traces) == len([event for event in events if isinstance(event, TierDecision)]) == 1


def test_a_stream_ends_with_an_event_of_its_own_without_tokens(tiered, stream, asked, events):
    stream(tiered(), "chat", asked)

    ends = [event for event in events if isinstance(event, LLMChatEndEvent)]
    (own,) = [event for event in ends if event.span_id.startswith("TieredLLM.")]
    assert own.response.raw is None
    assert "prompt_tokens" not in own.response.additional_kwargs
    starts = [event for event in events if isinstance(event, LLMChatStartEvent)]
    assert not [event for event in starts if event.span_id.startswith("TieredLLM.")]


class TestSpans:
    def test_none_is_left_after_ten_thousand_calls(self):
        tiers = [Tier(MockLLM(), name=name, price=(1, 1)) for name in ("one", "two")]
        opened, seen = len(_open_spans.open_spans), []
        with TieredLLM(tiers, on_trace=lambda trace: seen.append(len(_open_spans.open_spans))) as llm:
            for number in range(5_000):
                llm.complete(str(number), model="one")
                list(llm.stream_complete(str(number), model="one"))

        assert len(seen) == 10_000
        assert max(seen) <= opened + 5
        assert len(_open_spans.open_spans) == opened
        assert _open_spans.completed_spans == _open_spans.dropped_spans == []

    def test_a_dropped_stream_leaves_none(self, drops, tiered):
        opened = len(_open_spans.open_spans)
        stream = tiered(starter=FixedStarter("large")).stream_complete(ASK)
        next(stream)
        stream.close()

        assert len(_open_spans.open_spans) == opened

    def test_a_failing_call_leaves_none(self, server, tiered, take, asked):
        server.scripts = dict.fromkeys(server.scripts, HttpError(500))
        opened = len(_open_spans.open_spans)
        with pytest.raises(AllTiersFailed):
            take(tiered(), "chat", asked)

        assert len(_open_spans.open_spans) == opened

    def test_those_that_are_never_closed_have_a_limit(self, monkeypatch):
        monkeypatch.setattr("llamaindex_tiers.spans._MOST_OPEN", 10)
        handler = type(_open_spans)()
        for number in range(30):
            span = SimpleSpan(id_=f"f-{number}")
            handler.span_enter(span.id_, bound_args=signature(lambda: None).bind())

        assert len(handler.open_spans) == 10

    def test_making_llms_registers_one_handler(self, tiered, tiers):
        for _ in range(3):
            tiered()
        handlers = get_dispatcher().span_handlers
        assert len([handler for handler in handlers if handler is _open_spans]) == 1

    def test_the_consumer_of_a_stream_is_not_inside_its_span(self, tiered):
        assert {active_span_id.get() for _ in tiered().stream_complete(ASK)} == {None}


class TestTags:
    """`instrument_tags` name the node where the spans are not to."""

    def test_a_tag_names_the_node(self, tiered, take, asked, nodes):
        with instrument_tags({"llm_tiers_node": "drafts/first"}):
            take(tiered(node="other"), "chat", asked)

        assert nodes == ["drafts/first"]

    def test_the_argument_goes_before_the_spans(self, tiered, take, nodes, prompt):
        tiered(node="other").predict(prompt, country="France")

        assert nodes == ["other"]

    def test_a_tag_of_another_kind(self, server, tiered):
        with instrument_tags({"llm_tiers_node": 3}), pytest.raises(ConfigError, match=r"llm_tiers_node.*must be"):
            tiered().complete(ASK)
        assert server.requests == ()

    def test_other_tags_reach_the_events_inside(self, tiered, stream, asked, events):
        with instrument_tags({"session": "one"}):
            stream(tiered(), "chat", asked)

        assert {event.tags.get("session") for event in events if isinstance(event, LLMChatStartEvent)} == {"one"}


def test_a_call_outside_of_everything_is_at_the_root(tiered, take, asked, nodes):
    take(tiered(), "chat", asked)

    assert nodes == [""]


def test_the_prompt_type_is_the_node(server, tiered, nodes, prompt, city):
    server.scripts["small"] = obliging
    llm = tiered(judge=lambda question, answer: True)
    llm.predict(prompt, country="France")
    llm.predict(prompt, country="Italy")
    "".join(llm.stream(prompt, country="Italy"))
    llm.structured_predict(city, prompt, country="France")

    assert nodes[0] == nodes[1] == nodes[2]
    assert nodes[0].startswith("custom/")
    assert nodes[3].startswith("City/")


async def test_in_asyncio_it_is_the_same(tiered, nodes, prompt):
    llm = tiered()
    llm.predict(prompt, country="France")
    await llm.apredict(prompt, country="France")
    [text async for text in await llm.astream(prompt, country="France")]

    assert len(set(nodes)) == 1


def test_a_failing_hook_is_logged_and_no_more(tiered, caplog):
    with caplog.at_level(logging.ERROR):
        assert tiered(on_trace=lambda trace: 1 / 0).complete(ASK).text
    assert "on_trace failed" in caplog.text


def test_a_ladder_inside_a_ladder(tiered, tiers, take, asked, counter, sent):
    with TieredLLM(tiers[:2], policy="estimate", judge=lambda question, answer: "Paris" in answer) as inner:
        llm = tiered(
            tiers=[Tier(inner, name="inner", price=(1, 1)), tiers[2]],
            judge=lambda question, answer: True,
            callback_manager=CallbackManager([counter]),
        )
        items = take(llm, "chat", asked)

    assert items[-1].message.content == "Paris"
    assert counter.prompt_llm_token_count == sent()
