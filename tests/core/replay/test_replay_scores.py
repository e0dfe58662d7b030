"""What a replay tells beside accuracy and cost, and the ladders with a tier that is of no use."""

from dataclasses import replace

import numpy as np
import pytest

from llm_tiers import ConfigError
from llm_tiers.replay import BUNDLED, load_table, replay, with_copy, with_worse
from llm_tiers.replay.scores import calibration_error, cheapest_used_when_right
from llm_tiers.trace import Attempt, Trace

MATH = load_table(BUNDLED[0])


def trace(*attempts, final="o1", confidence=None):
    tried = tuple(Attempt(tier=tier, role=role, error=error) for tier, role, error in attempts)
    return Trace(trace_id="1", policy="p", final=final, confidence=confidence, attempts=tried)


class TestCheapestUsedWhenRight:
    def test_only_answers_in_the_second_half_on_what_it_gets_right_count(self):
        correct = np.zeros_like(MATH.correct)
        correct[[0, 2, 3, 4, 5], 0] = True
        table = replace(MATH, correct=correct)
        started = trace(("gpt-4o-mini", "generate", None))
        traces = [
            started,  # 0: in the first half
            trace(),  # 1
            started,  # 2: in the first half
            trace(("gpt-4o", "generate", None), ("gpt-4o-mini", "witness", None)),  # 3
            trace(("gpt-4o", "generate", None), ("gpt-4o-mini", "judge", None)),  # 4: judged only
            trace(("gpt-4o-mini", "generate", "rate limit")),  # 5: failed
        ]
        assert cheapest_used_when_right(table, [0, 1, 2, 3, 4, 5], traces) == pytest.approx(1 / 3)

    def test_nothing_is_said_where_it_gets_nothing_right(self):
        table = replace(MATH, correct=np.zeros_like(MATH.correct))
        assert cheapest_used_when_right(table, [0, 1], [trace(), trace()]) is None

    @pytest.mark.parametrize(("tier", "share"), [("gpt-4o-mini", 1), ("o1", 0)])
    def test_of_a_single_tier(self, tier, share):
        assert replay(MATH, f"single:{tier}").cheapest_used_when_right == share


class TestCalibrationError:
    def error_of(self, said, stated):
        """Put what two tiers say into a table, as its second half; the cheapest tier's answer is returned."""
        n = len(said)
        equal = np.full((2 * n, 4), -1)
        equal[n:, 0], equal[n:, 3] = zip(*said, strict=True)
        table = replace(MATH, answer_equal=equal)
        traces = [trace(final="gpt-4o-mini", confidence=0.5)] * n
        traces += [trace(final="gpt-4o-mini", confidence=confidence) for confidence in stated]
        return calibration_error(table, list(range(2 * n)), traces)

    def test_it_is_the_mean_distance_over_the_bins(self):
        said = [(0, 0), (0, 0), (0, 1), (0, 0), (0, 1)]
        # 0.95 and 0.97 in one bin, both true: off by 0.08 together. 0.52, 0.54, 0.5 in one bin, one true: 0.56.
        assert self.error_of(said, [0.95, 0.97, 0.52, 0.54, 0.5]) == pytest.approx((0.08 + 0.56) / 5)

    def test_what_is_stated_as_certain_is_in_the_highest_bin(self):
        assert self.error_of([(0, 0), (0, 0)], [1.0, 0.9]) == pytest.approx(0.05)

    def test_a_missing_answer_equals_nothing(self):
        assert self.error_of([(-1, -1)], [1.0]) == 1

    def test_calls_that_state_nothing_do_not_count(self):
        assert self.error_of([(0, 0), (0, 1)], [1.0, None]) == 0
        assert self.error_of([(0, 0)], [None]) is None

    def test_the_default_states_one_and_the_judged_policies_do_not(self):
        assert 0 < replay(MATH, "doubt").calibration_error < 0.1
        # What a stream's first calls show differs by its order.
        shuffled = [replay(MATH, "default", grade=True, order="shuffle", seed=seed) for seed in range(4)]
        assert 0 < sum(result.calibration_error for result in shuffled) / len(shuffled) < 0.1
        assert replay(MATH, "llm-at").calibration_error is None


class TestUselessLadders:
    def test_a_copy_is_the_second_tier_at_the_thirds_price(self):
        table = with_copy(MATH)
        assert table.tiers == ("gpt-4o-mini", "gpt-4o", "gpt-4o-copy", "o1-mini", "o1")
        assert table.price_in[2] == table.price_in[3]
        copy, second, third = (replay(table, f"single:{table.tiers[place]}") for place in (2, 1, 3))
        assert (copy.right, copy.minutes) == (second.right, second.minutes)
        assert copy.cost_usd == pytest.approx(
            (MATH.gen_in[:, 1].sum() * MATH.price_in[2] + MATH.gen_out[:, 1].sum() * MATH.price_out[2]) / 1e6
        )
        assert third.cost_usd == replay(MATH, "single:o1-mini").cost_usd
        assert (table.answer_equal[:, 2] == table.answer_equal[:, 1]).all()

    def test_a_worse_tier_has_the_answers_of_the_cheapest(self):
        table = with_worse(MATH)
        assert table.tiers == ("gpt-4o-mini", "gpt-4o", "gpt-4o-mini-worse", "o1-mini", "o1")
        worse, cheapest = (replay(table, f"single:{table.tiers[place]}") for place in (2, 0))
        assert worse.right == cheapest.right
        assert worse.cost_usd == pytest.approx(
            (MATH.gen_in[:, 0].sum() * MATH.price_in[2] + MATH.gen_out[:, 0].sum() * MATH.price_out[2]) / 1e6
        )

    @pytest.mark.parametrize("make", [with_copy, with_worse])
    def test_whoever_judged_still_does(self, make):
        table = make(MATH)
        others = [0, 1, 3, 4]
        judge, before = table.judge_tier[:, others], MATH.judge_tier
        names, names_before = np.array([*table.tiers, "-"]), np.array([*MATH.tiers, "-"])
        assert (names[judge] == names_before[before]).all()
        assert (table.judge_tier[table.verdict >= 0] >= 0).all()

    def test_a_copy_of_a_tier_that_judges_itself_judges_itself(self):
        table = with_copy(MATH)
        assert set(table.judge_tier[:, 2]) <= {2, -1}
        assert (with_worse(MATH).judge_tier[:, 2] == MATH.judge_tier[:, 0]).all()

    @pytest.mark.parametrize("make", [with_copy, with_worse])
    def test_every_policy_runs_on_it(self, make):
        table = make(MATH)
        for policy in ("default", "llm-at", "cascade-routing", "agree-all"):
            assert sum(replay(table, policy).finals.values()) == len(table)

    def test_a_ladder_of_two_has_no_place_for_it(self):
        two = replace(MATH, tiers=MATH.tiers[:2])
        with pytest.raises(ConfigError, match="has 2 tiers; a useless one needs a third"):
            with_copy(two)

    def test_a_second_copy_is_refused_by_name(self):
        with pytest.raises(ConfigError, match="'gpt-4o-copy' already"):
            with_copy(with_copy(MATH))
