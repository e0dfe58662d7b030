"""OpenTelemetry's own SDK, which keeps in memory what it is told."""

import pytest
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from llm_tiers import FunctionJudge, Telemetry


class Kept(LogRecordProcessor):
    """Keeps the records of events."""

    def __init__(self):
        self.records = []

    def on_emit(self, log_record):
        self.records.append(log_record.log_record)

    def shutdown(self):
        pass

    def force_flush(self, timeout_millis=30_000):
        return True


class Told:
    """What OpenTelemetry has been told."""

    def __init__(self, *, events=True):
        self._spans, self._metrics, self._events = InMemorySpanExporter(), InMemoryMetricReader(), Kept()
        self.tracers, meters = TracerProvider(), MeterProvider([self._metrics])
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self.tracer = self.tracers.get_tracer("the user's")
        self.providers = {"tracer_provider": self.tracers, "meter_provider": meters}
        if events:
            loggers = LoggerProvider()
            loggers.add_log_record_processor(self._events)
            self.providers["logger_provider"] = loggers

    def telemetry(self, **settings):
        return Telemetry(**self.providers, **settings)

    @property
    def spans(self):
        return self._spans.get_finished_spans()

    def span(self, name="chat llm-tiers"):
        (found,) = [span for span in self.spans if span.name == name]
        return found

    @property
    def leaves(self):
        return [span for span in self.spans if span.name not in ("chat llm-tiers", "grade llm-tiers")]

    @property
    def events(self):
        return self._events.records

    @property
    def metrics(self):
        """By name: the sum over all attributes."""
        data = self._metrics.get_metrics_data()
        found = [metric for of in data.resource_metrics for scope in of.scope_metrics for metric in scope.metrics]
        return {metric.name: sum(point.value for point in metric.data.data_points) for metric in found}


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def told_without_events():
    return Told(events=False)


@pytest.fixture
def watched(scripted, told):
    """Make an engine whose calls are told; below the top every answer with a "?" is rejected."""

    def make(*, of=told, tiers=None, telemetry=None, **settings):
        return scripted.Bench(
            scripted.Planned("small"),
            FunctionJudge(lambda question, answer: "?" not in answer),
            tiers,
            scripted.ListHistory(),
            telemetry=of.telemetry() if telemetry is None else telemetry,
            **settings,
        )

    return make
