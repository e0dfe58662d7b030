"""Real ChatOpenAI clients against a server on this machine."""

import asyncio

import pytest
from langchain_openai import ChatOpenAI

from langchain_tiers import TieredChatModel
from llm_tiers import AccuracyEstimator
from llm_tiers.testing import LoopbackServer

KEY = "sk-very-secret-key"
NAMES = ("small", "medium", "large")


def judged(answer, verdict="yes"):
    """A script that answers the user, and says `verdict` where it is asked to judge."""

    def script(request):
        said = verdict if request.judges else answer
        return said(request) if callable(said) else said

    return script


@pytest.fixture(name="judged")
def judged_fixture():
    return judged


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

    return take


@pytest.fixture
def key():
    return KEY


@pytest.fixture(scope="session")
def one_server():
    # One for all tests: for each new address langchain_openai makes a client, which takes 0.1 s.
    with LoopbackServer({}) as server:
        yield server


@pytest.fixture
def server(one_server):
    """Small is wrong, the others are right, and whoever judges says yes."""
    one_server.scripts = {"small": "Lyon", "medium": judged("Paris"), "large": judged("Paris")}
    one_server.forget()
    return one_server


@pytest.fixture
def chat(server):
    """Make a client of one of the server's models."""

    def make(name, **settings):
        return ChatOpenAI(model=name, base_url=server.base_url, api_key=KEY, max_retries=0, **settings)

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
        models.append(TieredChatModel(**defaults | settings))
        return models[-1]

    yield make
    for model in models:
        model.close()


@pytest.fixture
def learner():
    """A starter that trusts three past calls and never explores."""
    return AccuracyEstimator(k=3, explore=0)
