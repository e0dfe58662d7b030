"""Who asks: LangGraph's `user_id`, or an argument of the call."""

import pytest
from langchain_core.runnables import RunnableLambda
from langgraph.graph import START, MessagesState, StateGraph

from llm_tiers import FeedbackRefused
from llm_tiers.errors import ConfigError
from llm_tiers.history.principals import hashed


@pytest.fixture
def model(tiered):
    return tiered()


def askers(model):
    model.history.flush()
    return [kept.get("principal") for kept in model.history.export()]


def config(user):
    return {"configurable": {"user_id": user}}


def graph(model):
    def answer(state: MessagesState):
        return {"messages": [model.invoke(state["messages"])]}

    async def aanswer(state: MessagesState):
        return {"messages": [await model.ainvoke(state["messages"])]}

    built = StateGraph(MessagesState)
    built.add_node("answer", RunnableLambda(answer, aanswer))
    built.add_edge(START, "answer")
    return built.compile()


def test_the_users_id_of_a_graph(model, take):
    take(graph(model).with_config(config("ada")), {"messages": [("human", "What is 2+2?")]})
    assert askers(model) == [hashed("ada")]


def test_the_users_id_of_a_call(model, take):
    take(model.with_config(config("ada")), "What is 2+2?")
    assert askers(model) == [hashed("ada")]


def test_the_argument_goes_first_and_no_tier_gets_it(model, take, server):
    take(model.bind(principal="bob").with_config(config("ada")), "What is 2+2?")
    assert askers(model) == [hashed("bob")]
    assert all("principal" not in repr(request) for request in server.requests)


def test_without_either_it_is_nobody_in_particular(model, take):
    take(model, "What is 2+2?")
    assert askers(model) == [None]


def test_a_number_is_a_name_too(model):
    model.invoke("What is 2+2?", config(7))
    model.invoke("What is 2+3?", config(["ada"]))
    assert sorted(askers(model), key=str) == sorted([hashed("7"), None], key=str)


def test_the_user_of_one_call_is_not_that_of_the_next(model):
    model.invoke("What is 2+2?", config("ada"))
    list(model.stream("What is 2+3?", config("bob")))
    model.invoke("What is 2+4?")
    assert sorted(askers(model), key=str) == sorted([hashed("ada"), hashed("bob"), None], key=str)


async def test_feedback_of_another_user_is_refused(model):
    answer = model.invoke("What is 2+2?", config("ada"))
    trace_id = answer.response_metadata["tiers"]["trace_id"]
    with pytest.raises(FeedbackRefused):
        model.feedback(trace_id, correct=False, principal="bob")
    await model.afeedback(trace_id, correct=False, principal="ada")


def test_a_principal_that_is_no_name_is_an_error(model):
    with pytest.raises(ConfigError, match="principal must be the name"):
        model.invoke("What is 2+2?", principal=7)
