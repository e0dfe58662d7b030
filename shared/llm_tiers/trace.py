"""What happened on one call and why, small enough to travel with the answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from llm_tiers.telling.call import html_of, sentences_of
from llm_tiers.usage import TotalUsage

__all__ = ["SHORT_TRACE", "Attempt", "Certificate", "Grading", "Role", "Trace", "cached_trace"]

Role: TypeAlias = Literal["generate", "witness", "judge", "audit", "grade"]
"""What a model call is for."""

# Bytes. Frameworks write each message into checkpoints, so the trace must stay small; see `Trace.to_dict`.
_LIMIT = 2_000
SHORT_TRACE = 480
"""Bytes of the trace in a message, by default: each checkpoint holds those of all messages."""

_TEXT_LENGTHS = (160, 80, 40, 24)

_SILENT = ("estimates", "neighbours", "confidence", "certificate", "grading", "cached", "saved_is_estimate", "degraded")
"""What is left out of a short trace where it is None, 0, False or empty, as its absence says the same."""

_UNSAID: dict[str, Any] = {"estimates": {}, "neighbours": 0, "saved_is_estimate": False}
"""What the shortest traces leave out."""

_OF_LEAN_ATTEMPTS = ("tier", "role", "verdict", "cost_usd", "error")
"""What a short trace keeps of an attempt."""


class Attempt(BaseModel):
    """One model call.

    Attributes:
        tier: Name of the tier.
        role: What the call was for.
        verdict: What the judge said of this answer; None where nobody judged it.
        by: What decided the verdict, such as `"prompt"`, or None.
        why: What the judge found, where it says so.
        input_tokens: Input tokens, None where the provider does not say.
        output_tokens: Output tokens, None where the provider does not say.
        seconds: How long the call took.
        cost_usd: What the call cost, None where its tokens or its price are unknown.
        error: Why the call failed, or None.
    """

    model_config = ConfigDict(frozen=True)

    tier: str
    role: Role
    verdict: Literal["valid", "invalid", "uncertain"] | None = None
    by: str | None = None
    why: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    seconds: float = 0.0
    cost_usd: float | None = None
    error: str | None = None


class Grading(BaseModel):
    """How the answers of a profiled call were graded, which happens after the user has the answer.

    Attributes:
        state: `"pending"` in the trace that comes with the answer; `"done"`, or `"skipped"` where nothing could be
            graded, in the trace that `on_trace` gets.
        grades: Tier name to how right its answer is, in [0, 1]; a tier without a grade is absent.
        outcomes: Tier name to why it has no grade, such as `"timed out: ..."`, or what is to be said of the one it has.
        contradicted: Tier name to whether the grader contradicted itself, where it compared in both orders.
        cost_usd: What grading cost; None where that is unknown. It is a part of the trace's `cost_usd`.
        why: Why nothing was graded, or None.
    """

    model_config = ConfigDict(frozen=True)

    state: Literal["pending", "done", "skipped"]
    grades: dict[str, float] = {}
    outcomes: dict[str, str] = {}
    contradicted: dict[str, bool] = {}
    cost_usd: float | None = 0.0
    why: str | None = None


class Certificate(BaseModel):
    """What a guarantee has proved at a node.

    Attributes:
        delta: Share of the calls on which the answers may be worse than the top tier's.
        confidence: The chance that this is so.
        rules: Name of a rule to the share of the calls that it answers; `a+b>c` is "a and b agree: b, else c".
        calls: On how many profiled calls it rests.
        of: What counts as worse: another answer (`"equality"`), a lower grade (`"grade"`), or another answer unless
            feedback says that the top tier's was wrong (`"feedback"`).
        sources: Who graded these calls, and how many of them.
        since: When it was proved, in seconds since 1970.
    """

    model_config = ConfigDict(frozen=True)

    delta: float
    confidence: float
    rules: dict[str, float]
    calls: int
    of: Literal["equality", "grade", "feedback"]
    sources: dict[str, int] = {}
    since: float


class Trace(BaseModel):
    """What happened on one call and why.

    Attributes:
        trace_id: What `feedback` takes.
        node: Where in the user's graph the call came from.
        policy: Name of the policy.
        start: Name of the tier that answered first; None where the call ended before one was chosen.
        reason: Why the starter chose it.
        estimates: Each tier's chance to get the query right, as the starter saw it.
        neighbours: How many similar past calls the estimates rest on.
        attempts: Every model call, in the order of their ends.
        final: Name of the tier whose answer was returned; None where none was.
        degraded: No tier from the start upward gave an answer that stands, so another one's was returned; `warnings`
            says whose.
        confidence: Chance that the answer is right, in [0, 1]; `reason` says by which grades, or that it rests on
            agreement alone. Of the doubt cascade: that the top tier would have given the same answer. None where
            nothing is known.
        usage: The tokens of all model calls together; None where no provider reported any.
        cost_usd: What the call cost, judge and witnesses included; None where one attempt's cost is unknown.
        saved_usd: What the top tier alone would have cost, less `cost_usd`; negative where tiering cost more.
        saved_is_estimate: The top tier did not answer, so its cost is estimated from the tokens of the answer that
            was returned. A dearer tier often writes more, so this errs on the low side.
        seconds: How long the model calls took; side by side the longest counts.
        warnings: What went wrong without stopping the call, and what was left out.
        certificate: What the policy has proved at the node; None where nothing, or by policies that prove nothing.
        grading: How the answers were graded, on a profiled call of a model with a grader; None on other calls.
        cached: The answer came from a framework's cache: it cost nothing, and the rest is said of the call that made
            it.
    """

    model_config = ConfigDict(frozen=True)

    trace_id: str
    node: str = ""
    policy: str
    start: str | None = None
    reason: str = ""
    estimates: dict[str, float] = {}
    neighbours: int = 0
    attempts: tuple[Attempt, ...] = ()
    final: str | None = None
    degraded: bool = False
    confidence: float | None = None
    usage: TotalUsage | None = None
    cost_usd: float | None = None
    saved_usd: float | None = None
    saved_is_estimate: bool = False
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    certificate: Certificate | None = None
    grading: Grading | None = None
    cached: bool = False

    def with_grading(
        self, grading: Grading, attempts: tuple[Attempt, ...] = (), usage: TotalUsage | None = None
    ) -> Trace:
        """Return the trace with the grading that followed the call, its costs and its tokens.

        Args:
            grading: What came of it.
            attempts: The grader's model calls; they add to the cost, and not to the seconds that the user waited.
            usage: The tokens of these calls.
        """
        cost = grading.cost_usd
        return self.model_copy(
            update={
                "grading": grading,
                "attempts": (*self.attempts, *attempts),
                "usage": usage if self.usage is None else self.usage.plus(usage),
                "cost_usd": None if self.cost_usd is None or cost is None else self.cost_usd + cost,
                "saved_usd": None if self.saved_usd is None or cost is None else self.saved_usd - cost,
            }
        )

    def with_shadow(self, attempts: tuple[Attempt, ...], usage: TotalUsage | None = None) -> Trace:
        """Return the trace of a served call with what was asked after it, to observe tiering.

        Args:
            attempts: The model calls; they add to the cost, and not to the seconds that the user waited.
            usage: The tokens of these calls.
        """
        costs = [one.cost_usd for one in attempts if one.error is None or one.input_tokens]
        cost = None if None in costs else sum(one for one in costs if one is not None)
        return self.model_copy(
            update={
                "attempts": (*self.attempts, *attempts),
                "usage": usage if self.usage is None else self.usage.plus(usage),
                "cost_usd": None if self.cost_usd is None or cost is None else self.cost_usd + cost,
                "saved_usd": None if self.saved_usd is None or cost is None else self.saved_usd - cost,
            }
        )

    def without_texts(self) -> Trace:
        """Return the trace without what others said: of an error or a warning the kind is left.

        A provider's error may quote the prompt.
        """
        attempts = [attempt.model_copy(update={"error": _kind_of(attempt.error)}) for attempt in self.attempts]
        grading = self.grading
        if grading is not None:
            outcomes = {tier: _kind_of(outcome) for tier, outcome in grading.outcomes.items()}
            grading = grading.model_copy(update={"outcomes": outcomes, "why": _kind_of(grading.why)})
        # What a warning of ours is about stands before the first colon, and the class of an error after it.
        warnings = tuple(": ".join(text.split(": ")[:2]) for text in self.warnings)
        return self.model_copy(update={"attempts": tuple(attempts), "warnings": warnings, "grading": grading})

    def to_dict(self, most: int | None = _LIMIT) -> dict[str, Any]:
        """Return the trace as JSON-ready data of at most `most` bytes, 2,000 by default: it ends up in checkpoints.

        Numbers are rounded. If the trace is too long, first attempts leave out what is None and the usage what is 0,
        then texts are cut, then it leaves out what says nothing and the details of attempts, and last the estimates and
        the earliest attempts are dropped.

        Args:
            most: Most bytes; 480 hold any trace of a few tiers. None for all of it.
        """
        data: dict[str, Any] = _rounded(self.model_dump(mode="json"), 6)
        if most is None:
            return data
        return next((slim for slim in _slimmer(data) if _size(slim) <= most), None) or _bare(data, most)

    def explain(self) -> str:
        """Say in plain sentences who was asked and why, what it cost, why it stopped, and what the top would have cost.

        Returns:
            One sentence a line.
        """
        return "\n".join(sentences_of(self.model_dump(mode="json")))

    def _repr_html_(self) -> str:
        """Return what notebooks show."""
        return html_of(self.model_dump(mode="json"))


def _kind_of(text: str | None) -> str | None:
    return text and text.partition(": ")[0]


def cached_trace(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trace, as `Trace.to_dict` gives it, of an answer that was taken from a cache."""
    cost, saved = data.get("cost_usd"), data.get("saved_usd")
    # The top tier would have been asked instead, at what it was known or estimated to cost.
    spared = None if cost is None or saved is None else cost + saved
    return {**data, "cached": True, "cost_usd": 0.0, "saved_usd": spared, "seconds": 0.0}


def _slimmer(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    # Smaller and smaller versions, from what a reader misses least to what they miss most.
    yield data
    usage = data["usage"] and {key: tokens for key, tokens in data["usage"].items() if tokens}
    attempts = [_without_none(attempt) for attempt in data["attempts"]]
    data = _rounded(data | {"attempts": attempts, "usage": usage}, 3)
    yield data
    for length in _TEXT_LENGTHS[:2]:
        yield _shortened(data, length)
    for length in _TEXT_LENGTHS[:2]:
        yield _shortened(_lean(data), length)
    for length in _TEXT_LENGTHS[1:]:
        # The reason says what follows from the estimates and their neighbours.
        yield _shortened(_lean(data | _UNSAID), length)


def _lean(data: dict[str, Any]) -> dict[str, Any]:
    """Leave out what says nothing, and of the attempts what is a part of the sums or told by the reason."""
    attempts = [{key: attempt[key] for key in _OF_LEAN_ATTEMPTS if key in attempt} for attempt in data["attempts"]]
    silent = {key for key in _SILENT if not data[key]}
    return {key: value for key, value in data.items() if key not in silent} | {"attempts": attempts}


def _bare(data: dict[str, Any], most: int) -> dict[str, Any]:
    """Keep the sums and the last attempts only, for ladders far longer than usual."""
    grading = data["grading"] and data["grading"] | {"grades": {}, "outcomes": {}, "contradicted": {}}
    usage = data["usage"] and {key: tokens for key, tokens in data["usage"].items() if tokens}
    # Rounded as before, since the steps up to here have not fitted.
    data = _rounded(data | {"grading": grading, "certificate": None, "usage": usage, "estimates": {}}, 3)
    attempts = [_without_none(attempt) for attempt in data["attempts"]]
    data = _shortened(_lean(data | {"attempts": attempts}), _TEXT_LENGTHS[-1])
    for key in ("attempts", "warnings"):
        while data[key] and _size(data) > most:
            # The first warning says the most, and the last attempt.
            data = data | {key: data[key][1:] if key == "attempts" else data[key][:-1]}
    return data


def _size(data: dict[str, Any]) -> int:
    return len(json.dumps(data).encode())


def _rounded(value: Any, digits: int) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item, digits) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item, digits) for item in value]
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value


def _without_none(attempt: dict[str, Any]) -> dict[str, Any]:
    # `cost_usd` stays: a missing key could be read as "free", None says that the cost is unknown.
    return {key: value for key, value in attempt.items() if value is not None or key == "cost_usd"}


def _shortened(data: dict[str, Any], length: int) -> dict[str, Any]:
    attempts = [
        attempt | {key: _cut(attempt[key], length) for key in ("error", "why") if attempt.get(key)}
        for attempt in data["attempts"]
    ]
    warnings = [_cut(text, length) for text in data["warnings"][:3]]
    texts = {key: _cut(data[key], length) for key in ("reason", "node")}
    grading = {"grading": _shortened_grading(data, length)} if "grading" in data else {}
    return data | texts | {"attempts": attempts, "warnings": warnings} | grading


def _shortened_grading(data: dict[str, Any], length: int) -> dict[str, Any] | None:
    grading: dict[str, Any] | None = data.get("grading")
    if grading is None:
        return None
    outcomes = {tier: _cut(text, length) for tier, text in grading["outcomes"].items()}
    return grading | {"outcomes": outcomes, "why": grading["why"] and _cut(grading["why"], length)}


def _cut(text: str, length: int) -> str:
    """Cut a text to `length` bytes as JSON writes it, where a letter of another script takes six."""
    if len(json.dumps(text)) <= length:
        return text
    # Six bytes for the ellipsis, which JSON writes as an escape.
    while len(json.dumps(text)) > length - 6:
        text = text[:-1]
    return text + "…"
