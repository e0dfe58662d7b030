"""What a user's type checker must accept of the LLM; checked by mypy, never run."""

from collections.abc import AsyncGenerator, Generator

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
from llama_index.core.llms import LLM
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llamaindex_tiers import TierDecision, TieredLLM, tiers_of
from llm_tiers import Tier, Trace


class City(BaseModel):
    name: str


def told(trace: Trace) -> None:
    del trace


llm = TieredLLM(["gpt-5-nano", Tier("gpt-5", timeout=30)], history="./tiers", timeout=60, on_trace=told)
as_llm: LLM = llm
said: CompletionResponse = llm.complete("What is the capital of France?", model="gpt-5")
answer: ChatResponse = llm.chat([ChatMessage(content="What is the capital of France?")])
chunks: Generator[CompletionResponse, None, None] = llm.stream_complete("What is the capital of France?")
tooled = llm.chat_with_tools([FunctionTool.from_defaults(told)], user_msg="Tell.", tool_required=True)
city = llm.structured_predict(City, PromptTemplate("A city in {country}"), country="France")
llm.feedback(answer.additional_kwargs["tiers"]["trace_id"], correct=False)
said_of: dict[str, object] | None = tiers_of(city)


def heard(event: TierDecision) -> str | None:
    return event.span_id


async def ask() -> None:
    streamed: AsyncGenerator[ChatResponse, None] = await llm.astream_chat([ChatMessage(content="Hello")])
    await llm.afeedback("some id", correct=True)
    del streamed
