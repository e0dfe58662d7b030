"""The examples run as they stand, offline, and show what they promise."""

import re
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def lines_of(capsys, monkeypatch, tmp_path):
    """Run an example as a program: in a folder of its own, with its folder's other files at hand."""

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        # Between a unit and its number there is a space at which no line breaks.
        return capsys.readouterr().out.replace("\xa0", " ").splitlines()

    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.chdir(tmp_path)
    # What the examples need they set themselves.
    for variable in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE"):
        monkeypatch.delenv(variable, raising=False)
    return run


def test_the_first_call_is_answered_and_explained(lines_of):
    lines = lines_of("first_call.py")
    assert lines[0] == "The answer is 333."
    assert lines[1] == "gpt-5 answered this call, under the policy default."
    assert any(line.startswith("All together it cost US$ ") for line in lines)
    assert lines[-1] == "awaited: The answer is 333."


def test_the_history_learns_where_to_start(lines_of):
    lines = lines_of("learning.py")
    assert len(lines) == 12
    assert all(" gpt-5-nano -> gpt-5-nano " in line for line in lines if "capital" in line)
    hard = [line for line in lines if "Prove" in line]
    assert all("-> gpt-5-mini " in line for line in hard)
    assert " gpt-5-nano -> gpt-5-mini " in hard[0]
    assert " gpt-5-mini -> gpt-5-mini " in hard[-1]


def test_each_node_of_the_graph_finds_its_own_tier(lines_of):
    found = [re.fullmatch(r"(\w+): ([\d.]+) tiers at first, then (.+); US\$ ([\d.]+), not ([\d.]+)", line)
             for line in lines_of("graph.py")]  # fmt: skip
    by_node = {match[1]: match.groups()[1:] for match in found}

    # At first several tiers answer; later the smallest alone, where it will do.
    assert all(float(by_node[node][0]) > 1.5 for node in ("plan", "solve", "check"))
    assert by_node["plan"][1].startswith("gpt-5-nano")
    assert by_node["check"][1].startswith("gpt-5-nano")
    assert by_node["solve"][1].startswith("gpt-5 ")
    for node in ("plan", "check"):
        assert 0 < float(by_node[node][2]) < 0.7 * float(by_node[node][3])
    assert float(by_node["solve"][2]) < 1.2 * float(by_node["solve"][3])


def test_a_tool_call_that_does_not_fit_goes_one_tier_up_in_an_agent(lines_of):
    lines = lines_of("agent.py")
    assert lines[:3] == [
        "  support/model/first_turn: gpt-5-mini (gpt-5-nano: invalid, gpt-5-mini: valid)",
        "  support/model/after_tools: gpt-5-nano (gpt-5-nano: valid, gpt-5-mini: not judged)",
        "Good news: Order 17 has left for Peru.",
    ]
    assert lines[-1] == "Good news: Order 18 has left for Chad."


def test_an_object_that_does_not_fit_goes_one_tier_up(lines_of):
    lines = lines_of("structured.py")
    assert [line for line in lines if line.startswith("asked")] == 3 * [
        "asked: gpt-5-nano does not fit, gpt-5-mini valid"
    ]
    assert [line for line in lines if line.startswith("Ticket")] == [
        "Ticket(team='billing', urgency=2)",
        "Ticket(team='support', urgency=5)",
        "Ticket(team='billing', urgency=2)",
    ]


def test_the_chat_streams_and_remembers(lines_of):
    said = [line.strip("|") for line in lines_of("chat.py") if line]
    assert said == [
        "> My name is Ada.", "Hello, |Ada.",
        "> What is my name?", "Your |name |is |Ada.",
        "> And what is it again?", "Your |name |is |Ada.",
    ]  # fmt: skip


def test_a_bandit_learns_from_feedback_and_keeps_it_over_a_restart(lines_of):
    lines = lines_of("bandit_feedback.py")
    assert len(lines) == 5
    assert "gpt-5-mini" in lines[0]
    assert lines[-2].endswith("Multiply gpt-5-mini 5, What gpt-5-nano 5")
    assert lines[-1] == "after a restart: Multiply gpt-5-mini 5, What gpt-5-nano 5"


def test_the_feedback_example_tells_how_right_each_tier_is_and_who_says_so(lines_of):
    lines = [line.split() for line in lines_of("feedback.py")]
    graded = {tier: float(share.strip("%")) for source, tier, _, _, share, *_ in lines if source == "grader"}
    assert list(graded) == ["gpt-5-nano", "gpt-5-mini", "gpt-5"]
    assert graded["gpt-5-nano"] < graded["gpt-5-mini"] < graded["gpt-5"] == 100
    assert "feedback" in {source for source, *_ in lines}


def test_the_guarantee_example_earns_its_certificate_by_a_check(lines_of):
    first, *calls, certificate = lines_of("guarantee.py")
    assert "best profiled" in first
    assert calls[0].split()[2] == "gpt-5"
    assert calls[-1].split()[2] == "gpt-5-nano"
    assert "'gpt-5-nano': 1.0" in certificate
    assert "of='grade'" in certificate


def test_the_rollout_observes_then_tiers_a_share_then_all(lines_of):
    lines = lines_of("rollout.py")
    assert lines[0].startswith("observe: 40 of 40 served as before")
    assert lines[1].startswith("40 calls observed, the other tiers asked on ")
    assert any(line.startswith("saved: ") for line in lines)
    ramped = int(lines[-2].split()[1])
    assert 20 <= ramped < 40
    assert lines[-1].startswith("all:  0 of 40 served as before")


def test_the_report_example_shows_what_was_saved_and_explains_a_call(lines_of, tmp_path):
    lines = lines_of("report.py")
    assert re.match(r"Saved \d+%: US\$ ", lines[0])
    assert "60 calls" in " ".join(lines)
    assert "llm-tiers" in (tmp_path / "report.html").read_text()
    assert any(line.endswith("answered this call of node sums, under the policy default.") for line in lines)
