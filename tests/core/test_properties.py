"""What holds in every scripted world: ladders, answers, verdicts and failures as hypothesis finds them."""

import asyncio
import inspect
import logging
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_tiers import AllTiersFailed, PromptJudge, Usage
from llm_tiers.agreement.equality import ExactEquality
from llm_tiers.flow.cascade import cascade
from llm_tiers.flow.drive import adrive, adrive_live
from llm_tiers.policies.policy import Policy

NAMES = ("t0", "t1", "t2", "t3", "t4")
DOWN = "(down)"
TOKENS = 50
PATIENCE = 10
many = settings(max_examples=200)
some = settings(max_examples=60)


@pytest.fixture(scope="module", autouse=True)
def _quiet():
    """Keep the warnings of some thousand calls out of the log."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@dataclass(frozen=True)
class World:
    """What each tier says, what the judge says of it, and how the call is begun."""

    answers: tuple
    verdicts: tuple
    usages: tuple
    fits: tuple
    start: int
    witnesses: frozenset
    abstention: bool
    missing_counts: bool

    @property
    def names(self):
        return NAMES[: len(self.answers)]

    @property
    def serving(self):
        return [position for position, fits in enumerate(self.fits) if fits]


@st.composite
def worlds(draw):
    size = draw(st.integers(2, 5))

    def each(strategy):
        return tuple(draw(st.lists(strategy, min_size=size, max_size=size)))

    start = draw(st.integers(0, size - 1))
    return World(
        answers=each(st.sampled_from(["A", "A", "B", "Abstain", None, DOWN, DOWN])),
        verdicts=each(st.sampled_from(["yes", "no", "no", "perhaps", DOWN])),
        usages=each(st.one_of(st.none(), st.builds(Usage, st.integers(0, 10**6), st.integers(0, 10**6)))),
        fits=each(st.sampled_from([True, True, True, False])),
        start=start,
        witnesses=frozenset(draw(st.sets(st.integers(0, start - 1)))) if start else frozenset(),
        abstention=draw(st.booleans()),
        missing_counts=draw(st.booleans()),
    )


def performer_of(scripted, world, **settings):
    def said(texts):
        return {n: scripted.Down() if text == DOWN else text for n, text in zip(world.names, texts, strict=True)}

    usages = dict(zip(world.names, world.usages, strict=True))
    return scripted.ScriptedPerformer(said(world.answers), said(world.verdicts), usage=usages, **settings)


def settings_of(scripted, world):
    facts = {name: {"context_window": TOKENS + fits} for name, fits in zip(world.names, world.fits, strict=True)}
    starter = scripted.Planned(world.names[world.start], tuple(world.names[n] for n in sorted(world.witnesses)))
    return starter, PromptJudge(offer_abstention=world.abstention), scripted.ladder(*world.names, **facts)


def ask(scripted, world, way="run"):
    """Run the world's call; return its performer, its bench and the outcome, or the error."""
    starter, judge, tiers = settings_of(scripted, world)
    bench = scripted.Bench(starter, judge, tiers, history=scripted.ListHistory(), missing_counts=world.missing_counts)
    performer = performer_of(scripted, world)
    try:
        outcome = bench.ask(performer, way=way, tokens=TOKENS + 1)
    except AllTiersFailed as error:
        outcome = error
    return performer, bench, outcome


def abstained(world, position):
    return world.abstention and position == 0 and world.answers[0] == "Abstain"


def value(world, position, standing=None):
    """Return what counts as a tier's answer: an abstention is none, where the tier was offered one."""
    return None if position != standing and abstained(world, position) else world.answers[position]


def judged(world, position):
    """Say what becomes of the answer of a tier that is not the last: True, False, or None where it stays open."""
    answer = world.answers[position]
    if abstained(world, position) or (answer is None and not world.missing_counts):
        return False
    return {"yes": True, "no": False}.get(world.verdicts[position])


def story(world):
    """Tell the world's call anew: who answers in turn, whose answer stands, which were rejected."""
    serving = world.serving
    turns = [n for n in serving if n >= world.start] or serving[-1:]
    asked, rejected = [], []
    for position in turns:
        asked.append(position)
        if world.answers[position] == DOWN:
            continue
        if position == turns[-1]:
            return asked, position, rejected
        verdict = judged(world, position)
        if verdict:
            return asked, position, rejected
        if verdict is False:
            rejected.append(position)
    return asked, None, rejected


def witnesses_of(world, asked):
    return {n for n in world.witnesses if world.fits[n]} if asked else set()


def open_answers(world, asked, rejected):
    """Return whose answers may stand in for one: given, and rejected by nobody, in no words."""
    said = {world.answers[n] for n in rejected}
    return {
        n
        for n in {*asked, *witnesses_of(world, asked)}
        if world.answers[n] not in (None, DOWN) and world.answers[n] not in said and not abstained(world, n)
    }


def last_resort(world, asked, rejected):
    """Tell what follows where nobody's answer stands: who else is asked in turn, and whose answer is taken."""
    usable = open_answers(world, asked, rejected)
    if usable:
        return [], max(usable)
    known, turns, rejected = {*asked, *witnesses_of(world, asked)}, [], list(rejected)
    for position in reversed(world.serving):
        if position in known:
            continue
        turns.append(position)
        if world.answers[position] == DOWN:
            continue
        if judged(world, position) is False:
            rejected.append(position)
        elif open_answers(world, [position], rejected) >= {position}:
            return turns, position
    return turns, None


@many
@given(world=worlds())
def test_the_cost_adds_up(scripted, world):
    _, bench, _ = ask(scripted, world)
    (trace,) = bench.traces
    prices = {name: 10.0**position for position, name in enumerate(world.names)}
    paid = []
    for attempt in trace.attempts:
        usage = world.usages[world.names.index(attempt.tier)]
        if attempt.error is not None:
            assert attempt.cost_usd is None
        elif usage is None:
            assert (attempt.cost_usd, attempt.input_tokens) == (None, None)
            paid.append(None)
        else:
            due = prices[attempt.tier] * (usage.input_tokens + 2 * usage.output_tokens) / 1e6
            assert attempt.cost_usd == pytest.approx(due)
            paid.append(due)
    assert trace.cost_usd == (None if None in paid else pytest.approx(sum(paid)))
    if trace.saved_usd is not None:
        top = world.names[-1]
        own = [a.cost_usd for a in trace.attempts if a.tier == top and a.role != "judge" and a.error is None]
        assert trace.saved_is_estimate is not bool(own)
        if own:
            assert trace.saved_usd == pytest.approx(own[0] - trace.cost_usd)


@many
@given(world=worlds())
def test_every_call_made_is_in_the_trace(scripted, world):
    performer, bench, _ = ask(scripted, world)
    (trace,) = bench.traces
    assert sorted((attempt.role, attempt.tier) for attempt in trace.attempts) == sorted(performer.roles)
    answered = [role for role in performer.roles if role[0] != "judge"]
    assert len({name for _, name in answered}) == len(answered)


@many
@given(world=worlds())
def test_a_rejected_answer_is_never_returned_and_the_final_one_was_given(scripted, world):
    performer, bench, outcome = ask(scripted, world)
    _, standing, rejected = story(world)
    (trace,) = bench.traces
    if isinstance(outcome, AllTiersFailed):
        assert standing is None
        assert trace.final is None
        return
    final = world.names.index(outcome.answer.tier)
    assert trace.final == outcome.answer.tier
    assert outcome.answer.value == world.answers[final] != DOWN
    assert any(role in performer.roles for role in (("generate", trace.final), ("witness", trace.final)))
    assert final not in rejected
    assert all(attempt.verdict != "invalid" for attempt in trace.attempts if attempt.tier == trace.final)
    last_resort = final != standing
    if last_resort:
        assert outcome.answer.value not in {world.answers[n] for n in rejected}
        assert not abstained(world, final)
        assert trace.warnings


@many
@given(world=worlds())
def test_whoever_answers_first_and_right_is_returned(scripted, world):
    performer, _, outcome = ask(scripted, world)
    asked, standing, rejected = story(world)
    more, instead = ([], None) if standing is not None else last_resort(world, asked, rejected)
    assert [name for role, name in performer.roles if role == "generate"] == [world.names[n] for n in [*asked, *more]]
    answer = None if isinstance(outcome, AllTiersFailed) else outcome.answer
    if standing is not None and (world.answers[standing] is not None or world.missing_counts):
        assert answer.tier == world.names[standing]
        return
    if standing is None:
        assert (answer and answer.tier) == (None if instead is None else world.names[instead])
        assert answer is None or outcome.trace.degraded
        return
    usable = open_answers(world, asked, rejected)
    if usable:
        assert answer.tier == world.names[max(usable)]
    else:
        assert answer.value is None
    assert not outcome.trace.degraded


@many
@given(world=worlds())
def test_labels_follow_the_rule(scripted, world):
    _, bench, outcome = ask(scripted, world)
    asked, standing, rejected = story(world)
    records = bench.history.records
    if standing is None:
        _, instead = last_resort(world, asked, rejected)
        # One that is found valid teaches as any other, but nothing of the tiers that failed.
        valid = instead is not None and instead not in asked and judged(world, instead) is True
        taught = valid and instead not in witnesses_of(world, asked)
        assert [record.final for record in records] == ([world.names[instead]] if taught else [])
        for record in records:
            assert record.labels[record.final]
            assert not [name for name in record.labels if world.answers[world.names.index(name)] == DOWN]
        return
    accepted = None if standing is None else value(world, standing, standing)
    failed = isinstance(outcome, AllTiersFailed) or world.names.index(outcome.answer.tier) != standing
    if failed or (accepted is None and not world.missing_counts):
        assert records == []
        return
    (record,) = records
    labels = {}
    for position in world.serving:
        answer = value(world, position, standing)
        if position >= standing:
            labels[world.names[position]] = True
        elif (position in asked or position in world.witnesses) and answer != DOWN:
            equal = answer == accepted and (answer is not None or world.missing_counts)
            labels[world.names[position]] = equal
    assert record.labels == labels
    assert record.final == world.names[standing]
    assert set(record.agreed) <= set(record.answered)
    assert {name for name, label in labels.items() if label and name in record.answered} == set(record.agreed)


@some
@given(world=worlds())
def test_every_way_to_run_a_call_tells_the_same_story(scripted, world):
    traces = []
    for way in scripted.WAYS:
        _, bench, outcome = ask(scripted, world, way)
        (trace,) = bench.traces
        answer = None if isinstance(outcome, AllTiersFailed) else outcome.answer
        traces.append((scripted.timeless(trace), answer, [record.labels for record in bench.history.records]))
    assert all(trace == traces[0] for trace in traces)


@some
@given(world=worlds(), stop_at=st.integers(0, 12), live=st.booleans())
def test_cancellation_leaves_nothing_behind(scripted, world, stop_at, live):
    """The call is cancelled while its `stop_at`-th model call runs, if it comes that far."""
    starter, judge, tiers = settings_of(scripted, world)
    policy = Policy("tested", starter, judge, ExactEquality(missing_counts=world.missing_counts))
    ledger = scripted.ledger_of(policy, tiers, tokens=TOKENS + 1)
    flow = cascade(policy, ledger)

    async def run():
        entered = asyncio.Event()

        async def hold(call):
            if len(performer.calls) > stop_at:
                entered.set()
                await asyncio.Event().wait()

        performer = performer_of(scripted, world, aduring=hold)
        if live:
            work = scripted.acollect(adrive_live(flow, performer, None, ledger), [])
        else:
            work = adrive(flow, performer, None, ledger)
        task = asyncio.create_task(work)
        reached = asyncio.create_task(entered.wait())
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait([task, reached], return_when=asyncio.FIRST_COMPLETED)
            task.cancel()
            reached.cancel()
            (ending, _) = await asyncio.gather(task, reached, return_exceptions=True)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return performer, entered.is_set(), ending

    performer, held, ending = asyncio.run(run())
    assert inspect.getgeneratorstate(flow) == inspect.GEN_CLOSED
    assert sorted(map(id, performer.ended)) == sorted(map(id, performer.calls))
    assert sorted((attempt.role, attempt.tier) for attempt in ledger.attempts) == sorted(performer.roles)
    cancelled = [attempt for attempt in ledger.attempts if attempt.error == "cancelled"]
    assert held == isinstance(ending, asyncio.CancelledError) == bool(cancelled)
    if held:
        assert ledger.trace().final is None
        assert ledger.record(0.0) is None
