"""The table of a replay fits a terminal of 80 columns, with every figure whole."""

import io
from dataclasses import replace

from rich.console import Console

from llm_tiers.replay.run import ReplayResult
from llm_tiers.replay.summary import summary

RESULT = ReplayResult(
    file="tiers", embedding="e", policy="single:gpt-5", knob=None, order="file", seed=0, n=2, accuracy=0.9925,
    cost_usd=0.00314, minutes=0.1, starts={}, finals={}, judge_calls=0, witness_calls=0, cheapest_used_when_right=None,
    calibration_error=None, right=(True, False), costs=(0.002, 0.00114), weights=(1.0, 2.0),
)  # fmt: skip


def printed(*results):
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(summary(results, top="gpt-5"))
    return console.export_text()


def test_a_history_s_table_shows_every_figure_whole():
    text = printed(
        RESULT, replace(RESULT, policy="single:gpt-5-nano", cost_usd=0.0001), replace(RESULT, policy="default")
    )
    assert "…" not in text
    assert "0.00314" in text
    assert "0.0001" in text
    assert "llm-tiers, default" in text
    # Nobody replayed LLM-AT, so there is nothing to compare with it.
    assert "LLM-AT" not in text


def test_costs_are_compared_with_llm_at_where_it_was_replayed():
    text = printed(RESULT, replace(RESULT, policy="llm-at", cost_usd=0.00157))
    assert "/ LLM-AT" in text
    assert "2.000" in text
    assert "ratio to the top tier alone and to LLM-AT" in text
