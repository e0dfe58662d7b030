"""The menu in a LlamaIndex LLM: it asks all tiers at first, and hears grades."""

from llamaindex_tiers import TieredLLM
from llm_tiers import PromptJudge

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


def test_beside_a_judge_free_text_is_answered_by_cheaper_tiers_where_its_verdict_is_valid(half_right, like, tiers):
    llm = TieredLLM(
        tiers=tiers,
        policy="default",
        judge=PromptJudge(model=like("judge")),
        grade=lambda _question, answer: answer.endswith("true"),
        prices=half_right,
    )
    with llm:
        for number in range(60):
            llm.complete(f"statement {number}")
            llm.flush_grades()
        answers = [llm.complete(f"statement {number}") for number in range(60, 100)]
    assert all(answer.text.endswith("true") for answer in answers)
    assert any(answer.additional_kwargs["tiers"]["final"] == "small" for answer in answers)
