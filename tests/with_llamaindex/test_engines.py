"""Query engines, chat engines and evaluators: what LlamaIndex builds on an LLM runs on this one as on any."""

import json

import chromadb
import pytest
from llama_index.core import Document, Settings, StorageContext, SummaryIndex, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.chat_engine import (
    CondensePlusContextChatEngine,
    CondenseQuestionChatEngine,
    ContextChatEngine,
    SimpleChatEngine,
)
from llama_index.core.evaluation import FaithfulnessEvaluator
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.prompts import PromptTemplate, PromptType
from llama_index.core.query_engine import RouterQueryEngine, SubQuestionQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.selectors import LLMSingleSelector
from llama_index.core.tools import QueryEngineTool
from llama_index.vector_stores.chroma import ChromaVectorStore

from llm_tiers import ChromaHistory
from llm_tiers.testing import obliging

ASK = "What is the capital of France?"
TEXTS = ["Paris is the capital of France.", "Rome is the capital of Italy.", "Bern is the capital of Switzerland."]


class Letters(BaseEmbedding):
    """An embedding that needs no model: how often each letter stands in a text."""

    def _get_text_embedding(self, text):
        return [float(text.lower().count(letter)) for letter in "abcdefghijklmnopqrstuvwxyz"]

    def _get_query_embedding(self, query):
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query):
        return self._get_text_embedding(query)


def right(request):
    return "yes" if request.judges else "Paris"


@pytest.fixture(autouse=True)
def served(server):
    server.scripts = {"small": "Lyon", "medium": right, "large": right}


@pytest.fixture
def llm(tiered):
    return tiered(judge=lambda question, answer: "Lyon" not in answer)


@pytest.fixture
def documents():
    return [Document(text=text) for text in TEXTS]


@pytest.fixture
def index(documents):
    return VectorStoreIndex.from_documents(documents, embed_model=Letters())


@pytest.fixture
def text_qa():
    """The node of the default prompt for questions about a context."""
    return "text_qa/"


def test_a_query_engine_over_chroma_beside_our_history(documents, server, tiered, nodes, text_qa, tmp_path, trace_of):
    collection = chromadb.PersistentClient(str(tmp_path / "documents")).create_collection("documents")
    storage = StorageContext.from_defaults(vector_store=ChromaVectorStore(chroma_collection=collection))
    index = VectorStoreIndex.from_documents(documents, storage_context=storage, embed_model=Letters())
    traces = []
    llm = tiered(
        history=tmp_path / "history", on_trace=traces.append, judge=lambda question, answer: "Lyon" not in answer
    )

    answer = index.as_query_engine(llm=llm, similarity_top_k=1).query(ASK)

    assert answer.response == "Paris"
    assert answer.source_nodes[0].text == TEXTS[0]
    assert nodes[0].startswith(text_qa)
    assert collection.count() == 3
    assert [trace.final for trace in traces] == ["medium"]


def test_both_in_memory_do_not_mix(documents, llm):
    collection = chromadb.EphemeralClient().create_collection("in-memory")
    storage = StorageContext.from_defaults(vector_store=ChromaVectorStore(chroma_collection=collection))
    index = VectorStoreIndex.from_documents(documents, storage_context=storage, embed_model=Letters())

    for _ in range(3):
        assert index.as_query_engine(llm=llm).query(ASK).response == "Paris"
    assert collection.count() == 3


async def test_a_query_engine_in_asyncio_has_the_same_node(index, llm, nodes):
    engine = index.as_query_engine(llm=llm)

    engine.query(ASK)
    assert (await engine.aquery(ASK)).response == "Paris"

    assert nodes[0] == nodes[1]


def test_a_streaming_query_engine_has_the_same_node_too(index, llm, nodes):
    index.as_query_engine(llm=llm).query(ASK)
    streamed = index.as_query_engine(llm=llm, streaming=True).query(ASK)

    assert "".join(streamed.response_gen) == "Paris"
    assert nodes[0] == nodes[1]


async def test_a_streaming_query_engine_in_asyncio(index, llm, nodes):
    index.as_query_engine(llm=llm).query(ASK)
    streamed = await index.as_query_engine(llm=llm, streaming=True, use_async=True).aquery(ASK)

    assert "".join([text async for text in streamed.async_response_gen()]) == "Paris"
    assert nodes[0] == nodes[1]


def test_two_engines_of_one_class_are_told_apart_by_their_templates(index, llm, nodes):
    def engine(text):
        prompt = PromptTemplate(text, prompt_type=PromptType.QUESTION_ANSWER)
        return index.as_query_engine(llm=llm, text_qa_template=prompt)

    plain, wordy = engine("{context_str} {query_str}"), engine("Say much. {context_str} {query_str}")
    for each in (plain, wordy, plain):
        each.query(ASK)

    assert nodes[0] == nodes[2] != nodes[1]
    assert {node.partition("/")[0] for node in nodes} == {"text_qa"}


def test_similar_calls_are_found_by_what_the_engine_was_asked(index, tiered):
    with ChromaHistory(store_text=True) as history:
        llm = tiered(history=history, judge=lambda question, answer: "Lyon" not in answer)
        index.as_query_engine(llm=llm).query(ASK)

        assert [record["text"] for record in history.export()] == [ASK]


@pytest.mark.parametrize(
    ("mode", "types"),
    [
        ("refine", {"text_qa", "refine"}),
        ("compact", {"text_qa"}),
        ("tree_summarize", {"summary"}),
        ("simple_summarize", {"text_qa"}),
        ("compact_accumulate", {"text_qa"}),
    ],
)
@pytest.mark.parametrize("use_async", [False, True])
def test_response_synthesizers(llm, nodes, mode, types, use_async):
    synthesizer = get_response_synthesizer(llm=llm, response_mode=mode, use_async=use_async)
    found = [NodeWithScore(node=TextNode(text=text), score=1) for text in TEXTS]

    answer = synthesizer.synthesize(ASK, nodes=found)

    assert "Paris" in answer.response
    assert {node.partition("/")[0] for node in nodes} == types


def test_an_engine_with_an_output_class(server, index, llm, city, nodes):
    server.scripts |= {"small": "Lyon", "medium": obliging}

    answer = index.as_query_engine(llm=llm, output_cls=city, response_mode="compact").query(f"{ASK} 3")

    assert answer.response.people == 3
    assert nodes[0].startswith("text_qa/City/")


def test_an_engine_on_a_structured_llm(server, index, llm, city, nodes):
    server.scripts |= {"small": "Lyon", "medium": obliging}
    engine = index.as_query_engine(llm=llm.as_structured_llm(city))

    for ask in (f"{ASK} 3", f"Fill in {{this}}. {ASK} 3"):
        assert engine.query(ask).response.people == 3
    # A message is no template, whatever it looks like.
    assert nodes[0] == nodes[1]
    assert nodes[0].startswith("text_qa/")
    assert nodes[0].endswith("/City")


def test_a_router(server, index, llm, nodes):
    def router(request):
        if request.judges:
            return "yes"
        return json.dumps([{"choice": 2, "reason": "cities"}]) if "choices" in request.ask else "Paris"

    server.scripts |= {"small": "The second, of course.", "medium": router}
    tools = [
        QueryEngineTool.from_defaults(index.as_query_engine(llm=llm), name=name, description=name)
        for name in ("rivers", "cities")
    ]
    engine = RouterQueryEngine(
        selector=LLMSingleSelector.from_defaults(llm=llm), query_engine_tools=tools, summarizer=None, llm=llm
    )

    answer = engine.query(ASK)

    assert answer.metadata["selector_result"].ind == 1
    assert [node.partition("/")[0] for node in nodes] == ["single_select", "text_qa"]


@pytest.mark.parametrize("use_async", [False, True])
def test_sub_questions(server, index, llm, nodes, use_async):
    questions = {"items": [{"sub_question": "Which city?", "tool_name": "cities"}]}

    def asker(request):
        return f"```json\n{json.dumps(questions)}\n```" if "sub-questions" in request.text else "Paris"

    server.scripts |= {"small": "Lyon", "medium": asker}
    tool = QueryEngineTool.from_defaults(index.as_query_engine(llm=llm), name="cities", description="cities")
    engine = SubQuestionQueryEngine.from_defaults(
        query_engine_tools=[tool],
        question_gen=LLMQuestionGenerator.from_defaults(llm=llm),
        llm=llm,
        response_synthesizer=get_response_synthesizer(llm=llm, use_async=use_async),
        use_async=use_async,
        verbose=False,
    )

    assert engine.query(ASK).response == "Paris"
    assert [node.partition("/")[0] for node in nodes] == ["sub_question", "text_qa", "text_qa"]


async def test_an_evaluator(server, llm, nodes):
    server.scripts |= {"small": "Lyon", "medium": "YES"}

    result = await FaithfulnessEvaluator(llm=llm).aevaluate(response="Paris", contexts=TEXTS)

    assert result.passing
    assert nodes


def test_a_chat_engine_with_memory(server, llm, nodes):
    server.scripts |= {"small": "Lyon", "medium": lambda request: f"{len(request.messages)} messages"}
    engine = SimpleChatEngine.from_defaults(
        llm=llm, memory=ChatMemoryBuffer.from_defaults(llm=llm), system_prompt="Be short."
    )

    assert engine.chat(ASK).response == "2 messages"
    assert "".join(engine.stream_chat("And of Italy?").response_gen) == "4 messages"
    assert len(engine.chat_history) == 4
    assert "tiers" not in repr(engine.chat_history)
    assert len(set(nodes)) == 1
    assert nodes[0].startswith("SimpleChatEngine/")


async def test_a_chat_engine_in_asyncio(server, llm, nodes):
    server.scripts |= {"small": "Lyon", "medium": lambda request: f"{len(request.messages)} messages"}
    engine = SimpleChatEngine.from_defaults(llm=llm, memory=ChatMemoryBuffer.from_defaults(llm=llm))

    assert (await engine.achat(ASK)).response == "1 messages"
    streamed = await engine.astream_chat("And of Italy?")
    assert "".join([text async for text in streamed.async_response_gen()]) == "3 messages"
    assert set(nodes) == {"SimpleChatEngine"}


@pytest.mark.parametrize("kind", [CondensePlusContextChatEngine, ContextChatEngine, CondenseQuestionChatEngine])
def test_a_chat_engine_over_an_index(index, llm, nodes, kind):
    def engine():
        memory = ChatMemoryBuffer.from_defaults(llm=llm)
        if kind is CondenseQuestionChatEngine:
            return kind.from_defaults(index.as_query_engine(llm=llm), llm=llm, memory=memory)
        return kind.from_defaults(index.as_retriever(), llm=llm, memory=memory)

    def talk(*asks):
        talking = engine()
        for ask in asks:
            assert talking.chat(ask).response == "Paris"
            assert "".join(talking.stream_chat(f"Really, {ask}").response_gen) == "Paris"

    talk(ASK)
    known = set(nodes)
    talk("And of Italy?", "And of Spain?")

    # The conversation, which is part of the prompts, makes no new nodes.
    assert set(nodes) == known


def test_it_is_the_llm_of_the_settings(documents, llm):
    before = Settings._llm, Settings._embed_model
    try:
        Settings.llm, Settings.embed_model = llm, Letters()
        assert SummaryIndex.from_documents(documents).as_query_engine().query(ASK).response == "Paris"
    finally:
        Settings._llm, Settings._embed_model = before


def test_one_history_in_both_frameworks(server, tiered, learner, tmp_path):
    """What LangChain's calls taught, LlamaIndex's use."""
    from langchain_openai import ChatOpenAI

    from langchain_tiers import TieredChatModel

    names = ("small", "medium", "large")
    models = [ChatOpenAI(model=name, base_url=server.base_url, api_key="unused", max_retries=0) for name in names]
    settings = {
        "history": tmp_path,
        "node": "cities",
        "starter": learner,
        "judge": lambda question, answer: "Lyon" not in answer,
    }
    llm = tiered(**settings)
    with TieredChatModel(models, **settings) as chat:
        for _ in range(3):
            chat.invoke(ASK)
        trace = llm.chat([ChatMessage(content=ASK)]).additional_kwargs["tiers"]
        again = chat.invoke(ASK).response_metadata["tiers"]

    assert (trace["start"], trace["neighbours"]) == ("medium", 3)
    assert again["start"] == "medium"
    llm.feedback(again["trace_id"], correct=False)
