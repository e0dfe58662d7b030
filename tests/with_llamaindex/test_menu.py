"""The menu in a LlamaIndex LLM: it asks all tiers at first, and hears grades."""

from llamaindex_tiers import TieredLLM

ASK = "What is the capital of France?"


def test_an_llm_learns_from_feedback_which_tier_to_ask(tiers):
    llm = TieredLLM(tiers=tiers, policy="menu", prices={"small": (1, 2), "medium": (10, 20), "large": (50, 99)})
    for _ in range(30):
        trace = llm.complete(ASK).additional_kwargs["tiers"]
        for tier in {attempt["tier"] for attempt in trace["attempts"]}:
            llm.feedback(trace["trace_id"], correct=tier == "small", tier=tier)
    trace = llm.complete(ASK).additional_kwargs["tiers"]
    assert trace["policy"] == "menu"
    assert trace["start"] == "small"
    assert "by grades (feedback)" in trace["reason"]
    llm.close()
