"""The figures of each node, and what its records prove."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from llm_tiers.report.charts import mapped, stack, table
from llm_tiers.report.figures import used
from llm_tiers.report.sections.parts import colours_of, key_of, section
from llm_tiers.telling.markup import Child, Markup, bdi, el
from llm_tiers.telling.wording import DASH, count, name, percent, usd, when

if TYPE_CHECKING:
    from llm_tiers.report.figures import Node, Report

__all__ = ["nodes_section", "proofs_section"]


def nodes_section(report: Report) -> Markup:
    """Return a row for each node."""
    colours = colours_of(report)
    rows = [
        (
            _node_name(node),
            count(node.money.calls),
            usd(node.money.spent) if node.money.priced else DASH,
            percent(node.money.saved_share(node.ladder.top)),
            stack(mapped(used(node.answers.finals, node.ladder), colours)),
            DASH if node.answers.escalated is None else percent(node.answers.escalated.value),
            _right(node),
            DASH if node.rule is None else bdi(name(node.rule)),
        )
        for node in report.nodes
    ]
    heads = ("Node", "Calls", "Spent", "Saved", "Who answered", "Escalated", "Right / top tier", "Rule now")
    note = (
        "Saved is against the node's top tier alone, where it was not asked by its usual cost. Right is graded where "
        "it has a ✓, else estimated from how the tiers agree. "
        "A dash: too few calls were answered by all tiers, or the policy has no rules."
    )
    return section(
        "nodes", "Node by node", key_of(report), el("div", table("Nodes", heads, rows, note=note), class_="nodes wrap")
    )


def _node_name(node: Node) -> Child:
    return bdi(name(node.name)) if node.name is not None else f"{node.nodes} more nodes"


def _right(node: Node) -> str:
    sample = node.sample
    if sample is None:
        return DASH
    mark = " ✓" if sample.source is not None else ""
    return f"{percent(sample.served)} / {percent(sample.served - sample.ahead)}{mark}"


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
                when(proof.since) if proof.since is not None else DASH,
                count(proof.withdrawals),
                bdi(_mixture(proof.rules)),
            )
            for node, proof in proofs
        ]
        heads = ("Node", "Proved", "Profiled calls", "Since", "Withdrawn", "May be answered by")
        worse = {"equality": "other than", "grade": "graded below", "feedback": "worse than"}[first.of]
        note = (
            f"With {percent(first.confidence)} confidence, answers are {worse} the top tier's on at most "
            f"{percent(first.delta, 1)} of the node's calls, as Guarantee({first.delta:g}) would find from these "
            "records; usual costs stand for the price list."
        )
        shown = el("div", table("Certificates", heads, rows, note=note), class_="wrap")
    breakers = (
        "Breakers are the state of a running process and are not recorded: model.stats() shows them, "
        "and the traces of the calls name tiers that were skipped."
    )
    return section("proofs", "Certificates and breakers", shown, el("p", breakers, class_="note"))


def _mixture(rules: Mapping[str, float]) -> str:
    return ", ".join(f"{name(rule)} {percent(part)}" for rule, part in rules.items()) or "the top tier alone"
