"""What observers see of a call: the tokens of each model call once, and which tier answered."""

import asyncio
import json
import threading

import pytest
import requests
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.tracers import LangChainTracer
from langgraph.graph import END, START, StateGraph
from langsmith import Client
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from llm_tiers import AllTiersFailed, Telemetry
from llm_tiers.testing import HttpError

ASK = "What is the capital of France?"


class Ends(BaseCallbackHandler):
    """Keeps the tokens that it is told of at the end of runs."""

    def __init__(self):
        self.usages = []

    def on_llm_end(self, response, **kwargs):
        usage = response.generations[0][0].message.usage_metadata
        self.usages.append(usage and usage["input_tokens"])


class AsyncEnds(AsyncCallbackHandler, Ends):
    async def on_llm_end(self, response, **kwargs):
        Ends.on_llm_end(self, response, **kwargs)


def tokens_of(run):
    message = run.outputs["generations"][0][0]["message"]["kwargs"]
    return (message.get("usage_metadata") or {}).get("input_tokens", 0)


@pytest.fixture(autouse=True)
def _escalating(server, judged):
    """The judge rejects what the tiers below the top answer."""
    server.scripts["medium"] = judged("Paris", "no")


@pytest.fixture
def sent(server):
    """Return how many tokens all requests had."""
    return lambda: sum(len(request.text.split()) for request in server.requests)


@pytest.mark.parametrize("traced", [False, True], ids=["alone", "beside a tracer"])
@pytest.mark.parametrize("kind", [Ends, AsyncEnds])
def test_a_handler_that_sees_one_run_is_told_the_sum(tiered, take, sent, kind, traced, tracer):
    if kind is AsyncEnds and take.way in ("invoke", "stream"):
        pytest.skip("a sync run calls an async handler in a loop of its own")
    handler = kind()
    take(tiered().with_config(callbacks=[handler, tracer] if traced else [handler]), ASK)

    assert handler.usages == [sent()]
    if traced:
        (root,) = tracer.roots
        assert tokens_of(root) == 0
        assert sum(map(tokens_of, root.child_runs)) == sent()


@pytest.mark.parametrize("way", ["invoke", "stream"])
@pytest.mark.parametrize("traced", [False, True], ids=["alone", "beside a tracer"])
async def test_the_last_event_has_the_sum(tiered, sent, way, traced, tracer):
    model = tiered()

    async def ask(state):
        if way == "invoke":
            return {"text": (await model.ainvoke(ASK)).text}
        return {"text": "".join([chunk.text async for chunk in model.astream(ASK)])}

    graph = StateGraph(dict)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    config = {"callbacks": [tracer]} if traced else None
    events = [event async for event in graph.compile().astream_events({}, config, version="v2")]

    (end,) = [event for event in events if event["event"] == "on_chat_model_end"]
    assert end["data"]["output"].usage_metadata["input_tokens"] == sent()


async def test_the_last_event_of_the_model_itself_has_the_sum(tiered, sent):
    events = [event async for event in tiered().astream_events(ASK, version="v2")]

    assert events[-1]["data"]["output"].usage_metadata["input_tokens"] == sent()


class Session(requests.Session):
    """LangSmith's server, as far as its client sends runs to it."""

    def __init__(self):
        super().__init__()
        self.runs = {}
        self._lock = threading.Lock()

    def request(self, method, url, data=None, **kwargs):
        if method in ("POST", "PATCH") and "/runs" in url:
            told = json.loads(data)
            with self._lock:
                run = self.runs.setdefault(told.get("id") or url.rpartition("/")[2], {})
                run.update({name: value for name, value in told.items() if value is not None})
        answer = requests.Response()
        answer.status_code, answer._content = 200, b"{}"
        return answer


@pytest.fixture
def smith():
    """LangSmith's own client and tracer; the client's session keeps what would be sent."""
    session = Session()
    client = Client(api_url="https://smith.invalid", api_key="none", session=session, auto_batch_tracing=False, info={})
    session.tracer = LangChainTracer(client=client, project_name="tests")
    return session


def test_langsmith_groups_runs_by_the_tier_that_answered(tiered, take, smith, sent):
    items = take(tiered(node="drafts").with_config(callbacks=[smith.tracer]), ASK)
    smith.tracer.wait_for_futures()

    trace = items[-1].response_metadata["tiers"]
    (root,) = [run for run in smith.runs.values() if not run.get("parent_run_id")]
    assert {"tier:large", "node:drafts"} <= set(root["tags"])
    assert [tag for tag in root["tags"] if tag.startswith("reason:")]
    metadata = root["extra"]["metadata"]
    assert metadata["llm_tiers.trace_id"] == trace["trace_id"]
    assert metadata["llm_tiers.tier"] == "large"
    assert metadata["llm_tiers.reason"] == trace["reason"]
    inner = [run for run in smith.runs.values() if run.get("parent_run_id")]
    assert {run["extra"]["metadata"]["llm_tiers.trace_id"] for run in inner} == {trace["trace_id"]}
    usages = [run["extra"]["metadata"].get("usage_metadata", {}) for run in smith.runs.values()]
    assert sum(usage.get("input_tokens", 0) for usage in usages) == sent()


def test_langsmith_knows_the_calls_that_failed(server, tiered, smith, take):
    server.scripts = dict.fromkeys(server.scripts, HttpError(500))
    with pytest.raises(AllTiersFailed) as raised:
        take(tiered().with_config(callbacks=[smith.tracer]), ASK)
    smith.tracer.wait_for_futures()

    (root,) = [run for run in smith.runs.values() if not run.get("parent_run_id")]
    assert "tier:none" in root["tags"]
    assert root["extra"]["metadata"]["llm_tiers.trace_id"] == raised.value.trace.trace_id


class TestSpans:
    """OpenTelemetry's spans of a call."""

    @pytest.fixture
    def exporter(self):
        return InMemorySpanExporter()

    @pytest.fixture
    def provider(self, exporter):
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        return provider

    def test_each_way_to_ask_has_one_with_the_model_calls_below(self, tiered, take, sent, provider, exporter):
        model = tiered(telemetry=Telemetry(tracer_provider=provider))
        tracer = provider.get_tracer("the user's")
        with tracer.start_as_current_span("the user's") as around:
            take(model, ASK)

        spans = exporter.get_finished_spans()
        (own,) = [span for span in spans if span.name == "chat llm-tiers"]
        assert own.parent.span_id == around.get_span_context().span_id
        assert own.attributes["gen_ai.response.model"] == "large"
        inner = [span for span in spans if span.parent and span.parent.span_id == own.context.span_id]
        assert {span.attributes["gen_ai.provider.name"] for span in inner} == {"openai"}
        assert sum(span.attributes["gen_ai.usage.input_tokens"] for span in inner) == sent()

    def test_in_a_graph_they_belong_to_the_nodes_own_span(self, tiered, provider, exporter):
        model = tiered(telemetry=Telemetry(tracer_provider=provider))
        tracer = provider.get_tracer("the user's")

        def ask(state):
            with tracer.start_as_current_span("node"):
                return {"text": model.invoke(ASK).text}

        graph = StateGraph(dict)
        graph.add_node("ask", ask)
        graph.add_edge(START, "ask")
        asyncio.run(graph.compile().ainvoke({}))

        spans = {span.name: span for span in exporter.get_finished_spans()}
        assert spans["chat llm-tiers"].parent.span_id == spans["node"].context.span_id
        assert spans["chat llm-tiers"].attributes["llm_tiers.node"] == "ask"

    def test_switched_off_there_are_none(self, tiered, take, provider, exporter):
        take(tiered(telemetry=False), ASK)

        assert exporter.get_finished_spans() == ()

    def test_a_copy_tells_the_same(self, tiered, provider, exporter):
        tiered(telemetry=Telemetry(tracer_provider=provider)).model_copy(update={"node": "copy"}).invoke(ASK)

        assert "chat llm-tiers" in {span.name for span in exporter.get_finished_spans()}
