"""Records for the tests of the report: calls over three tiers with round costs."""

from __future__ import annotations

from llm_tiers.history.record import Record

COSTS = {"small": 0.01, "medium": 0.1, "large": 1.0}
DAY = 86_400.0
MONDAY = 1_790_553_600.0
"""28 September 2026, 00:00 UTC."""


def call(number, *answered, said=None, node="n", day=0.0, final=None, **other):
    """A call that these tiers answered; those with equal numbers in `said` gave the same answer."""
    said = dict.fromkeys(answered, 0) if said is None else dict(zip(answered, said, strict=True))
    final = final or answered[-1]
    costs = other.pop("costs", {tier: COSTS.get(tier, 1.0) for tier in answered})
    facts = {
        "id": f"t{number}",
        "node": node,
        "created": MONDAY + day * DAY + number,
        "labels": {},
        "start": answered[0],
        "final": final,
        "answered": answered,
        "agreed": tuple(tier for tier in answered if said[tier] == said[final] >= 0),
        "cost_usd": sum(costs.values()),
        "said": said,
        "costs": costs,
    }
    return Record(**(facts | other))


def profiled(number, said=(0, 0, 0), **other):
    """A call that was drawn by lot to be answered by all tiers."""
    return call(number, "small", "medium", "large", said=said, audited=True, profiled=True, **other)


def checked(number, right, **other):
    """A profiled call whose answers were graded by a check: right ones are the same answer."""
    said = [0 if one else place for place, one in enumerate(right, 1)]
    grades = {"check": dict(zip(COSTS, map(float, right), strict=True))}
    return profiled(number, said, grades=grades, **other)


def traffic(calls=200, *, nodes=("chat", "research/plan"), every=5, days=14.0, graded=True):
    """Calls of some nodes: every fifth is profiled, and on these the cheap tier is wrong on every third."""
    found = []
    for number in range(calls):
        where = {"node": nodes[number % len(nodes)], "day": days * number / calls, "confidence": 0.8}
        if number % every == 0:
            right = (number % 3 != 0, number % 7 != 0, True)
            make = checked if graded else lambda n, right, **o: profiled(n, [0 if one else 1 for one in right], **o)
            found.append(make(number, right, rule="small+medium>large", **where))
        else:
            found.append(call(number, "small", "medium", rule="small+medium>large", **where))
    return found
