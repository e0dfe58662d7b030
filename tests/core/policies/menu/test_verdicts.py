"""The default beside a judge: verdicts are bought where their reliability can be known and they may pay."""

import random
from contextlib import closing

import pytest

from llm_tiers import Answer, ChromaHistory, ConfigError, Embedding, Engine, Ladder, PromptJudge, Tier, TierError, Usage
from llm_tiers.flow.limits import Limits
from llm_tiers.policies.graders import as_grader
from llm_tiers.policies.named import as_policy

SKILLS = {"small": 0.6, "medium": 0.8, "large": 0.95}
COSTS = {"small": 0.2, "medium": 1.0, "large": 5.0}
VERDICT = 0.2


class FreeText:
    """Tiers that never write the same, and a judge that is right on a share of the answers, or always says the same."""

    def __init__(self, reliable=0.96, says=None, down=False):
        self.reliable = reliable
        self.says = says
        self.down = down

    def generate(self, call):
        name = call.tier.name
        if call.role == "judge":
            if self.down:
                raise TierError(name, "down")
            right = random.Random(f"{call.subject}:{self.now}").random() < SKILLS[call.subject]
            errs = random.Random(f"judge:{call.subject}:{self.now}").random() >= self.reliable
            says = self.says or ("yes" if right != errs else "no")
            return Answer(name, says, None, Usage(1_000_000, 0), seconds=0.0)
        right = random.Random(f"{name}:{self.now}").random() < SKILLS[name]
        text = f"What {name} makes of {self.now} is {'true' if right else 'false'}."
        return Answer(name, text, text, Usage(1_000_000, 0), seconds=0.0)

    def stream(self, call):
        yield from ()
        return self.generate(call)


def is_true(_question, answer):
    return answer.endswith("true.")


def engine_of(judge=None, *, grade=is_true, history=None, quality=None):
    judge = judge or PromptJudge(model=Tier(None, name="judge", price=(VERDICT, VERDICT)))
    return Engine(
        Ladder(Tier(None, name=name, price=(cost, cost)) for name, cost in COSTS.items()),
        as_policy("default", judge=judge, quality=quality),
        history or ChromaHistory(embedding=Embedding(lambda _text: [1.0, 0.0], name="flat")),
        grader=as_grader(grade),
        limits=Limits(history_timeout=None),
    )


def ask(engine, world, calls, *, start=0):
    """Return the traces, and whether each answer was right."""
    traces, right = [], []
    for number in range(start, start + calls):
        world.now = number
        call = engine.call(f"question {number}")
        outcome = engine.run(type(call)(id=f"call-{number}", query=call.query), world)
        engine.flush_grades(60)
        traces.append(outcome.trace)
        right.append(is_true("", outcome.answer.text))
    return traces, right


def judged(traces):
    return [trace for trace in traces if any(attempt.role == "judge" for attempt in trace.attempts)]


def mean(values):
    return sum(values) / len(values)


def test_with_a_judge_that_is_mostly_right_free_text_is_as_good_as_the_top_tiers_for_much_less():
    with closing(engine_of()) as engine:
        traces, right = ask(engine, FreeText(), 500)
    assert "?" in traces[-1].reason
    assert mean([trace.cost_usd for trace in traces[200:]]) < 0.7 * COSTS["large"]
    assert mean(right[200:]) > SKILLS["large"] - 0.02
    assert mean([trace.cost_usd for trace in traces[:20]]) <= 1.3 * COSTS["large"]
    stated = [trace.confidence for trace in traces[300:] if trace.confidence is not None]
    assert mean(stated) == pytest.approx(mean(right[300:]), abs=0.05)


def test_what_a_verdict_rejected_is_not_returned():
    with closing(engine_of()) as engine:
        traces, _ = ask(engine, FreeText(), 300)
    rejected = [
        (trace.final, attempt.tier)
        for trace in traces
        for attempt in trace.attempts
        if attempt.role == "generate" and attempt.verdict == "invalid"
    ]
    assert rejected
    assert not any(final == tier for final, tier in rejected)


@pytest.mark.parametrize("says", ["yes", "no", "perhaps"])
def test_a_judge_that_always_says_the_same_decides_nothing_and_is_asked_on_profiled_calls_alone(says):
    with closing(engine_of()) as engine:
        traces, right = ask(engine, FreeText(says=says), 400)
    assert judged(traces)
    assert all(trace.reason.startswith("profiled") for trace in judged(traces[150:]))
    assert len(judged(traces[150:])) < 20
    assert mean(right[250:]) > SKILLS["large"] - 0.05


def test_without_grades_no_verdict_is_bought_since_nothing_would_tell_how_reliable_it_is():
    with closing(engine_of(grade=None)) as engine:
        traces, _ = ask(engine, FreeText(), 100)
    assert not judged(traces)


def test_a_judge_that_fails_costs_no_answer():
    with closing(engine_of()) as engine:
        traces, right = ask(engine, FreeText(down=True), 300)
    assert all(trace.final for trace in traces)
    assert mean(right[200:]) > SKILLS["large"] - 0.05
    assert mean([trace.cost_usd for trace in traces]) <= 1.3 * COSTS["large"]


def test_a_judge_that_no_longer_answers_is_named_and_the_dearer_tier_answers():
    world = FreeText()
    with closing(engine_of()) as engine:
        ask(engine, world, 300)
        world.down = True
        traces, _ = ask(engine, world, 20, start=300)
    served = [trace for trace in traces if "?" in trace.reason and trace.reason.startswith("rule ")]
    assert served
    assert all(trace.final == "large" for trace in served)
    assert all(any(warning.startswith("judge: ") for warning in trace.warnings) for trace in served)


def test_a_function_that_knows_gives_its_verdict_for_nothing():
    with closing(engine_of(is_true)) as engine:
        traces, right = ask(engine, FreeText(), 300)
    assert "?" in traces[-1].reason
    assert mean(right[150:]) > SKILLS["large"]
    assert mean([trace.cost_usd for trace in traces[150:]]) < 0.7 * COSTS["large"]


def test_after_a_restart_the_same_rule_answers_and_nothing_is_bought_anew(tmp_path):
    def opened():
        return ChromaHistory(tmp_path, embedding=Embedding(lambda _text: [1.0, 0.0], name="flat"))

    world = FreeText()
    with closing(engine_of(history=opened())) as engine:
        before, _ = ask(engine, world, 300)
    with closing(engine_of(history=opened())) as engine:
        after, _ = ask(engine, world, 100, start=300)
    served = [trace.reason for trace in (*before[-50:], *after) if trace.reason.startswith("rule ")]
    assert len({reason.split(";")[0] for reason in served}) == 1
    assert sum(trace.reason.startswith("profiled") for trace in after) < 30


def test_a_judge_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="judge"):
        as_policy("default", judge=3)


def test_the_default_with_a_judge_keeps_its_name_and_its_knob():
    policy = as_policy("default", judge=is_true, quality=0.8)
    assert policy.name == "default"
    assert policy.starter.quality == 0.8
    # Alone, a judge decides by itself, and the estimator starts.
    assert as_policy(judge=is_true).name == "custom"
