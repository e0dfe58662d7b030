"""What happened on a call, in sentences, from its trace as data; one that was shortened says less."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llm_tiers.telling.markup import Markup, bdi, el
from llm_tiers.telling.wording import MINUS, count, name, percent, usd

__all__ = ["html_of", "sentences_of"]

_MOST_TEXT = 400
"""Characters of a reason, an error or a warning: a provider's message may be as long as it likes."""

_MOST_ATTEMPTS = 50

_ROLES = {
    "generate": "",
    "witness": " beside it",
    "judge": " as the judge",
    "audit": ", since the call was drawn by lot to be answered by further tiers",
    "grade": " as the grader, after the call",
}

_VERDICTS = {
    "valid": "it was found valid",
    "invalid": "it was found invalid",
    "uncertain": "whether it is right was left undecided",
}


def sentences_of(trace: Mapping[str, Any]) -> list[str]:
    """Return who was asked and why, what it cost, why it stopped there, and what the top tier alone would have cost.

    Args:
        trace: A trace as `Trace.to_dict` gives it, shortened or not.
    """
    return [
        *_outcome(trace),
        *_beginning(trace),
        *_attempts(trace),
        *_end(trace),
        *_cost(trace),
        *_grading(trace),
        *_certificate(trace),
        *(f"Warning: {_text(warning)}." for warning in trace.get("warnings") or ()),
    ]


def _text(value: object) -> str:
    return name(str(value), _MOST_TEXT).rstrip(".")


def _outcome(trace: Mapping[str, Any]) -> Iterator[str]:
    where = f" of node {name(trace['node'])}" if trace.get("node") else ""
    policy = f", under the policy {name(trace['policy'])}" if trace.get("policy") else ""
    final = trace.get("final")
    if final is None:
        yield f"No tier's answer was returned on this call{where}{policy}."
    else:
        yield f"{name(final)} answered this call{where}{policy}."
    if trace.get("cached"):
        yield "The answer came from a cache and cost nothing; what follows is said of the call that made it."


def _beginning(trace: Mapping[str, Any]) -> Iterator[str]:
    start, reason = trace.get("start"), trace.get("reason")
    if start is None:
        yield "It ended before a tier was chosen."
    else:
        yield f"It began with {name(start)}{f': {_text(reason)}' if reason else ''}."
    estimates = trace.get("estimates") or {}
    if estimates:
        shown = ", ".join(f"{name(tier)} {percent(value)}" for tier, value in list(estimates.items())[:_MOST_ATTEMPTS])
        rests = f", by {count(trace['neighbours'])} similar past calls" if trace.get("neighbours") else ""
        yield f"The tiers' chances to be right were put at {shown}{rests}."


def _attempts(trace: Mapping[str, Any]) -> Iterator[str]:
    attempts = trace.get("attempts") or ()
    for attempt in attempts[:_MOST_ATTEMPTS]:
        tier = name(attempt.get("tier"))
        role = _ROLES.get(attempt.get("role", "generate"), "")
        spent = _spent(attempt)
        if attempt.get("error"):
            yield f"{tier} was asked{role} and failed{spent}: {_text(attempt['error'])}."
        else:
            yield f"{tier} was asked{role}{spent}{_verdict(attempt)}."
    if len(attempts) > _MOST_ATTEMPTS:
        yield f"{count(len(attempts) - _MOST_ATTEMPTS)} further model calls followed."


def _spent(attempt: Mapping[str, Any]) -> str:
    parts = []
    if attempt.get("input_tokens") is not None or attempt.get("output_tokens") is not None:
        read, wrote = (attempt.get(f"{way}_tokens") for way in ("input", "output"))
        parts.append(f"{'?' if read is None else count(read)} tokens in, {'?' if wrote is None else count(wrote)} out")
    if attempt.get("seconds"):
        parts.append(f"{attempt['seconds']:.3g} s")
    cost = attempt.get("cost_usd")
    parts.append("at an unknown cost" if cost is None else usd(cost))
    return f" ({', '.join(parts)})"


def _verdict(attempt: Mapping[str, Any]) -> str:
    verdict = _VERDICTS.get(attempt.get("verdict") or "")
    if verdict is None:
        return ""
    by = f" by {name(attempt['by'])}" if attempt.get("by") else ""
    why = f" ({_text(attempt['why'])})" if attempt.get("why") else ""
    return f"; {verdict}{by}{why}"


def _end(trace: Mapping[str, Any]) -> Iterator[str]:
    final = trace.get("final")
    if final is None:
        return
    own = [
        one
        for one in trace.get("attempts") or ()
        if one.get("tier") == final and one.get("role") not in ("judge", "grade") and not one.get("error")
    ]
    verdict = own[-1].get("verdict") if own else None
    if trace.get("degraded"):
        yield f"No tier from {name(trace.get('start'))} up gave an answer that stands, so {name(final)}'s was returned."
    elif verdict == "valid":
        yield f"It stopped there because the answer of {name(final)} was found valid."
    elif verdict is None:
        yield f"It stopped there because nobody judges the answer of {name(final)} on such a call."
    else:
        yield f"It stopped at {name(final)}: no tier above gave an answer that stands."
    if trace.get("confidence") is not None:
        yield f"The chance that the answer is right was put at {percent(trace['confidence'])}."


def _cost(trace: Mapping[str, Any]) -> Iterator[str]:
    cost, saved = trace.get("cost_usd"), trace.get("saved_usd")
    if cost is None:
        yield "What it cost is not known, since a price or a number of tokens is missing."
        return
    yield f"All together it cost {usd(cost)}{_time(trace)}."
    if saved is None:
        yield "What the top tier alone would have cost is not known."
        return
    guessed = " by its price for the tokens of this answer" if trace.get("saved_is_estimate") else ""
    what = f"{usd(saved)} less than" if saved > 0 else f"{usd(-saved)} more than" if saved < 0 else "as much as"
    yield f"The top tier alone would have cost {usd(cost + saved)}{guessed}: this call cost {what} that."


def _time(trace: Mapping[str, Any]) -> str:
    return f" and took {trace['seconds']:.3g} s" if trace.get("seconds") else ""


def _grading(trace: Mapping[str, Any]) -> Iterator[str]:
    grading = trace.get("grading")
    if not grading:
        return
    if grading.get("state") == "pending":
        yield "The answers are graded after the call; the trace that on_trace gets later has the grades."
    elif grading.get("grades"):
        shown = ", ".join(f"{name(tier)} {grade:.2g}" for tier, grade in grading["grades"].items())
        yield f"The answers were graded: {shown}."
    else:
        yield f"Nothing was graded{': ' + _text(grading['why']) if grading.get('why') else ''}."


def _certificate(trace: Mapping[str, Any]) -> Iterator[str]:
    proved = trace.get("certificate")
    if not proved:
        return
    rules = ", ".join(f"{name(rule)} on {percent(part)}" for rule, part in (proved.get("rules") or {}).items())
    yield (
        f"A certificate held at the node: answers worse than the top tier's on at most "
        f"{percent(proved['delta'], 1)} of the calls, with {percent(proved['confidence'])} confidence, from "
        f"{count(proved['calls'])} profiled calls ({rules})."
    )


_STYLE = "max-width:48em;line-height:1.5;border-left:3px solid #0b7a6f;padding:2px 0 2px 14px;margin:4px 0"


def html_of(trace: Mapping[str, Any]) -> str:
    """Return the same for a notebook: the sums, and the sentences below; whatever a model or a user named is escaped.

    Args:
        trace: A trace as `Trace.to_dict` gives it.
    """
    final = trace.get("final")
    cost, saved = trace.get("cost_usd"), trace.get("saved_usd")
    facts: list[Markup | str] = [bdi(name(final)) if final else "no answer"]
    if cost is not None:
        facts.append(usd(cost))
    if saved is not None:
        sign = f"saved {usd(saved)}" if saved >= 0 else f"saved {MINUS}{usd(-saved)}"
        facts.append(f"{sign}{' (estimate)' if trace.get('saved_is_estimate') else ''}")
    if trace.get("confidence") is not None:
        facts.append(f"confidence {percent(trace['confidence'])}")
    shown = [piece for fact in facts for piece in (fact, " \N{MIDDLE DOT} ")][:-1]
    sentences = [el("li", sentence) for sentence in sentences_of(trace)]
    head = el("div", el("strong", *shown))
    body = el("details", el("summary", "What happened"), el("ol", *sentences))
    return str(el("div", head, body, style=_STYLE))
