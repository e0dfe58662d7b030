"""What LlamaIndex reads in the metadata of a ladder: how much of a prompt it may fill."""

import asyncio

import pytest
from llama_index.core import SummaryIndex, set_global_tokenizer
from llama_index.core.base.llms.types import LLMMetadata
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW
from llama_index.core.llms.mock import MockLLM
from llama_index.core.schema import TextNode

from llm_tiers import Tier

ASK = "What is the capital of France?"
WAYS = ["query", "aquery", "stream"]


@pytest.fixture(autouse=True)
def words():
    """Count words for tokens: the usual tokenizer is downloaded."""
    set_global_tokenizer(str.split)
    yield
    set_global_tokenizer(None)


@pytest.fixture
def query():
    """Ask a query engine over ten chunks of 900 words each; return the answer's text."""
    index = SummaryIndex([TextNode(text=" ".join([f"word{place}"] * 900)) for place in range(10)])

    def query(llm, way):
        engine = index.as_query_engine(llm=llm, streaming=way == "stream")
        answer = asyncio.run(engine.aquery(ASK)) if way == "aquery" else engine.query(ASK)
        return "".join(answer.response_gen) if way == "stream" else answer.response

    return query


@pytest.fixture
def easy():
    return lambda question, answer: True


@pytest.mark.parametrize("way", WAYS)
def test_a_ladder_asks_as_often_as_its_tiers_do_alone(server, like, openai, tiered, query, easy, way):
    """One tier says nothing of its window, the other keeps 4,096 tokens free for its answers."""
    known = openai("gpt-4.1", max_tokens=4096)
    query(known, way)
    alone = len(server.requests)
    server.forget()

    llm = tiered(tiers=[like("small"), known], judge=easy)
    assert query(llm, way) == "Lyon"

    assert [request.model for request in server.requests] == ["small"] * alone
    assert (llm.metadata.context_window, llm.metadata.num_output) == (1_047_576, 4096)


def test_window_and_output_are_of_one_tier(like, tiered):
    small = like("small", context_window=9_000, max_tokens=100)
    for window, output, room in ((90_000, 30_000, (9_000, 100)), (10_000, 5_000, (10_000, 5_000))):
        llm = tiered(tiers=[small, like("large", context_window=window, max_tokens=output)])
        assert (llm.metadata.context_window, llm.metadata.num_output) == room


class Passing(MockLLM):
    """An LLM whose class hands on its default window as if it were the user's."""

    context_window: int = 0

    def __init__(self, context_window=2_048, **kwargs):
        super().__init__(**kwargs)
        self.context_window = context_window

    @property
    def metadata(self):
        return LLMMetadata(context_window=self.context_window)


class TestWhatIsNoStatement:
    def test_a_class_s_default(self, like, openai, tiered):
        for unsaid in (like("small"), Tier(MockLLM(), name="mock"), Tier(Passing(), name="passing")):
            assert tiered(tiers=[unsaid, openai("gpt-4.1")]).metadata.context_window == 1_047_576
        assert tiered(tiers=[Tier(Passing(), name="a"), Tier(MockLLM(), name="b")]).metadata.context_window == 3900

    def test_the_same_number_said_by_the_user_is_one(self, like, openai, tiered):
        for said in (
            like("small", context_window=DEFAULT_CONTEXT_WINDOW),
            Tier(like("small"), context_window=DEFAULT_CONTEXT_WINDOW),
            Tier(Passing(2_000), name="passing"),
        ):
            assert tiered(tiers=[said, openai("gpt-4.1")]).metadata.context_window in (DEFAULT_CONTEXT_WINDOW, 2_000)

    def test_it_binds_no_tier_either(self, like, tiered, take, trace_of, easy):
        llm = tiered(tiers=[like("small", max_tokens=50), like("large")], judge=easy)
        assert trace_of(take(llm, "complete", f"{ASK} " * 2_000)[-1])["final"] == "small"

    @pytest.mark.parametrize("way", WAYS)
    def test_a_ladder_that_says_nothing_answers(self, server, like, tiered, query, easy, way):
        """Nobody says a window, and one tier keeps more free than the default has."""
        assert query(tiered(tiers=[like("small"), like("large", max_tokens=4096)], judge=easy), way) == "Lyon"

    @pytest.mark.parametrize("way", WAYS)
    def test_nor_does_a_window_for_prompts_take_the_answer_s_room(self, openai, like, tiered, query, easy, way):
        llm = tiered(tiers=[like("small"), openai("gpt-4.1", max_tokens=4096)], context_window=3_000, judge=easy)
        assert query(llm, way) == "Lyon"


def test_a_tier_without_room_for_prompt_and_answer_is_skipped(like, tiered, take, trace_of, easy):
    tiers = [like("small", context_window=3_000, max_tokens=1_000), like("large")]
    llm = tiered(tiers=tiers, judge=easy)

    assert trace_of(take(llm, "complete", "word " * 1_500)[-1])["final"] == "small"
    trace = trace_of(take(llm, "complete", "word " * 1_700)[-1])
    assert trace["final"] == "large"
    assert trace["warnings"] == ["tier small skipped: context window 2000 < 2124 tokens"]
