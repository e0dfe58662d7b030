"""Whether somebody else makes spans of the model calls: then ours would count their tokens twice."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

__all__ = ["are_instrumented", "makes_spans"]

_OBSERVERS = ("langchain_azure_ai", "langfuse", "logfire", "openinference", "openlit", "opentelemetry", "traceloop")
"""Packages whose handlers make spans with tokens."""

_INSTRUMENTED = (
    *("openai", "anthropic", "langchain", "llama_index", "llamaindex", "google_genai", "google_generativeai"),
    *("vertexai", "bedrock", "mistralai", "cohere", "groq", "ollama", "litellm", "together", "watsonx", "replicate"),
)
"""What is instrumented where the spans have tokens; an instrumented HTTP client counts none."""

_NO = ("", "0", "false", "no")


def makes_spans(handlers: Iterable[object]) -> bool:
    """Say whether one of a framework's handlers makes OpenTelemetry spans of the model calls."""
    return any(_makes_spans(type(handler).__module__) for handler in handlers)


def _makes_spans(module: str) -> bool:
    package = module.partition(".")[0]
    if package == "mlflow":
        # By default MLflow keeps its spans apart from everybody else's.
        return os.environ.get("MLFLOW_USE_DEFAULT_TRACER_PROVIDER", "true").lower() in _NO
    if module.startswith("langchain_core.tracers.langchain"):
        names = ("LANGSMITH_OTEL_ENABLED", "LANGCHAIN_OTEL_ENABLED")
        return any(os.environ.get(name, "").lower() not in _NO for name in names)
    return package in _OBSERVERS


def are_instrumented() -> bool:
    """Say whether a provider's client or a framework is instrumented in this process."""
    module = sys.modules.get("opentelemetry.instrumentation.instrumentor")
    base = getattr(module, "BaseInstrumentor", None)
    return base is not None and any(map(_is_active, base.__subclasses__()))


def _is_active(kind: type) -> bool:
    # The one object of its class, which an instrumentor makes when it is first called.
    made = kind.__dict__.get("_instance")
    active = getattr(made, "is_instrumented_by_opentelemetry", False)
    return bool(active) and any(name in kind.__module__ for name in _INSTRUMENTED)
