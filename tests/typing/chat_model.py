"""What a user's type checker must accept of the chat model; checked by mypy, never run."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.runnables import Runnable
from pydantic import BaseModel

from langchain_tiers import TieredChatModel
from llm_tiers import Breaker, Certificate, Forecast, Guarantee, Tier
from llm_tiers.testing import HttpError, LoopbackRequest, LoopbackServer, Reply, ToolCall


class City(BaseModel):
    name: str


def script(request: LoopbackRequest) -> Reply:
    return Reply(request.ask, calls=(ToolCall("look_up", {"city": "Paris"}),))


with LoopbackServer({"small": script, "large": HttpError(429, retry_after=1)}) as server:
    url: str = server.base_url

model = TieredChatModel(["openai:small", Tier("openai:large", timeout=30)], timeout=60, temperature=0)
patient = TieredChatModel(
    ["openai:small", "openai:large"],
    on_exhausted="raise",
    breaker=Breaker(failures=5),
    history_timeout=None,
    deadline=30,
)
hasty = TieredChatModel(["openai:small", "openai:large"], breaker=None)
states: dict[str, Any] = patient.stats()
answer: AIMessage = model.invoke("What is the capital of France?", model="large", stop=["END"])
promising = TieredChatModel(["openai:small", "openai:large"], policy=Guarantee(0.05, expected_calls=10_000))
held: Certificate | None = promising.certificate("research/plan")
ahead: Forecast | None = promising.forecast(differing=0.02)
chunks: Iterator[AIMessageChunk] = model.stream("What is the capital of France?")
structured: Runnable[Any, Any] = model.with_structured_output(City, include_raw=True, method="json_schema")
tooled: Runnable[Any, AIMessage] = model.bind_tools([City], tool_choice="any", parallel_tool_calls=False)


async def ask() -> None:
    said: AIMessage = await model.ainvoke("What is the capital of France?")
    streamed: AsyncIterator[AIMessageChunk] = model.astream("What is the capital of France?")
    await model.afeedback(said.response_metadata["tiers"]["trace_id"], correct=True)
    del streamed
