"""The judge that compares: who agrees, who is asked where it cannot be told, and what a call then teaches."""

import pytest

from llm_tiers import AccuracyEstimator, Agreement, Answer, ConfigError, PromptJudge, TierError, Verdict
from llm_tiers.agreement.equality import FinalAnswers
from llm_tiers.policies.judges import Case
from llm_tiers.policies.named import as_policy

VAGUE = ("Paris lies on the Seine.", "The Seine flows through Paris.")


def said(tier, text):
    return Answer(tier, text, text or None)


@pytest.fixture
def case(scripted):
    def case(text, *others):
        answers = tuple(said(tier, other) for tier, other in zip(("small", "large"), others, strict=False))
        return Case(scripted.call("Where is Paris?"), scripted.ladder(), said("medium", text), answers)

    return case


def judged(judge, case, *replies):
    """Run a review, replying to what it asks; return the judgement and the calls that it asked for."""
    review, asked = judge.review(case), []
    try:
        request = next(review)
        for reply in replies:
            asked.append(request.calls[0])
            request = review.send((reply,))
    except StopIteration as stop:
        return stop.value, asked
    raise AssertionError("the judge asks on")


def test_an_answer_that_another_tier_gave_stands(case):
    judgement, asked = judged(Agreement(), case("The answer is 0.5.", "It is\n**1/2**"))
    assert (judgement.verdict, judgement.by, judgement.why, asked) == (Verdict.VALID, "agreement", "as small", [])


@pytest.mark.parametrize("others", [(), ("The answer is 0.6.",), ("I cannot say.",), ("",)])
def test_an_answer_that_nobody_else_gave_is_left_open_and_nobody_is_asked(case, others):
    judgement, asked = judged(Agreement(), case("The answer is 0.5.", *others))
    assert (judgement.verdict, asked) == (Verdict.UNCERTAIN, [])


@pytest.mark.parametrize(("reply", "verdict"), [("Yes.", "valid"), ("no", "uncertain"), ("perhaps", "uncertain")])
def test_where_it_cannot_be_told_the_cheapest_tier_is_asked(case, reply, verdict):
    judgement, (asked,) = judged(Agreement(), case(VAGUE[0], VAGUE[1]), said("small", reply))
    assert judgement.verdict.value == verdict
    assert (asked.tier.name, asked.role, asked.subject) == ("small", "judge", "medium")
    assert all(text in asked.prompt.user for text in (*VAGUE, "Where is Paris?"))


def test_the_dearest_other_tier_is_compared_first(case):
    judgement, asked = judged(Agreement(), case(VAGUE[0], VAGUE[1], "Paris? On the Seine."), said("small", "yes"))
    assert judgement.why == "as large"
    assert len(asked) == 1


def test_markers_cannot_be_guessed_from_the_answers(case):
    _, (asked,) = judged(Agreement(), case(VAGUE[0], VAGUE[1]), said("small", "no"))
    mark = asked.prompt.user.split(" ", 1)[0]
    assert mark.startswith("<<")
    assert mark not in "".join(VAGUE)


def test_the_question_and_the_answers_are_shown_by_head_and_tail(scripted):
    query = "context " * 2_000 + "Where is Paris?"
    texts = ("On the Seine. " + "a" * 500_000 + " Yes.", "By the Seine.\ud800")
    case = Case(scripted.call(query), scripted.ladder(), said("medium", texts[0]), (said("small", texts[1]),))
    _, (asked,) = judged(Agreement(), case, said("small", "no"))
    assert len(asked.prompt.user) < 6_000
    assert all(
        part in asked.prompt.user for part in ("Where is Paris?", "On the Seine.", " Yes.", "characters left out")
    )
    assert asked.prompt.user.encode()


def test_a_model_that_fails_leaves_it_open(case):
    judgement, _ = judged(Agreement(), case(*VAGUE), TierError("small", "down"))
    assert judgement.verdict is Verdict.UNCERTAIN


def test_nobody_is_asked_where_that_is_not_wanted(case):
    judgement, asked = judged(Agreement(ask=False), case(*VAGUE))
    assert (judgement.verdict, asked) == (Verdict.UNCERTAIN, [])


class TestCascade:
    """With a witness beside the start: agreement costs no judge, and disagreement asks one."""

    @pytest.fixture
    def ask(self, scripted, way):
        def ask(answers, verdicts=None):
            self.history = scripted.ListHistory()
            starter = scripted.Planned("medium", ("small",))
            judge = Agreement() | PromptJudge()
            bench = scripted.Bench(starter, judge, history=self.history, equality=FinalAnswers())
            self.performer = scripted.ScriptedPerformer(answers, verdicts)
            return bench.ask(self.performer, way=way)

        return ask

    def test_the_pair_agrees(self, ask):
        outcome = ask({"small": "The answer is 4.", "medium": "2 + 2 is\n**4**"})

        assert outcome.answer.tier == "medium"
        assert sorted(self.performer.roles) == [("generate", "medium"), ("witness", "small")]
        assert self.history.given[0].labels == {"small": True, "medium": True, "large": True}

    def test_the_pair_disagrees_and_a_model_judges(self, ask):
        outcome = ask({"small": "The answer is 5.", "medium": "The answer is 4."}, {"medium": "yes"})

        assert outcome.answer.tier == "medium"
        assert "judge" in {role for role, _ in self.performer.roles}
        assert self.history.given[0].labels == {"small": False, "medium": True, "large": True}

    def test_a_dearer_tier_agrees_with_the_witness(self, ask):
        answers = {"small": "The answer is 4.", "medium": "The answer is 5.", "large": "The answer is 4."}
        outcome = ask(answers, {"medium": "no"})

        assert outcome.answer.tier == "large"
        assert self.history.given[0].labels == {"small": True, "medium": False, "large": True}

    def test_what_cannot_be_told_leaves_no_label(self, ask):
        answers = {"small": VAGUE[0], "medium": VAGUE[1], "large": "x"}
        # The small tier, asked whether the two are the same, and the medium one, asked for a verdict.
        outcome = ask(answers, {"medium": "perhaps"})

        assert outcome.answer.tier == "large"
        assert self.history.given[0].labels == {"large": True}


class TestWitness:
    """The estimator may plan the next cheaper tier as a witness."""

    @pytest.fixture
    def ask(self, scripted):
        def ask(prices, **settings):
            tiers = scripted.ladder(**{name: {"price": price} for name, price in prices.items()})
            starter = AccuracyEstimator(priors=[0.1, 0.9, 0.9], explore=0, witness="below", **settings)
            history = scripted.ListHistory()
            bench = scripted.Bench(starter, Agreement(), tiers, history, equality=FinalAnswers())
            performer = scripted.ScriptedPerformer({"small": "The answer is 4.", "medium": "**4**", "large": "4"})
            for _ in range(11):
                outcome = bench.ask(performer)
            return outcome.trace

        return ask

    def roles(self, trace):
        return sorted((attempt.role, attempt.tier) for attempt in trace.attempts)

    def test_it_answers_beside_the_start_and_agreement_is_enough(self, ask):
        trace = ask({"small": (1, 1), "medium": (10, 10), "large": (100, 100)})
        assert self.roles(trace) == [("generate", "medium"), ("witness", "small")]

    def test_it_is_left_out_where_a_judge_costs_no_more(self, ask):
        trace = ask({"small": (6, 6), "medium": (10, 10), "large": (100, 100)})
        assert ("witness", "small") not in self.roles(trace)
        assert "witness small left out: at its price, judging medium's answer is as cheap" in trace.warnings

    def test_another_name_is_refused(self):
        with pytest.raises(ConfigError, match="witness='above' must be 'below' or None"):
            AccuracyEstimator(witness="above")

    def test_the_policy_is_known_by_name(self):
        policy = as_policy("agree")
        assert (policy.name, policy.starter.witness, repr(policy.judge)) == (
            "agree",
            "below",
            f"(Agreement(ask=True) | Thrifty({PromptJudge()!r}))",
        )
