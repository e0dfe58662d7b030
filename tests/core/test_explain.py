"""A trace in sentences, and as notebooks show it."""

import pytest

from llm_tiers.telling.call import html_of, sentences_of
from llm_tiers.trace import Attempt, Certificate, Grading, Trace

TRACE = Trace(
    trace_id="t",
    node="plan",
    policy="menu",
    start="small",
    reason="worth most on 40 profiled calls.",
    estimates={"small": 0.7, "large": 0.9},
    neighbours=12,
    attempts=(
        Attempt(tier="small", role="generate", verdict="invalid", by="prompt", why="wrong unit", input_tokens=1200,
                output_tokens=30, seconds=0.5, cost_usd=0.001),
        Attempt(tier="medium", role="generate", error="RateLimitError: 429", seconds=0.1, cost_usd=0.0),
        Attempt(tier="large", role="generate", seconds=2.0, cost_usd=0.02),
    ),
    final="large",
    confidence=0.9,
    cost_usd=0.021,
    saved_usd=-0.001,
    seconds=2.6,
    warnings=("history: slow",),
)  # fmt: skip


def said(trace):
    return trace.explain().replace("\N{NO-BREAK SPACE}", " ")


def test_it_says_who_was_asked_why_what_it_cost_and_why_it_stopped():
    assert said(TRACE).splitlines() == [
        "large answered this call of node plan, under the policy menu.",
        "It began with small: worth most on 40 profiled calls.",
        "The tiers' chances to be right were put at small 70%, large 90%, by 12 similar past calls.",
        "small was asked (1,200 tokens in, 30 out, 0.5 s, US$ 0.001); it was found invalid by prompt (wrong unit).",
        "medium was asked and failed (0.1 s, US$ 0.00): RateLimitError: 429.",
        "large was asked (2 s, US$ 0.02).",
        "It stopped there because nobody judges the answer of large on such a call.",
        "The chance that the answer is right was put at 90%.",
        "All together it cost US$ 0.021 and took 2.6 s.",
        "The top tier alone would have cost US$ 0.02: this call cost US$ 0.001 more than that.",
        "Warning: history: slow.",
    ]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"final": None, "start": None, "attempts": ()}, "No tier's answer was returned"),
        ({"start": None}, "It ended before a tier was chosen."),
        ({"cost_usd": None}, "What it cost is not known"),
        ({"saved_usd": None}, "What the top tier alone would have cost is not known."),
        ({"saved_usd": 0.1, "saved_is_estimate": True}, "by its price for the tokens of this answer"),
        (
            {"degraded": True, "final": "small"},
            "No tier from small up gave an answer that stands, so small's was returned.",
        ),
        ({"final": "small"}, "It stopped at small: no tier above gave an answer that stands."),
        ({"cached": True}, "The answer came from a cache and cost nothing"),
        ({"grading": Grading(state="pending")}, "graded after the call"),
        ({"grading": Grading(state="done", grades={"small": 1.0})}, "The answers were graded: small 1."),
        ({"grading": Grading(state="skipped", why="no answer")}, "Nothing was graded: no answer."),
        (
            {"certificate": Certificate(delta=0.05, confidence=0.95, rules={"a": 1.0}, calls=80, of="grade", since=0)},
            "at most 5.0% of the calls, with 95% confidence, from 80 profiled calls (a on 100%).",
        ),
    ],
)
def test_what_is_not_usual_is_said(change, says):
    assert says in said(TRACE.model_copy(update=change))


@pytest.mark.parametrize("most", [None, 2_000, 480, 200])
def test_a_trace_that_was_shortened_for_a_checkpoint_is_explained_too(most):
    sentences = sentences_of(TRACE.to_dict(most))
    assert sentences[0].startswith("large answered this call of node plan")
    assert any(sentence.startswith("All together it cost") for sentence in sentences)
    assert html_of(TRACE.to_dict(most)).startswith("<div")


def test_a_notebook_gets_no_markup_of_a_stranger():
    nasty = "<img src=x onerror=alert(1)>\x1b"
    attempt = Attempt(tier=nasty, role="generate", why=nasty, verdict="valid", by=nasty, error=None)
    trace = Trace(trace_id="t", node=nasty, policy=nasty, start=nasty, final=nasty, reason=nasty, warnings=(nasty,),
                  attempts=(attempt,))  # fmt: skip
    shown = trace._repr_html_()
    assert "<img" not in shown
    assert "\x1b" not in shown
    assert "&lt;img" in shown


def test_a_long_text_of_a_provider_is_cut():
    long = TRACE.model_copy(update={"reason": "x" * 100_000})
    assert len(long.explain()) < 3_000
