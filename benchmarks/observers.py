"""What observers show of calls: the input tokens that each one counts, over those that were served.

    python benchmarks/observers.py

Needs no key and no network: the models are served on this machine, and what would be sent is kept in memory or in a
folder that is deleted. An observer that is not installed is left out, and the table says so.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.tracers import BaseTracer
from langchain_openai import ChatOpenAI
from llama_index.llms.openai_like import OpenAILike
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from langchain_tiers import TieredChatModel
from llamaindex_tiers import TieredLLM
from llm_tiers import Telemetry
from llm_tiers.testing import LoopbackServer

NAMES = ("small", "medium", "large")
ASK = "What is the capital of France?"
SETTINGS = {"policy": "estimate", "prices": dict.fromkeys(NAMES, (1, 2)), "history_timeout": 30}


def script(answer: str) -> Callable[[Any], str]:
    return lambda request: "no" if request.judges else answer


def ask_langchain(server: LoopbackServer, handlers: list[Any], telemetry: Any = None) -> None:
    key = uuid4().hex
    tiers = [ChatOpenAI(model=name, base_url=server.base_url, api_key=key, max_retries=0) for name in NAMES]
    with TieredChatModel(tiers, telemetry=telemetry, **SETTINGS) as model:
        config = {"callbacks": handlers}
        model.invoke(ASK, config)
        for _ in model.stream(ASK, config):
            pass


def ask_llamaindex(server: LoopbackServer, telemetry: Any = None) -> None:
    tiers = [OpenAILike(model=n, api_base=server.base_url, api_key="none", is_chat_model=True) for n in NAMES]
    with TieredLLM(tiers, telemetry=telemetry, **SETTINGS) as model:
        model.complete(ASK)
        for _ in model.stream_complete(ASK):
            pass


def kept() -> tuple[TracerProvider, InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter


def counted(exporter: InMemorySpanExporter) -> int:
    """Add up the tokens in spans, by whichever convention."""
    total = 0
    for span in exporter.get_finished_spans():
        told = dict(span.attributes or {})
        usage = json.loads(told.get("langfuse.observation.usage_details") or "{}")
        total += told.get("gen_ai.usage.input_tokens", 0) + told.get("llm.token_count.prompt", 0)
        total += usage.get("input", 0)
    return total


def opentelemetry(server: LoopbackServer) -> int:
    provider, exporter = kept()
    ask_langchain(server, [], Telemetry(tracer_provider=provider))
    return counted(exporter)


def token_counter(server: LoopbackServer) -> int:
    counter = UsageMetadataCallbackHandler()
    ask_langchain(server, [counter])
    return sum(usage["input_tokens"] for usage in counter.usage_metadata.values())


def langsmith(server: LoopbackServer) -> int:
    class Tracer(BaseTracer):
        """What LangSmith's tracer would send: its runs have the usage where this one finds it."""

        total = 0

        def _persist_run(self, run: Any) -> None:
            self.total += sum(map(self.tokens, [run, *run.child_runs]))

        def tokens(self, run: Any) -> int:
            usage = (run.extra.get("metadata") or {}).get("usage_metadata") or {}
            message = run.outputs["generations"][0][0]["message"]["kwargs"]
            return int((usage or message.get("usage_metadata") or {}).get("input_tokens", 0))

    tracer = Tracer()
    ask_langchain(server, [tracer])
    return tracer.total


def langfuse(server: LoopbackServer) -> int:
    from langfuse import Langfuse
    from langfuse.langchain import CallbackHandler

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    given = {"public_key": "pk-lf-none", "secret_key": "sk-lf-none", "base_url": "http://127.0.0.1:9"}
    client = Langfuse(**given, span_exporter=exporter, tracer_provider=provider)
    # Our own spans go there too, as they would with the process's provider.
    ask_langchain(server, [CallbackHandler(public_key="pk-lf-none")], Telemetry(tracer_provider=provider))
    client.flush()
    return counted(exporter)


def mlflow(server: LoopbackServer) -> int:
    os.environ |= {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false"}
    import mlflow

    with tempfile.TemporaryDirectory() as folder:
        mlflow.set_tracking_uri(f"file://{folder}")
        experiment = mlflow.set_experiment("calls").experiment_id
        mlflow.langchain.autolog()
        try:
            ask_langchain(server, [])
            traces = mlflow.search_traces(return_type="list", locations=[experiment])
        finally:
            mlflow.langchain.autolog(disable=True)
        return sum((trace.info.token_usage or {}).get("input_tokens", 0) for trace in traces)


@contextmanager
def instrumented(kind: Any) -> Iterator[tuple[TracerProvider, InMemorySpanExporter]]:
    provider, exporter = kept()
    instrumentor = kind()
    instrumentor.instrument(tracer_provider=provider)
    try:
        yield provider, exporter
    finally:
        instrumentor.uninstrument()


def openinference_langchain(server: LoopbackServer) -> int:
    from openinference.instrumentation.langchain import LangChainInstrumentor

    with instrumented(LangChainInstrumentor) as (provider, exporter):
        ask_langchain(server, [], Telemetry(tracer_provider=provider))
    return counted(exporter)


def openinference_llamaindex(server: LoopbackServer) -> int:
    from openinference.instrumentation.llama_index import LlamaIndexInstrumentor

    with instrumented(LlamaIndexInstrumentor) as (provider, exporter):
        ask_llamaindex(server, Telemetry(tracer_provider=provider))
    return counted(exporter)


OBSERVERS = {
    "OpenTelemetry alone": opentelemetry,
    "`UsageMetadataCallbackHandler`": token_counter,
    "LangChain's tracer, as LangSmith's": langsmith,
    "Langfuse's `CallbackHandler`": langfuse,
    "OpenInference (Phoenix), LangChain": openinference_langchain,
    "OpenInference (Phoenix), LlamaIndex": openinference_llamaindex,
    "MLflow's `langchain.autolog`": mlflow,
}


def main() -> None:
    logging.disable(logging.WARNING)
    print("| observer | it shows / what was served |\n|---|---|")
    for name, observed in OBSERVERS.items():
        with LoopbackServer({"small": "Lyon", "medium": script("Paris"), "large": script("Paris")}) as server:
            try:
                shown = observed(server)
            except ImportError as error:
                print(f"| {name} | not installed: {error.name} |")
                continue
            served = sum(len(request.text.split()) for request in server.requests)
            print(f"| {name} | {shown} / {served} |", flush=True)


if __name__ == "__main__":
    main()
