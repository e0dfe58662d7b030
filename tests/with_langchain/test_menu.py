"""The menu in a LangChain model: it asks all tiers at first, and hears grades."""

from langchain_tiers import TieredChatModel
from llm_tiers import PromptJudge

ASK = "What is the capital of France?"


def test_a_model_learns_from_feedback_which_tier_to_ask(tiers):
    prices = {"small": (1, 2), "medium": (10, 20), "large": (50, 99)}
    # Whole traces, so that every attempt is known and graded.
    model = TieredChatModel(tiers=tiers, policy="menu", prices=prices, trace_bytes=None)
    for _ in range(30):
        trace = model.invoke(ASK).response_metadata["tiers"]
        asked = {attempt["tier"] for attempt in trace["attempts"]}
        for tier in asked:
            model.feedback(trace["trace_id"], correct=tier == "small", tier=tier)
    trace = model.invoke(ASK).response_metadata["tiers"]
    assert trace["policy"] == "menu"
    assert trace["start"] == "small"
    assert "by grades (feedback)" in trace["reason"]
    model.close()


def test_beside_a_judge_free_text_is_answered_by_cheaper_tiers_where_its_verdict_is_valid(half_right, chat, tiers):
    model = TieredChatModel(
        tiers=tiers,
        policy="default",
        judge=PromptJudge(model=chat("judge")),
        grade=lambda _question, answer: answer.endswith("true"),
        prices=half_right,
    )
    with model:
        for number in range(60):
            model.invoke(f"statement {number}")
            model.flush_grades()
        answers = [model.invoke(f"statement {number}") for number in range(60, 100)]
    assert all(str(answer.content).endswith("true") for answer in answers)
    assert any(answer.response_metadata["tiers"]["final"] == "small" for answer in answers)
