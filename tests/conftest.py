"""What the tests of both integrations share: the server on this machine, and how its models behave."""

import gc
import threading
import warnings

import pytest
from hypothesis import settings

from llm_tiers import AccuracyEstimator
from llm_tiers.ladder.circuits import forget_circuits
from llm_tiers.testing import LoopbackServer

# How long an example takes is the machine's doing, and no promise.
settings.register_profile("llm-tiers", deadline=None)
settings.load_profile("llm-tiers")


def pytest_collection_finish():
    """Leave the tests themselves and all that they import out of later garbage collections, which take long with them.

    Tests that have garbage collected still find all that they leave.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _breakers_closed():
    """Close all breakers: tests share the server's address and its models' names, and so their breakers' state."""
    forget_circuits()


class Clock:
    now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def uncollected():
    """For tests whose texts take a parser to the recursion limit: Python collects garbage there too.

    An event loop that an earlier test left cannot be finalised so deep, and says so in a warning.
    """
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def drops():
    """For tests that drop a stream: LlamaIndex's OpenAI leaves its connection to the garbage collector."""
    # Tests before this one may have left models that hang for good; those are not waited for.
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        if thread.name == "llm-tiers-deadline":
            thread.join(10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def _judged(answer, verdict="yes"):
    """A script that answers the user, and says `verdict` where it is asked to judge."""

    def script(request):
        said = verdict if request.judges else answer
        return said(request) if callable(said) else said

    return script


@pytest.fixture
def judged():
    return _judged


@pytest.fixture
def key():
    return "sk-very-secret-key"


@pytest.fixture(scope="session")
def one_server():
    # One for all tests: for each new address langchain_openai makes a client, which takes 0.1 s.
    with LoopbackServer({}) as server:
        yield server


@pytest.fixture
def server(one_server):
    """Small is wrong, the others are right, and whoever judges says yes."""
    one_server.scripts = {"small": "Lyon", "medium": _judged("Paris"), "large": _judged("Paris")}
    one_server.forget()
    return one_server


@pytest.fixture
def half_right(server):
    """Free text, no two answers alike: every second one below large is right, and `judge` knows which."""

    def of(tier):
        def answer(request):
            right = tier == "large" or int(request.ask.split()[-1]) % 2 == 0
            return f"{tier} thinks that {request.ask} is {'true' if right else 'false'}"

        return answer

    server.scripts |= {tier: of(tier) for tier in ("small", "medium", "large")}
    server.scripts["judge"] = lambda request: "no" if "is false" in request.text else "yes"
    return {"small": (1, 2), "medium": (10, 20), "large": (100, 200), "judge": (1, 2)}


@pytest.fixture
def learner():
    """A starter that trusts three past calls and never explores."""
    return AccuracyEstimator(k=3, explore=0)
