"""Policies: by name, as objects, by halves."""

import dataclasses

import pytest

from llm_tiers import (
    AccuracyEstimator,
    ConfigError,
    FixedStarter,
    FunctionJudge,
    Policy,
    Price,
    PromptJudge,
    Tier,
    llm_at,
)
from llm_tiers.policies.menu.menu import MenuJudge, MenuStarter
from llm_tiers.policies.named import as_policy, default, estimate


def test_the_default_is_the_menu_under_a_name_of_its_own():
    for policy in (as_policy(), as_policy("default"), default()):
        assert policy.name == "default"
        assert isinstance(policy.starter, MenuStarter)
        assert isinstance(policy.judge, MenuJudge)
        assert policy.equality.skip_prose
        assert (policy.starter.quality, policy.starter.learning.share) == (0.55, 0.2)


@pytest.mark.parametrize("name", [None, "default", "menu"])
def test_what_a_right_answer_is_worth_and_how_much_is_learned_are_arguments_of_the_default(name):
    policy = as_policy(name, worth_usd=0.5, learning=0)
    assert (policy.starter.worth_usd, policy.starter.learning.share) == (0.5, 0)
    assert not policy.starter.profiles


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"worth_usd": 0}, "worth_usd=0 must be more than US"),
        ({"worth_usd": -0.1}, "worth_usd=-0.1 must be more than US"),
        ({"worth_usd": 1.0, "quality": 0.5}, "quality and worth_usd both say what a right answer is worth"),
        ({"learning": 1.5}, r"learning=1.5 must lie in \[0, 1\]"),
        ({"learning": "much"}, "learning"),
        ({"policy": "doubt", "worth_usd": 1.0}, "worth_usd=1.0 is a knob of policy='default' or 'menu'"),
        ({"policy": "estimate", "quality": 0.5}, "quality=0.5 is a knob of policy='default' or 'doubt' or 'menu'"),
        ({"judge": lambda question, answer: True, "learning": 0.1}, "learning=0.1 is a knob"),
    ],
)
def test_wrong_knobs_are_refused_by_name(wrong, message):
    with pytest.raises(ConfigError, match=message):
        as_policy(**wrong)


def test_one_half_of_ones_own_comes_with_the_other_half_of_estimate():
    own = FunctionJudge(lambda question, answer: True)
    assert isinstance(as_policy(judge=own).starter, AccuracyEstimator)
    assert isinstance(as_policy(starter=FixedStarter()).judge, PromptJudge)


def test_estimate_is_llm_at_with_its_faults_mended():
    for policy in (as_policy("estimate"), estimate()):
        assert policy.name == "estimate"
        assert isinstance(policy.starter, AccuracyEstimator)
        assert isinstance(policy.judge, PromptJudge)
        assert policy.starter.when_none == "best"
        assert policy.starter.explore > 0
        assert not policy.judge.offer_abstention
        assert not policy.missing_counts


def test_llm_at_is_the_papers():
    for policy in (llm_at(), as_policy("llm-at")):
        starter = policy.starter
        assert policy.name == "llm-at"
        assert (starter.k, starter.strength, starter.theta) == (5, 5, 0.7)
        assert (starter.when_none, starter.explore, starter.half_life) == ("cheapest", 0, None)
        assert policy.judge.offer_abstention
        assert policy.missing_counts


def test_the_arguments_of_the_named_policies_reach_their_halves():
    assert llm_at(theta=0.9).starter.theta == 0.9
    assert llm_at(offer_abstention=False).judge.offer_abstention is False
    assert estimate(theta=0.9).starter.theta == 0.9
    assert default(quality=0.9).starter.quality == 0.9


@pytest.mark.parametrize("make", [llm_at, estimate])
def test_a_theta_outside_the_unit_interval_is_refused(make):
    with pytest.raises(ConfigError, match=r"theta=1.5 must lie in \[0, 1\]"):
        make(theta=1.5)


def test_a_policy_is_taken_as_it_is():
    policy = llm_at()
    assert as_policy(policy) is policy


def test_either_half_can_be_replaced():
    starter, judge = FixedStarter("medium"), PromptJudge(floor="large")
    by_starter = as_policy("llm-at", starter=starter)
    assert by_starter.starter is starter
    assert by_starter.judge.offer_abstention
    by_judge = as_policy("llm-at", judge=judge)
    assert by_judge.judge is judge
    assert by_judge.starter.k == 5
    assert by_starter.missing_counts
    assert {by_starter.name, by_judge.name} == {"custom"}


def test_replacing_a_half_leaves_the_given_policy_alone():
    policy = llm_at()
    as_policy(policy, starter=FixedStarter())
    assert isinstance(policy.starter, AccuracyEstimator)
    assert policy.name == "llm-at"


def test_a_plain_function_is_a_judge():
    def is_short(question, answer):
        return len(answer) < 10

    judge = as_policy(judge=is_short).judge
    assert isinstance(judge, FunctionJudge)
    assert judge.function is is_short


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"policy='llmat' is unknown; take one of .*'default'.*'llm-at'.*or a Policy"):
        as_policy("llmat")


def test_what_is_no_policy_is_refused():
    with pytest.raises(ConfigError, match=r"policy.*such as llm_at\(\)"):
        as_policy(0.7)


def test_what_is_no_starter_is_refused():
    with pytest.raises(ConfigError, match=r"starter.*such as AccuracyEstimator"):
        as_policy(starter="medium")


@pytest.mark.parametrize("judge", ["yes", 3, PromptJudge])
def test_what_is_no_judge_is_refused(judge):
    with pytest.raises(ConfigError, match=r"judge.*such as PromptJudge\(\), or a function"):
        as_policy(judge=judge)


@pytest.mark.parametrize("argument", ["policy", "starter", "judge"])
def test_a_model_given_in_the_wrong_place_is_not_shown(argument):
    class Client:
        def __repr__(self):
            return "Client(api_key='sk-secret')"

    with pytest.raises(ConfigError, match=f"{argument}.*Client") as caught:
        as_policy(**{argument: Client()})
    assert "sk-secret" not in str(caught.value)


def test_a_policy_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        llm_at().name = "mine"


@pytest.mark.parametrize(
    ("starter", "judge", "message"),
    [
        (FixedStarter("tiny"), PromptJudge(), "'tiny'.*'small', 'medium', 'large'"),
        (AccuracyEstimator(priors={"tiny": 0.5}), PromptJudge(), "priors: .*'tiny'"),
        (AccuracyEstimator(priors=(0.5, 0.6)), PromptJudge(), "priors: 2 values for a ladder of 3"),
        (FixedStarter(), PromptJudge(floor="tiny"), "floor='tiny'.*'small', 'medium', 'large'"),
        (FixedStarter(), PromptJudge(model="tiny"), "model='tiny'.*'small', 'medium', 'large'"),
        (FixedStarter(), PromptJudge() & PromptJudge(floor="tiny"), "floor='tiny'"),
        (FixedStarter(), PromptJudge(floor="tiny") | PromptJudge(), "floor='tiny'"),
    ],
)
def test_a_tier_that_the_ladder_lacks_is_refused_before_any_call(scripted, starter, judge, message):
    with pytest.raises(ConfigError, match=message):
        Policy("mine", starter, judge).check(scripted.ladder())


def test_a_policy_that_names_tiers_of_the_ladder_is_taken(scripted):
    starter = AccuracyEstimator(priors={"small": 0.5, "large": 0.9})
    judge = PromptJudge(floor="large") & PromptJudge(model="small")
    assert Policy("mine", starter, judge).check(scripted.ladder()) is None
    assert Policy("mine", AccuracyEstimator(priors=(0.5, 0.6, 0.7)), judge).check(scripted.ladder()) is None


def test_a_starter_need_not_have_a_check(scripted):
    assert Policy("mine", scripted.Planned("small"), PromptJudge()).check(scripted.ladder()) is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AccuracyEstimator(theta="0.7"), "theta='0.7' must be a number"),
        (lambda: AccuracyEstimator(theta=None), "theta=None must be a number"),
        (lambda: AccuracyEstimator(strength="5"), "strength='5' must be a number"),
        (lambda: AccuracyEstimator(half_life="1 day"), "half_life='1 day' must be a number"),
        (lambda: AccuracyEstimator(priors=["x"]), "priors='x' must be a number"),
        (lambda: AccuracyEstimator(priors=0.5), "priors=0.5 must be one number a tier"),
        (lambda: as_policy(starter=AccuracyEstimator), "starter must be one"),
        (lambda: PromptJudge(floor=3), r"PromptJudge\(floor=...\) must be a name, not a int"),
        (lambda: PromptJudge(effort=3), r"PromptJudge\(effort=...\) must be a name, not a int"),
        (lambda: Tier(object(), name="a", prior="0.5"), "prior='0.5' must lie in"),
        (lambda: Tier(object(), name="a", context_window="8k"), "context_window='8k' must be at least 1 token"),
        (lambda: Tier(object(), name="a", price=Price("a", 1)), "price=.* must be .input, output."),
        (lambda: Tier(object(), name="a", capabilities="tools"), "capabilities must be a set"),
    ],
)
def test_an_argument_of_another_kind_is_refused_by_name(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
