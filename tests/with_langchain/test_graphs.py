"""Graphs and agents: each node learns for itself, with no configuration."""

import re
from collections import Counter
from typing import TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel

from llm_tiers import AccuracyEstimator, FixedStarter
from llm_tiers.testing import Reply, ToolCall, obliging


class State(TypedDict, total=False):
    number: int
    sketch: object
    proof: object


def trace_of(answer):
    return answer.response_metadata["tiers"]


class TestTwoNodes:
    """One model object in two nodes: the small model can sketch but not prove."""

    @pytest.fixture
    def model(self, server, tiered, judged):
        def verdict(request):
            return "no" if "Because I say so" in request.ask else "yes"

        server.scripts = {
            "small": lambda request: "First this, then that." if "Sketch" in request.ask else "Because I say so.",
            "medium": judged("It follows from what was shown.", verdict=verdict),
            "large": judged("It follows, and here is why.", verdict=verdict),
        }
        # Without exploration, which tries the small model again now and then.
        return tiered(starter=AccuracyEstimator(explore=0))

    @pytest.fixture
    def graph(self, model):
        def sketch(state):
            return {"sketch": model.invoke(f"Sketch how theorem {state['number']} might be shown.")}

        def prove(state):
            return {"proof": model.invoke(f"Prove theorem {state['number']} in every detail.")}

        graph = StateGraph(State).add_node("sketcher", sketch).add_node("prover", prove)
        return graph.add_edge(START, "sketcher").add_edge("sketcher", "prover").add_edge("prover", END).compile()

    def test_after_25_rounds_each_node_starts_at_its_own_tier(self, graph):
        rounds = [graph.invoke({"number": number}) for number in range(40)]

        late = rounds[25:]
        assert {trace_of(state["sketch"])["start"] for state in late} == {"small"}
        assert {trace_of(state["proof"])["start"] for state in late} == {"medium"}
        assert {trace_of(state["proof"])["node"] for state in late} == {"prover"}

    def test_what_a_node_learns_does_not_reach_the_other(self, model, graph):
        for number in range(25):
            graph.invoke({"number": number})

        estimates = trace_of(graph.invoke({"number": 25})["sketch"])["estimates"]
        assert estimates["small"] > 0.74
        assert trace_of(graph.invoke({"number": 26})["proof"])["estimates"]["small"] < 0.5

    async def test_in_asyncio_too(self, model, graph):
        for number in range(3):
            await graph.ainvoke({"number": number})

        assert Counter(record["node"] for record in model._engine.history.export()) == {"sketcher": 3, "prover": 3}


@tool
def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny in {city}"


class Report(BaseModel):
    """A report."""

    summary: str


ASK = {"messages": [("user", "What is the weather in Paris?")]}


class TestAgents:
    @pytest.fixture(autouse=True)
    def served(self, server):
        server.scripts = dict.fromkeys(("small", "medium", "large"), obliging)

    def test_an_agent_calls_tools_and_answers(self, tiered):
        messages = create_agent(tiered(), [weather], name="reporter").invoke(ASK)["messages"]

        called, answered = messages[1], messages[3]
        assert called.tool_calls[0]["name"] == "weather"
        assert messages[2].content.startswith("sunny in")
        assert trace_of(called)["node"] == "reporter/model/first_turn"
        assert trace_of(answered)["node"] == "reporter/model/after_tools"

    async def test_an_agent_in_asyncio(self, tiered):
        result = await create_agent(tiered(), [weather]).ainvoke(ASK)

        assert re.fullmatch(r"agent-\w{8}/model/first_turn", trace_of(result["messages"][1])["node"])

    def test_a_bad_tool_call_never_reaches_the_agent(self, server, tiered):
        bad = Reply(calls=(ToolCall("weather", {"town": "Paris"}),))
        server.scripts["small"] = lambda request: bad if request.messages[-1]["role"] == "user" else obliging(request)

        messages = create_agent(tiered(), [weather]).invoke(ASK)["messages"]

        assert [message.type for message in messages] == ["human", "ai", "tool", "ai"]
        assert trace_of(messages[1])["final"] == "medium"
        assert not any(getattr(message, "status", "") == "error" for message in messages)

    @pytest.mark.parametrize(
        "way", [Report, ToolStrategy(Report), ProviderStrategy(Report)], ids=["auto", "tool", "provider"]
    )
    @pytest.mark.parametrize("tools", [[], [weather]], ids=["without tools", "with tools"])
    def test_an_agent_with_structured_output(self, tiered, way, tools):
        result = create_agent(tiered(), tools, response_format=way).invoke(ASK)

        assert isinstance(result["structured_response"], Report)

    def test_a_bad_object_of_a_cheap_tier_never_reaches_the_agent(self, server, tiered):
        server.scripts["small"] = '{"summary": 3}'

        result = create_agent(tiered(), [], response_format=ProviderStrategy(Report)).invoke(ASK)

        assert isinstance(result["structured_response"], Report)
        assert trace_of(result["messages"][-1])["final"] == "medium"

    def test_an_agent_streams_the_top_tier_live(self, server, tiered):
        server.scripts["large"] = "Sunny it is"
        agent = create_agent(tiered(starter=FixedStarter("large")), [])

        chunks = [message for message, _ in agent.stream(ASK, stream_mode="messages")]

        assert [chunk.content for chunk in chunks if chunk.content] == ["Sunny ", "it ", "is"]

    def test_an_agent_as_a_node_has_a_path_of_its_own(self, tiered):
        writer = create_agent(tiered(), [], name="writer")
        graph = StateGraph(dict)
        graph.add_node("research", lambda state: writer.invoke(ASK))
        graph.add_edge(START, "research")
        graph.add_edge("research", END)

        messages = graph.compile().invoke({})["messages"]

        assert trace_of(messages[-1])["node"] == "research/writer/model/first_turn"

    def test_a_batch_keeps_the_node(self, tiered):
        model = tiered()
        graph = StateGraph(dict)
        graph.add_node("both", lambda state: {"answers": model.batch(["one", "two"])})
        graph.add_edge(START, "both")
        graph.add_edge("both", END)

        answers = graph.compile().invoke({})["answers"]

        assert [trace_of(answer)["node"] for answer in answers] == ["both", "both"]
