"""Opinions about answers that are kept elsewhere: LangSmith's feedback, Langfuse's scores, MLflow's assessments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, Protocol, TypeAlias, cast

from llm_tiers.arguments import grade_of, kind_of
from llm_tiers.errors import ConfigError

__all__ = ["Runs", "TakesFeedback", "feedback_from"]

Runs: TypeAlias = Mapping[str, Any] | Callable[[str], Any]
"""By a run's id: the run, the span, its metadata, or the trace id itself."""

TRACE_ID = "llm_tiers.trace_id"
"""The metadata of a run, and the attribute of a span, that has the id of the call's trace."""

_PREFIXED = (TRACE_ID, f"langfuse.observation.metadata.{TRACE_ID}")
_PLACES = ("metadata", "attributes", "extra", "data", "spans", "observations")
"""Where runs, spans and whole traces keep their metadata."""

_MOST = 10_000
"""Most places of one trace that are looked at."""

_DEEPEST = 5
_LONGEST_ID = 200

_OF_RUNS = ("run_id", "observation_id", "observationId", "trace_id", "traceId")
"""How LangSmith and Langfuse call what an opinion is about; the narrower first."""


class TakesFeedback(Protocol):
    """What feedback is given to: a model over a ladder, or an engine."""

    def feedback(self, trace_id: str, *, correct: bool | float, tier: str | None = None) -> Any:
        """Record how right an answer was."""
        ...


def feedback_from(opinion: Any, model: TakesFeedback, *, runs: Runs | None = None) -> str:
    """Give a model the feedback that LangSmith, Langfuse or MLflow keeps of one of its calls.

    Args:
        opinion: A `Feedback` of LangSmith's, a score of Langfuse's, an assessment of MLflow's, or one of them as a
            dict. Its score must be True, False or a number in [0, 1].
        model: A `TieredChatModel`, a `TieredLLM` or an `Engine`.
        runs: Finds the run by the id in the opinion, such as `client.read_run` of LangSmith, or a dict; the run's
            metadata has the trace id. None: the id in the opinion is the trace id, or its own metadata has it.

    Returns:
        The trace id of the call.

    Raises:
        ConfigError: The opinion has no score or no run, its score is out of range, or the run is not one of the
            model's calls, or several.
        UnknownTrace: The history has no record of the call.
    """
    correct = _score(opinion)
    trace_id = _trace_id(opinion, runs)
    model.feedback(trace_id, correct=correct)
    return trace_id


def _score(opinion: Any) -> float:
    # MLflow keeps it one level below.
    given = next((one for one in map(_reading(opinion), ("score", "value", "feedback")) if one is not None), None)
    if not isinstance(given, int | float | str):
        given = _read(given, "value")
    if given is None:
        raise ConfigError(f"feedback_from: {kind_of(opinion)} has no score")
    return grade_of(given, "feedback_from: the score")


def _trace_id(opinion: Any, runs: Runs | None) -> str:
    own = {*_found(opinion)}
    if len(own) == 1:
        return own.pop()
    # MLflow finds traces and not spans, and its `run_id` is an experiment's.
    of_mlflow = _read(opinion, "feedback") is not None
    names = ("trace_id",) if of_mlflow else _OF_RUNS
    told = next((one for one in map(_reading(opinion), names) if one is not None), None)
    if told is None:
        raise ConfigError(f"feedback_from: {kind_of(opinion)} names no run")
    name = str(told)[:_LONGEST_ID]
    if runs is None:
        return name
    run = runs(name) if callable(runs) else runs.get(name)
    if isinstance(run, str):
        return run
    found = {*_found(run, _read(opinion, "span_id") if of_mlflow else None)}
    if len(found) != 1:
        why = "has no metadata of a call" if not found else f"holds {len(found)} calls; name the run of one"
        raise ConfigError(f"feedback_from: the run {name!r} {why} ({TRACE_ID})")
    return found.pop()


def _found(place: Any, span_id: object = None) -> Iterator[str]:
    """Yield the trace ids in a run, a span or a trace, or those of one of its spans."""
    places = (one for one in islice(_within(place), _MOST) if span_id is None or _read(one, "span_id") == span_id)
    for one in islice(places if span_id is None else (inner for span in places for inner in _within(span)), _MOST):
        for name in _PREFIXED:
            value = _read(one, name)
            if isinstance(value, str) and value:
                # Some keep attributes as JSON.
                yield value.strip('"')[:_LONGEST_ID]


def _within(place: Any, depth: int = 0) -> Iterator[Any]:
    if place is None or depth > _DEEPEST:
        return
    if isinstance(place, list | tuple):
        for one in islice(place, _MOST):
            yield from _within(one, depth + 1)
        return
    yield place
    for name in _PLACES:
        value = _read(place, name)
        if isinstance(value, Mapping | list | tuple) or hasattr(value, "__dict__"):
            yield from _within(value, depth + 1)


def _reading(opinion: Any) -> Callable[[str], Any]:
    return lambda name: _read(opinion, name)


def _read(place: Any, name: str) -> Any:
    return cast("Any", place.get(name) if isinstance(place, Mapping) else getattr(place, name, None))
