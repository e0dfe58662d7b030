"""One model object in a LangGraph graph of three nodes: each node finds its own tier.

    pip install -e '.[agents]'
    python examples/graph.py            # offline
    python examples/graph.py --live     # 10 runs of the graph instead of 150, with OPENAI_API_KEY

At first several tiers answer, then mostly the one that these calls show to be worth most. The last figure is the top
tier's cost alone. Offline the smallest model cannot add, and every third sum is beyond the middle one too.
"""

from typing import Any, TypedDict

from langchain_openai import ChatOpenAI
from langgraph.graph import START, StateGraph
from offline import TIERS, live, offline_unless_live

from langchain_tiers import TieredChatModel
from llm_tiers.testing import LoopbackRequest, Reply

RUNS = 10 if live() else 150
ASKS = {
    "plan": "Plan in three short steps how to add up the squares of 1 to {task}.",
    "solve": "Add up the squares of 1 to {task}. {plan}",
    "check": "Look for slips in this sum of the squares of 1 to {task}. {solve}",
}


class State(TypedDict, total=False):
    task: int
    plan: str
    solve: str
    check: str


def play(request: LoopbackRequest) -> Reply:
    hard = request.ask.startswith("Add") and (1 if int(request.ask.split(".")[0].split()[-1]) % 3 else 2)
    said = f"{'Right' if TIERS.index(request.model) >= hard else 'Wrong'}: {request.ask[:4]}."
    return Reply(said, input_tokens=450, output_tokens=600)


def run_graph(model: Any) -> None:
    graph = StateGraph(State).add_edge(START, "plan").add_edge("plan", "solve").add_edge("solve", "check")
    for name, ask in ASKS.items():
        graph.add_node(name, lambda state, name=name, ask=ask: {name: model.invoke(ask.format(**state)).text})
    graph.compile().batch([{"task": number} for number in range(1, RUNS + 1)], {"max_concurrency": 1})


with offline_unless_live(dict.fromkeys(TIERS, play)):
    traces: list[Any] = []
    model = TieredChatModel(tiers=[ChatOpenAI(model=name) for name in TIERS], on_trace=traces.append)
    run_graph(model)
    run_graph(model.bind(model="gpt-5"))
for node in ASKS:
    calls = [trace for trace in traces if trace.node == node]
    n = sum(len(trace.attempts) for trace in calls[:10]) / 10
    own = [trace.start for trace in calls[:RUNS][-50:] if not trace.reason.startswith("profiled")] or ["none yet"]
    tier = max(own, key=own.count)
    paid, top = (sum(trace.cost_usd for trace in some) for some in (calls[:RUNS], calls[RUNS:]))
    print(f"{node}: {n:.1f} tiers at first, then {tier} ({own.count(tier)}/{len(own)}); US$ {paid:.4f}, not {top:.4f}")
