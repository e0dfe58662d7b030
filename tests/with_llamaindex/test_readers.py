"""What reads LlamaIndex's messages and answers takes no time over a megabyte; see core/test_readers.py."""

import runpy
import time
from pathlib import Path

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole, ToolCallBlock
from llama_index.core.evaluation import (
    AnswerRelevancyEvaluator,
    CorrectnessEvaluator,
    GuidelineEvaluator,
    PairwiseComparisonEvaluator,
)
from llama_index.core.evaluation.guideline import EvaluationData
from llama_index.core.indices.property_graph import DynamicLLMPathExtractor, SimpleLLMPathExtractor
from llama_index.core.llms.mock import MockLLM
from llama_index.core.output_parsers import PydanticOutputParser
from llama_index.core.postprocessor import LLMRerank

from llamaindex_tiers.pieces import answer_of
from llamaindex_tiers.reading import Reading
from llamaindex_tiers.readings import (
    known_reading,
    ranks_in,
    score_after_result,
    statement_in,
    typed_triplets_in,
    yes_or_no,
)
from llamaindex_tiers.retrieving import chosen_in, keywords_in, masked_in, neighbour_in, path_in
from llamaindex_tiers.spans import Place
from llm_tiers import Answer, Tier

PIECES = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "bombs.py"))["PIECES"]
MEGABYTE = 1_000_000
SECONDS = 0.5
WORST = ('{"a": 1,' + " " * MEGABYTE, '{"a": "' + "\\" * MEGABYTE, '{"a":' * (MEGABYTE // 5), "[" + "9" * MEGABYTE)
WRITTEN = (*WORST, *(piece * (MEGABYTE // len(piece)) for piece in PIECES[::4]))


@pytest.mark.parametrize("text", WRITTEN, ids=[repr(text[:12]) for text in WRITTEN])
def test_reading_arguments(text):
    block = ToolCallBlock(tool_name="look_up", tool_kwargs=text)
    legacy = {"tool_calls": [{"function": {"name": "look_up", "arguments": text}}]}
    messages = [
        ChatMessage(role=MessageRole.ASSISTANT, blocks=[block]),
        ChatMessage(role=MessageRole.ASSISTANT, content=text, additional_kwargs=legacy),
    ]
    for message in messages:
        began = time.process_time()
        (call,) = answer_of(Tier(object(), name="small"), ChatResponse(message=message)).tool_calls
        assert time.process_time() - began < SECONDS
        assert call.arguments is None


COMPONENTS = (
    *(LLMRerank, SimpleLLMPathExtractor, DynamicLLMPathExtractor, CorrectnessEvaluator),
    *(AnswerRelevancyEvaluator, PairwiseComparisonEvaluator, GuidelineEvaluator),
)
OWN = {
    "ranks_in": lambda text: ranks_in(text, 100),
    "chosen_in": lambda text: chosen_in(text, 100, 3),
    **{reader.__name__: reader for reader in (score_after_result, statement_in, typed_triplets_in, yes_or_no)},
    **{reader.__name__: reader for reader in (keywords_in, masked_in, neighbour_in, path_in)},
}
LINES = (
    *("Doc: 1, Relevance: 1\n", "(a, b, c)\n", "[RESULT] ", "[1] > ", "([", "SQLQuery:", '"head": "a", '),
    *("KEYWORDS:", "a,", "Output Mapping:", "JSONPath: ", '"{" '),
)
LONG = (*WRITTEN, '"' + "{" * MEGABYTE, *(line * (MEGABYTE // len(line)) for line in LINES))


@pytest.mark.parametrize(
    "read",
    [*COMPONENTS, *OWN.values(), PydanticOutputParser(EvaluationData)],
    ids=[*(kind.__name__ for kind in COMPONENTS), *OWN, "PydanticOutputParser"],
)
def test_reading_what_a_component_parses(read):
    if isinstance(read, PydanticOutputParser):
        reading = known_reading(Place(None, {}, parser=read), ())
    elif isinstance(read, type):
        place = Place(None, {}, prompt_args={"context_messages": [None] * 100}, components=(read(llm=MockLLM()),))
        reading = known_reading(place, ())
    else:
        reading = Reading(read, decides=True)
    for text in LONG:
        # As much of it as is read at most, and all of it.
        for said in (text[:190_000], text):
            began = time.process_time()
            reading.flaw(Answer("small", said, said))
            reading.same(Answer("small", said, said), Answer("large", said + "!", said))
            assert time.process_time() - began < SECONDS, said[:20]
