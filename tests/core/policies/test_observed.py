"""What observed calls say of tiering, with intervals."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import reduce

import numpy as np
import pytest

from llm_tiers.history.record import CompleteStudy, Record
from llm_tiers.policies.rollout import Interval, Observed
from llm_tiers.policies.rollout.observed import ObservedOf, observed_in


def record(number=0, *, chance=1.0, same=True, asked=True, tiered="small", usd=0.1, served=1.0, **facts):
    said = {"small": 0, "large": 0 if same else 1} if asked else {"large": 0}
    return Record(
        id=f"t{number}",
        node="",
        created=float(number),
        labels={},
        start="large",
        final="large",
        answered=tuple(said),
        agreed=("large",),
        cost_usd=served + (0.1 if asked else 0.0),
        said=said,
        costs={"large": served, **({"small": 0.1} if asked else {})},
        audited=asked,
        complete_chance=chance,
        planned="small",
        tiered=tiered if asked else None,
        tiered_usd=usd if asked else None,
        **facts,
    )


def test_nothing_is_known_of_no_calls():
    assert observed_in([]) == Observed()
    assert str(Observed()).startswith("0 calls observed")


def said(found):
    return str(found).replace("\N{NO-BREAK SPACE}", " ").splitlines()


def test_a_single_call_is_said_to_be_too_few():
    assert said(observed_in([record()])) == [
        "1 call observed, the other tiers asked on 1, for US$ 0.100",
        "1,000 calls cost US$ 1,000.00 as they are, and would cost US$ 100.00 tiered (too few calls for intervals)",
        "saved: 90.0% (too few calls for an interval)",
        "same answer: 100.0% (27.0% to 100.0%)",
    ]


def test_costs_are_said_of_a_thousand_calls_without_powers_of_ten():
    found = said(observed_in([record(number, served=4.6e-5 + number * 1e-7, usd=2e-5) for number in range(20)]))
    assert found[1].startswith("1,000 calls cost US$ 0.0469 (US$ 0.0467 to US$ 0.0472) as they are, and would cost")
    assert "e-" not in "".join(found)


def test_ordinary_calls_do_not_count():
    assert observed_in([replace(record(), planned=None)]) == Observed()


def test_costs_are_those_of_a_call():
    found = observed_in([record(number) for number in range(20)] + [record(30, asked=False, served=2.0)])
    assert (found.calls, found.asked) == (21, 20)
    assert found.served_usd.mean == pytest.approx(22 / 21)
    assert found.tiered_usd.mean == pytest.approx(0.1)
    assert found.saved.mean == pytest.approx(0.9)
    assert found.asking_usd == pytest.approx(2.0)
    # All calls cost the same, so nothing varies.
    assert (found.saved.low, found.saved.high) == (pytest.approx(0.9), pytest.approx(0.9))


def test_an_answer_that_was_always_the_same_need_not_always_be():
    found = observed_in(map(record, range(20)))
    assert found.same.mean == 1
    assert 0.8 < found.same.low < 0.95
    assert found.as_good is None


def test_a_single_call_says_nothing_of_costs_but_the_cost():
    found = observed_in([record()])
    assert found.saved.mean == pytest.approx(0.9)
    assert (found.saved.low, found.saved.high) == (-math.inf, math.inf)


def test_answers_that_cannot_be_compared_say_nothing():
    odd = replace(record(1), said={"large": 0})
    missing = replace(record(2), said={"small": -1, "large": -1})
    found = observed_in([record(0), odd, missing])
    assert found.asked == 3
    assert found.same.mean == pytest.approx(0.5)


def test_grades_say_what_is_as_good_though_it_is_not_the_same():
    graded = [record(number, same=False, grades={"grader": {"small": 1.0, "large": 1.0}}) for number in range(10)]
    worse = record(11, same=False, grades={"grader": {"small": 0.0, "large": 1.0}})
    better = record(12, same=False, grades={"check": {"small": 1.0, "large": 0.0}})
    found = observed_in([*graded, worse, better, record(13)])
    assert found.same.mean == pytest.approx(1 / 13)
    assert found.as_good.mean == pytest.approx(11 / 12)
    assert dict(found.graded_by) == {"check": 1, "grader": 11}
    assert "as good: 91.7%" in str(found)


def test_a_users_word_on_the_served_answer_alone_is_no_comparison():
    assert observed_in([record(tiered="large", grades={"feedback": {"large": 1.0}})]).as_good is None
    both = {"feedback": {"small": 0.0, "large": 1.0}}
    assert observed_in([record(grades=both)]).as_good.mean == 0


def test_calls_that_were_rarely_drawn_stand_for_more():
    often = [record(number, chance=0.8, same=True) for number in range(8)]
    rarely = [record(10 + number, chance=0.1, same=False, usd=1.0) for number in range(1)]
    found = observed_in([*often, *rarely])
    assert found.same.mean == pytest.approx(0.5)
    assert found.tiered_usd.mean == pytest.approx(0.55)


def test_it_is_a_study_that_takes_back_what_changes():
    study = ObservedOf()
    assert isinstance(study, CompleteStudy)
    calls = [record(number, chance=0.3 + number / 20, same=number % 3 > 0) for number in range(9)]
    graded = [replace(one, grades={"grader": {"small": 1.0, "large": 0.5}}) for one in calls]
    tally = reduce(study.learn, calls, study.start())
    for before, after in zip(calls, graded, strict=True):
        tally = study.revise(tally, before, after)
    found, direct = tally.observed(), observed_in(graded)
    assert found.same.mean == pytest.approx(direct.same.mean)
    assert found.same.low == pytest.approx(direct.same.low)
    assert found.saved.low == pytest.approx(direct.saved.low)
    assert found.graded_by == direct.graded_by == {"grader": 9}


def test_the_intervals_hold_as_often_as_they_say():
    random = np.random.default_rng(3)
    truth, ratio, held = 0.9, 0.3, {"same": 0, "saved": 0}
    runs = 300
    for _ in range(runs):
        calls = []
        for number in range(600):
            chance = 0.3 if number < 300 else 0.1
            served = float(random.gamma(2.0))
            asked = bool(random.random() < chance)
            usd = served * ratio * float(random.gamma(4.0)) / 4
            calls.append(
                record(number, chance=chance, same=bool(random.random() < truth), asked=asked, usd=usd, served=served)
            )
        found = observed_in(calls)
        held["same"] += found.same.low <= truth <= found.same.high
        held["saved"] += found.saved.low <= 1 - ratio <= found.saved.high
    # 90% intervals; the bound is three standard deviations of the simulation below.
    assert min(held.values()) / runs > 0.9 - 3 * math.sqrt(0.9 * 0.1 / runs)


def test_an_interval_reads_well():
    assert str(Interval(0.91234, 0.9, 1.0)) == "0.912 (0.9 to 1)"
