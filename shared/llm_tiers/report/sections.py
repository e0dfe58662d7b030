"""The sections of the page, each a few figures of the report with what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from llm_tiers.report.charts import (
    Dot,
    bars,
    figure,
    legend,
    mapped,
    nice_ticks,
    scatter,
    stack,
    table,
    tier_colour,
)
from llm_tiers.report.figures import used
from llm_tiers.report.markup import Child, Markup, bdi, el, join
from llm_tiers.report.wording import count, day, name, percent, share, usd, when

if TYPE_CHECKING:
    from llm_tiers.report.figures import Node, Report
    from llm_tiers.report.frontier import Frontier

__all__ = [
    "answers_section",
    "calibration_section",
    "frontier_section",
    "grades_section",
    "headline",
    "method_section",
    "nodes_section",
    "proofs_section",
    "times_section",
]

SOURCES = {"check": "a check of yours", "feedback": "users' feedback", "grader": "a grader model"}


def _section(key: str, title: str, *children: Child) -> Markup:
    return el("section", el("h2", title, id=f"{key}-title"), *children, id=key, aria_labelledby=f"{key}-title")


def _colours(report: Report) -> dict[str, str]:
    names = report.ladder.names
    return {tier: tier_colour(place, len(names)) for place, tier in enumerate(names)}


def _key(report: Report) -> Markup:
    colours = _colours(report)
    shown = [(colours[tier], name(tier)) for tier in report.ladder.names]
    if any(tier not in colours for tier in used(report.answers.finals, report.ladder)):
        shown.append(("t-other", "former tiers"))
    return legend(shown)


# The headline


def headline(report: Report) -> Markup:
    """Return the claim of the page and the few figures that carry it."""
    money, top = report.money, report.top
    tier = name(top)
    saved, of_top = money.saved(top), money.saved_share(top)
    if saved is None or of_top is None or money.priced == 0:
        claim: Child = "What was saved is not known: these calls have no prices"
        says: Child = "Give the tiers prices (Tier(model, price=...)), and further calls have their costs."
    else:
        claim = f"Saved {percent(of_top)}" if saved >= 0 else f"Cost {percent(-of_top)} more than the top tier alone"
        says = join(
            [
                f"{count(money.priced)} calls cost {usd(money.spent)}, learning and grading included. ",
                bdi(tier),
                f" alone would have cost {usd(money.alone[top or ''].usd)}",
                _guessed(report, top),
                ".",
            ]
        )
    unpriced = money.calls - money.priced
    left_out = el("p", f"{count(unpriced)} more calls have no known cost and are left out of the sums.", class_="note")
    return join(
        [
            el("p", _about(report), class_="kicker"),
            el("h1", claim),
            el("p", says, class_="lead"),
            left_out if unpriced and money.priced else None,
            _tiles(report),
        ]
    )


def _about(report: Report) -> Markup:
    where = join([el("span", bdi(name(report.where, 120)))] if report.where else [])
    return join(
        [
            "llm-tiers report ",
            where,
            f" · {day(report.first)} to {day(report.last)} · {count(report.money.calls)} calls",
        ]
    )


def _guessed(report: Report, tier: str | None) -> str:
    alone = report.money.alone.get(tier or "")
    if alone is None or not alone.estimated:
        return ""
    return f" (an estimate: on {percent(alone.estimated / report.money.priced)} of the calls it was not asked)"


def _tiles(report: Report) -> Markup:
    money, top, single, at = report.money, report.top, report.best_single, report.frontier
    tiles = [
        _tile("Spent", usd(money.spent) if money.priced else "–", f"{usd(money.spent / money.priced)} a call" if money.priced else ""),
        _tile("Saved against the top tier", usd(money.saved(top)), join([percent(money.saved_share(top)), " of ", bdi(name(top)), " alone"])),
    ]
    if single != top:
        tiles.append(
            _tile(
                "Saved against the best single tier",
                usd(money.saved(single)),
                join([percent(money.saved_share(single)), " of ", bdi(name(single)), " alone"]),
            )
        )
    if at is not None:
        alone = at.alone(top or "")
        beside = f"{name(top)} alone: {percent(alone.right.value)}" if alone is not None else ""
        tiles.append(_tile("Right answers" if at.graded == 1 else "Right answers, estimated", percent(at.here.right.value), beside))
    escalated = report.answers.escalated
    if escalated is not None:
        tiles.append(_tile("Escalated", percent(escalated.value), "of the calls went beyond the first step"))
    return el("dl", *tiles, class_="tiles")


def _tile(title: str, value: str, beside: Child) -> Markup:
    return el("div", el("dt", title), el("dd", el("strong", value), el("span", beside)))


# Where the traffic stands


def frontier_section(report: Report) -> Markup:
    """Return "you are here" among the rules of the menu."""
    found = report.frontier
    if found is None:
        return _section("place", "Where you stand", el("p", _too_few(report)))
    rows = [
        (name(rule.name), usd(1000 * rule.cost), share(rule.right, 1), "yes" if rule.best else "")
        for rule in found.rules
    ]
    here = ("You are here", usd(1000 * found.here.cost), share(found.here.right, 1), "")
    shown = table(
        "Rules, what they cost and how often they are right",
        ("Rule", "US$ per 1,000 calls", "Right (90% interval)", "On the frontier"),
        [here, *rows],
        note="a+b>c: a and b answer; if they agree b's answer is returned, else c is asked. a~b: a answers, and b if a does not.",
    )
    return _section(
        "place",
        "Where you stand",
        figure("Cost and right answers", _place_says(report, found), _plane(report, found), shown),
        el("p", _rests_on(found), class_="note"),
    )


def _too_few(report: Report) -> str:
    profiled = report.answers.profiled
    return (
        f"To place your traffic, all tiers must have answered at least ten calls of a node; {count(profiled)} calls were "
        "drawn for that so far. The default policy draws them by itself; audit=0.02 has every fiftieth call drawn "
        "under any policy."
    )


def _place_says(report: Report, found: Frontier) -> Markup:
    top = bdi(name(report.top))
    if found.ahead_low > 0:
        verdict: list[Child] = ["Your answers are right more often than those of ", top]
    elif found.ahead_high < 0:
        verdict = ["Your answers are right less often than those of ", top]
    else:
        verdict = ["No difference from ", top, " is proved"]
    low, high = 100 * found.ahead_low, 100 * found.ahead_high
    verdict.append(
        f": {_signed(100 * found.ahead)} points, with 90% confidence between {_signed(low)} and {_signed(high)}. "
        "Left is cheaper, up is right more often; the line joins the rules that nothing else beats at both."
    )
    return join(verdict)


def _signed(value: float) -> str:
    return f"{'−' if value < -0.05 else '+' if value > 0.05 else ''}{abs(value):.1f}"  # noqa: PLR2004


def _rests_on(found: Frontier) -> str:
    graded = (
        f"At nodes with {percent(found.graded)} of these calls, right is what {SOURCES.get(found.source or '', found.source)} says"
        if found.source is not None
        else "Nobody has graded answers"
    )
    elsewhere = "" if found.graded == 1 else "; elsewhere it is an estimate from how the tiers agree"
    if found.source is None:
        elsewhere = ", so right is an estimate from how the tiers agree: grade= or feedback would make it known"
    return (
        f"Every rule is replayed on {count(found.calls)} calls that all tiers answered, of nodes with "
        f"{percent(found.share)} of all calls. {graded}{elsewhere}. Your own cost includes learning and grading; "
        "the rules' costs do not."
    )


def _plane(report: Report, found: Frontier) -> Markup:
    # A rule that costs as much as the top tier with another one would push all others to the left.
    rules = [rule for rule in found.rules if rule.best or rule.single or "~" not in rule.name]
    costs = [1000 * rule.cost for rule in rules] + [1000 * found.here.cost]
    heights = [rule.right.value for rule in rules] + [found.here.right.value]
    low, high = min(heights), max(heights)
    margin = max((high - low) * 0.12, 0.01)
    y_range = (max(low - margin, 0.0), min(high + margin, 1.0))
    x_range = (0.0, max(costs) * 1.06 or 1.0)
    best = [rule for rule in rules if rule.best]
    dots = [
        Dot(
            1000 * rule.cost,
            rule.right.value,
            f"{name(rule.name)}: {usd(1000 * rule.cost)} per 1,000 calls, right {share(rule.right)}",
            "dot best" if rule.best else "dot",
            name(rule.name, 28) if rule.single else None,
        )
        for rule in rules
    ]
    here = found.here
    dots.append(
        Dot(
            1000 * here.cost,
            here.right.value,
            f"You are here: {usd(1000 * here.cost)} per 1,000 calls, right {share(here.right)}",
            "here",
            "You are here",
        )
    )
    step = nice_ticks(*x_range)
    return scatter(
        dots,
        path=[(1000 * rule.cost, rule.right.value) for rule in best],
        x_range=x_range,
        y_range=y_range,
        x_ticks=[(x, f"{x:g}") for x in step],
        y_ticks=[(y, f"{100 * y:g}%") for y in nice_ticks(*y_range, most=4)],
        x_name="US$ per 1,000 calls",
        y_name="Right answers",
    )


# Over time


def times_section(report: Report) -> Markup:
    """Return what was spent and who answered, step by step."""
    periods, colours = report.periods, _colours(report)
    step = periods[0].seconds
    ends = (day(periods[0].begin, step), day(periods[-1].begin, step))
    top = report.top or ""
    spent = [
        (
            day(period.begin, step),
            [("spent", f"{usd(period.money.spent)} spent", period.money.spent)],
            period.money.alone[top].usd if top in period.money.alone else None,
        )
        for period in periods
    ]
    mix = [
        (
            day(period.begin, step),
            [
                (colour, text, value / sum(period.finals.values()))
                for colour, text, value in mapped(used(period.finals, report.ladder), colours)
                if value
            ],
            None,
        )
        for period in periods
    ]
    money_rows = [
        (
            day(period.begin, step),
            count(period.money.calls),
            usd(period.money.spent),
            usd(period.money.alone[top].usd) if top in period.money.alone else "–",
            percent(period.money.saved_share(top)),
        )
        for period in periods
    ]
    tiers = [tier for tier, number in used(report.answers.finals, report.ladder).items() if number or tier in colours]
    mix_rows = [(day(period.begin, step), *(count(period.finals.get(tier, 0)) for tier in tiers)) for period in periods]
    length = _length(step)
    return _section(
        "time",
        "Over time",
        figure(
            "Spent, and what the top tier alone would have cost",
            join([f"US$ by {length}; the mark is ", bdi(name(report.top)), " alone, by its usual cost where it was not asked."]),
            bars(spent, labels=ends),
            table(
                f"Spent by {length}",
                (f"{length.capitalize()} from", "Calls", "Spent", f"{name(report.top)} alone", "Saved"),
                money_rows,
            ),
            key=legend([("spent", "spent"), ("mark", f"{name(report.top)} alone")]),
        ),
        figure(
            "Who answered",
            f"Share of the calls by {length} that each tier answered in the end.",
            bars(mix, most=1.0, labels=ends, percent=True),
            table(f"Calls by {length} and tier", (f"{length.capitalize()} from", *map(name, tiers)), mix_rows),
            key=_key(report),
        ),
    )


def _length(step: int) -> str:
    named = {60: "minute", 600: "ten minutes", 3_600: "hour", 21_600: "six hours", 86_400: "day", 604_800: "week"}
    named |= {4 * 604_800: "four weeks", 52 * 604_800: "52 weeks"}
    return named.get(step, f"{step / 86_400:,.0f} days")


# Answers


def answers_section(report: Report) -> Markup:
    """Return how often tiers agree and calls go on to a dearer tier."""
    found = report.answers
    tiers = [tier for tier in report.ladder.names if tier in found.like_top]
    chart = el(
        "div",
        *(
            el(
                "div",
                el("span", bdi(name(tier)), class_="label"),
                el("span", el("i", style=f"width:{100 * found.like_top[tier].value:.2f}%"), class_="track"),
                el("span", percent(found.like_top[tier].value), class_="value"),
                class_="meter",
            )
            for tier in tiers
        ),
        class_="meters",
    )
    rows = [(name(tier), share(found.like_top[tier], 1), count(found.like_top[tier].of)) for tier in tiers]
    facts = [
        (f"{share(found.escalated)} of the calls went on to a further tier after the first step." if found.escalated else None),
        (
            f"{share(found.agreed)} of the calls that two tiers or more answered returned an answer that another tier gave too."
            if found.agreed
            else None
        ),
        f"{count(found.profiled)} of {count(found.calls)} calls were drawn by lot to be answered by other tiers too.",
    ]
    says = join([el("p", fact) for fact in facts if fact is not None])
    if not tiers:
        return _section("answers", "Agreement and escalation", says)
    return _section(
        "answers",
        "Agreement and escalation",
        says,
        figure(
            "Same answer as the top tier",
            join(["How often each tier gave the answer of ", bdi(name(report.top)), ", on calls that were drawn by lot."]),
            chart,
            table("Same answer as the top tier", ("Tier", "Same answer (90% interval)", "Calls"), rows),
        ),
    )


def grades_section(report: Report) -> Markup:
    """Return what each source of grades says of each tier."""
    found = report.answers
    if not found.graded:
        says = "No answer has been graded. grade= grades the calls that all tiers answer; feedback() records what users say."
        return _section("grades", "Grades", el("p", says))
    tiers = [tier for tier in used({}, report.ladder) if any(tier in means for means in found.grades.values())]
    returned = ("Returned answers", *(share(found.returned.get(source)) for source in found.grades))
    rows = [(bdi(name(tier)), *(share(means.get(tier)) for means in found.grades.values())) for tier in tiers]
    heads = ("", *(f"By {SOURCES.get(source, source)}, {count(found.graded[source])} calls" for source in found.grades))
    own = found.contradictions
    notes: list[Child] = [
        "Sources are never mixed. Feedback is what users chose to comment on, so it is no sample of all calls; a tier "
        "that is only asked on hard calls looks worse than it is."
    ]
    if own.pairs:
        notes.append(f" A grader that compared in both orders contradicted itself on {percent(own.share)} of {count(own.pairs)} pairs.")
    return _section(
        "grades",
        "Grades by source",
        table(
            "Mean grade by tier and source, with 90% intervals",
            heads,
            [returned, *rows],
            note=join(notes),
        ),
    )


def calibration_section(report: Report) -> Markup:
    """Return whether answers are right as often as their confidence says."""
    found = report.calibration
    if found is None:
        says = "No graded call states a confidence, so whether it is kept is not known."
        return _section("calibration", "Confidence", el("p", says))
    dots = [
        Dot(
            one.confidence,
            one.right.value,
            f"stated {percent(one.confidence)}, right {share(one.right)}, {count(one.right.of)} calls",
            "dot best",
            None,
            one.right.low,
            one.right.high,
        )
        for one in found.bins
    ]
    quarters = [(x / 4, f"{25 * x}%") for x in range(5)]
    chart = scatter(
        dots,
        path=[(0, 0), (1, 1)],
        path_kind="diagonal",
        x_range=(0, 1),
        y_range=(0, 1),
        x_ticks=quarters,
        y_ticks=quarters,
        x_name="Stated confidence",
        y_name="Right answers",
        square=True,
    )
    rows = [(percent(one.confidence), share(one.right), count(one.right.of)) for one in found.bins]
    says = (
        f"On {count(found.calls)} graded calls, confidence and grades are {100 * found.error:.1f} points apart on average. "
        "Points on the diagonal keep what they state; the bars are 90% intervals."
    )
    shown = table("Stated confidence and right answers", ("Confidence", "Right (90% interval)", "Calls"), rows)
    return _section("calibration", "Confidence", figure("Is the confidence kept?", says, chart, shown))


# Nodes


def nodes_section(report: Report) -> Markup:
    """Return a row for each node."""
    colours = _colours(report)
    rows = [
        (
            _node_name(node),
            count(node.money.calls),
            usd(node.money.spent) if node.money.priced else "–",
            percent(node.money.saved_share(node.ladder.top)),
            stack(mapped(used(node.answers.finals, node.ladder), colours)),
            "–" if node.answers.escalated is None else percent(node.answers.escalated.value),
            _right(node),
            "–" if node.rule is None else bdi(name(node.rule)),
        )
        for node in report.nodes
    ]
    heads = ("Node", "Calls", "Spent", "Saved", "Who answered", "Escalated", "Right / top tier", "Rule now")
    note = (
        "Saved is against the node's top tier alone, where it was not asked by its usual cost. Right is graded where "
        "it has a ✓, else estimated from how the tiers agree. "
        "A dash: too few calls were answered by all tiers, or the policy has no rules."
    )
    return _section("nodes", "Node by node", _key(report), el("div", table("Nodes", heads, rows, note=note), class_="nodes wrap"))


def _node_name(node: Node) -> Child:
    return bdi(name(node.name)) if node.name is not None else f"{node.nodes} more nodes"


def _right(node: Node) -> str:
    sample = node.sample
    if sample is None:
        return "–"
    mark = " ✓" if sample.source is not None else ""
    return f"{percent(sample.served)} / {percent(sample.served - sample.ahead)}{mark}"


# Proofs


def proofs_section(report: Report) -> Markup:
    """Return what the records prove, and what they cannot say."""
    proofs = [(node, node.proof) for node in report.nodes if node.proof is not None]
    shown: Child = el(
        "p",
        "Certificates follow from the calls: ",
        el("code", "llm-tiers report --delta 0.05"),
        " shows for each node what these records prove.",
    )
    if proofs:
        first = proofs[0][1]
        rows = [
            (
                _node_name(node),
                "yes" if proof.rules else "not yet",
                count(proof.calls),
                when(proof.since) if proof.since is not None else "–",
                count(proof.withdrawals),
                bdi(_mixture(proof.rules)),
            )
            for node, proof in proofs
        ]
        heads = ("Node", "Proved", "Profiled calls", "Since", "Withdrawn", "May be answered by")
        worse = {"equality": "other than", "grade": "graded below", "feedback": "worse than"}[first.of]
        note = (
            f"With {percent(first.confidence)} confidence, answers are {worse} the top tier's on at most "
            f"{percent(first.delta, 1)} of the node's calls, as Guarantee({first.delta:g}) would find from these records; "
            "usual costs stand for the price list."
        )
        shown = el("div", table("Certificates", heads, rows, note=note), class_="wrap")
    breakers = (
        "Breakers are the state of a running process and are not recorded: model.stats() shows them, "
        "and the traces of the calls name tiers that were skipped."
    )
    return _section("proofs", "Certificates and breakers", shown, el("p", breakers, class_="note"))


def _mixture(rules: Mapping[str, float]) -> str:
    return ", ".join(f"{name(rule)} {percent(part)}" for rule, part in rules.items()) or "the top tier alone"


def method_section(report: Report) -> Markup:
    """Return how the figures are made."""
    former = report.ladder.former
    items: list[Child] = [
        "Spent is what was paid for answers, witnesses, judges, learning and grading, where prices are known.",
        "What a tier alone would have cost is known on calls that it answered. On the others its usual cost stands "
        "there: the mean of its answers at the node, of calls drawn by lot where there are enough. So everything "
        "that is saved is an estimate as far as the tier was not asked.",
        "The best single tier is the one that is right most often alone, where answers are graded; without grades "
        "it is the top tier.",
        "Intervals are 90% intervals. Times are UTC.",
        "A history keeps the calls that teach something, as far as its capacity goes; calls that failed or were cancelled are not in it.",
    ]
    if former:
        items.append(join(["Former tiers: ", *(join([bdi(name(tier)), " "]) for tier in former[:20])]))
    return _section("method", "How the figures are made", el("ul", *(el("li", item) for item in items)))
