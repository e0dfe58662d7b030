"""The accuracy estimator: LLM-AT's formula, what differs from the paper, and what is refused."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_tiers import AccuracyEstimator, ConfigError, FixedStarter, PromptJudge
from llm_tiers.call.requests import Recall
from llm_tiers.history.record import Neighbour, Recollection, Record
from llm_tiers.policies.starters import Plan

NAMES = ("small", "medium", "large")


def neighbour(similarity, labels, created=1_000.0):
    final = next(iter(labels), "small")
    return Neighbour(similarity, Record("r", "", created, labels, final, final, (final,), (final,), None))


def known(*neighbours, count=100):
    return Recollection(neighbours, count)


@pytest.fixture(scope="module")
def plan(scripted):
    """Step the starter by hand; `recalled` is what the history replies, in turn."""

    def plan(estimator, *recalled, tiers=None, **facts):
        planning = estimator.plan(scripted.call(**facts), tiers or scripted.ladder())
        replies = list(recalled)
        try:
            next(planning)
            while True:
                planning.send(replies.pop(0))
        except StopIteration as stop:
            assert not replies, "the starter recalled fewer times than expected"
            return stop.value

    return plan


def nodes_asked(estimator, call, ladder, *recalled):
    planning = estimator.plan(call, ladder)
    asked = [next(planning)]
    try:
        for reply in recalled:
            asked.append(planning.send(reply))  # noqa: PERF401 -- the end of the generator ends the list
    except StopIteration:
        pass
    return asked


def paper_formula(similarities, labels, priors, strength):
    """P_j of LLM-AT, section 3.1, from a row a neighbour: 1 valid, -1 invalid, 0 no label."""
    similarities, labels = np.asarray(similarities, float), np.asarray(labels, int).reshape(-1, len(priors))
    valid = similarities @ (labels == 1)
    invalid = similarities @ (labels == -1)
    return (valid + strength * np.asarray(priors)) / (valid + invalid + strength)


rows = st.lists(st.tuples(st.floats(0, 1), st.tuples(*[st.sampled_from([1, 0, -1])] * 3)), min_size=1, max_size=12)
shares = st.floats(0, 1)
as_labels = {1: True, -1: False}


def neighbours_of(rows):
    return [
        neighbour(similarity, {name: as_labels[label] for name, label in zip(NAMES, row, strict=True) if label})
        for similarity, row in rows
    ]


class TestFormula:
    @given(rows, st.tuples(shares, shares, shares), st.floats(0.01, 100))
    def test_the_estimate_is_the_papers(self, plan, rows, priors, strength):
        estimator = AccuracyEstimator(strength=strength, priors=priors, min_similarity=-1, explore=0)
        got = plan(estimator, known(*neighbours_of(rows)))
        similarities, labels = zip(*rows, strict=True)
        expected = paper_formula(similarities, labels, priors, strength)
        assert [got.estimates[name] for name in NAMES] == pytest.approx(expected.tolist())
        assert got.neighbours == len(rows)

    @given(rows, st.tuples(shares, shares, shares), shares)
    def test_the_start_is_the_cheapest_that_reaches_theta(self, plan, rows, priors, theta):
        recalled = known(*neighbours_of(rows))
        best = plan(AccuracyEstimator(theta=theta, priors=priors, min_similarity=-1, explore=0), recalled)
        cheapest = plan(AccuracyEstimator.paper(theta=theta, priors=priors), recalled)
        estimates = [best.estimates[name] for name in NAMES]
        reaching = [name for name, estimate in zip(NAMES, estimates, strict=True) if estimate >= theta]
        if reaching:
            assert (best.start, cheapest.start) == (reaching[0], reaching[0])
        else:
            assert (best.start, cheapest.start) == (NAMES[int(np.argmax(estimates))], "small")

    def test_a_worked_example(self, plan):
        recalled = known(
            neighbour(0.9, {"small": True, "medium": True}),
            neighbour(0.6, {"small": False}),
            neighbour(0.5, {"large": True}),
        )
        estimates = plan(AccuracyEstimator(strength=2, priors=(0.5, 0.6, 0.7), explore=0), recalled).estimates
        assert estimates["small"] == pytest.approx((0.9 + 2 * 0.5) / (0.9 + 0.6 + 2))
        assert estimates["medium"] == pytest.approx((0.9 + 2 * 0.6) / (0.9 + 2))
        assert estimates["large"] == pytest.approx((0.5 + 2 * 0.7) / (0.5 + 2))

    def test_an_opposite_query_is_no_evidence(self, plan):
        priors = (0.5, 0.6, 0.7)
        recalled = known(neighbour(0.5, {"small": True}), neighbour(-0.9, {"small": False, "large": True}))
        estimates = plan(AccuracyEstimator(strength=1, priors=priors, explore=0), recalled).estimates
        assert estimates == pytest.approx({"small": 1.0 / 1.5, "medium": 0.6, "large": 0.7})

    def test_an_estimate_that_is_just_theta_reaches_it(self, plan):
        recalled = known(neighbour(1.0, {}))
        assert plan(AccuracyEstimator(theta=0.6, priors=(0.5, 0.6, 0.7), explore=0), recalled).start == "medium"

    def test_of_equal_estimates_the_cheaper_wins(self, plan):
        estimator = AccuracyEstimator(theta=0.9, priors=(0.5, 0.7, 0.7), explore=0)
        assert plan(estimator, known(neighbour(1.0, {}))).start == "medium"

    def test_labels_of_tiers_that_left_the_ladder_count_for_nobody(self, plan):
        estimator = AccuracyEstimator(priors=(0.5, 0.6, 0.7), explore=0)
        estimates = plan(estimator, known(neighbour(1.0, {"tiny": True}))).estimates
        assert estimates == pytest.approx({"small": 0.5, "medium": 0.6, "large": 0.7})


class TestPaper:
    def test_its_settings(self):
        paper = AccuracyEstimator.paper()
        assert (paper.k, paper.strength, paper.theta) == (5, 5, 0.7)
        assert (paper.when_none, paper.explore, paper.half_life) == ("cheapest", 0, None)

    def test_theta_and_priors_are_the_users(self):
        paper = AccuracyEstimator.paper(theta=0.8, priors=(0.1, 0.2))
        assert (paper.theta, paper.priors) == (0.8, (0.1, 0.2))

    def test_the_papers_ratchet(self, plan):
        """With the paper's priors the cheapest tier is below theta as long as nobody labels it."""
        labelled_above = [neighbour(1.0, {"medium": True, "large": True})] * 5
        paper = AccuracyEstimator.paper(priors=(0.572, 0.679, 0.803))
        starts = {plan(paper, known(*labelled_above), id=f"call-{n}").start for n in range(200)}
        assert starts == {"medium"}

    def test_a_query_like_no_other_is_evidence_in_the_paper(self, plan):
        estimates = plan(AccuracyEstimator.paper(priors=(0.5, 0.5, 0.5)), known(neighbour(0.01, {"small": True})))
        assert estimates.estimates["small"] > 0.5


class TestColdStart:
    @pytest.mark.parametrize("k", [1, 5, 10])
    def test_the_first_k_queries_start_at_the_cheapest(self, plan, k):
        estimator = AccuracyEstimator(k=k, theta=0.7, priors=(0.1, 0.2, 0.9), explore=0)
        near = neighbour(1.0, {"small": False, "large": True})
        before = plan(estimator, known(near, count=k - 1))
        after = plan(estimator, known(near, count=k))
        assert (before.start, dict(before.estimates), before.neighbours) == ("small", {}, 0)
        assert f"cold start: fewer than {k} past queries" in before.reason
        assert after.start == "large"

    def test_k_past_queries_are_asked_for(self, scripted):
        (first,) = nodes_asked(AccuracyEstimator(k=7), scripted.call("why?", node="n"), scripted.ladder())
        assert first == Recall("why?", "n", 7)


class TestPriors:
    def estimates(self, plan, tiers=None, **settings):
        return plan(AccuracyEstimator(explore=0, **settings), known(neighbour(1.0, {})), tiers=tiers).estimates

    def test_by_position(self, plan):
        assert self.estimates(plan, priors=[0.1, 0.2, 0.3]) == pytest.approx(
            dict(zip(NAMES, (0.1, 0.2, 0.3), strict=True))
        )

    def test_by_name_with_the_rest_by_default(self, plan):
        estimates = self.estimates(plan, priors={"medium": 0.2})
        assert estimates == pytest.approx({"small": 0.65, "medium": 0.2, "large": 0.85})

    @pytest.mark.parametrize("size", [2, 3, 5])
    def test_by_default_spread_evenly_over_the_ladder(self, scripted, plan, size):
        estimates = self.estimates(plan, tiers=scripted.ladder(*scripted.NAMES[:size]))
        assert list(estimates.values()) == pytest.approx(np.linspace(0.65, 0.85, size).tolist())

    def test_a_tiers_own_prior_wins_over_the_default_and_loses_to_the_estimators(self, scripted, plan):
        tiers = scripted.ladder(small={"prior": 0.0}, medium={"prior": 0.3})
        estimates = self.estimates(plan, tiers=tiers, priors={"medium": 0.4})
        assert estimates == pytest.approx({"small": 0.0, "medium": 0.4, "large": 0.85})

    def test_a_prior_of_nothing_counts(self, plan):
        assert self.estimates(plan, priors={"small": 0.0})["small"] == 0.0

    def test_what_the_user_gave_is_copied(self, plan):
        given = {"small": 0.5}
        estimator = AccuracyEstimator(priors=given, explore=0)
        given["small"] = 0.9
        assert plan(estimator, known(neighbour(1.0, {}))).estimates["small"] == pytest.approx(0.5)

    @pytest.mark.parametrize("priors", [(0.5,), (0.5, 0.6), (0.5, 0.6, 0.7, 0.8)])
    def test_as_many_as_there_are_tiers(self, scripted, priors):
        with pytest.raises(ConfigError, match=f"priors: {len(priors)} values for a ladder of 3 tiers"):
            AccuracyEstimator(priors=priors).check(scripted.ladder())

    def test_an_unknown_name_is_refused(self, scripted):
        with pytest.raises(ConfigError, match="priors: no tier is called 'tiny'; the ladder has small, medium, large"):
            AccuracyEstimator(priors={"small": 0.5, "tiny": 0.4}).check(scripted.ladder())


class TestWhenNone:
    def test_best_starts_at_the_highest_estimate(self, plan):
        estimator = AccuracyEstimator(theta=1.0, priors=(0.3, 0.9, 0.5), explore=0, when_none="best")
        got = plan(estimator, known(neighbour(1.0, {})))
        assert got.start == "medium"
        assert "no estimate >= 1.0: highest" in got.reason

    def test_cheapest_starts_at_the_cheapest(self, plan):
        estimator = AccuracyEstimator(theta=1.0, priors=(0.3, 0.9, 0.5), explore=0, when_none="cheapest")
        got = plan(estimator, known(neighbour(1.0, {})))
        assert got.start == "small"
        assert "no estimate >= 1.0: cheapest" in got.reason

    def test_otherwise_the_reason_is_theta(self, plan):
        got = plan(AccuracyEstimator(theta=0.2, explore=0), known(neighbour(1.0, {})))
        assert got.reason == "cheapest with estimate >= 0.2; 1 neighbours"


class TestBackOff:
    near = neighbour(0.9, {"small": False, "medium": True})
    far = neighbour(0.1, {"small": False, "medium": False})

    @pytest.fixture
    def estimator(self):
        return AccuracyEstimator(k=3, priors=(0.5, 0.6, 0.9), theta=0.7, explore=0, min_similarity=0.5)

    def test_the_node_is_asked_first_and_its_signal_ends_the_search(self, scripted, estimator):
        asked = nodes_asked(estimator, scripted.call(node="a/b/c"), scripted.ladder(), known(self.near))
        assert [recall.node for recall in asked] == ["a/b/c"]

    def test_without_a_signal_the_parents_are_asked_in_turn(self, scripted, estimator):
        asked = nodes_asked(
            estimator,
            scripted.call(node="a/b/c"),
            scripted.ladder(),
            *[known(self.far)] * 3,
        )
        assert [recall.node for recall in asked] == ["a/b/c", "a/b", "a"]

    def test_a_parents_past_is_used_and_named(self, plan, estimator):
        got = plan(estimator, known(self.far), known(self.near, self.near), node="a/b")
        assert got.neighbours == 2
        assert got.estimates["small"] == pytest.approx(2.5 / 6.8)
        assert "2 neighbours of parent node 'a'" in got.reason

    def test_its_own_past_is_not_called_a_parents(self, plan, estimator):
        assert "parent" not in plan(estimator, known(self.near), node="a/b").reason

    def test_a_new_node_backs_off_although_its_few_calls_are_similar(self, plan, estimator):
        got = plan(estimator, known(self.near, count=2), known(self.near), node="a/b")
        assert "parent node 'a'" in got.reason

    def test_where_nothing_is_similar_the_priors_decide(self, plan, estimator):
        got = plan(estimator, known(self.far), known(self.far), node="a/b")
        assert got.estimates == pytest.approx({"small": 0.5, "medium": 0.6, "large": 0.9})
        assert (got.start, got.neighbours) == ("large", 0)
        assert "no past query within similarity 0.5: priors" in got.reason

    def test_a_new_node_under_a_known_parent_is_not_cold(self, plan, estimator):
        got = plan(estimator, known(count=0), known(self.far), node="a/b")
        assert got.start == "large"

    def test_where_all_is_new_the_start_is_cold(self, plan, estimator):
        got = plan(estimator, known(count=0), known(self.near, count=2), node="a/b")
        assert got.start == "small"
        assert "cold start" in got.reason

    def test_the_nearest_decides_whether_there_is_a_signal(self, plan, estimator):
        got = plan(estimator, known(self.near, self.far))
        assert got.neighbours == 2
        assert got.estimates["medium"] == pytest.approx((0.9 + 5 * 0.6) / (0.9 + 0.1 + 5))

    def test_a_similarity_of_just_the_least_is_a_signal(self, plan, estimator):
        assert plan(estimator, known(neighbour(0.5, {}))).neighbours == 1

    def test_a_history_that_fails_leaves_the_priors_and_a_warning(self, plan, estimator):
        got = plan(estimator, Recollection(error="OSError: disk on fire"))
        assert got.start == "large"
        assert got.estimates == pytest.approx({"small": 0.5, "medium": 0.6, "large": 0.9})
        assert got.warnings == ("history: OSError: disk on fire",)

    def test_a_history_that_works_gives_no_warning(self, plan, estimator):
        assert plan(estimator, known(self.near)).warnings == ()


class TestHalfLife:
    def estimate(self, plan, half_life, created):
        estimator = AccuracyEstimator(strength=1, priors=(0.0, 0.6, 0.7), explore=0, half_life=half_life)
        recalled = known(neighbour(1.0, {"small": True}, created=created))
        return plan(estimator, recalled, created=1_000.0).estimates["small"]

    @pytest.mark.parametrize(("age", "weight"), [(0, 1.0), (100, 0.5), (200, 0.25), (50, 0.5**0.5)])
    def test_a_label_counts_half_after_it(self, plan, age, weight):
        assert self.estimate(plan, 100, 1_000 - age) == pytest.approx(weight / (weight + 1))

    def test_by_default_labels_do_not_age(self, plan):
        assert AccuracyEstimator().half_life is None
        assert self.estimate(plan, None, 0.0) == pytest.approx(0.5)

    def test_a_record_of_the_future_counts_once(self, plan):
        assert self.estimate(plan, 100, 5_000.0) == pytest.approx(0.5)


class TestExploration:
    above = (neighbour(1.0, {"medium": True, "large": True}),) * 10

    def started(self, plan, estimator, neighbours=above, calls=400):
        plans = [plan(estimator, known(*neighbours), id=f"call-{n}") for n in range(calls)]
        return [got.start for got in plans]

    def test_it_ends_the_ratchet(self, plan):
        starts = self.started(plan, AccuracyEstimator(theta=0.75, explore=0.1))
        assert 0 < starts.count("small") < 100
        assert set(starts) == {"small", "medium"}

    def test_it_is_told(self, plan):
        got = plan(AccuracyEstimator(explore=1.0), known(*self.above))
        assert got.start == "small"
        assert got.reason.startswith("explore one below medium")
        assert got.estimates["medium"] > got.estimates["small"]

    def test_it_can_be_switched_off(self, plan):
        assert set(self.started(plan, AccuracyEstimator(explore=0))) == {"medium"}

    def test_it_depends_on_the_calls_id_alone(self, plan):
        estimator = AccuracyEstimator(explore=0.5)
        assert self.started(plan, estimator) == self.started(plan, estimator)
        assert self.started(plan, estimator) == self.started(plan, AccuracyEstimator(explore=0.5))

    def test_another_seed_draws_otherwise(self, plan):
        assert self.started(plan, AccuracyEstimator(explore=0.5, seed=0)) != self.started(
            plan, AccuracyEstimator(explore=0.5, seed=1)
        )

    def test_a_higher_chance_explores_more(self, plan):
        counts = [self.started(plan, AccuracyEstimator(explore=share)).count("small") for share in (0.1, 0.4, 0.9)]
        assert counts == sorted(counts)
        assert counts[0] < counts[2]

    def test_with_nothing_known_of_the_tier_below_the_chance_is_the_one_given(self, plan):
        assert set(self.started(plan, AccuracyEstimator(explore=1.0))) == {"small"}

    def test_it_falls_as_evidence_on_the_tier_below_gathers(self, plan):
        tried = (neighbour(1.0, {"small": False, "medium": True, "large": True}),) * 10
        untried = self.started(plan, AccuracyEstimator(explore=0.6)).count("small")
        assert 0 < self.started(plan, AccuracyEstimator(explore=0.6), tried).count("small") < untried

    def test_there_is_nothing_below_the_cheapest(self, plan):
        assert set(self.started(plan, AccuracyEstimator(theta=0.0, explore=1.0))) == {"small"}

    def test_only_the_next_tier_below_is_tried(self, plan):
        top_only = (neighbour(1.0, {"small": False, "medium": False, "large": True}),) * 10
        starts = self.started(plan, AccuracyEstimator(explore=1.0), top_only)
        assert set(starts) == {"medium", "large"}

    def test_over_many_calls_the_cheap_tier_earns_its_labels_back(self, scripted):
        """A cheap tier that was unlucky at first, though it is always right now, is started again."""

        def starts_with(estimator):
            bench = scripted.Bench(estimator, PromptJudge(), history=scripted.ListHistory())
            bad = scripted.ScriptedPerformer({"small": "5", "medium": "4", "large": "4"}, {"small": "no"})
            good = scripted.ScriptedPerformer({"small": "4", "medium": "4", "large": "4"})
            for _ in range(5):
                bench.ask(bad)
            return [bench.ask(good).trace.start for _ in range(60)]

        settings = {"k": 5, "theta": 0.7, "priors": (0.6, 0.8, 0.9)}
        assert set(starts_with(AccuracyEstimator(explore=0, **settings))) == {"medium"}
        explored = starts_with(AccuracyEstimator(explore=0.5, **settings))
        assert explored[0] == "medium"
        assert set(explored[-10:]) == {"small"}


class TestArguments:
    @pytest.mark.parametrize(
        ("argument", "value"),
        [
            ("k", 0),
            ("k", -1),
            ("k", 2.5),
            ("k", "5"),
            ("strength", 0),
            ("strength", -1.0),
            ("strength", float("nan")),
            ("strength", float("inf")),
            ("theta", -0.01),
            ("theta", 1.01),
            ("theta", float("nan")),
            ("when_none", "highest"),
            ("when_none", None),
            ("explore", -0.1),
            ("explore", 1.1),
            ("min_similarity", -1.1),
            ("min_similarity", 1.1),
            ("half_life", 0),
            ("half_life", -1),
            ("priors", (0.5, 1.1)),
            ("priors", (-0.1, 0.5)),
            ("priors", {"small": 2}),
        ],
    )
    def test_one_out_of_its_range_is_refused_by_name(self, argument, value):
        with pytest.raises(ConfigError, match=rf"^{argument}=.*(must|each)"):
            AccuracyEstimator(**{argument: value})

    @pytest.mark.parametrize(
        ("argument", "value"),
        [
            ("k", 1),
            ("theta", 0),
            ("theta", 1),
            ("explore", 0),
            ("explore", 1),
            ("min_similarity", -1),
            ("min_similarity", 1),
            ("half_life", 0.001),
            ("priors", (0, 1)),
            ("when_none", "cheapest"),
        ],
    )
    def test_the_ends_of_each_range_are_in_it(self, argument, value):
        assert getattr(AccuracyEstimator(**{argument: value}), argument) == value

    def test_how_it_reads(self):
        assert (
            repr(AccuracyEstimator(k=5, strength=2.0, theta=0.8)) == "AccuracyEstimator(k=5, strength=2.0, theta=0.8)"
        )


class TestFixed:
    def test_the_cheapest_by_default_and_no_history(self, scripted, plan):
        planning = FixedStarter().plan(scripted.call(), scripted.ladder())
        with pytest.raises(StopIteration) as stop:
            next(planning)
        assert stop.value.value == Plan(start="small", reason="fixed")

    def test_a_tier_by_name(self, plan):
        with pytest.raises(ConfigError, match="no tier is called 'tiny'"):
            self.start(plan, "tiny")
        assert self.start(plan, "large") == "large"

    @staticmethod
    def start(plan, name):
        # A starter that asks for nothing ends before it is sent anything.
        return plan(FixedStarter(name)).start

    def test_how_it_reads(self):
        assert repr(FixedStarter("large")) == "FixedStarter('large')"


def test_a_plan_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Plan("small", "fixed").start = "large"
