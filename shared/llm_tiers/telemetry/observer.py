"""Telling OpenTelemetry of calls while they last: a span around each, and one for each model call in it."""

from __future__ import annotations

import importlib.metadata
import inspect
import time
from collections.abc import AsyncGenerator, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from llm_tiers.owned import owned
from llm_tiers.telemetry.attributes import (
    OWN_NAME,
    Served,
    attributes_of,
    attributes_of_model_call,
    attributes_of_reply,
    error_type,
)
from llm_tiers.telemetry.content import content_of, is_told
from llm_tiers.telemetry.evaluations import EVENT, Evaluation, comparisons_of, grades_of, verdicts_of
from llm_tiers.telemetry.metrics import Metrics
from llm_tiers.telemetry.others import are_instrumented

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from llm_tiers.call.answer import Answer
    from llm_tiers.call.call import Call
    from llm_tiers.call.requests import ModelCall, Reply
    from llm_tiers.ladder.tiers import Ladder
    from llm_tiers.telemetry.settings import Telemetry
    from llm_tiers.trace import Attempt, Trace

__all__ = ["UNOBSERVED", "Observed", "ObservedModelCall", "Observer"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_NOTHING: AbstractContextManager[None] = nullcontext()


class ObservedModelCall:
    """A model call that nobody observes, and what may be told of one."""

    def active(self) -> AbstractContextManager[None]:
        """Make the model call the one that spans belong to that are made meanwhile, in this thread or task."""
        return _NOTHING

    def end(self, attempt: Attempt, reply: Reply) -> None:
        """Tell how it ended."""


class Observed:
    """A call that nobody observes, and what may be told of one."""

    def active(self) -> AbstractContextManager[None]:
        """Make the call the one that spans belong to that are made meanwhile, in this thread or task."""
        return _NOTHING

    def each(self, items: Generator[Item, None, Result]) -> Generator[Item, None, Result]:
        """Take items; the call is active only while each is made, since the consumer's spans do not belong to it."""
        return items

    def aeach(self, items: AsyncGenerator[Item]) -> AsyncGenerator[Item]:
        """Take items in asyncio; as `each`."""
        return items

    def model_call(self, call: ModelCall) -> ObservedModelCall:  # noqa: ARG002
        """Begin to observe a model call."""
        return _UNOBSERVED_MODEL_CALL

    def end(
        self, trace: Trace, said: Mapping[str, int], answer: Answer | None, error: BaseException | None = None
    ) -> None:
        """Tell how the call ended.

        Args:
            trace: Its trace.
            said: Tier name to a number: equal numbers are equal answers, -1 is none.
            answer: The answer that was returned, or None.
            error: What ended it, or None.
        """

    def graded(self, trace: Trace) -> None:
        """Tell how its answers were graded, after it ended."""


UNOBSERVED = Observed()
_UNOBSERVED_MODEL_CALL = ObservedModelCall()


class Observer:
    """Observes the calls of one engine.

    Args:
        settings: Where spans, metrics and events go.
        ladder: The tiers.
    """

    def __init__(self, settings: Telemetry, ladder: Ladder) -> None:
        self._settings = settings
        self._ladder = ladder

    def around(self) -> Context | None:
        """Return the context that a call belongs to which is described now; None where no SDK is configured."""
        api = self._api
        return None if api is None or api.is_idle() else api.around()

    def begin(self, call: Call, policy: str) -> Observed:
        """Begin to observe a call; what is returned does nothing where no SDK is configured.

        Args:
            call: The call.
            policy: Name of the policy that answers it.
        """
        api = self._api
        if api is None or api.is_idle():
            return UNOBSERVED
        tier_spans = self._settings.tier_spans
        if tier_spans is None:
            tier_spans = not (call.traced or are_instrumented())
        return _Call(api, call, policy, self._served, tier_spans=tier_spans)

    @cached_property
    def _api(self) -> _Api | None:
        # At the first call: the import takes a noticeable part of the time that a model needs to be made.
        try:
            return _Api(self._settings)
        except ImportError:
            return None

    @cached_property
    def _served(self) -> Mapping[str, Served]:
        return {tier.name: Served.by(tier) for tier in self._ladder}


class _Api:
    """OpenTelemetry's API, which may be missing.

    Raises:
        ImportError: It is missing.
    """

    def __init__(self, settings: Telemetry) -> None:
        from opentelemetry import _logs, context, metrics, trace

        self.trace, self.context, self._logs, self._metrics = trace, context, _logs, metrics
        self._settings = settings
        named = OWN_NAME, _version()
        self.tracer = trace.get_tracer(*named, settings.tracer_provider)
        self.metrics = Metrics(metrics.get_meter(*named, settings.meter_provider))
        self._logger = _logs.get_logger(*named, logger_provider=settings.logger_provider)
        # Before 1.35 a record has no name; then spans carry the events.
        self._names_events = "event_name" in inspect.signature(_logs.LogRecord.__init__).parameters

    def is_idle(self) -> bool:
        """Say whether nobody has configured anything that would take what is told."""
        given = self._settings
        return (
            _is_idle(given.tracer_provider or self.trace.get_tracer_provider())
            and _is_idle(given.meter_provider or self._metrics.get_meter_provider())
            and _is_idle(given.logger_provider or self._logs.get_logger_provider())
        )

    def around(self) -> Context:
        """Return the current context."""
        # The bare place of its span: OpenInference takes its own span back when the method returns a stream.
        place = self.trace.get_current_span().get_span_context()
        return self.trace.set_span_in_context(self.trace.NonRecordingSpan(place))

    @contextmanager
    def attached(self, context: Context) -> Iterator[None]:
        """Make a context the current one."""
        token = self.context.attach(context)
        try:
            yield
        finally:
            self.context.detach(token)

    def tell(self, found: Iterable[Evaluation], span: Span, contexts: Mapping[str, Context], around: Context) -> None:
        """Send the events of evaluations, or leave them on a span where nobody takes events.

        Args:
            found: The evaluations.
            span: The span of the call.
            contexts: By a tier's name, the context of its model call.
            around: The context of the call.
        """
        with_content = is_told()
        logger = self._settings.logger_provider or self._logs.get_logger_provider()
        as_records = self._names_events and not _is_idle(logger)
        for one in found:
            attributes = one.attributes(with_content=with_content)
            if not as_records:
                span.add_event(EVENT, attributes)
                continue
            self._logger.emit(
                self._logs.LogRecord(
                    timestamp=time.time_ns(),
                    context=contexts.get(one.tier, around),
                    severity_number=self._logs.SeverityNumber.INFO,
                    attributes=attributes,
                    event_name=EVENT,
                )
            )


def _is_idle(provider: object) -> bool:
    # By name: the API's stand-ins for a provider that is not there are private classes.
    return type(provider).__name__.lstrip("_").startswith(("Proxy", "NoOp"))


def _version() -> str:
    try:
        return importlib.metadata.version(OWN_NAME)
    except importlib.metadata.PackageNotFoundError:
        return ""


@dataclass(slots=True)
class _Call(Observed):
    """A call that is observed.

    Args:
        api: OpenTelemetry's API.
        call: The call.
        policy: Name of the policy that answers it.
        served: Who serves each tier, by its name.
        tier_spans: Whether each model call has a span.
    """

    api: _Api
    call: Call
    policy: str
    served: Mapping[str, Served]
    tier_spans: bool = field(kw_only=True)
    span: Span = field(init=False)
    context: Context = field(init=False)
    contexts: dict[str, Context] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        # What is known already, for samplers.
        known = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": OWN_NAME,
            "gen_ai.request.model": OWN_NAME,
            "llm_tiers.trace_id": self.call.id,
            "llm_tiers.node": self.call.node,
            "llm_tiers.policy": self.policy,
        }
        around = self.call.around
        self.span = self.api.tracer.start_span(f"chat {OWN_NAME}", around, attributes=known)
        self.context = self.api.trace.set_span_in_context(self.span, around)

    def active(self) -> AbstractContextManager[None]:
        return self.api.attached(self.context)

    def each(self, items: Generator[Item, None, Result]) -> Generator[Item, None, Result]:
        with closing(items):
            while True:
                try:
                    with self.active():
                        item = next(items)
                except StopIteration as stop:
                    result: Result = stop.value
                    return result
                yield item

    async def aeach(self, items: AsyncGenerator[Item]) -> AsyncGenerator[Item]:
        async with owned(items) as inside:
            while True:
                try:
                    with self.active():
                        item = await anext(inside)
                except StopAsyncIteration:
                    return
                yield item

    def model_call(self, call: ModelCall) -> ObservedModelCall:
        if not self.tier_spans:
            return _UNOBSERVED_MODEL_CALL
        served = self.served.get(call.tier.name) or Served.by(call.tier)
        span = self.api.tracer.start_span(
            f"chat {served.model}",
            # Not the current context: a grader's model is called when the call has ended.
            self.context,
            kind=self.api.trace.SpanKind.CLIENT,
            attributes=attributes_of_model_call(call, served),
        )
        context = self.api.trace.set_span_in_context(span, self.context)
        if call.role not in {"judge", "grade"}:
            self.contexts[call.tier.name] = context
        return _ModelCall(self.api, span, context)

    def end(
        self, trace: Trace, said: Mapping[str, int], answer: Answer | None, error: BaseException | None = None
    ) -> None:
        try:
            kind = None if error is None else error_type(error)
            self.api.metrics.count(trace, said, kind)
            self._tell((*verdicts_of(trace), *comparisons_of(trace, said)))
            if self.span.is_recording():
                self.span.set_attributes(attributes_of(trace, self.served))
                if is_told(on_spans=True):
                    self.span.set_attributes(content_of(self.call, answer))
                if error is not None and kind is not None:
                    self.span.set_attribute("error.type", kind)
                    # What a provider says of an error may quote the question.
                    words = str(error) if is_told(on_spans=True) else ""
                    self.span.set_status(self.api.trace.StatusCode.ERROR, words or kind)
        finally:
            self.span.end()

    def graded(self, trace: Trace) -> None:
        self.api.metrics.count_grading(trace)
        grades = () if trace.grading is None else tuple(grades_of(trace.grading))
        if grades:
            # The span of the call has ended, and takes no events any more.
            with self.api.tracer.start_as_current_span(f"grade {OWN_NAME}", self.context) as span:
                self._tell(grades, span)

    def _tell(self, found: Iterable[Evaluation], span: Span | None = None) -> None:
        self.api.tell(found, span or self.span, self.contexts, self.context)


@dataclass(frozen=True, slots=True)
class _ModelCall(ObservedModelCall):
    """A model call that is observed."""

    api: _Api
    span: Span
    context: Context

    def active(self) -> AbstractContextManager[None]:
        return self.api.attached(self.context)

    def end(self, attempt: Attempt, reply: Reply) -> None:
        if self.span.is_recording():
            self.span.set_attributes(attributes_of_reply(attempt, reply))
            if attempt.error is not None:
                said = attempt.error if is_told(on_spans=True) else attempt.error.partition(":")[0]
                self.span.set_status(self.api.trace.StatusCode.ERROR, said)
        self.span.end()
