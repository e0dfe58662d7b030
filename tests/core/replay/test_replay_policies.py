"""The policies that replays compare with, on small tables whose outcome is known, and on files of any shape."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_tiers.replay import load_table, replay
from llm_tiers.replay.belief import best_after, chances_right

LEARNING = ("default", "doubt", "estimate", "agree", "linucb", "metallm", "llm-at", "llm-at-answers", "cascade-routing")
FIXED = ("agree-two", "agree-all", "random", "oracle", "single:tier-0", "start:tier-1")


@pytest.fixture
def table_of(tmp_path):
    """Make a table of what the tiers say to each question; the last tier is right unless `right` says what is.

    An answer of tier j costs 10^j US$ and takes j + 1 seconds.
    """

    def make(said, *, right=None, verdict=None, embedding=None):
        said = np.array(said)
        n, k = said.shape
        right = said[:, -1] if right is None else np.array(right)
        verdict = np.full((n, k), -1) if verdict is None else np.array(verdict)
        none = np.zeros((n, k))
        path = tmp_path / "table.npz"
        np.savez(
            path,
            tiers=np.array([f"tier-{j}" for j in range(k)]),
            price_in=np.zeros(k),
            price_out=1_000 * 10.0 ** np.arange(k),
            prior=np.full(k, 0.7),
            embedding=np.random.default_rng(0).normal(size=(n, 8)) if embedding is None else embedding,
            correct=(said == right[:, None]) & (said >= 0),
            abstained=none,
            verdict=verdict,
            judge_tier=np.where(verdict >= 0, 0, -1),
            gen_in=none,
            gen_out=none + 1_000,
            gen_s=none + np.arange(1, k + 1),
            judge_in=none,
            judge_out=none,
            judge_s=none,
            answer_exact=said,
        )
        return load_table(path)

    return make


def finals(result):
    return [count for _, count in sorted(result.finals.items())]


class TestAgreeTwo:
    @pytest.mark.parametrize(
        ("said", "final", "cost", "seconds"),
        [
            ([1, 1, 2, 2], 1, 11, 2),  # the two agree, right or wrong
            ([1, 2, 3, 4], 2, 111, 2 + 3),  # they differ: the third, whatever it says
            ([-1, -1, 3, 4], 2, 111, 2 + 3),  # two that say nothing do not agree
            ([1, 2, -1, 4], 1, 111, 2 + 3),  # an earlier answer in place of a missing one
            ([1, -1, -1, 4], 0, 111, 2 + 3),
            ([-1, -1, -1, 4], 3, 1111, 2 + 3 + 4),
            ([1, 2, 3], 2, 111, 2 + 3),
            ([1, 2, 3, 4, 5], 2, 111, 2 + 3),
            ([1, 1], 1, 10, 2),  # in a ladder of two, agreement saves nothing
        ],
    )
    def test_one_question(self, table_of, said, final, cost, seconds):
        result = replay(table_of([said]), "agree-two")
        assert finals(result).index(1) == final
        assert result.cost_usd == pytest.approx(cost)
        assert result.minutes == pytest.approx(seconds / 60)
        assert result.judge_calls == 0


class TestAgreeAll:
    @pytest.mark.parametrize(
        ("said", "final", "cost"),
        [
            ([1, 1, 2, 2], 1, 11),
            ([1, 2, 1, 4], 2, 111),
            ([1, 2, 2, 4], 2, 111),
            ([1, 2, 3, 4], 3, 1111),
            ([1, 2, 3, -1], 2, 1111),  # an earlier answer in place of a missing one
            ([1, 2, 3, 2, 5], 3, 1111),
            ([1, 2, 3, 4, 5], 4, 11111),
            ([1, 2, 3], 2, 111),
            ([1, 1], 1, 10),
        ],
    )
    def test_one_question(self, table_of, said, final, cost):
        result = replay(table_of([said]), "agree-all")
        assert finals(result).index(1) == final
        assert result.cost_usd == pytest.approx(cost)
        assert result.judge_calls == 0


class TestLlmAtAnswers:
    def test_an_earlier_answer_stands_in_for_a_missing_one_of_the_top(self, table_of):
        table = table_of([[1, 2, -1]], right=[2], verdict=[[0, 0, -1]])
        assert finals(replay(table, "llm-at")) == [0, 0, 1]
        result = replay(table, "llm-at-answers")
        assert finals(result) == [0, 1, 0]
        assert result.accuracy == 1
        assert result.cost_usd == replay(table, "llm-at").cost_usd

    def test_an_earlier_answer_stands_in_for_a_missing_one_that_the_judge_accepts(self, table_of):
        table = table_of([[1, -1, 3]], right=[1], verdict=[[0, 1, -1]])
        assert finals(replay(table, "llm-at")) == [0, 1, 0]
        assert finals(replay(table, "llm-at-answers")) == [1, 0, 0]

    def test_without_an_earlier_answer_the_call_goes_on(self, table_of):
        table = table_of([[-1, 2, 3]], verdict=[[1, 0, -1]])
        assert finals(replay(table, "llm-at-answers")) == [0, 0, 1]

    def test_where_nothing_is_missing_it_is_llm_at(self, table_of):
        rng = np.random.default_rng(1)
        said = rng.integers(3, size=(60, 3))
        verdict = np.where(np.arange(3) < 2, rng.integers(2, size=(60, 3)), -1)
        table = table_of(said, verdict=verdict)
        one, other = (replay(table, name, order="shuffle", seed=2) for name in ("llm-at", "llm-at-answers"))
        assert (one.right, one.costs, one.finals) == (other.right, other.costs, other.finals)


class TestCascadeRouting:
    def test_its_knob_goes_from_the_cheapest_alone_to_the_top_alone(self, table_of):
        table = table_of(np.random.default_rng(3).integers(2, size=(40, 4)))
        for knob, tier in ((0, "tier-0"), (1, "tier-3")):
            result, alone = replay(table, "cascade-routing", knob=knob), replay(table, f"single:{tier}")
            assert (result.right, result.cost_usd) == (alone.right, alone.cost_usd)

    def test_it_stops_where_two_agree_and_goes_on_where_they_differ(self, table_of):
        agree, differ = (
            replay(table_of([said]), "cascade-routing", knob=0.9999) for said in ([1, 1, 1, 1], [1, 2, 3, 3])
        )
        assert finals(differ) == [0, 0, 0, 1]
        assert agree.cost_usd <= differ.cost_usd

    def test_it_skips_tiers_that_are_not_worth_their_price(self, table_of):
        """Tiers 1 and 2 never say what the top says, and tier 0 does half of the time: it goes straight to the top."""
        n = 200
        direction = np.random.default_rng(0).integers(2, size=n)
        said = np.stack([np.where(direction, 9, 0), np.full(n, 1), np.full(n, 2), np.full(n, 9)], axis=1)
        embedding = np.stack([direction, 1 - direction], axis=1) + 0.01
        result = replay(table_of(said, embedding=embedding), "cascade-routing", knob=0.9)
        assert result.accuracy > 0.9
        asked_between = sum(1 for cost in result.costs[100:] if round(cost) // 10 % 100)
        assert asked_between < 10

    def test_it_states_its_confidence(self, table_of):
        said = np.random.default_rng(5).integers(3, size=(100, 3))
        result = replay(table_of(said), "cascade-routing", knob=0.3)
        assert 0 <= result.calibration_error <= 1

    def test_without_a_price_it_is_refused(self):
        from llm_tiers import ConfigError, Ladder, Tier
        from llm_tiers.replay.cascade_routing import cascade_routing

        with pytest.raises(ConfigError, match="'a' has no price"):
            cascade_routing().check(Ladder([Tier(None, name="a"), Tier(None, name="b", price=(1, 1))]))


CHANCES = st.lists(st.floats(0.05, 0.95), min_size=1, max_size=4).map(tuple)


def patterns(k):
    """Return all patterns of k answers."""
    return [
        said
        for said in itertools.product(range(k), repeat=k)
        if all(number <= max((-1, *said[:place])) + 1 for place, number in enumerate(said))
    ]


class TestBelief:
    @given(CHANCES)
    def test_all_patterns_together_leave_each_tier_with_its_own_chance(self, chances):
        from llm_tiers.replay.belief import _weights

        total, right = 0.0, np.zeros(len(chances))
        for said in patterns(len(chances)):
            weights, none = _weights(chances, said)
            total += sum(weights.values()) + none
            right += [weights[number] for number in said]
        assert total == pytest.approx(1)
        assert right == pytest.approx(np.array(chances))

    @given(CHANCES, st.floats(0.05, 0.95))
    def test_one_more_answer_never_makes_the_likeliest_less_likely(self, chances, more):
        for said in patterns(len(chances)):
            assert best_after(chances, said, [more]) >= best_after(chances, said, []) - 1e-12

    @given(st.floats(0.3, 0.95), st.floats(0.3, 0.95))
    def test_agreement_makes_both_likelier_and_difference_less_likely(self, one, other):
        assert chances_right((one, other), (0, 0))[0] > max(one, other)
        assert chances_right((one, other), (0, 1))[0] < one

    def test_whoever_says_what_the_top_says_is_right_and_others_are_wrong(self):
        assert chances_right((0.6, 0.7, 1.0), (0, 1, 0)) == (1.0, 0.0, 1.0)


class TestAnyFile:
    @pytest.mark.parametrize("policy", [*LEARNING, *FIXED])
    @pytest.mark.parametrize("k", [2, 3, 5])
    @pytest.mark.parametrize("verdicts", [True, False])
    def test_costs_add_up(self, table_of, policy, k, verdicts):
        rng = np.random.default_rng(k)
        said = rng.integers(-1, 3, size=(30, k))
        said[:, -1] = 2
        verdict = np.where(np.arange(k) < k - 1, rng.integers(2, size=(30, k)), -1) if verdicts else None
        table = table_of(said, verdict=verdict)
        result = replay(table, policy, order="shuffle", seed=1)
        assert sum(result.finals.values()) == result.n == len(result.right) == len(result.costs) == 30
        assert sum(result.costs) == pytest.approx(result.cost_usd)
        assert sum(result.right) / 30 == result.accuracy
        # Judging costs nothing here, and tier j costs 10^j, so a cost's digits tell which tiers answered; once each.
        assert all(set(str(round(cost))) <= {"0", "1"} for cost in result.costs)
        assert all(round(cost) >= 1 for cost in result.costs)

    @pytest.mark.parametrize("policy", ["agree-two", "agree-all", "cascade-routing", "default"])
    def test_what_needs_no_verdict_does_as_well_without_any(self, table_of, policy):
        rng = np.random.default_rng(7)
        said = rng.integers(2, size=(40, 3))
        verdict = np.where(np.arange(3) < 2, rng.integers(2, size=(40, 3)), -1)
        with_verdicts, without = (replay(table_of(said, verdict=given), policy) for given in (verdict, None))
        assert (with_verdicts.finals, with_verdicts.costs) == (without.finals, without.costs)
