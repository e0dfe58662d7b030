"""Who asks: an argument of the call, or an instrument tag around it."""

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.instrumentation.dispatcher import instrument_tags

from llm_tiers import FeedbackRefused
from llm_tiers.errors import ConfigError
from llm_tiers.history.principals import hashed


@pytest.fixture
def llm(tiered):
    return tiered()


def askers(llm):
    llm.history.flush()
    return [kept.get("principal") for kept in llm.history.export()]


def test_the_argument_of_a_call_which_no_tier_gets(llm, server):
    llm.complete("What is 2+2?", principal="ada")
    llm.chat([ChatMessage(role="user", content="What is 2+2?")], principal="ada")
    assert askers(llm) == [hashed("ada")] * 2
    assert all("principal" not in repr(request) for request in server.requests)


def test_a_tag_around_the_call(llm):
    with instrument_tags({"llm_tiers_principal": "ada"}):
        llm.complete("What is 2+2?")
    llm.complete("What is 2+3?")
    assert sorted(askers(llm), key=str) == sorted([hashed("ada"), None], key=str)


def test_feedback_of_another_user_is_refused(llm):
    answer = llm.complete("What is 2+2?", principal="ada")
    trace_id = answer.additional_kwargs["tiers"]["trace_id"]
    with pytest.raises(FeedbackRefused):
        llm.feedback(trace_id, correct=False, principal="bob")
    llm.feedback(trace_id, correct=False, principal="ada")


def test_a_principal_that_is_no_name_is_an_error(llm):
    with pytest.raises(ConfigError, match="principal must be the name"):
        llm.complete("What is 2+2?", principal=7)
