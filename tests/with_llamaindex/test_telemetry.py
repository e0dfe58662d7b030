"""OpenTelemetry's spans of calls, where they stand and who counts the tokens."""

import asyncio

import pytest
from openinference.instrumentation.llama_index import LlamaIndexInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from llm_tiers import Telemetry

ASK = "What is the capital of France?"


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


@pytest.fixture
def told(tiered, provider):
    return tiered(telemetry=Telemetry(tracer_provider=provider))


def own_span(exporter):
    (own,) = [span for span in exporter.get_finished_spans() if span.name == "chat llm-tiers"]
    return own


def test_each_way_to_ask_has_a_span_with_the_model_calls_below(told, take, asked, sent, provider, exporter):
    with provider.get_tracer("the user's").start_as_current_span("the user's") as around:
        take(told, "chat", asked)

    own = own_span(exporter)
    assert own.parent.span_id == around.get_span_context().span_id
    inner = [span for span in exporter.get_finished_spans() if span.name.startswith("chat ") and span is not own]
    assert {span.parent.span_id for span in inner} == {own.context.span_id}
    assert sum(span.attributes["gen_ai.usage.input_tokens"] for span in inner) == sent()


def test_a_stream_that_is_read_later_belongs_to_where_it_was_asked_for(told, asked, provider, exporter):
    with provider.get_tracer("the user's").start_as_current_span("the user's") as around:
        stream = told.stream_chat(asked)
    list(stream)

    assert own_span(exporter).parent.span_id == around.get_span_context().span_id


def test_side_by_side_in_asyncio_each_belongs_to_its_own(told, asked, provider, exporter):
    tracer = provider.get_tracer("the user's")

    async def ask(name):
        with tracer.start_as_current_span(name) as around:
            await told.achat(asked)
        return around.get_span_context().span_id

    async def both():
        return await asyncio.gather(ask("one"), ask("two"))

    parents = asyncio.run(both())

    own = [span for span in exporter.get_finished_spans() if span.name == "chat llm-tiers"]
    assert sorted(span.parent.span_id for span in own) == sorted(parents)


# An instrumentor's error is swallowed, and so is a warning that pydantic gives it.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_beside_openinference_tokens_are_counted_once(told, take, asked, sent, provider, exporter):
    instrumentor = LlamaIndexInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        take(told, "chat", asked)
    finally:
        instrumentor.uninstrument()

    spans = exporter.get_finished_spans()
    names = ("gen_ai.usage.input_tokens", "llm.token_count.prompt")
    assert sum(span.attributes.get(name, 0) for span in spans for name in names) == sent()
    own = own_span(exporter)
    around = [span.name for span in spans if own.parent and span.context.span_id == own.parent.span_id]
    assert around
    assert around[0].startswith("TieredLLM.")
