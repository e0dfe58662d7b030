"""Places in a program that learn apart without configuration: tools, agents without names, steps of chains."""

import asyncio
import gc

import pytest
from langchain.agents import create_agent
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder, PromptTemplate
from langchain_core.tools import tool

from langchain_tiers.origins import ORIGINS
from llm_tiers.testing import Reply, ToolCall

PRIVATE = "my mother's maiden name"


@pytest.fixture
def seen():
    return []


@pytest.fixture
def model(server, tiered, seen):
    server.scripts |= dict.fromkeys(("small", "medium", "large"), "Paris")
    return tiered(policy="menu", learning=0.0, on_trace=seen.append, prices=dict.fromkeys(("small", "large"), (1, 2)))


def nodes(seen):
    return [trace.node for trace in seen]


def test_the_steps_of_a_chain_learn_apart(model, seen, take):
    outline = ChatPromptTemplate.from_messages([("system", "Write an outline."), ("human", "{topic}")])
    text = PromptTemplate.from_template("Write a text about {topic}.")

    for topic in ("bees", PRIVATE):
        take(outline | model, {"topic": topic})
        take(text | model, {"topic": topic})

    first, second = nodes(seen)[:2]
    assert nodes(seen) == [first, second, first, second]
    assert first != second
    assert first.startswith("prompt-")
    assert PRIVATE not in repr(nodes(seen))


def test_what_is_filled_in_beforehand_does_not_count(model, seen):
    prompt = PromptTemplate.from_template("It is {day}. Write about {topic}.")

    for day in ("Monday", "Tuesday"):
        (prompt.partial(day=day) | model).invoke({"topic": "bees"})

    assert len(set(nodes(seen))) == 1


def test_two_steps_of_one_sequence(model, seen, take):
    ask, check = (PromptTemplate.from_template(text) for text in ("Answer: {x}", "Check: {x}"))
    chain = ask | model | (lambda message: {"x": message.text}) | check | model

    take(chain, {"x": "bees"})
    take(ask | model, {"x": "bees"})

    first, second, again = nodes(seen)
    assert (first == again, first != second) == (True, True)


def test_structured_steps_and_batches(model, seen, server):
    server.scripts |= dict.fromkeys(("small", "medium", "large"), '{"x": "y"}')
    shape = {"title": "X", "description": "x", "type": "object", "properties": {"x": {"type": "string"}}}
    one, other = (PromptTemplate.from_template(text) for text in ("One: {x}", "Other: {x}"))

    for prompt in (one, other):
        chain = prompt | model.with_structured_output(shape, method="json_mode", include_raw=prompt is other)
        chain.batch([{"x": "bees"}, {"x": "birds"}])

    assert len(set(nodes(seen))) == 2
    assert all(node.startswith("prompt-") for node in nodes(seen))


def test_a_call_by_itself_is_of_no_chain(model, seen, take):
    take(model, "What is the capital of France?")

    assert nodes(seen) == [""]


def test_each_tool_that_calls_the_model_learns_apart(model, seen, take):
    @tool
    def shorten(text: str) -> str:
        """Shorten a text."""
        return model.invoke(f"Shorten: {text}").text

    @tool
    async def translate(text: str) -> str:
        """Translate a text."""
        return (await model.ainvoke(f"Translate: {text}")).text

    take(shorten, {"text": "bees"})
    asyncio.run(translate.ainvoke({"text": "bees"}))

    assert nodes(seen) == ["shorten", "translate"]


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_tools_of_an_agent(server, chat, model, seen, way):
    @tool
    def shorten(text: str) -> str:
        """Shorten a text."""
        return model.invoke(f"Shorten: {text}").text

    @tool
    def translate(text: str) -> str:
        """Translate a text."""
        return model.invoke(f"Translate: {text}").text

    server.scripts["agent"] = lambda request: (
        Reply("done")
        if request.messages[-1]["role"] == "tool"
        else Reply(calls=(ToolCall("shorten", {"text": "a"}), ToolCall("translate", {"text": "b"})))
    )
    agent = create_agent(chat("agent"), [shorten, translate])
    given = {"messages": [("human", "go")]}
    agent.invoke(given) if way == "invoke" else asyncio.run(agent.ainvoke(given))

    assert sorted(nodes(seen)) == ["tools/shorten", "tools/translate"]


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_two_agents_without_names_learn_apart(model, seen, way):
    @tool
    def shorten(text: str) -> str:
        """Shorten a text."""
        return text

    @tool
    def translate(text: str) -> str:
        """Translate a text."""
        return text

    for tools in ([shorten], [translate], [shorten]):
        agent = create_agent(model, tools)
        given = {"messages": [("human", "go")]}
        agent.invoke(given) if way == "invoke" else asyncio.run(agent.ainvoke(given))

    first, second, again = nodes(seen)
    assert (first == again, first != second) == (True, True)
    assert all(node.startswith("agent-") and node.endswith("/model/first_turn") for node in nodes(seen))


def test_agents_with_neither_name_nor_tools_learn_apart_by_a_name(model, seen):
    """A system prompt may be filled in anew for each call, so it is no part of the node."""
    for prompt in ("Translate.", f"Shorten for {PRIVATE}."):
        create_agent(model, [], system_prompt=prompt).invoke({"messages": [("human", "go")]})
        create_agent(model, [], system_prompt=prompt, name=prompt.split()[0]).invoke({"messages": [("human", "go")]})

    assert nodes(seen)[::2] == ["model/first_turn"] * 2
    assert nodes(seen)[1::2] == ["Translate./model/first_turn", "Shorten/model/first_turn"]


def test_the_main_agent_of_deepagents_is_one_too(model, seen):
    """It says another `ls_integration` of itself, and has no name."""
    agent = create_agent(model, []).with_config(metadata={"ls_integration": "deepagents"})

    agent.invoke({"messages": [("human", "go")]})

    assert nodes(seen) == ["model/first_turn"]


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_the_agents_of_deepagents_learn_apart(server, model, seen, way):
    """Its shape: subagents with names are run by the main agent's tool `task`, and the main agent has none."""
    given = {"messages": [("human", "go")]}
    sub = create_agent(model, [], name="researcher").with_config(metadata={"ls_integration": "deepagents"})

    @tool
    def task(description: str) -> str:
        """Hand a task over."""
        return sub.invoke(given)["messages"][-1].text

    def script(request):
        if request.settings.get("tools") and request.messages[-1]["role"] != "tool":
            return Reply(calls=(ToolCall("task", {"description": "bees"}),))
        return "done"

    server.scripts |= dict.fromkeys(("small", "medium", "large"), script)
    main = create_agent(model, [task]).with_config(metadata={"ls_integration": "deepagents"})
    main.invoke(given) if way == "invoke" else asyncio.run(main.ainvoke(given))

    first, inside, after = nodes(seen)
    assert first.startswith("agent-")
    assert (first, after) == (
        f"{first.partition('/')[0]}/model/first_turn",
        f"{first.partition('/')[0]}/model/after_tools",
    )
    assert inside == "tools/task/researcher/model/first_turn"


def test_the_question_is_embedded_and_not_the_instruction_to_rephrase_it(server, tiered, take):
    texts = []

    def embed(given):
        texts.append(given)
        return [1.0, 0.0]

    model = tiered(policy="estimate", embedding=embed)
    prompt = ChatPromptTemplate.from_messages(
        [
            MessagesPlaceholder("chat_history"),
            ("human", "{input}"),
            ("human", "Given the conversation above, write a query to look up what the user asks for."),
        ]
    )

    take(prompt | model, {"chat_history": [("human", "Hello"), ("ai", "Hello!")], "input": "Where do the bees live?"})

    assert set(texts) - {""} == {"Where do the bees live?"}


def test_a_prompt_is_looked_at_where_a_tiered_model_asks_and_nowhere_else(model, seen, take):
    """Every chain of the process tells of its prompt, and a long one takes longer to hash than the chain to run."""
    looks = []

    class Watched(dict):
        def items(self):
            looks.append(1)
            return super().items()

    class Prompt(PromptTemplate):
        @property
        def _serialized(self):
            return Watched(super()._serialized)

    prompt = Prompt.from_template("Answer: {x}")

    take(prompt | (lambda value: value), {"x": "bees"})
    assert looks == []

    take(prompt | model, {"x": "bees"})
    assert looks
    assert nodes(seen)[0].startswith("prompt-")


def test_nothing_is_kept_of_runs_that_have_ended(model, take):
    take(PromptTemplate.from_template("Answer: {x}") | model, {"x": "bees"})
    gc.collect()

    assert not ORIGINS._runs
