"""The examples run as they stand, offline, and show what they promise."""

import runpy
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_first_call_learns_where_to_start(capsys):
    runpy.run_path(str(EXAMPLES / "first_call.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 12
    assert all(" small -> small " in line for line in lines if "capital" in line)
    hard = [line for line in lines if "Prove" in line]
    assert all("-> medium " in line for line in hard)
    assert " small -> medium " in hard[0]
    assert " medium -> medium " in hard[-1]


def test_each_node_of_the_graph_finds_its_own_tier(capsys):
    runpy.run_path(str(EXAMPLES / "graph.py"), run_name="__main__")
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    by_node = {row[0]: row[1:] for row in rows if row}

    # At first several tiers answer; later the smallest alone, where it will do.
    assert all(float(by_node[node][0].split()[0]) > 1.5 for node in ("plan", "solve", "check"))
    assert by_node["plan"][1].startswith("gpt-5-nano")
    assert by_node["check"][1].startswith("gpt-5-nano")
    assert by_node["solve"][1].startswith("gpt-5 ")
    for node in ("plan", "check"):
        assert 0 < float(by_node[node][2]) < 0.7 * float(by_node[node][3])
    assert float(by_node["solve"][2]) < 1.2 * float(by_node["solve"][3])


def test_a_bandit_learns_from_feedback_and_keeps_it_over_a_restart(capsys):
    runpy.run_path(str(EXAMPLES / "bandit_feedback.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert "medium" in lines[0]
    assert lines[-2].endswith("Prove medium 5, What small 5")
    assert lines[-1] == "after a restart: Prove medium 5, What small 5"


def test_the_feedback_example_tells_how_right_each_tier_is_and_who_says_so(capsys):
    runpy.run_path(str(EXAMPLES / "feedback.py"), run_name="__main__")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    graded = {tier: float(share.strip("%")) for source, tier, _, _, share, *_ in lines if source == "grader"}
    assert list(graded) == ["small", "medium", "large"]
    assert graded["small"] < graded["medium"] < graded["large"] == 100
    assert "feedback" in {source for source, *_ in lines}


def test_the_guarantee_example_earns_its_certificate_by_a_check(capsys):
    runpy.run_path(str(EXAMPLES / "guarantee.py"), run_name="__main__")
    first, *calls, certificate = capsys.readouterr().out.splitlines()
    assert "best profiled" in first
    assert "large" in calls[0]
    assert "small" in calls[-1]
    assert "'small': 1.0" in certificate
    assert "of='grade'" in certificate


def test_the_rollout_observes_then_tiers_a_share_then_all(capsys):
    runpy.run_path(str(EXAMPLES / "rollout.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("observe: 40 of 40 served as before")
    assert lines[1].startswith("40 calls observed, the other tiers asked on ")
    assert any(line.startswith("saved: ") for line in lines)
    ramped = int(lines[-2].split()[1])
    assert 20 <= ramped < 40
    assert lines[-1].startswith("all:  0 of 40 served as before")
