"""What LlamaIndex parses with a plain function: a text that cannot be parsed goes one tier up."""

import asyncio
import json

import pytest
from llama_index.core import KeywordTableIndex, SQLDatabase, TreeIndex, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.evaluation import (
    AnswerRelevancyEvaluator,
    ContextRelevancyEvaluator,
    CorrectnessEvaluator,
    FaithfulnessEvaluator,
    GuidelineEvaluator,
    PairwiseComparisonEvaluator,
    RelevancyEvaluator,
)
from llama_index.core.graph_stores import EntityNode, Relation, SimplePropertyGraphStore
from llama_index.core.indices.property_graph import (
    DynamicLLMPathExtractor,
    LLMSynonymRetriever,
    SimpleLLMPathExtractor,
    TextToCypherRetriever,
)
from llama_index.core.indices.struct_store.json_query import JSONQueryEngine
from llama_index.core.postprocessor import AutoPrevNextNodePostprocessor, LLMRerank
from llama_index.core.postprocessor.pii import PIINodePostprocessor
from llama_index.core.postprocessor.rankGPT_rerank import RankGPTRerank
from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import NLSQLTableQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.retrievers import QueryFusionRetriever, VectorIndexAutoRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.tools import ToolMetadata
from llama_index.core.vector_stores import VectorStoreInfo
from sqlalchemy import create_engine, text

from llamaindex_tiers.reading import Reading
from llamaindex_tiers.readings import ranks_in, score_after_result, statement_in, typed_triplets_in, yes_or_no
from llamaindex_tiers.retrieving import chosen_in, keywords_in, masked_in, neighbour_in, path_in
from llm_tiers import Agreement, Answer, ConfigError

ASK = "What is the capital of France?"
PROSE = "Paris is the capital of France."
GIVEN = {"query": ASK, "response": "Paris", "contexts": ["Paris is the capital."], "reference": "Paris"}
TYPED = {"head": "Paris", "head_type": "City", "relation": "capital of", "tail": "France", "tail_type": "Country"}


class Letters(BaseEmbedding):
    """An embedding that needs no model."""

    def _get_text_embedding(self, text):
        return [float(len(text)), 1.0]

    def _get_query_embedding(self, query):
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query):
        return self._get_text_embedding(query)


def passages():
    return [NodeWithScore(node=TextNode(text=f"Passage {place}"), score=1.0) for place in range(3)]


def reranked(kind, **arguments):
    def run(llm, way):
        component = kind(llm=llm, top_n=2, **arguments)
        if way == "a":
            nodes = asyncio.run(component.apostprocess_nodes(passages(), QueryBundle(ASK)))
        else:
            nodes = component.postprocess_nodes(passages(), QueryBundle(ASK))
        return [node.text for node in nodes]

    return run


def extracted(kind):
    def run(llm, way):
        nodes = [TextNode(text=PROSE)]
        extractor = kind(llm=llm)
        found = asyncio.run(extractor.acall(nodes)) if way == "a" else extractor(nodes)
        return len(found[0].metadata["relations"])

    return run


def evaluated(kind, read, arguments=None, **settings):
    def run(llm, way):
        evaluator, given = kind(llm=llm, **settings), {**GIVEN, **(arguments or {})}
        return read(asyncio.run(evaluator.aevaluate(**given)) if way == "a" else evaluator.evaluate(**given))

    return run


def statement(llm, way):
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        connection.execute(text("create table city (name text)"))
        connection.execute(text("insert into city values ('Paris')"))
    asking = NLSQLTableQueryEngine(
        SQLDatabase(engine), llm=llm, tables=["city"], embed_model=Letters(), synthesize_response=False
    )
    answer = asyncio.run(asking.aquery(ASK)) if way == "a" else asking.query(ASK)
    return answer.metadata["result"]


def questions(llm, way):
    generator = LLMQuestionGenerator.from_defaults(llm=llm)
    tools = [ToolMetadata(name="cities", description="Cities")]
    if way == "a":
        asked = asyncio.run(generator.agenerate(tools, QueryBundle(ASK)))
    else:
        asked = generator.generate(tools, QueryBundle(ASK))
    return [one.sub_question for one in asked]


def cities():
    return [TextNode(text=f"City {place}", id_=str(place)) for place in range(3)]


def branch(llm, way):
    # So few nodes are roots themselves, and need no summaries.
    retriever = TreeIndex(cities(), llm=llm, num_children=10).as_retriever(retriever_mode="select_leaf")
    # Its asynchronous way is the synchronous one.
    found = asyncio.run(retriever.aretrieve(ASK)) if way == "a" else retriever.retrieve(ASK)
    return [node.text for node in found]


def table(llm, way):
    return sorted(KeywordTableIndex(cities()[:1], llm=llm, use_async=way == "a").index_struct.table)


def fused(llm, way):
    asked = []

    class Noting(Letters):
        def _get_query_embedding(self, query):
            asked.append(query)
            return super()._get_query_embedding(query)

        async def _aget_query_embedding(self, query):
            return self._get_query_embedding(query)

    base = VectorStoreIndex(cities(), embed_model=Noting()).as_retriever()
    retriever = QueryFusionRetriever([base], llm=llm, num_queries=3, use_async=False)
    _ = asyncio.run(retriever.aretrieve(ASK)) if way == "a" else retriever.retrieve(ASK)
    return sorted({*asked} - {ASK})


def path(llm, way):
    engine = JSONQueryEngine(
        {"name": "Paris"}, {"name": "string"}, llm=llm, synthesize_response=False,
        output_processor=lambda said, value: {"said": said},
    )  # fmt: skip
    answer = asyncio.run(engine.aquery(ASK)) if way == "a" else engine.query(ASK)
    return answer.metadata["json_path_response_str"]


def synonyms(llm, way):
    store = SimplePropertyGraphStore()
    store.upsert_nodes([EntityNode(name="Paris", label="City"), EntityNode(name="France", label="Country")])
    store.upsert_relations([Relation(source_id="Paris", target_id="France", label="IN")])
    retriever = LLMSynonymRetriever(store, llm=llm, include_text=False)
    found = asyncio.run(retriever.aretrieve(ASK)) if way == "a" else retriever.retrieve(ASK)
    return [node.text for node in found]


class Graph(SimplePropertyGraphStore):
    """A graph that takes statements and keeps them."""

    supports_structured_queries = True
    text_to_cypher_template = PromptTemplate("Schema: {schema}\nQuestion: {question}")

    def get_schema_str(self, refresh=False):
        return "(City)-[IN]->(Country)"

    async def aget_schema_str(self, refresh=False):
        return self.get_schema_str()

    def structured_query(self, query, param_map=None):
        return [{"asked": query}]

    async def astructured_query(self, query, param_map=None):
        return self.structured_query(query)


def cypher(llm, way):
    retriever = TextToCypherRetriever(Graph(), llm=llm, response_template="{query}")
    found = asyncio.run(retriever.aretrieve(ASK)) if way == "a" else retriever.retrieve(ASK)
    return " ".join(found[0].text.split())


def filtered(llm, way):
    index = VectorStoreIndex(cities(), embed_model=Letters())
    info = VectorStoreInfo(content_info="cities", metadata_info=[])
    retriever = VectorIndexAutoRetriever(index, vector_store_info=info, llm=llm)
    asked = QueryBundle(ASK)
    if way == "a":
        return asyncio.run(retriever.agenerate_retrieval_spec(asked)).query
    return retriever.generate_retrieval_spec(asked).query


def neighbours(llm, way):
    store, (first, *_) = SimpleDocumentStore(), cities()
    store.add_documents([first])
    # It has no asynchronous way of its own.
    component = AutoPrevNextNodePostprocessor(docstore=store, llm=llm)
    found = component.postprocess_nodes([NodeWithScore(node=first, score=1.0)], QueryBundle(ASK))
    return [node.text for node in found]


def masked(llm, way):
    component = PIINodePostprocessor(llm=llm)
    return [node.text for node in component.postprocess_nodes([NodeWithScore(node=cities()[0], score=1.0)])]


def score(result):
    return result.score


SUB_QUESTIONS = json.dumps({"items": [{"sub_question": "Which capital?", "tool_name": "cities"}]})
KINDS = {
    "LLMRerank": (reranked(LLMRerank), "Doc: 2, Relevance: 7\nDoc: 1, Relevance: 3", ["Passage 1", "Passage 0"]),
    "RankGPTRerank": (reranked(RankGPTRerank), "[3] > [1] > [2]", ["Passage 2", "Passage 0"]),
    "SimpleLLMPathExtractor": (extracted(SimpleLLMPathExtractor), "(Paris, is capital of, France)", 1),
    "DynamicLLMPathExtractor": (extracted(DynamicLLMPathExtractor), json.dumps([TYPED]), 1),
    "LLMQuestionGenerator": (questions, SUB_QUESTIONS, ["Which capital?"]),
    "CorrectnessEvaluator": (evaluated(CorrectnessEvaluator, score), "4.0\nIt is right.", 4),
    "AnswerRelevancyEvaluator": (evaluated(AnswerRelevancyEvaluator, score), "Good.\n[RESULT] 2", 1),
    "ContextRelevancyEvaluator": (evaluated(ContextRelevancyEvaluator, score), "Good.\n[RESULT] 4", 1),
    "PairwiseComparisonEvaluator": (
        # With its consensus it asks again, with the answers in the other order.
        evaluated(PairwiseComparisonEvaluator, score, {"second_response": "Lyon"}, enforce_consensus=False),
        "Both are good. [[C]]",
        0.5,
    ),
    "FaithfulnessEvaluator": (evaluated(FaithfulnessEvaluator, score), "YES", 1),
    "RelevancyEvaluator": (evaluated(RelevancyEvaluator, score), "YES, it does.", 1),
    "GuidelineEvaluator": (
        evaluated(GuidelineEvaluator, score),
        '{"passing": true, "feedback": "It does."}',
        1,
    ),
    "NLSQLTableQueryEngine": (statement, "SELECT name FROM city\nSQLResult: Paris", [("Paris",)]),
    "TreeIndex": (branch, "ANSWER: 2, since it says so", ["City 1"]),
    "KeywordTableIndex": (table, "KEYWORDS: Paris, capital", ["capital", "paris"]),
    "QueryFusionRetriever": (fused, "Which city?\nFrance's capital", ["France's capital", "Which city?"]),
    "JSONQueryEngine": (path, "JSONPath: $.name", "$.name"),
    "LLMSynonymRetriever": (synonyms, "Paris^Lutetia", ["Paris -> IN -> France"]),
    "TextToCypherRetriever": (cypher, "MATCH (c:City) RETURN c", "MATCH (c:City) RETURN c"),
    "VectorIndexAutoRetriever": (filtered, '{"query": "capital", "filters": []}', "capital"),
    "AutoPrevNextNodePostprocessor": (neighbours, "previous", ["City 0"]),
    "PIINodePostprocessor": (masked, 'City [N1]\nOutput Mapping:\n{"N1": "0"}', ["City [N1]"]),
}
PARAMETERS = pytest.mark.parametrize(("run", "good", "expected"), KINDS.values(), ids=KINDS)
WAYS = pytest.mark.parametrize("way", ["", "a"], ids=["sync", "async"])


@pytest.fixture
def easy():
    """A judge to whom every answer is right."""
    return lambda question, answer: True


@PARAMETERS
@WAYS
def test_prose_goes_one_tier_up(server, tiered, easy, run, way, good, expected):
    server.scripts |= {"small": PROSE, "medium": good}
    assert run(tiered(judge=easy), way) == expected
    assert [request.model for request in server.requests] == ["small", "medium"]


@PARAMETERS
@WAYS
def test_what_can_be_parsed_stays(server, tiered, easy, run, way, good, expected):
    server.scripts |= {"small": good}
    assert run(tiered(judge=easy), way) == expected
    assert [request.model for request in server.requests] == ["small"]


SAME = {
    "LLMRerank": "I looked at all.\nDoc: 1, Relevance: 2\nDoc: 2, Relevance: 9",
    "RankGPTRerank": "[3]>[1]>[2]",
    "SimpleLLMPathExtractor": "Here you are:\n1. (paris, Is capital of, france)",
    "DynamicLLMPathExtractor": json.dumps([dict(reversed(TYPED.items()))], indent=2),
    "LLMQuestionGenerator": f"```json\n{SUB_QUESTIONS}\n```",
    "CorrectnessEvaluator": "4\nNothing is missing.",
    "AnswerRelevancyEvaluator": "Relevant.\n[RESULT] 2",
    "ContextRelevancyEvaluator": "It helps.\n[RESULT] 4.0",
    "PairwiseComparisonEvaluator": "[[C]] since none is better",
    "FaithfulnessEvaluator": "Yes, it follows.",
    "RelevancyEvaluator": "yes",
    "NLSQLTableQueryEngine": "```sql\nSELECT name\nFROM city;\n```",
    "TreeIndex": "I take 2.",
    "KeywordTableIndex": "KEYWORDS: capital, paris",
    "QueryFusionRetriever": "```\nWhich city?\nFrance's capital\n```",
    "JSONQueryEngine": "$.name",
    "LLMSynonymRetriever": "lutetia ^ paris",
    "TextToCypherRetriever": "MATCH (c:City)\nRETURN c",
    "VectorIndexAutoRetriever": '```json\n{"filters": [], "query": "capital"}\n```',
    "GuidelineEvaluator": '```json\n{"feedback": "All is well.", "passing": true}\n```',
    "AutoPrevNextNodePostprocessor": "The PREVIOUS one",
    "PIINodePostprocessor": 'City [N1]\n\nOutput Mapping:\n{ "N1": "0" }',
}


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_compared_by_what_they_are_parsed_to(server, tiered, kind):
    run, good, expected = KINDS[kind]
    server.scripts |= {"small": good, "medium": SAME[kind], "large": PROSE}
    assert run(tiered(judge=Agreement()), "") == expected
    assert [request.model for request in server.requests] == ["small", "medium"]


def test_different_scores_differ(server, tiered):
    server.scripts |= {"small": "1.0\nIt is right.", "medium": "5.0\nIt is right.", "large": "5.0\nSo it is."}
    assert KINDS["CorrectnessEvaluator"][0](tiered(judge=Agreement()), "") == 5
    assert [request.model for request in server.requests] == ["small", "medium", "large"]


def test_a_component_s_own_function_is_asked(server, tiered, easy):
    server.scripts |= {"small": "2", "medium": "score=3"}
    evaluator = CorrectnessEvaluator(
        llm=tiered(judge=easy),
        parser_function=lambda said: (float(said.removeprefix("score=")) if "=" in said else None, ""),
    )
    assert evaluator.evaluate(**GIVEN).score == 3


class TestParse:
    """The user says what parses the texts."""

    @pytest.mark.parametrize("method", ["complete", "chat"])
    def test_of_a_call(self, server, tiered, take, asked, easy, trace_of, method):
        server.scripts |= {"small": PROSE, "medium": '{"capital": "Paris"}'}
        given = ASK if method == "complete" else asked

        trace = trace_of(take(tiered(judge=easy), method, given, parse=json.loads)[-1])

        assert trace["final"] == "medium"
        assert trace["attempts"][0]["verdict"] == "invalid"
        assert all("parse" not in request.settings for request in server.requests)

    def test_of_the_llm(self, server, tiered, take, easy, trace_of):
        server.scripts |= {"small": PROSE, "medium": "7"}
        llm = tiered(judge=easy, parse=lambda said: int(said) if said.isdigit() else None)
        assert trace_of(take(llm, "complete", ASK)[-1])["final"] == "medium"
        assert trace_of(take(llm, "complete", ASK, parse=str.upper)[-1])["final"] == "small"

    def test_a_component_that_is_known_goes_before_the_llm_s(self, server, tiered, easy):
        server.scripts |= {"small": "YES"}
        assert KINDS["FaithfulnessEvaluator"][0](tiered(judge=easy, parse=json.loads), "") == 1

    def test_a_prompt_of_the_user_s_own(self, server, tiered, easy):
        server.scripts |= {"small": PROSE, "medium": "[1]"}
        llm = tiered(judge=easy, parse=json.loads)
        assert llm.predict(PromptTemplate("Say {what}"), what="one") == "[1]"

    def test_by_what_it_returns_answers_are_compared(self, server, tiered, take, trace_of):
        server.scripts |= {"small": '{"a": 1, "b": 2}', "medium": '{"b": 2,\n "a": 1}'}
        trace = trace_of(take(tiered(judge=Agreement()), "complete", ASK, parse=json.loads)[-1])
        assert trace["final"] == "medium"

    @pytest.mark.parametrize("given", ["json", 7])
    def test_what_is_no_function_is_refused(self, server, tiered, given):
        with pytest.raises(ConfigError, match=r"^parse must be a function"):
            tiered().complete(ASK, parse=given)
        with pytest.raises(ConfigError, match=r"^parse must be a function"):
            tiered(parse=given)
        assert server.requests == ()

    def test_a_call_with_tools_has_a_form_of_its_own(self, server, tiered, look_up):
        with pytest.raises(ConfigError, match=r"^parse: chat_with_tools"):
            tiered().chat_with_tools([look_up], ASK, parse=json.loads)
        assert server.requests == ()

    def test_an_answer_too_long_to_be_parsed_is_none(self):
        ran = []
        reading = Reading(ran.append, decides=True)
        assert "too long" in reading.flaw(Answer("small", "x" * 300_000, None))
        assert "too deeply" in reading.flaw(Answer("small", "[" * 1_000, None))
        assert ran == []


@pytest.mark.parametrize(
    ("read", "said", "expected"),
    [
        (lambda said: ranks_in(said, 3), "Here is the order: [2] > [3] > [1]", [2, 3, 1]),
        (lambda said: ranks_in(said, 3), "2 1 3", [2, 1, 3]),
        (lambda said: ranks_in(said, 3), "2, 3, 1.", [2, 3, 1]),
        (lambda said: ranks_in(said, 3), "Of the 3 passages 1 is best", None),
        (lambda said: ranks_in(said, 3), "[7] > [9]", None),
        (lambda said: ranks_in(said, 1), "[1]", [1]),
        (score_after_result, "Fine [RESULT] 3", 3.0),
        (score_after_result, "Fine [RESULT]", None),
        (score_after_result, "3", None),
        (yes_or_no, "No.", False),
        (yes_or_no, "It cannot be known", None),
        (statement_in, "SQLQuery: select 1;", "select 1"),
        (statement_in, "I would select the name", None),
        (typed_triplets_in, "{'head': 'a', 'head_type': 'b'}", None),
        (typed_triplets_in, "[3]", None),
        (lambda said: chosen_in(said, 3), "In 1990 it was 2", None),
        (lambda said: chosen_in(said, 3, 2), "ANSWER: 3, 1", [3, 1]),
        (lambda said: chosen_in(said, 3, 2), "ANSWER: 3", [3]),
        (lambda said: chosen_in(said, None), "7", [7]),
        (keywords_in, "SYNONYMS: a, b", ["a", "b"]),
        (keywords_in, "a, b", ["a", "b"]),
        (keywords_in, "KEYWORDS:", None),
        (keywords_in, "KEYWORDS: there are no keywords in this text at all", None),
        (neighbour_in, "I cannot say", None),
        (masked_in, "City [N1]", None),
        (path_in, "It is at $.name", None),
        (path_in, "JSONPath:", None),
    ],
)
def test_readers(read, said, expected):
    assert read(said) == expected
