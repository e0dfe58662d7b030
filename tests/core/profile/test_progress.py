"""The file of the answers paid for, and what it costs to look at them."""

import errno
import json
import os
from types import SimpleNamespace

import pytest

from llm_tiers import ConfigError, Ladder, Price, Tier
from llm_tiers.profile.estimate import Costs
from llm_tiers.profile.progress import Paid, Progress
from llm_tiers.profile.questions import Question

LADDER = Ladder([Tier(SimpleNamespace(max_tokens=None), name=name, price=(1, 2)) for name in ("small", "large")])
QUESTIONS = [Question(1, "1", ({"role": "user", "content": "What?"},))]


@pytest.mark.parametrize(
    "line",
    [
        {"id": "1", "tier": "medium", "at": 0.0},
        {"id": "2", "tier": "small", "at": 0.0},
        {"id": "1", "tier": "small", "at": 0.0, "cost_usd": "much"},
        {"id": "1", "tier": "small"},
    ],
)
def test_a_line_that_was_changed_by_hand_is_named(tmp_path, line):
    path = tmp_path / "out.npz.progress.jsonl"
    Progress(path, LADDER, QUESTIONS).close()
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")
    with pytest.raises(ConfigError, match="line 2: was not written by llm-tiers profile"):
        Progress(path, LADDER, QUESTIONS)


@pytest.mark.parametrize("tiers", [None, [{}], [3], "small"])
def test_a_first_line_that_was_changed_by_hand_is_named(tmp_path, tiers):
    path = tmp_path / "out.npz.progress.jsonl"
    path.write_text(json.dumps({"llm-tiers profile": 1, "tiers": tiers}) + "\n")
    with pytest.raises(ConfigError, match="line 1: was not written by llm-tiers profile"):
        Progress(path, LADDER, QUESTIONS)


def test_a_file_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    unwritable, make = tmp_path / "out.npz.progress.jsonl", os.open

    def refuse(path, *more):
        if path == unwritable:
            raise PermissionError(errno.EACCES, "Permission denied")
        return make(path, *more)

    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(ConfigError, match=r"progress.jsonl: cannot be written: Permission denied"):
        Progress(unwritable, LADDER, QUESTIONS)


def test_a_bound_on_a_call_follows_the_longest_answer_so_far():
    costs = Costs(LADDER, dict.fromkeys(LADDER.names, Price(1, 2)), {"1": 100})
    assert costs.at_most("1", "small") == pytest.approx((100 + 2 * 600) / 1e6)
    for length in (2_000, 10, 1_000):
        costs.learn(Paid("1", "small", 0.0, input_tokens=150, output_tokens=length))
    assert costs.at_most("1", "small") == pytest.approx((150 + 2 * 4_000) / 1e6)
    assert costs.at_most("1", "large") == pytest.approx((100 + 2 * 600) / 1e6)
    assert costs.estimate([("1", "small")]).lengths == {
        "small": (pytest.approx(3_010 / 3), True),
        "large": (300, False),
    }
