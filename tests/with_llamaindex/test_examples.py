"""The examples run as they stand, offline, and show what they promise."""

import re
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def lines_of(name):
    # In a process of its own: the memories of LlamaIndex's agents outlive their event loop.
    done = subprocess.run([sys.executable, EXAMPLES / name], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_two_engines_find_their_own_tiers():
    lines = lines_of("rag.py")

    simple = [line for line in lines if "How long" in line]
    hard = [line for line in lines if "longer than" in line]
    assert len(simple) == 6
    assert all("gpt-5-nano -> gpt-5-nano" in line for line in simple)
    assert "gpt-5-nano -> gpt-5-mini" in hard[0]
    assert "gpt-5-mini -> gpt-5-mini" in hard[-1]
    assert len({re.search(r"text_qa/\w+", line)[0] for line in lines}) == 2


def test_two_agents_find_their_own_tiers():
    lines = lines_of("agents.py")

    assert {line.split()[0].partition("/")[0] for line in lines} == {"Researcher", "Writer"}
    assert all("starts at gpt-5-nano ends at gpt-5-nano" in line for line in lines if line.startswith("Researcher"))
    writer = [line for line in lines if line.startswith("Writer")]
    assert "starts at gpt-5-nano ends at gpt-5-mini" in writer[0]
    assert "starts at gpt-5-mini ends at gpt-5-mini" in writer[-1]


def test_feedback_on_a_query_engine_moves_the_start():
    lines = lines_of("rag_feedback.py")

    decided, told = lines[::2], lines[1::2]
    assert all(line.startswith("  decided: gpt-5-") and " at text_qa, US$ 0.0" in line for line in decided)
    assert told[0].split() == ["Nile", "gpt-5-nano", "wrong"]
    assert told[-1].split() == ["Thames", "gpt-5-mini", "right"]


def test_feedback_on_evaluations():
    assert lines_of("evaluations.py") == [
        "Paris    score 5.0 by gpt-5-nano: right",
        "Sydney   score 5.0 by gpt-5-nano: wrong",
    ]
