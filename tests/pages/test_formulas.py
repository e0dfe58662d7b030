"""The constants in the formulas of `docs/method/` are those of the code."""

import inspect
from pathlib import Path

import pytest

from llm_tiers import AccuracyEstimator, LinUCB
from llm_tiers.agreement import imagined, outlook
from llm_tiers.policies.doubt import _COLD, Doubt
from llm_tiers.policies.guarantee import bets, clopper, drift, standing
from llm_tiers.policies.guarantee import worth as looks
from llm_tiers.policies.menu import learning, menu, nearby, profile, profiling, worth
from llm_tiers.policies.named import default, estimate

METHOD = Path(__file__).parents[2] / "docs" / "method"


def spread(mean, deviation):
    return f"N({mean:g}, {deviation:g})"


def of_default(function, name):
    return inspect.signature(function).parameters[name].default


FREE = menu.MenuStarter(quality=0.0).price
THIRD = menu.MenuStarter(quality=0.5).price
EST, OWN = estimate().starter, default().starter

MENU = [
    f"price     p    = {FREE:g} (1 - q)^3",
    f"and {worth.IMAGINED_CALLS:g} in all for {imagined._COUNT:,} imagined calls",
    f"above {worth._AS_DEAR:g} of the top tier's is never chosen",
    f"The {nearby._NEAREST} nearest profiled calls",
    f"+ {nearby._SHRINKAGE:g} W(r)) / (sum_i s_i + {nearby._SHRINKAGE:g})",
    f"right = {profile._TRUST_IN_BEST:g} P(right | the best tier is right)",
    f"ability_K ~ {spread(imagined._TOP_MEAN, imagined._TOP_SPREAD)}",
    f"ability_(t+1) - {spread(imagined._STEP_MEAN, imagined._STEP_SPREAD)}",
    f"`g` ~ U({imagined._COINCIDING:g}, 1)",
    f"exp({imagined._TEMPER:g} * sum over patterns",
    f"d (1 - d)), {profiling.ASKED_SHARE:g})",
    f"chance   = min({learning._FLOOR:g} + s * max(n, {learning._HORIZON}) / a, 1)",
    f"max(max(lam, {worth._LEAST_PRICE:g} / c_K) * cost of profiling a call,",
    f"cost of profiling a call, {worth._LEAST_PRICE:g} * {profiling.ASKED_SHARE:g})",
    f"The credit is {learning._CREDIT:g} usual answers of the top tier, and what the first {profile.FIRST_CALLS} calls",
    f"`learning=` ({OWN.learning.share:g}) for the first {learning._YOUNG:,} calls",
    f"more than {learning._BEYOND_TOP:g} of the top tier's cost above the top tier alone",
    f"counted over {learning._FIRST} calls",
]
GUARANTEE = [
    "lambda in {" + ", ".join(f"{bet:g}" for bet in bets._BETS) + "}",
    f"from {standing.FIRST} profiled calls on",
    "For h = " + ", ".join(f"{h:g}" for h in looks.HORIZONS[:-1]) + f" and {looks.HORIZONS[-1]:g} times",
    f"at least {standing._UNKNOWN_FUTURE}.",
    f"Afterwards {drift._AUDITED:.0%} of the calls are profiled still",
    "at stakes of " + " and ".join(f"{stake:g}" for stake in drift._STAKES),
    f"If their mean exceeds {drift.RARELY:,.0f}",
    f"From {clopper._EARLIEST_STOP} items on",
]
PAPER = AccuracyEstimator.paper()
LLM_AT = [
    f"| k, lambda, theta | {PAPER.k}, {PAPER.strength:g}, {PAPER.theta:g} | {EST.k}, {EST.strength:g}, {EST.theta:g} |",
    f"(`min_similarity`, {EST.min_similarity:g})",
    f"with chance {EST.explore:g} lambda / (T_j + F_j + lambda)",
]
METALLM = [
    "| ridge, alpha, price | "
    + " | ".join(f"{one.ridge:g}, {one.alpha:g}, {one.price:g}" for one in (LinUCB.paper(), LinUCB()))
    + " |",
]
DOUBT = [
    f"p = {FREE:g} (1 - quality)^3, quality {of_default(Doubt, 'quality'):g} by default",
    f"the {of_default(Doubt, 'k')} most similar past queries",
    f"({of_default(Doubt, 'strength'):g} usual + sum of s_i differ_i)",
    f"{outlook._TOP:g} for the top tier's own, {outlook._TRUST:g} of a cheaper tier's vote less {outlook._HARD:g} of",
    f"With chance {of_default(Doubt, 'explore'):g} the two cheapest",
    f"on a node's first {_COLD} calls",
]
STATED = {"menu": MENU, "guarantee": GUARANTEE, "llm-at": LLM_AT, "metallm": METALLM, "doubt": DOUBT}


@pytest.mark.parametrize("page", STATED)
def test_the_constants_of_a_page_are_those_of_the_code(page):
    text = " ".join((METHOD / f"{page}.md").read_text().split())
    assert [stated for stated in STATED[page] if " ".join(stated.split()) not in text] == []


def test_the_price_is_the_third_power_that_the_pages_say():
    assert pytest.approx(FREE * 0.5**3) == THIRD
