"""Complete and chat, in each of the four ways, over real clients."""

import asyncio
import threading

import pytest
from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
from llama_index.core.llms.function_calling import FunctionCallingLLM

from llamaindex_tiers import TieredLLM
from llm_tiers import AllTiersFailed, FixedStarter, Tier
from llm_tiers.testing import Cut, Hang, HttpError, Reply

ASK = "What is the capital of France?"


@pytest.fixture(params=["OpenAILike", "OpenAI"])
def llm(request, tiered, like, openai):
    make, names = {
        "OpenAILike": (like, ("small", "medium", "large")),
        "OpenAI": (openai, ("gpt-4.1-nano", "gpt-4.1-mini", "gpt-4.1")),
    }[request.param]
    return tiered(tiers=[make(name) for name in names], judge=lambda question, answer: "Paris" in answer)


def said(items):
    """What a response or a stream says."""
    return "".join(item.delta for item in items) if len(items) > 1 else _text(items[0])


def _text(response):
    return response.message.content if isinstance(response, ChatResponse) else response.text


@pytest.mark.parametrize("method", ["complete", "chat"])
def test_a_wrong_answer_of_a_cheap_tier_goes_one_up(llm, take, asked, method, server, trace_of, sent):
    items = take(llm, method, ASK if method == "complete" else asked)

    assert said(items) == "Paris"
    assert isinstance(items[-1], CompletionResponse if method == "complete" else ChatResponse)
    trace = trace_of(items[-1])
    assert [step["verdict"] for step in trace["attempts"]] == ["invalid", "valid"]
    assert trace["cost_usd"] == pytest.approx((sent() * 1 + 2 * 2) / 1e6)
    assert items[-1].additional_kwargs["prompt_tokens"] == sent()
    assert items[-1].additional_kwargs["completion_tokens"] == 2
    assert all(item.additional_kwargs["tier"] == trace["final"] for item in items)
    assert len(server.requests) == 2


def test_the_trace_is_not_in_the_message(llm, take, asked):
    items = take(llm, "chat", asked)

    assert "tiers" not in repr([item.message for item in items])


def test_it_is_a_function_calling_llm():
    assert BaseLLM in TieredLLM.__mro__
    assert issubclass(TieredLLM, FunctionCallingLLM)
    assert TieredLLM.class_name() == "TieredLLM"


def test_the_default_judge_is_a_model(tiered, take, asked, server, trace_of):
    items = take(tiered(), "chat", asked)

    assert said(items) == "Lyon"
    assert [step["role"] for step in trace_of(items[-1])["attempts"]] == ["generate", "judge"]
    assert server.requests[1].judges
    assert not server.requests[1].settings.get("stream")


def test_the_messages_of_the_user_stay_as_they_are(llm, take):
    messages = [ChatMessage(role="system", content="Be short."), ChatMessage(role="user", content=ASK)]
    before = [message.model_dump() for message in messages]

    take(llm, "chat", messages)

    assert [message.model_dump() for message in messages] == before


def test_an_accepted_answer_is_streamed_in_the_chunks_it_came_in(server, tiered, stream):
    server.scripts["medium"] = "Paris of course"

    items = stream(tiered(judge=lambda question, answer: "Paris" in answer), "complete", ASK)

    assert [item.delta for item in items if item.delta] == ["Paris ", "of ", "course"]
    assert [item.text for item in items[1:4]] == ["Paris ", "Paris of ", "Paris of course"]
    assert "tiers" in items[-1].additional_kwargs
    assert not any("tiers" in item.additional_kwargs for item in items[:-1])


def test_nothing_is_asked_before_the_first_chunk_is_taken(drops, server, tiered):
    chunks = tiered().stream_complete(ASK)
    assert server.requests == ()

    next(chunks)

    assert server.requests


@pytest.mark.parametrize("where", ["at the top", "at a pin"])
def test_an_answer_that_nobody_judges_streams_live(server, tiered, where):
    server.scripts["large"] = hang = Hang("is", after="Paris it ")
    if where == "at the top":
        chunks = tiered(starter=FixedStarter("large")).stream_complete(ASK)
    else:
        chunks = tiered().stream_complete(ASK, model="large")

    early = [next(chunks).delta for _ in range(3)]
    assert hang.reached.wait(10)
    hang.release()

    assert early == ["", "Paris ", "it "]
    assert "".join(chunk.delta for chunk in chunks) == "is"


async def test_an_answer_that_nobody_judges_streams_live_in_asyncio(server, tiered):
    server.scripts["large"] = hang = Hang("is", after="Paris it ")
    chunks = await tiered(starter=FixedStarter("large")).astream_complete(ASK)

    early = [(await anext(chunks)).delta for _ in range(3)]
    hang.release()

    assert early == ["", "Paris ", "it "]
    assert "".join([chunk.delta async for chunk in chunks]) == "is"


def test_a_tier_that_fails_goes_one_up(server, tiered, take, trace_of):
    server.scripts["small"] = HttpError(429, "Slow down, sk-very-secret-key.")

    items = take(tiered(), "complete", ASK)

    assert said(items) == "Paris"
    error = trace_of(items[-1])["attempts"][0]["error"]
    assert "429" in error
    assert "sk-very-secret-key" not in error


def test_a_stream_that_is_cut_before_it_is_shown_goes_one_up(server, tiered, stream):
    server.scripts["small"] = Cut(after="Lyon of ")

    assert said(stream(tiered(judge=lambda question, answer: True), "complete", ASK)) == "Paris"


def test_a_stream_that_is_cut_after_it_was_shown_fails(server, tiered, stream):
    server.scripts["large"] = Cut(after="Paris it ")

    with pytest.raises(AllTiersFailed, match="large") as failure:
        stream(tiered(starter=FixedStarter("large")), "complete", ASK)

    assert failure.value.exceptions[0].broke_off


def test_no_tier_that_answers(server, tiered, take):
    server.scripts = dict.fromkeys(("small", "medium", "large"), HttpError(500))

    with pytest.raises(AllTiersFailed) as failure:
        take(tiered(), "complete", ASK)

    assert [error.tier for error in failure.value.exceptions] == ["small", "medium", "large"]
    assert failure.value.trace.final is None


def test_a_time_out_goes_one_up(drops, server, tiers, tiered, take, trace_of):
    server.scripts["small"] = hang = Hang()

    items = take(tiered(tiers=[Tier(tiers[0], timeout=0.5), *tiers[1:]]), "complete", ASK)
    hang.release()

    assert trace_of(items[-1])["attempts"][0]["error"] == "no answer within 0.5 s"


def test_a_time_out_of_a_tier_that_streams_live(drops, server, like, tiered):
    server.scripts["large"] = hang = Hang("is", after="Paris it ")
    llm = tiered(tiers=[like("small"), Tier(like("large"), timeout=1)], starter=FixedStarter("large"))

    with pytest.raises(AllTiersFailed, match="no answer within 1 s"):
        list(llm.stream_complete(ASK))
    hang.release()


def test_a_refusal_is_a_missing_answer(server, tiered, trace_of):
    server.scripts["small"] = Reply("", refusal="I will not.")

    answer = tiered().complete(ASK)

    assert answer.text == "Paris"
    assert trace_of(answer)["attempts"][0]["by"] == "missing"


def test_tokens_of_cache_and_reasoning_are_counted(server, tiered, take, trace_of):
    server.scripts["small"] = Reply("Paris", input_tokens=100, output_tokens=50, cached_tokens=40, reasoning_tokens=30)

    usage = trace_of(take(tiered(judge=lambda question, answer: True), "complete", ASK)[-1])["usage"]

    assert (usage["cached_tokens"], usage["reasoning_tokens"]) == (40, 30)


def test_calls_at_once_do_not_mix(server, tiered):
    server.scripts["small"] = lambda request: request.ask.upper()
    llm = tiered(judge=lambda question, answer: True)
    llm.complete("first")  # OpenAI's class makes a client at its first call, and threads at once would make several
    taken = {}

    def take(number):
        taken[number] = "".join(chunk.delta for chunk in llm.stream_complete(f"question {number}"))

    threads = [threading.Thread(target=take, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def both():
        return await asyncio.gather(*(llm.acomplete(f"question {number}") for number in range(8)))

    assert taken == {number: f"QUESTION {number}" for number in range(8)}
    assert [answer.text for answer in asyncio.run(both())] == [f"QUESTION {number}" for number in range(8)]


def test_a_stream_that_is_dropped_leaves_its_trace(drops, server, tiered):
    server.scripts["large"] = Hang("is", after="Paris it ")
    traces = []
    chunks = tiered(starter=FixedStarter("large"), on_trace=traces.append).stream_complete(ASK)
    next(chunks)

    chunks.close()

    (trace,) = traces
    assert (trace.final, trace.attempts[-1].error) == (None, "cancelled")


def test_feedback_reaches_the_next_estimates(tiered, learner):
    llm = tiered(starter=learner, judge=lambda question, answer: True)
    for _ in range(3):
        answer = llm.complete(ASK)
        llm.feedback(answer.additional_kwargs["tiers"]["trace_id"], correct=False)

    assert llm.complete(ASK).additional_kwargs["tiers"]["start"] != "small"


def test_a_bandit_goes_where_feedback_says(tiered):
    llm = tiered(policy="metallm")
    for _ in range(6):
        trace = llm.complete(ASK).additional_kwargs["tiers"]
        llm.feedback(trace["trace_id"], correct=trace["final"] == "medium")

    trace = llm.complete(ASK).additional_kwargs["tiers"]
    assert trace["start"] == "medium"
    assert [attempt["role"] for attempt in trace["attempts"]] == ["generate"]


async def test_feedback_in_asyncio(tiered):
    async with tiered() as llm:
        answer = await llm.acomplete(ASK)
        await llm.afeedback(answer.additional_kwargs["tiers"]["trace_id"], correct=True)


@pytest.mark.parametrize("method", ["complete", "chat"])
def test_a_ladder_of_completion_models(server, like, tiered, take, asked, method):
    models = [like(name, is_chat_model=False, is_function_calling_model=False) for name in ("small", "medium")]
    llm = tiered(tiers=models, judge=lambda question, answer: "Paris" in answer)

    assert said(take(llm, method, ASK if method == "complete" else asked)) == "Paris"
    assert not llm.metadata.is_chat_model
    assert not llm.metadata.is_function_calling_model
    assert {request.completion for request in server.requests} == {True}


def test_a_mixed_ladder_is_a_chat_model(server, like, tiered, asked):
    llm = tiered(
        tiers=[like("small", is_chat_model=False), like("large")], judge=lambda question, answer: "Paris" in answer
    )

    assert llm.metadata.is_chat_model
    assert llm.chat(asked).message.content == "Paris"
    assert [request.completion for request in server.requests] == [True, False]
