"""Real ChatOpenAI clients against a server on this machine."""

import asyncio

import pytest
from langchain_core.tracers import BaseTracer
from langchain_openai import ChatOpenAI

from langchain_tiers import TieredChatModel

NAMES = ("small", "medium", "large")


@pytest.fixture(params=["invoke", "ainvoke", "stream", "astream"])
def take(request):
    """Ask a runnable in each of the four ways; return what came, one thing or the chunks."""

    async def taken(runnable, given):
        if request.param == "ainvoke":
            return [await runnable.ainvoke(given)]
        return [item async for item in runnable.astream(given)]

    def take(runnable, given):
        match request.param:
            case "invoke":
                return [runnable.invoke(given)]
            case "stream":
                return list(runnable.stream(given))
        return asyncio.run(taken(runnable, given))

    take.way = request.param
    return take


class _Tracer(BaseTracer):
    def __init__(self):
        super().__init__()
        self.roots = []

    def _persist_run(self, run):
        self.roots.append(run)


@pytest.fixture
def tracer():
    """A tracer that keeps whole trees of runs, in `roots`."""
    return _Tracer()


@pytest.fixture
def chat(server, key):
    """Make a client of one of the server's models."""

    def make(name, **settings):
        return ChatOpenAI(model=name, base_url=server.base_url, api_key=key, max_retries=0, **settings)

    return make


@pytest.fixture
def tiers(chat):
    return [chat(name) for name in NAMES]


@pytest.fixture
def tiered(tiers):
    """Make a tiered model over the server's three; it is closed at the end of the test.

    It asks one tier after the other and a judge, unless a test says otherwise: so each step can be told apart.
    """
    models = []

    def make(**settings):
        defaults = {"tiers": tiers, "prices": dict.fromkeys(NAMES, (1, 2)), "policy": "estimate"}
        # On a busy machine a look-up may take longer than the default allows.
        defaults |= {"history_timeout": 30}
        # Tests look at all of the trace; its length is tested in `test_checkpoints.py`.
        defaults |= {"trace_bytes": 2_000}
        models.append(TieredChatModel(**defaults | settings))
        return models[-1]

    yield make
    for model in models:
        model.close()
