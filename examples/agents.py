"""One LLM for two agents of a workflow: each finds its own tier. Offline, real clients.

    pip install 'llm-tiers[llamaindex]' && python examples/agents.py

A researcher looks things up with a tool and hands over to a writer. The server plays three models: the smallest calls
tools well, but does not write. The LLM is not told which agent is which.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike

from llamaindex_tiers import TieredLLM
from llm_tiers import AccuracyEstimator, Trace
from llm_tiers.testing import LoopbackRequest, LoopbackServer, Reply, ToolCall

CITIES = ("Paris", "Rome", "Bern", "Oslo", "Lima")
PRICES = {"small": (0.05, 0.4), "medium": (0.25, 2.0), "large": (1.25, 10.0)}


def look_up(city: str) -> str:
    """Look up how many people live in a city."""
    return f"{city}: {len(city) * 100_000} people"


def model_that(writes: str) -> Callable[[LoopbackRequest], Reply]:
    """Play a model; it researches well, and writes what it is said to."""

    def play(request: LoopbackRequest) -> Reply:
        if request.judges:
            return Reply("no" if "Lorem" in request.ask else "yes")
        if not request.text.startswith("You research."):
            return Reply(writes)
        if request.messages[-1]["role"] == "tool":
            return Reply(calls=(ToolCall("handoff", {"to_agent": "Writer", "reason": "it is known"}),))
        return Reply(calls=(ToolCall("look_up", {"city": request.ask.split()[-1]}),))

    return play


def team_of(llm: Any) -> AgentWorkflow:
    tool = FunctionTool.from_defaults(look_up)
    researcher = FunctionAgent(
        name="Researcher", description="looks things up", system_prompt="You research.", tools=[tool], llm=llm
    )
    writer = FunctionAgent(name="Writer", description="writes", system_prompt="You write.", tools=[], llm=llm)
    return AgentWorkflow(agents=[researcher, writer], root_agent="Researcher")


async def run(llm: TieredLLM) -> None:
    for city in CITIES:
        await team_of(llm).run(user_msg=f"Write a line about {city}")


def main() -> None:
    able = model_that("Many people live there.")
    traces: list[Trace] = []
    with LoopbackServer({"small": model_that("Lorem ipsum."), "medium": able, "large": able}) as server:
        tiers = [
            OpenAILike(
                model=name,
                api_base=server.base_url,
                api_key="unused",
                is_chat_model=True,
                is_function_calling_model=True,
            )
            for name in PRICES
        ]
        starter = AccuracyEstimator(k=3, strength=1, explore=0)
        with TieredLLM(tiers, policy="estimate", prices=PRICES, starter=starter, on_trace=traces.append) as llm:
            asyncio.run(run(llm))
    for trace in traces:
        verdicts = ", ".join(f"{attempt.tier} {attempt.verdict or ''}" for attempt in trace.attempts)
        print(f"{trace.node:22} starts at {trace.start:6} ends at {trace.final:6}  ({verdicts})")


if __name__ == "__main__":
    main()
