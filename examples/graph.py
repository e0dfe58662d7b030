"""One model object in a LangGraph graph of three nodes: each node finds its own tier. Offline, real clients.

    pip install 'llm-tiers[agents]' && python examples/graph.py

The server plays three models of OpenAI's: all can plan and check, but a solution of the smallest is wrong, and every
third task is beyond the middle one too. The graph runs 150 times with one `TieredChatModel`, and as often with its top
tier alone: each node first lets several tiers answer some calls, then keeps to what these show. The tokens are set by
hand, the prices are OpenAI's.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, TypedDict

from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from rich.console import Console
from rich.table import Table

from langchain_tiers import TieredChatModel
from llm_tiers.testing import LoopbackRequest, LoopbackServer, Reply

TIERS = ("gpt-5-nano", "gpt-5-mini", "gpt-5")
NODES = ("plan", "solve", "check")
ROUNDS = 150


class State(TypedDict, total=False):
    task: int
    plan: Any
    solve: Any
    check: Any


def model_that_can(*skills: str) -> Any:
    """Play a model: right where it has the skill, otherwise wrong; as a judge it sees which."""

    def play(request: LoopbackRequest) -> Reply:
        if request.judges:
            return Reply("no" if "[wrong]" in request.ask else "yes", input_tokens=700, output_tokens=260)
        ask = request.ask
        needed = "plan" if ask.startswith("Plan") else "check" if ask.startswith("Check") else "solve"
        if needed == "solve" and int(re.findall(r"\d+", ask)[0]) % 3 == 0:
            needed = "solve the hard ones"
        mark = "[right]" if needed in skills else "[wrong]"
        return Reply(f"{mark} This is how I {needed}.", input_tokens=450, output_tokens=600)

    return play


SCRIPTS = {
    "gpt-5-nano": model_that_can("plan", "check"),
    "gpt-5-mini": model_that_can("plan", "check", "solve"),
    "gpt-5": model_that_can("plan", "check", "solve", "solve the hard ones"),
}


def graph_of(model: Any) -> Any:
    """Build the graph; the model is a `TieredChatModel`, or one that is pinned to a tier."""

    def plan(state: State) -> State:
        return {"plan": model.invoke(f"Plan how to solve task {state['task']} in three steps.")}

    def solve(state: State) -> State:
        return {"solve": model.invoke(f"Solve task {state['task']} after this plan: {state['plan'].text}")}

    def check(state: State) -> State:
        return {"check": model.invoke(f"Check this solution for slips: {state['solve'].text}")}

    graph = StateGraph(State).add_node("plan", plan).add_node("solve", solve).add_node("check", check)
    graph.add_edge(START, "plan").add_edge("plan", "solve").add_edge("solve", "check").add_edge("check", END)
    return graph.compile()


def traces_of(model: Any) -> dict[str, list[dict[str, Any]]]:
    """Run the graph 150 times; return the traces by node."""
    graph = graph_of(model)
    states = [graph.invoke({"task": number}) for number in range(1, ROUNDS + 1)]
    return {node: [state[node].response_metadata["tiers"] for state in states] for node in NODES}


def usual_start(traces: list[dict[str, Any]]) -> str:
    tier, times = Counter(trace["start"] for trace in traces).most_common(1)[0]
    return f"{tier} ({times} of {len(traces)})"


def asked(traces: list[dict[str, Any]]) -> float:
    return sum(len(trace["attempts"]) for trace in traces) / len(traces)


def cost(traces: list[dict[str, Any]]) -> float:
    return float(sum(trace["cost_usd"] for trace in traces))


def main() -> None:
    with LoopbackServer(SCRIPTS) as server:
        tiers = [ChatOpenAI(model=name, base_url=server.base_url, api_key="unused") for name in TIERS]
        with TieredChatModel(tiers=tiers, trace_bytes=None) as model:  # every attempt stays in the messages' traces
            tiered, alone = traces_of(model), traces_of(model.bind(model="gpt-5"))
    table = Table(title=f"One model in a LangGraph graph of three nodes, {ROUNDS} runs", title_justify="left")
    for name in ("node", "asked a run at first", "start in the last fifty runs", "US$", f"US$, always {TIERS[-1]}"):
        table.add_column(name, justify="right" if "US$" in name else "left")
    for node in NODES:
        early, late = f"{asked(tiered[node][:10]):.1f} tiers", usual_start(tiered[node][-50:])
        table.add_row(node, early, late, f"{cost(tiered[node]):.4f}", f"{cost(alone[node]):.4f}")
    totals = (sum(cost(traces[node]) for node in NODES) for traces in (tiered, alone))
    table.add_section()
    table.add_row("all", "", "", *(f"{total:.4f}" for total in totals))
    Console(width=88).print(table)


if __name__ == "__main__":
    main()
