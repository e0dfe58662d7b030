"""What a wrapper must and must not let through: each check makes a candidate over scripted tiers and asks it once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import candidates
import openai
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.exceptions import ContextOverflowError
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import BaseModel

from llm_tiers.testing import Cut, HttpError, LoopbackRequest, LoopbackServer, Reply, Script, ToolCall

ASK = "What is the capital of France?"
WRONG, RIGHT = "Lyon, I think.", "Paris, of course."

Check = Callable[[Any, LoopbackServer], bool]


def judge(_question: str, answer: str) -> bool:
    return "Lyon" not in answer


class City(BaseModel):
    """A city."""

    name: str
    people: int


def look_up(city: str) -> str:
    """Look up a city."""
    return city


class Starts(BaseCallbackHandler):
    def __init__(self) -> None:
        self.count = 0

    def on_chat_model_start(self, *_args: Any, **_kwargs: Any) -> None:
        self.count += 1


def tokens(server: LoopbackServer) -> int:
    return sum(len(request.text.split()) for request in server.requests)


def whole(chunks: Any) -> Any:
    joined = None
    for chunk in chunks:
        joined = chunk if joined is None else joined + chunk
    return joined


def graph_of(model: Any) -> Any:
    graph = StateGraph(MessagesState).add_node("chat", lambda state: {"messages": [model.invoke(state["messages"])]})
    return graph.add_edge(START, "chat").add_edge("chat", END).compile()


def escalates(model: Any, _server: LoopbackServer) -> bool:
    return bool(model.invoke(ASK).text == RIGHT)


def stream_is_clean(model: Any, _server: LoopbackServer) -> bool:
    return bool("".join(chunk.text for chunk in model.stream(ASK)) == RIGHT)


def astream_is_clean(model: Any, _server: LoopbackServer) -> bool:
    async def texts() -> str:
        return "".join([chunk.text async for chunk in model.astream(ASK)])

    return asyncio.run(texts()) == RIGHT


def graph_is_clean(model: Any, _server: LoopbackServer) -> bool:
    shown = graph_of(model).stream({"messages": [("user", ASK)]}, stream_mode="messages")
    return "".join(message.text for message, _ in shown) == RIGHT


def events_are_clean(model: Any, _server: LoopbackServer) -> bool:
    async def events() -> list[Any]:
        return [event async for event in model.astream_events(ASK, version="v2")]

    return "Lyon" not in repr(asyncio.run(events()))


def usage_is_whole(model: Any, server: LoopbackServer) -> bool:
    answer = model.invoke(ASK)
    return bool(answer.usage_metadata and answer.usage_metadata["input_tokens"] == tokens(server))


def streamed_usage_is_whole(model: Any, server: LoopbackServer) -> bool:
    answer = whole(model.stream(ASK))
    return bool(answer.usage_metadata and answer.usage_metadata["input_tokens"] == tokens(server))


def counted_once(model: Any, server: LoopbackServer) -> bool:
    counter = UsageMetadataCallbackHandler()
    model.invoke(ASK, config={"callbacks": [counter]})
    return sum(usage["input_tokens"] for usage in counter.usage_metadata.values()) == tokens(server)


def heard_once(model: Any, _server: LoopbackServer) -> bool:
    starts = Starts()
    model.invoke(ASK, config={"callbacks": [starts]})
    return starts.count == 1


def bad_tool_call_is_held(model: Any, _server: LoopbackServer) -> bool:
    answer = model.bind_tools([look_up]).invoke(ASK)
    return bool(answer.tool_calls and answer.tool_calls[0]["args"] == {"city": "Paris"})


def bad_object_is_held(model: Any, _server: LoopbackServer) -> bool:
    return bool(model.with_structured_output(City).invoke(ASK) == City(name="Paris", people=2))


def error_is_survived(model: Any, _server: LoopbackServer) -> bool:
    return bool(model.invoke(ASK).text == RIGHT)


def cut_stream_is_survived(model: Any, _server: LoopbackServer) -> bool:
    return bool("".join(chunk.text for chunk in model.stream(ASK)) == RIGHT)


def own_error_is_raised(model: Any, _server: LoopbackServer) -> bool:
    try:
        model.invoke(ASK)
    except openai.RateLimitError:
        return True
    return False


def overflow_is_known(model: Any, _server: LoopbackServer) -> bool:
    try:
        model.invoke(ASK)
    except ContextOverflowError:
        return True
    return False


def wrong_key_fails_at_once(model: Any, server: LoopbackServer) -> bool:
    try:
        model.invoke(ASK)
    except openai.AuthenticationError:
        return all(len(server.requests_to(name)) <= 1 for name in candidates.TIERS)
    return False


def dead_tier_is_left_alone(model: Any, server: LoopbackServer) -> bool:
    answers = [model.invoke(ASK).text for _ in range(10)]
    return answers == [RIGHT] * 10 and len(server.requests_to("small")) <= 2  # noqa: PLR2004


def objects_stream_whole(model: Any, _server: LoopbackServer) -> bool:
    shown = list(model.with_structured_output(City).stream(ASK))
    return shown[-1] == City(name="Paris", people=2) and all(isinstance(one, City) for one in shown)


def raw_raises_nothing(model: Any, _server: LoopbackServer) -> bool:
    asking = model.with_structured_output(City, include_raw=True)
    whole_one, streamed = asking.invoke(ASK), list(asking.stream(ASK))
    return bool(whole_one["parsing_error"] and any(chunk.get("parsing_error") for chunk in streamed))


def _judged(request: LoopbackRequest) -> str:
    return "yes" if request.judges else RIGHT


def _call(arguments: dict[str, str]) -> Reply:
    return Reply(calls=(ToolCall("look_up", arguments),))


_WRONG: dict[str, Script] = {"small": WRONG, "large": _judged}
CHECKS: tuple[tuple[str, Check, dict[str, Script]], ...] = (
    ("a wrong answer of the cheap tier is replaced", escalates, _WRONG),
    ("`stream` shows the accepted answer only", stream_is_clean, _WRONG),
    ("`astream` shows the accepted answer only", astream_is_clean, _WRONG),
    ('LangGraph `stream_mode="messages"` shows the accepted answer only', graph_is_clean, _WRONG),
    ("`astream_events` shows the accepted answer only", events_are_clean, _WRONG),
    ("`usage_metadata` is the sum of all calls", usage_is_whole, _WRONG),
    ("`usage_metadata` of a stream is, too", streamed_usage_is_whole, _WRONG),
    ("a token counter counts each call once", counted_once, _WRONG),
    ("a plain handler is called for one run", heard_once, _WRONG),
    (
        "a tool call that does not fit is held back",
        bad_tool_call_is_held,
        {
            "small": Reply(calls=(ToolCall("look_up", {}),)),
            "large": Reply(calls=(ToolCall("look_up", {"city": "Paris"}),)),
        },
    ),
    (
        "an object that does not fit is held back",
        bad_object_is_held,
        {"small": json.dumps({"name": "Lyon"}), "large": json.dumps({"name": "Paris", "people": 2})},
    ),
    (
        "the call succeeds although a tier returns status 429",
        error_is_survived,
        {"small": HttpError(429), "large": _judged},
    ),
    (
        "the call succeeds although a tier's stream is cut",
        cut_stream_is_survived,
        {"small": Cut("Lyon, I"), "large": _judged},
    ),
    (
        "`except openai.RateLimitError` catches what is raised where all fail",
        own_error_is_raised,
        dict.fromkeys(candidates.TIERS, HttpError(429)),
    ),
    (
        "a prompt that is too long for all raises LangChain's `ContextOverflowError`",
        overflow_is_known,
        dict.fromkeys(candidates.TIERS, HttpError(400, "The context length is 9", code="context_length_exceeded")),
    ),
    (
        "a wrong key fails after one request to each tier at most",
        wrong_key_fails_at_once,
        dict.fromkeys(candidates.TIERS, HttpError(401)),
    ),
    (
        "of ten calls at most two ask a tier whose key is wrong",
        dead_tier_is_left_alone,
        {"small": HttpError(401), "large": _judged},
    ),
    (
        "`with_structured_output(...).stream()` yields whole objects",
        objects_stream_whole,
        dict.fromkeys(candidates.TIERS, json.dumps({"name": "Paris", "people": 2})),
    ),
    (
        "`include_raw=True` raises nothing, whole or streamed",
        raw_raises_nothing,
        dict.fromkeys(candidates.TIERS, "No object."),
    ),
)


OF_REPLACED = (stream_is_clean, astream_is_clean, graph_is_clean, events_are_clean)


def run(candidate: str) -> list[bool]:
    """Run all checks on a candidate; a check that raises has failed."""
    results = []
    for _, check, scripts in CHECKS:
        with LoopbackServer(scripts) as server:
            try:
                results.append(check(candidates.make(candidate, server.base_url, judge=judge), server))
            except Exception:  # noqa: BLE001 -- whatever a candidate raises
                results.append(False)
    return results
