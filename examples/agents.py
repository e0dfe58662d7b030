"""One LLM for two agents of a LlamaIndex workflow: each finds its own tier.

    pip install -e '.[llamaindex]'
    python examples/agents.py            # offline
    python examples/agents.py --live     # five runs of the team, with OPENAI_API_KEY

A researcher looks things up with a tool and hands over to a writer. Offline the smallest model calls tools well, but
does not write. The LLM is not told which agent is which.
"""

from __future__ import annotations

import asyncio

from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.llms.openai import OpenAI
from offline import TIERS, offline_unless_live

from llamaindex_tiers import TieredLLM
from llm_tiers import AccuracyEstimator, Trace
from llm_tiers.testing import LoopbackRequest, Reply, ToolCall


def look_up(city: str) -> str:
    """Look up how many people live in a city."""
    return f"{city}: {len(city) * 100_000} people"


def play(request: LoopbackRequest) -> Reply:
    if request.judges:
        return Reply("no" if "Lorem" in request.ask else "yes")
    if not request.text.startswith("You research."):
        return Reply("Lorem ipsum." if request.model == TIERS[0] else "Many people live there.")
    if request.messages[-1]["role"] == "tool":
        return Reply(calls=(ToolCall("handoff", {"to_agent": "Writer", "reason": "it is known"}),))
    return Reply(calls=(ToolCall("look_up", {"city": request.ask.split()[-1]}),))


def show(trace: Trace) -> None:
    verdicts = ", ".join(f"{attempt.tier} {attempt.verdict or ''}" for attempt in trace.attempts)
    print(f"{trace.node:22} starts at {trace.start:10} ends at {trace.final:10} ({verdicts})")


async def run(llm: TieredLLM) -> None:
    for city in ("Paris", "Rome", "Bern", "Oslo", "Lima"):
        asks = "You research. Look the city up, then hand over to Writer."
        researcher = FunctionAgent(
            name="Researcher", description="looks up", system_prompt=asks, tools=[look_up], llm=llm
        )
        writer = FunctionAgent(name="Writer", description="writes", system_prompt="You write.", tools=[], llm=llm)
        team = AgentWorkflow(agents=[researcher, writer], root_agent="Researcher")
        await team.run(user_msg=f"Write a line about {city}")


if __name__ == "__main__":
    with offline_unless_live(dict.fromkeys(TIERS, play)):
        starter = AccuracyEstimator(k=3, strength=1, explore=0)
        with TieredLLM([OpenAI(name) for name in TIERS], starter=starter, on_trace=show) as tiered:
            asyncio.run(run(tiered))
