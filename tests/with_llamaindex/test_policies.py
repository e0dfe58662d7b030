"""The core's policies and judges over LlamaIndex's clients."""

import pytest

from llm_tiers import Guarantee, PromptJudge, Tier

ASK = "What is 2 and 2?"


class TestDoubt:
    """Two tiers side by side, and no judge where answers can be compared."""

    @pytest.fixture(autouse=True)
    def served(self, server):
        server.scripts = {
            "small": "The answer is 4.",
            "medium": lambda request: f"It is\n**{4 if 'easy' in request.ask else 5}**",
            "large": "So the answer is 5.",
        }

    def test_two_that_agree_need_no_judge(self, server, tiered, take, trace_of):
        items = take(tiered(policy="doubt"), "complete", "An easy one.")

        assert "".join(item.delta or "" for item in items) in ("It is\n**4**", "")
        assert trace_of(items[-1])["policy"] == "doubt"
        assert sorted(request.model for request in server.requests) == ["medium", "small"]

    def test_a_third_decides_where_they_differ(self, tiered, take, trace_of):
        items = take(tiered(policy="doubt", quality=1), "complete", "A hard one.")

        assert trace_of(items[-1])["final"] == "large"

    def test_an_audit_asks_all_and_returns_the_same(self, server, tiered, take, trace_of):
        items = take(tiered(policy="doubt", audit=1.0), "complete", "An easy one.")

        trace = trace_of(items[-1])
        assert {attempt["tier"]: attempt["role"] for attempt in trace["attempts"]} == {
            "small": "witness",
            "medium": "generate",
            "large": "audit",
        }
        assert trace["final"] == "medium"

    def test_the_two_stand_under_the_one_span(self, tiered, take, events):
        take(tiered(policy="doubt"), "complete", "An easy one.")

        starts = [event for event in events if type(event).__name__ in ("LLMCompletionStartEvent", "LLMChatStartEvent")]
        assert len(starts) >= 2
        assert all(event.span_id.startswith("OpenAILike.") for event in starts)


def test_objects_that_agree(server, tiered, take, city, prompt):
    from llm_tiers.testing import obliging

    server.scripts = {"small": obliging, "medium": obliging}
    traces = []

    objects = take(tiered(policy="doubt", on_trace=traces.append), "structured_predict", city, prompt, country="France")

    assert objects[-1].people == 3
    assert {request.model for request in server.requests} == {"small", "medium"}
    assert traces[0].attempts[-1].error is None


def test_a_judge_with_a_model_of_its_own(server, like, tiered, take, trace_of):
    server.scripts["referee"] = "no"

    items = take(tiered(judge=PromptJudge(model=Tier(like("referee"), name="referee"))), "complete", ASK)

    assert trace_of(items[-1])["final"] == "large"
    assert [request.model for request in server.requests] == ["small", "referee", "medium", "referee", "large"]


def test_judges_compose_with_functions(server, tiered, take, trace_of):
    judge = PromptJudge() & (lambda question, answer: "Paris" in answer)

    assert trace_of(take(tiered(judge=judge), "complete", ASK)[-1])["final"] == "medium"


class TestGuarantee:
    """All tiers answer until a promise is proved."""

    def test_profiled_calls_return_the_top_tiers_answer(self, server, tiered, take, trace_of):
        server.scripts = {"small": "4", "medium": "4", "large": "four: 4"}
        model = tiered(policy=Guarantee(0.1), prices=dict.fromkeys(server.scripts, (1, 2)))
        items = take(model, "complete", ASK)

        trace = trace_of(items[-1])
        assert trace["final"] == "large"
        assert trace["reason"].startswith("profiling: 0 calls")
        assert sorted(request.model for request in server.requests) == ["large", "medium", "small"]
        assert model.certificate() is None
        assert model.forecast().profiled >= 30
