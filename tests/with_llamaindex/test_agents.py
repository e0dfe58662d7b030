"""Agents and workflows: one shared LLM, each agent and step with a node of its own."""

import asyncio

import pytest
from llama_index.core.agent.workflow import AgentStream, AgentWorkflow, CodeActAgent, FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import Event, StartEvent, StopEvent, Workflow, step

from llm_tiers import ChromaHistory
from llm_tiers.testing import Reply, ToolCall

# LlamaIndex looks through all members of an agent for its steps, those that pydantic warns of included.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pydantic.warnings.PydanticDeprecationWarning", "ignore:is_running called from within a step"
)

ASK = "How many people live in Paris?"


def call(name, **arguments):
    return Reply(calls=(ToolCall(name, arguments),))


def after_tools(request):
    return request.messages[-1]["role"] == "tool"


def caller(request):
    """Look the city up, then say what the tool said."""
    if request.judges:
        return "yes"
    return "Two million." if after_tools(request) else call("look_up", city="Paris")


def wrong_caller(request):
    """Call with arguments that do not fit; then say nonsense."""
    return "Three, I think." if after_tools(request) else call("look_up", town="Paris")


@pytest.fixture(autouse=True)
def served(server):
    server.scripts = {"small": wrong_caller, "medium": caller, "large": caller}


@pytest.fixture
def llm(tiered):
    return tiered(judge=lambda question, answer: "Three" not in answer)


@pytest.fixture
def run():
    """Run an agent with a memory that holds no connection: the default's is left to the garbage collector."""

    def run(agent, ask=ASK):
        return agent.run(user_msg=ask, memory=ChatMemoryBuffer.from_defaults(token_limit=10_000))

    return run


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_function_agent(run, llm, nodes, look_up, streaming):
    agent = FunctionAgent(name="Researcher", tools=[look_up], llm=llm, streaming=streaming)

    answer = await run(agent)

    assert str(answer) == "Two million."
    assert [call.tool_kwargs for call in answer.tool_calls] == [{"city": "Paris"}]
    assert nodes == ["Researcher/first_turn", "Researcher/after_tools"]


async def test_a_function_agent_streams_what_was_accepted_only(run, llm, look_up):
    handler = run(FunctionAgent(tools=[look_up], llm=llm, streaming=True))
    events = [event async for event in handler.stream_events() if isinstance(event, AgentStream)]
    await handler

    assert "".join(event.delta for event in events) == "Two million."
    assert "town" not in repr(events)


@pytest.mark.parametrize("streaming", [True, False])
async def test_two_agents_on_one_llm(run, server, llm, nodes, look_up, streaming):
    def script(request):
        system = request.messages[0]["content"]
        if "You research." in system:
            return call("handoff", to_agent="Writer", reason="done") if after_tools(request) else caller(request)
        return "Two million people live in Paris."

    server.scripts |= {"small": wrong_caller, "medium": script, "large": script}
    agents = [
        FunctionAgent(name="Researcher", description="r", system_prompt="You research.", tools=[look_up], llm=llm),
        FunctionAgent(name="Writer", description="w", system_prompt="You write.", tools=[], llm=llm),
    ]
    for agent in agents:
        agent.streaming = streaming
    workflow = AgentWorkflow(agents=agents, root_agent="Researcher")

    answer = await run(workflow)

    assert str(answer) == "Two million people live in Paris."
    assert answer.current_agent_name == "Writer"
    assert nodes == ["Researcher/first_turn", "Researcher/after_tools", "Writer/first_turn"]


async def test_agents_without_a_name_are_told_apart_by_their_system_prompts(run, llm, nodes, look_up):
    for prompt in ("You research.", "You write.", "You research."):
        await run(FunctionAgent(tools=[look_up], llm=llm, system_prompt=prompt))

    first, second, third = nodes[::2]
    assert first == third != second
    assert {node.partition("/")[0] for node in nodes} == {"Agent"}


async def test_a_date_in_a_system_prompt_makes_no_new_node(run, llm, nodes, look_up):
    for day in ("2026-11-23", "2026-11-24"):
        await run(FunctionAgent(tools=[look_up], llm=llm, system_prompt=f"Today is {day}."))

    assert len(set(nodes)) == 2
    assert {node.rpartition("/")[2] for node in nodes} == {"first_turn", "after_tools"}


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_react_agent(run, server, tiered, nodes, look_up, streaming):
    def script(request):
        if "Observation:" in request.messages[-1]["content"]:
            return "Thought: I know it.\nAnswer: Two million."
        return 'Thought: I look it up.\nAction: look_up\nAction Input: {"city": "Paris"}'

    server.scripts |= {"small": "Three, I think.", "medium": script}
    with ChromaHistory(store_text=True) as history:
        llm = tiered(judge=lambda question, answer: "Three" not in answer, history=history)
        agent = ReActAgent(name="Thinker", tools=[look_up], llm=llm, streaming=streaming)
        answer = await run(agent)
        queries = [record["text"] for record in history.export()]

    assert str(answer) == "Two million."
    assert nodes == ["Thinker/first_turn", "Thinker/after_tools"]
    assert queries == [ASK, ASK]  # and not what the tool said


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_code_act_agent(run, server, llm, nodes, look_up, streaming):
    executed = []

    def script(request):
        return "It is two million." if executed else "<execute>print(look_up('Paris'))</execute>"

    def execute(code):
        executed.append(code)
        return "2 million"

    server.scripts |= {"small": "Three, I think.", "medium": script}
    agent = CodeActAgent(
        name="Coder",
        llm=llm,
        code_execute_fn=execute,
        tools=[FunctionTool.from_defaults(fn=look_up.fn, name="look_up")],
        streaming=streaming,
    )

    assert str(await run(agent)) == "It is two million."
    assert executed == ["print(look_up('Paris'))"]
    assert nodes == ["Coder/first_turn", "Coder/after_tools"]


class Outlined(Event):
    outline: str


class Essay(Workflow):
    """Two steps, one of them sync, on one LLM."""

    def __init__(self, llm):
        super().__init__(timeout=60)
        self.llm = llm

    @step
    async def outline(self, ev: StartEvent) -> Outlined:
        return Outlined(outline=(await self.llm.acomplete("Outline an essay on Paris.")).text)

    @step
    def write(self, ev: Outlined) -> StopEvent:
        chunks = self.llm.stream_chat([ChatMessage(content=f"Write it after {ev.outline}")])
        return StopEvent(result="".join(chunk.delta for chunk in chunks))


async def test_a_workflow_with_two_steps(server, llm, nodes):
    server.scripts |= {"small": "Three, I think.", "medium": lambda request: request.ask.upper()}

    written = await Essay(llm).run()

    assert written == "WRITE IT AFTER OUTLINE AN ESSAY ON PARIS."
    assert nodes == ["Essay.outline", "Essay.write"]


async def test_workflows_at_once_keep_their_nodes_apart(server, llm, nodes):
    server.scripts |= {"small": "Fine."}

    await asyncio.gather(*(Essay(llm).run() for _ in range(8)))

    assert sorted(nodes) == ["Essay.outline"] * 8 + ["Essay.write"] * 8


async def test_an_agent_inside_a_step(run, server, llm, nodes, look_up):
    class Outer(Workflow):
        @step
        async def research(self, ev: StartEvent) -> StopEvent:
            return StopEvent(result=str(await run(FunctionAgent(name="Inner", tools=[look_up], llm=llm))))

    assert await Outer(timeout=60).run() == "Two million."
    assert nodes == ["Outer.research/Inner/first_turn", "Outer.research/Inner/after_tools"]


async def test_what_a_tool_asks_is_known_by_the_tools_name(run, server, llm, nodes):
    async def look_up(city: str) -> str:
        """Look up a city."""
        return (await llm.acomplete("How many people live there?")).text

    agent = FunctionAgent(name="Researcher", tools=[FunctionTool.from_defaults(async_fn=look_up)], llm=llm)
    server.scripts |= {"small": "Three.", "medium": caller}
    await run(agent)

    assert nodes == ["Researcher/first_turn", "look_up", "Researcher/after_tools"]


async def test_an_agent_with_an_output_class(run, server, llm, nodes, look_up, city):
    def script(request):
        asked_for = [tool["function"]["name"] for tool in request.settings.get("tools") or ()]
        return filled if asked_for == ["City"] else caller(request)

    filled = Reply(calls=(ToolCall("City", {"name": "Paris", "people": 2}),))
    server.scripts |= {"medium": script, "large": script}

    answer = await run(FunctionAgent(name="Researcher", tools=[look_up], llm=llm, output_cls=city))

    assert answer.get_pydantic_model(city) == city(name="Paris", people=2)
    assert nodes == ["Researcher/first_turn", "Researcher/after_tools", "Researcher/City"]


async def test_an_agent_that_must_call_a_tool_first(run, server, llm, look_up):
    server.scripts["small"] = "Three, I think."

    answer = await run(FunctionAgent(tools=[look_up], llm=llm, initial_tool_choice="look_up"))

    assert str(answer) == "Two million."
    assert server.requests[0].settings["tool_choice"]["function"]["name"] == "look_up"
