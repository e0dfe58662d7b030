"""An answer that stands whatever it says goes out while it comes; every other is held back until it stands."""

import asyncio

import pytest
from llama_index.core.base.llms.types import ChatMessage

from llm_tiers import FixedStarter, Policy, Unjudged
from llm_tiers.policies.menu import FixedRule, RuleJudge
from llm_tiers.policies.menu.rule import Single
from llm_tiers.testing import Hang, Reply

ASK = "What is the capital of France?"
WAYS = ["stream_complete", "stream_chat", "astream_complete", "astream_chat"]


@pytest.fixture(params=["the default", "a rule", "nobody judges", "the top", "pinned"])
def settled(request, tiered):
    """An LLM whose calls are answered by one tier, the named one, whatever it says."""
    match request.param:
        case "a rule":
            rule = FixedRule(lambda names: Single(tuple(names), names[0]))
            return tiered(policy=Policy("rule", rule, RuleJudge())), "small", {}
        case "nobody judges":
            return tiered(policy=Policy("route", FixedStarter("small"), Unjudged())), "small", {}
        case "the top":
            return tiered(starter=FixedStarter("large")), "large", {}
        case "pinned":
            return tiered(), "medium", {"model": "medium"}
    llm = tiered(policy="menu", prices={"small": (1, 2), "medium": (10, 20), "large": (50, 99)}, learning=1.0)
    for _ in range(16):
        trace = llm.complete(ASK).additional_kwargs["tiers"]
        for tier in {attempt["tier"] for attempt in trace["attempts"]}:
            llm.feedback(trace["trace_id"], correct=tier == "small", tier=tier)
    llm = llm.model_copy(update={"learning": 0.0})
    assert llm.complete(ASK).additional_kwargs["tiers"]["start"] == "small"
    return llm, "small", {}


def read(llm, way, settings, each):
    """Give every piece of a stream to `each` as it comes."""
    asked = [ChatMessage(role="user", content=ASK)] if way.endswith("chat") else ASK
    if not way.startswith("a"):
        for piece in getattr(llm, way)(asked, **settings):
            each(piece)
        return

    async def take():
        async for piece in await getattr(llm, way)(asked, **settings):
            each(piece)

    asyncio.run(asyncio.wait_for(take(), 20))


@pytest.mark.parametrize("way", WAYS)
def test_what_one_tier_says_is_seen_before_it_has_ended(server, settled, way):
    llm, tier, settings = settled
    # It ends only when its first words have been read.
    server.scripts[tier] = hang = Hang("is", after="Paris it ")
    before, seen = len(server.requests), []

    def each(piece):
        seen.append(piece)
        if piece.delta == "it ":
            hang.release()

    read(llm, way, settings, each)

    assert [piece.delta for piece in seen if piece.delta] == ["Paris ", "it ", "is"]
    assert seen[-1].additional_kwargs["tiers"]["final"] == tier
    assert [request.model for request in server.requests[before:]] == [tier]


@pytest.mark.parametrize("way", WAYS)
def test_an_answer_that_may_be_rejected_is_not_shown_before_it_stands(server, tiered, way):
    server.scripts |= {"small": Reply("I cannot"), "medium": Reply("Paris")}
    seen = []

    read(tiered(judge=lambda question, answer: answer == "Paris"), way, {}, seen.append)

    assert "".join(piece.delta or "" for piece in seen) == "Paris"
