"""A LangGraph agent with a tool: a tool call that does not fit the tool's schema goes one tier up.

    pip install -e '.[agents]'
    python examples/agent.py            # offline
    python examples/agent.py --live     # a dozen calls of OpenAI's models, with OPENAI_API_KEY

Offline the smallest model forgets an argument of the tool, but puts an answer well. The two turns of the agent are two
nodes, which learn apart, and nobody names them.
"""

from __future__ import annotations

import asyncio

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from offline import TIERS, offline_unless_live

from langchain_tiers import TieredChatModel
from llm_tiers import FixedStarter, Trace
from llm_tiers.testing import LoopbackRequest, Reply, ToolCall


def order_status(order: int, country: str) -> str:
    """Look up where an order is. `country` is where it was sent, such as "Peru"."""
    return f"Order {order} has left for {country}."


def play(request: LoopbackRequest) -> Reply:
    """Play a model: it calls the tool, then puts in words what the tool says; as a judge it likes that."""
    if request.judges:
        return Reply("yes")
    if request.messages[-1]["role"] == "tool":
        return Reply(f"Good news: {request.messages[-1]['content']}")
    words = request.ask.strip("?").split()
    wanted = {"order": int(words[3]), "country": words[-1]}
    return Reply(calls=(ToolCall("order_status", {"order": 7} if request.model == TIERS[0] else wanted),))


def show(trace: Trace) -> None:
    asked = ", ".join(f"{attempt.tier}: {attempt.verdict or 'not judged'}" for attempt in trace.attempts)
    print(f"  {trace.node}: {trace.final} ({asked})")


def main() -> None:
    with offline_unless_live(dict.fromkeys(TIERS, play)):
        tiers = [ChatOpenAI(model=name) for name in TIERS]
        # Always begins with the smallest tier; the default would have all tiers answer the first calls.
        with TieredChatModel(tiers=tiers, starter=FixedStarter(TIERS[0]), on_trace=show) as model:
            agent = create_agent(model, tools=[order_status], name="support")
            state = agent.invoke({"messages": [("user", "Where is order 17 for Peru?")]})
            print(state["messages"][-1].text)
            state = asyncio.run(agent.ainvoke({"messages": [("user", "Where is order 18 for Chad?")]}))
            print(state["messages"][-1].text)


if __name__ == "__main__":
    main()
