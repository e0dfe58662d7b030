"""The flow of one call, stepped by hand: what it asks for, and what it makes of the replies."""

import dataclasses
import inspect
from types import SimpleNamespace

import pytest

from llm_tiers import (
    AccuracyEstimator,
    AllTiersFailed,
    Answer,
    FunctionJudge,
    Judge,
    Ladder,
    PromptJudge,
    Tier,
    TierError,
    Verdict,
)
from llm_tiers.agreement.equality import ExactEquality
from llm_tiers.call.requests import Generate, Handoff, ModelCall, Prompt, Recall
from llm_tiers.errors import Origin
from llm_tiers.flow.cascade import cascade
from llm_tiers.flow.limits import Limits
from llm_tiers.history.record import Recollection
from llm_tiers.policies.judges import Judgement
from llm_tiers.policies.named import as_policy
from llm_tiers.policies.policy import Policy


class Verdicts(Judge):
    """Judges without asking anybody, by the name of the tier; keeps what it was shown."""

    def __init__(self, **verdicts):
        self.verdicts = verdicts
        self.seen = []

    def review(self, case):
        yield from ()
        self.seen.append(case)
        return Judgement(Verdict(self.verdicts.get(case.answer.tier, "valid")), "verdicts")


@pytest.fixture
def begin(scripted):
    """Begin a flow; return it with its ledger."""

    def begin(starter="small", judge=None, witnesses=(), tiers=None, *, audit=0.0, missing_counts=False, **facts):
        starter = scripted.Planned(starter, witnesses) if isinstance(starter, str) else starter
        equality = ExactEquality(missing_counts=missing_counts)
        policy = Policy("tested", starter, judge or Verdicts(), equality=equality, audit=audit)
        ledger = scripted.ledger_of(policy, tiers, **facts)
        return cascade(policy, ledger), ledger

    return begin


def said(tier, value="4", text=None):
    return Answer(tier, text if text is not None else value or "", value)


def failed(tier):
    return TierError(tier, "down")


def names(request):
    """Return what a request asks of whom."""
    calls = (request.call,) if isinstance(request, Handoff) else request.calls
    return [(call.role, call.tier.name) for call in calls]


def end(flow, response):
    """Send the last response and return the accepted answer."""
    with pytest.raises(StopIteration) as stop:
        flow.send(response)
    assert inspect.getgeneratorstate(flow) == inspect.GEN_CLOSED
    return stop.value.value


class TestSteps:
    def test_recall_generate_judge_in_that_order(self, scripted, begin):
        flow, ledger = begin(AccuracyEstimator(k=5), PromptJudge(), node="n", query="why?")
        assert next(flow) == Recall("why?", "n", 5)
        assert flow.send(Recollection(count=4)) == Generate((ModelCall(ledger.ladder["small"]),))
        verdict = flow.send((said("small"),))
        assert names(verdict) == [("judge", "medium")]
        assert verdict.calls[0].subject == "small"
        assert end(flow, (said("medium", "yes"),)) == said("small")

    def test_a_rejected_answer_goes_one_tier_up(self, begin):
        flow, ledger = begin(judge=Verdicts(small="invalid", medium="invalid"))
        small, medium, large = ledger.ladder
        assert next(flow) == Generate((ModelCall(small),))
        assert flow.send((said("small"),)) == Generate((ModelCall(medium),))
        assert flow.send((said("medium"),)) == Handoff(ModelCall(large))
        assert end(flow, said("large", "5")) == said("large", "5")

    def test_an_uncertain_answer_goes_up_too(self, begin):
        flow, _ = begin(judge=Verdicts(small="uncertain"))
        next(flow)
        assert names(flow.send((said("small"),))) == [("generate", "medium")]

    def test_the_top_tier_is_not_judged(self, begin):
        judge = Verdicts(large="invalid")
        flow, _ = begin("large", judge)
        assert names(next(flow)) == [("generate", "large")]
        assert end(flow, said("large")) == said("large")
        assert judge.seen == []

    def test_a_tier_that_fails_goes_up_unjudged(self, begin):
        judge = Verdicts()
        flow, _ = begin(judge=judge)
        next(flow)
        assert names(flow.send((failed("small"),))) == [("generate", "medium")]
        assert end(flow, (said("medium"),)) == said("medium")
        assert [case.answer.tier for case in judge.seen] == ["medium"]

    def test_the_start_is_the_starters(self, begin):
        flow, _ = begin("medium")
        assert names(next(flow)) == [("generate", "medium")]

    def test_the_judge_sees_the_call_the_answer_and_the_earlier_ones(self, begin):
        judge = Verdicts(small="invalid")
        flow, ledger = begin(judge=judge)
        next(flow)
        flow.send((said("small", "5"),))
        end(flow, (said("medium"),))
        first, second = judge.seen
        assert (first.call, first.ladder, first.answer, first.others) == (
            ledger.call,
            ledger.ladder,
            said("small", "5"),
            (),
        )
        assert (second.answer, second.others) == (said("medium"), (said("small", "5"),))

    def test_no_starter_may_return_nothing(self, begin):
        class Undecided:
            def plan(self, call, ladder):
                yield from ()

        flow, _ = begin(Undecided())
        with pytest.raises(TypeError, match="the starter returned no plan"):
            next(flow)


def refused(tier, blame="refused", unknown=None):
    return TierError(tier, "no", origin=Origin(ValueError, blame=blame, unknown=unknown))


class TestTheCallersMistake:
    @pytest.mark.parametrize("blame", ["refused", "caller"])
    def test_it_ends_the_call_at_once(self, begin, blame):
        flow, _ = begin()
        next(flow)
        with pytest.raises(ValueError, match="no") as caught:
            flow.send((refused("small", blame),))
        assert isinstance(caught.value, AllTiersFailed)

    @pytest.mark.parametrize("blame", ["tier", "setup", "request"])
    def test_what_is_not_goes_one_tier_up(self, begin, blame):
        flow, _ = begin()
        next(flow)
        assert names(flow.send((refused("small", blame),))) == [("generate", "medium")]

    def test_where_a_tier_has_answered_a_refusal_goes_one_tier_up(self, begin):
        flow, _ = begin(judge=Verdicts(small="invalid"))
        next(flow)
        flow.send((said("small"),))
        assert names(flow.send((refused("medium"),))) == [("generate", "large")]

    def test_a_provider_that_has_refused_is_asked_no_more(self, begin):
        """Of the four tiers two are of another provider."""
        kinds = (SimpleNamespace, SimpleNamespace, object, object)
        tiers = Ladder(
            Tier(kind(), name=name, price=(1, 1))
            for kind, name in zip(kinds, ("small", "medium", "large", "huge"), strict=True)
        )
        flow, ledger = begin(tiers=tiers)
        assert names(next(flow)) == [("generate", "small")]
        assert names(flow.send((refused("small"),))) == [("generate", "large")]
        with pytest.raises(ValueError, match="no"):
            flow.send((refused("large"),))
        assert [error.tier for error in ledger.errors] == ["small", "large"]

    @pytest.mark.parametrize(("kind", "first"), [(lambda: "new", 1), (None, 3)])
    def test_a_request_of_a_new_kind_goes_to_one_tier_first(self, begin, kind, first):
        flow, ledger = begin(audit=1.0, kind=kind)
        assert len(names(next(flow))) == first
        if first == 1:
            assert names(flow.send((said("small"),))) == [("audit", "medium"), ("audit", "large")]
            assert "new" in ledger.accepted_kinds

    def test_one_that_is_refused_goes_to_no_other(self, begin):
        flow, _ = begin(audit=1.0, kind=lambda: "new")
        next(flow)
        with pytest.raises(ValueError, match="no"):
            flow.send((refused("small"),))

    def test_after_a_refusal_a_kind_is_new_again(self, begin):
        flow, ledger = begin(audit=1.0, kind=lambda: "known")
        ledger.accepted_kinds.add("known")
        assert len(names(next(flow))) == 3
        with pytest.raises(ValueError, match="no"):
            flow.send(tuple(map(refused, ("small", "medium", "large"))))
        assert "known" not in ledger.accepted_kinds

    def test_a_setting_that_a_tier_does_not_know_is_left_out_for_it(self, begin):
        class Other:
            """Of another kind than the tiers around it, so that it may take the setting."""

        large = Tier(Other(), name="large", price=(1, 1))
        small = Tier(SimpleNamespace(), name="small", price=(1, 1))
        flow, ledger = begin(tiers=Ladder([small, large]), settings=frozenset({"seed"}))
        assert next(flow) == Generate((ModelCall(small),))
        again = flow.send((refused("small", "request", "seed"),))
        assert again == Generate((ModelCall(small, without=frozenset({"seed"})),))
        assert end(flow, (said("small"),)) == said("small")
        assert ledger.trace().warnings == ("setting left out: small does not know seed",)

    def test_one_that_is_left_out_and_missed_all_the_same_is_asked_for_no_more(self, begin):
        small, medium = (Tier(kind(), name=name) for kind, name in ((SimpleNamespace, "small"), (object, "medium")))
        flow, _ = begin(tiers=Ladder([small, medium]), settings=frozenset({"seed"}))
        next(flow)
        flow.send((refused("small", "request", "seed"),))
        assert names(flow.send((refused("small", "request", "seed"),))) == [("generate", "medium")]


class TestWrongReplies:
    def test_a_recall_takes_a_recollection(self, begin):
        flow, _ = begin(AccuracyEstimator())
        next(flow)
        with pytest.raises(TypeError, match="Recall was answered with tuple"):
            flow.send(())

    def test_a_generate_takes_a_tuple(self, begin):
        flow, _ = begin()
        next(flow)
        with pytest.raises(TypeError, match="Generate was answered with Answer"):
            flow.send(said("small"))

    def test_a_handoff_takes_one_reply(self, begin):
        flow, _ = begin("large")
        next(flow)
        with pytest.raises(TypeError, match="Handoff was answered with tuple"):
            flow.send((said("large"),))


class TestWitness:
    def test_it_answers_side_by_side_with_the_start(self, begin):
        judge = Verdicts()
        flow, ledger = begin("medium", judge, ("small",))
        small, medium, _ = ledger.ladder
        assert next(flow) == Generate((ModelCall(medium), ModelCall(small, role="witness")))
        assert end(flow, (said("medium"), said("small", "5"))) == said("medium")
        assert judge.seen[0].others == (said("small", "5"),)

    def test_it_answers_once(self, begin):
        flow, _ = begin("medium", Verdicts(medium="invalid"), ("small",))
        next(flow)
        assert names(flow.send((said("medium"), said("small", "5")))) == [("generate", "large")]

    def test_one_that_fails_changes_nothing(self, begin):
        flow, _ = begin("medium", None, ("small",))
        next(flow)
        assert end(flow, (said("medium"), failed("small"))) == said("medium")

    def test_beside_the_top_tier_nothing_is_handed_off(self, begin):
        flow, _ = begin("large", None, ("small", "medium"))
        assert names(next(flow)) == [("generate", "large"), ("witness", "small"), ("witness", "medium")]

    def test_one_that_cannot_serve_is_left_out(self, scripted, begin):
        tiers = scripted.ladder(small={"context_window": 10})
        flow, _ = begin("medium", None, ("small",), tiers, tokens=11)
        assert names(next(flow)) == [("generate", "medium")]

    def test_a_tier_is_no_witness_of_its_own(self, begin):
        flow, _ = begin("medium", None, ("medium",))
        assert names(next(flow)) == [("generate", "medium")]


class TestShortfall:
    @pytest.fixture
    def tiers(self, scripted):
        return scripted.ladder(
            small={"context_window": 10}, medium={"context_window": 100}, large={"capabilities": set()}
        )

    def test_tiers_that_cannot_serve_are_skipped_and_named(self, begin, tiers):
        flow, ledger = begin(tiers=tiers, tokens=11)
        assert names(next(flow)) == [("generate", "medium")]
        end(flow, (said("medium"),))
        trace = ledger.trace()
        assert trace.warnings == ("tier small skipped: context window 10 < 11 tokens",)
        assert trace.start == "medium"
        assert trace.reason == "planned; small cannot serve the call"

    def test_the_dearest_that_can_serve_is_not_judged(self, begin, tiers):
        flow, _ = begin("medium", Verdicts(medium="invalid"), tiers=tiers, needs=frozenset({"tools"}))
        assert isinstance(next(flow), Handoff)
        assert end(flow, said("medium")) == said("medium")

    def test_where_the_start_and_all_above_cannot_serve_the_dearest_below_answers(self, begin, tiers):
        flow, ledger = begin("large", tiers=tiers, needs=frozenset({"tools"}))
        assert names(next(flow)) == [("generate", "medium")]
        end(flow, said("medium"))
        assert ledger.trace().reason == "planned; large cannot serve the call"

    def test_a_start_that_can_serve_keeps_its_reason(self, begin, tiers):
        flow, ledger = begin("medium", tiers=tiers, tokens=11)
        next(flow)
        assert ledger.trace().reason == "planned"

    def test_where_no_tier_can_serve_nothing_is_called(self, begin, tiers):
        flow, ledger = begin(tiers=tiers, tokens=101, needs=frozenset({"tools"}))
        with pytest.raises(AllTiersFailed) as caught:
            next(flow)
        assert [str(error) for error in caught.value.exceptions] == [
            "tier 'small' failed: cannot serve the call: context window 10 < 101 tokens",
            "tier 'medium' failed: cannot serve the call: context window 100 < 101 tokens",
            "tier 'large' failed: cannot serve the call: no tools",
        ]
        assert ledger.trace().attempts == ()

    def test_a_tier_that_was_skipped_is_among_the_failures(self, begin, tiers):
        flow, _ = begin(tiers=tiers, tokens=101)
        next(flow)
        with pytest.raises(AllTiersFailed) as caught:
            flow.send(failed("large"))
        assert [error.tier for error in caught.value.exceptions] == ["small", "medium", "large"]


class TestPin:
    def test_the_pinned_tier_answers_unjudged_and_nothing_is_recalled(self, begin):
        flow, ledger = begin(AccuracyEstimator(), Verdicts(small="invalid"), pin="small")
        assert next(flow) == Handoff(ModelCall(ledger.ladder["small"], forced=True))
        assert end(flow, said("small", None)) == said("small", None)
        assert (ledger.trace().start, ledger.trace().reason) == ("small", "pinned")

    def test_nobody_stands_in_for_it(self, begin):
        flow, _ = begin(pin="small")
        next(flow)
        with pytest.raises(AllTiersFailed) as caught:
            flow.send(failed("small"))
        assert [error.tier for error in caught.value.exceptions] == ["small"]

    def test_it_is_not_invited_to_abstain(self, begin):
        flow, _ = begin(judge=PromptJudge(offer_abstention=True), pin="small")
        assert next(flow).call.postscript is None

    def test_it_answers_also_where_it_could_not_serve(self, scripted, begin):
        flow, _ = begin(tiers=scripted.ladder(small={"context_window": 10}), pin="small", tokens=11)
        assert names(next(flow)) == [("generate", "small")]


class TestMissing:
    def test_it_goes_up_unjudged(self, begin):
        judge = Verdicts()
        flow, ledger = begin(judge=judge)
        next(flow)
        assert names(flow.send((said("small", None),))) == [("generate", "medium")]
        assert judge.seen == []
        assert ledger.judgements["small"] == Judgement(Verdict.INVALID, "missing")

    def test_it_is_judged_in_the_papers_preset(self, begin):
        judge = Verdicts()
        flow, _ = begin(judge=judge, missing_counts=True)
        next(flow)
        assert end(flow, (said("small", None),)) == said("small", None)
        assert [case.answer.tier for case in judge.seen] == ["small"]

    def to_the_top(self, begin, reply, verdict="uncertain", **settings):
        flow, ledger = begin("medium", Verdicts(medium=verdict), **settings)
        next(flow)
        flow.send((said("medium", "5"),))
        return end(flow, reply), ledger

    def test_from_the_top_tier_an_earlier_uncertain_answer_is_better(self, begin):
        answer, ledger = self.to_the_top(begin, said("large", None))
        assert answer == said("medium", "5")
        assert ledger.trace().final == "medium"
        (warning,) = ledger.trace().warnings
        assert "medium's is returned though no judge found it valid" in warning

    def test_from_the_top_tier_it_is_better_than_a_rejected_answer(self, begin):
        answer, ledger = self.to_the_top(begin, said("large", None), "invalid")
        assert answer == said("large", None)
        assert ledger.trace().warnings == ()

    def test_from_the_top_tier_it_is_returned_in_the_papers_preset(self, begin):
        answer, _ = self.to_the_top(begin, said("large", None), missing_counts=True)
        assert answer == said("large", None)

    def test_an_answer_of_the_top_tier_needs_no_earlier_one(self, begin):
        answer, ledger = self.to_the_top(begin, said("large"))
        assert answer == said("large")
        assert ledger.trace().warnings == ()


class TestLastResort:
    def test_the_dearest_uncertain_answer_is_better_than_none(self, begin):
        flow, _ = begin(judge=Verdicts(small="uncertain", medium="uncertain"))
        next(flow)
        flow.send((said("small", "5"),))
        flow.send((said("medium", "6"),))
        assert end(flow, failed("large")) == said("medium", "6")

    def test_a_rejected_one_is_passed_over(self, begin):
        flow, _ = begin(judge=Verdicts(small="uncertain", medium="invalid"))
        next(flow)
        flow.send((said("small", "5"),))
        flow.send((said("medium", "6"),))
        assert end(flow, failed("large")) == said("small", "5")

    def test_a_witness_may_stand_in(self, begin):
        flow, _ = begin("medium", None, ("small",))
        next(flow)
        flow.send((failed("medium"), said("small", "5")))
        assert end(flow, failed("large")) == said("small", "5")

    def test_a_missing_answer_is_none(self, begin):
        flow, _ = begin("medium", None, ("small",))
        next(flow)
        flow.send((failed("medium"), said("small", None)))
        with pytest.raises(AllTiersFailed):
            flow.send(failed("large"))

    def test_what_the_judge_rejected_is_not_returned_in_a_witnesss_words(self, begin):
        flow, _ = begin("medium", Verdicts(medium="invalid"), ("small",))
        next(flow)
        flow.send((said("medium", "5"), said("small", "5")))
        with pytest.raises(AllTiersFailed):
            flow.send(failed("large"))

    def test_what_the_judge_rejected_later_is_not_returned_in_an_earlier_tiers_words(self, begin):
        flow, _ = begin(judge=Verdicts(small="uncertain", medium="invalid"))
        next(flow)
        flow.send((said("small", "5"),))
        flow.send((said("medium", "5"),))
        with pytest.raises(AllTiersFailed):
            flow.send(failed("large"))

    def test_rejected_answers_alone_leave_nothing_to_return(self, begin):
        flow, _ = begin(judge=Verdicts(small="invalid"))
        next(flow)
        flow.send((said("small"),))
        flow.send((failed("medium"),))
        with pytest.raises(AllTiersFailed) as caught:
            flow.send(failed("large"))
        assert [error.tier for error in caught.value.exceptions] == ["medium", "large"]
        assert "small, medium, large" in str(caught.value)
        assert all(str(error) in str(caught.value) for error in caught.value.exceptions)
        assert "rejected by the judge: small" in str(caught.value)

    def test_without_a_rejected_answer_none_is_mentioned(self, begin):
        flow, _ = begin("large")
        next(flow)
        flow.send(failed("large"))
        flow.send((failed("medium"),))
        with pytest.raises(AllTiersFailed) as caught:
            flow.send((failed("small"),))
        assert "rejected" not in str(caught.value)


class TestDown:
    """Tiers that are not asked, since their breaker is open."""

    def down(self, *tiers):
        return dict.fromkeys(tiers, "its breaker is open")

    def test_they_are_not_asked_and_the_trace_says_so(self, begin):
        flow, ledger = begin(down=self.down("small"))
        assert names(next(flow)) == [("generate", "medium")]
        end(flow, (said("medium"),))
        assert ledger.trace().warnings == ("breaker: small skipped, its breaker is open",)
        assert ledger.trace().start == "medium"

    def test_nobody_witnesses_or_profiles_with_them(self, begin, scripted):
        flow, _ = begin("large", None, ("small", "medium"), down=self.down("small"))
        assert names(next(flow)) == [("generate", "large"), ("witness", "medium")]

    def test_no_call_is_audited_meanwhile(self, scripted):
        policy = Policy("tested", scripted.Planned("small"), Verdicts(), audit=1.0)
        for down, asked in (({}, 3), (self.down("medium"), 1)):
            flow = cascade(policy, scripted.ledger_of(policy, down=down))
            assert len(names(next(flow))) == asked

    def test_where_dearer_ones_are_down_the_dearest_that_is_up_is_judged(self, begin):
        judge = Verdicts(medium="uncertain")
        flow, ledger = begin("large", judge, down=self.down("large"))
        assert names(next(flow)) == [("generate", "medium")]
        assert end(flow, (said("medium"),)) == said("medium")
        assert [case.answer.tier for case in judge.seen] == ["medium"]
        assert ledger.trace().degraded

    def test_what_is_found_valid_there_is_not_degraded(self, begin):
        flow, ledger = begin("large", down=self.down("large"))
        next(flow)
        end(flow, (said("medium"),))
        assert not ledger.trace().degraded

    def test_before_the_call_fails_they_are_asked_all_the_same(self, begin):
        flow, _ = begin("medium", Verdicts(medium="invalid", small="invalid"), down=self.down("large"))
        next(flow)
        assert names(flow.send((said("medium", "5"),))) == [("generate", "small")]
        request = flow.send((said("small", "6"),))
        assert names(request) == [("generate", "large")]
        assert request.calls[0].forced
        assert end(flow, (said("large", "7"),)) == said("large", "7")

    def test_where_all_are_down_the_dearest_is_asked(self, begin):
        flow, _ = begin(down=self.down("small", "medium", "large"))
        request = next(flow)
        assert isinstance(request, Handoff)
        assert names(request) == [("generate", "large")]
        assert request.call.forced
        assert end(flow, said("large")) == said("large")

    def test_a_pinned_tier_is_asked_whatever_its_breaker_says(self, begin):
        flow, _ = begin(pin="small", down=self.down("small"))
        assert next(flow).call.forced

    def test_who_judges_is_up(self, begin):
        flow, _ = begin(judge=PromptJudge(), down=self.down("medium"))
        next(flow)
        assert names(flow.send((said("small"),))) == [("judge", "large")]

    @pytest.mark.parametrize(
        "policy", ["estimate", "llm-at", "agree", "doubt", "linucb", "metallm", "linucb-rules", "menu"]
    )
    @pytest.mark.parametrize("down", ["small", "medium", "large"])
    def test_no_policy_plans_with_them(self, scripted, policy, down):
        policy = as_policy(policy=policy)
        for number in range(40):
            ledger = scripted.ledger_of(policy, id=f"call-{number}", down=self.down(down))
            flow = cascade(policy, ledger)
            request = next(flow)
            while isinstance(request, Recall):
                request = flow.send(Recollection())
            assert down not in {name for _, name in names(request)}
            assert ledger.plan.start != down


class TestFromBelow:
    def test_where_the_start_and_all_above_fail_the_tiers_below_are_asked_dearest_first(self, begin):
        flow, ledger = begin("large")
        next(flow)
        assert names(flow.send(failed("large"))) == [("generate", "medium")]
        assert names(flow.send((failed("medium"),))) == [("generate", "small")]
        assert end(flow, (said("small"),)) == said("small")
        trace = ledger.trace()
        assert trace.degraded
        assert trace.warnings == ("degraded: no tier from large up gave an answer, so small answered",)

    def test_a_rejected_answer_is_not_returned_and_the_next_is_asked(self, begin):
        flow, _ = begin("large", Verdicts(medium="invalid", small="uncertain"))
        next(flow)
        flow.send(failed("large"))
        assert names(flow.send((said("medium", "5"),))) == [("generate", "small")]
        assert end(flow, (said("small"),)) == said("small")

    def test_what_was_rejected_is_not_returned_in_a_cheaper_tiers_words(self, begin):
        flow, _ = begin("large", Verdicts(medium="invalid"))
        next(flow)
        flow.send(failed("large"))
        flow.send((said("medium", "5"),))
        with pytest.raises(AllTiersFailed):
            flow.send((said("small", "5"),))

    def test_a_tier_that_the_judge_skipped_is_asked_too(self, begin):
        class Skipping(Verdicts):
            def review(self, case):
                judgement = yield from super().review(case)
                return dataclasses.replace(judgement, skip_to="large") if case.answer.tier == "small" else judgement

        flow, _ = begin(judge=Skipping(small="invalid"))
        next(flow)
        assert names(flow.send((said("small"),))) == [("generate", "large")]
        assert names(flow.send(failed("large"))) == [("generate", "medium")]
        assert end(flow, (said("medium", "5"),)) == said("medium", "5")

    def test_an_answer_that_stands_is_not_degraded(self, begin):
        flow, ledger = begin()
        next(flow)
        end(flow, (said("small"),))
        assert not ledger.trace().degraded

    def test_where_the_user_wants_none_of_this_nobody_is_asked(self, scripted):
        ledger = scripted.ledger_of(Policy("tested", scripted.Planned("large"), Verdicts()))
        ledger.limits = Limits(on_exhausted="raise")
        flow = cascade(Policy("tested", scripted.Planned("large"), Verdicts()), ledger)
        next(flow)
        with pytest.raises(AllTiersFailed):
            flow.send(failed("large"))


class TestAbstention:
    @pytest.fixture
    def judge(self):
        return PromptJudge(offer_abstention=True)

    def test_the_cheapest_tier_is_invited_and_no_other(self, begin, judge):
        flow, _ = begin(judge=judge)
        invited = next(flow).calls[0].postscript
        assert "Abstain" in invited
        assert flow.send((failed("small"),)).calls[0].postscript is None
        assert flow.send((failed("medium"),)).call.postscript is None

    @pytest.mark.parametrize("text", ["Abstain", "abstain", " ABSTAIN.\n", "**Abstain**", '"Abstain."'])
    def test_an_abstention_goes_up_unjudged(self, begin, judge, text):
        flow, ledger = begin(judge=judge)
        next(flow)
        assert names(flow.send((said("small", text),))) == [("generate", "medium")]
        assert ledger.judgements["small"] == Judgement(Verdict.INVALID, "abstained")

    def test_the_word_inside_an_answer_is_no_abstention(self, begin, judge):
        flow, _ = begin(judge=judge)
        next(flow)
        assert names(flow.send((said("small", "I abstain from wine"),))) == [("judge", "medium")]

    def test_nobody_abstains_who_was_not_invited(self, begin, judge):
        flow, _ = begin(judge=PromptJudge())
        next(flow)
        assert names(flow.send((said("small", "Abstain"),))) == [("judge", "medium")]
        flow, _ = begin("medium", judge)
        next(flow)
        assert names(flow.send((said("medium", "Abstain"),))) == [("judge", "medium")]

    def test_a_tier_whose_answer_is_not_judged_is_not_invited(self, scripted, begin, judge):
        tiers = scripted.ladder("small", "large", large={"context_window": 10})
        flow, _ = begin(judge=judge, tiers=tiers, tokens=11)
        assert next(flow).call.postscript is None

    def test_an_abstention_of_a_witness_is_never_returned(self, begin, judge):
        flow, _ = begin("medium", judge, ("small",))
        next(flow)
        flow.send((failed("medium"), said("small", "Abstain")))
        with pytest.raises(AllTiersFailed):
            flow.send(failed("large"))

    def test_an_abstention_is_not_returned_as_a_last_resort(self, begin, judge):
        flow, _ = begin(judge=judge)
        next(flow)
        flow.send((said("small", "Abstain"),))
        flow.send((failed("medium"),))
        with pytest.raises(AllTiersFailed):
            flow.send(failed("large"))


class TestWarnings:
    def test_those_of_the_plan_and_of_the_judge_are_in_the_trace(self, scripted, begin):
        def broken(question, answer):
            raise ValueError("no JSON")

        starter = scripted.Planned("medium", warnings=("history: gone",))
        flow, ledger = begin(starter, FunctionJudge(broken))
        next(flow)
        flow.send((said("medium"),))
        end(flow, said("large"))
        assert ledger.trace().warnings == ("history: gone", "judge broken raised ValueError: no JSON")

    def test_the_same_warning_stands_once(self, begin):
        def broken(question, answer):
            raise ValueError("no JSON")

        flow, ledger = begin(judge=FunctionJudge(broken))
        next(flow)
        flow.send((said("small"),))
        flow.send((said("medium"),))
        end(flow, said("large"))
        assert ledger.trace().warnings == ("judge broken raised ValueError: no JSON",)

    def test_a_judge_that_fails_escalates(self, begin):
        flow, ledger = begin(judge=PromptJudge())
        next(flow)
        flow.send((said("small"),))
        assert names(flow.send((failed("medium"),))) == [("generate", "medium")]
        assert ledger.trace().warnings == ("judge: tier 'medium' failed: down",)


@pytest.mark.parametrize(
    ("message", "attribute"),
    [
        (Recall("q", "", 5), "k"),
        (Generate(()), "calls"),
        (Handoff(ModelCall(None)), "call"),
        (ModelCall(None), "tier"),
        (Prompt("s", "u"), "user"),
        (Recollection(), "count"),
        (Answer("small", "4", "4"), "text"),
        (Judgement(Verdict.VALID, "x"), "verdict"),
    ],
)
def test_requests_and_replies_do_not_change(message, attribute):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(message, attribute, None)


def test_a_flow_that_is_closed_asks_for_nothing_more(begin):
    flow, _ = begin()
    next(flow)
    flow.close()
    with pytest.raises(StopIteration):
        next(flow)


def test_no_text_of_the_user_shows_in_a_repr(scripted):
    secret = "my bank account"  # noqa: S105 -- no password
    shown = repr((Recall(secret, "", 5), scripted.call(secret, ask=secret, context=secret), said("small", secret)))
    assert secret not in shown
