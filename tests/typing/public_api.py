"""What a user's type checker must accept; checked by mypy, never run."""

from collections.abc import Sequence

from llm_tiers import (
    AccuracyEstimator,
    ChromaHistory,
    Embedding,
    Engine,
    FixedStarter,
    Judge,
    Ladder,
    Policy,
    Price,
    PromptJudge,
    Schema,
    Tier,
    Trace,
    llm_at,
)


def embed(text: str) -> Sequence[float]:
    return [float(len(text)), 1.0]


def short(question: str, answer: str) -> bool | None:
    return len(answer) < len(question) or None


def told(trace: Trace) -> None:
    cost: float | None = trace.cost_usd
    tiers: list[str] = [attempt.tier for attempt in trace.attempts]
    del cost, tiers


model: object = object()
ladder = Ladder(
    [Tier(model, name="small", price=(0.1, 0.4), prior=0.6), Tier(model, name="large", price=Price(1.0, 4.0, 0.5))]
)
either: Judge = PromptJudge(floor="large") | short
formed: Judge = Schema() | short
both: Judge = short & PromptJudge(model="large", effort="minimal")
policies: list[Policy] = [
    llm_at(theta=0.6),
    Policy("mine", AccuracyEstimator(k=5, priors={"small": 0.5}), either),
    Policy("fixed", FixedStarter("small"), both),
]
with ChromaHistory("folder", embedding=Embedding(embed, name="lengths"), capacity=1_000) as history:
    engine = Engine(ladder, policies[0], history, on_trace=told)
    labels: dict[str, bool] = dict(engine.feedback("some id", correct=False).labels)
