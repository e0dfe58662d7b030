"""Real OpenAI and OpenAILike clients of LlamaIndex's against a server on this machine."""

import asyncio
from collections.abc import Sequence

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

from llamaindex_tiers import TierDecision, TieredLLM

NAMES = ("small", "medium", "large")
OF_OPENAI = ("gpt-4.1-nano", "gpt-4.1-mini", "gpt-4.1")


@pytest.fixture(autouse=True)
def own_loop(request):
    """Give sync tests an event loop: LlamaIndex would make one in a thread that has none, and never close it."""
    if asyncio.iscoroutinefunction(request.function):
        yield
        return
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture
def server(server):
    """OpenAI's class knows the names of OpenAI's models only, so each of the three has one of those, too."""
    server.scripts |= dict(zip(OF_OPENAI, server.scripts.values(), strict=True))
    return server


@pytest.fixture
def like(server, key):
    """Make a client of one of the server's models, whatever its name."""

    def make(name, **settings):
        defaults = {"is_chat_model": True, "is_function_calling_model": True, "max_retries": 0}
        return OpenAILike(model=name, api_key=key, **{"api_base": server.base_url} | defaults | settings)

    return make


@pytest.fixture
def openai(server, key):
    """Make a client of one of OpenAI's models."""

    def make(name, **settings):
        return OpenAI(model=name, api_base=server.base_url, api_key=key, **{"max_retries": 0} | settings)

    return make


@pytest.fixture
def tiers(like):
    return [like(name) for name in NAMES]


@pytest.fixture
def tiered(tiers):
    """Make a tiered LLM over the server's three; it is closed at the end of the test."""
    models = []

    def make(**settings):
        # Not the default, which asks several tiers at once: these tests are about who is asked, and with what.
        defaults = {"tiers": tiers, "policy": "estimate", "prices": dict.fromkeys((*NAMES, *OF_OPENAI), (1, 2))}
        # On a busy machine a look-up may take longer than the default allows.
        defaults |= {"history_timeout": 30}
        models.append(TieredLLM(**defaults | settings))
        return models[-1]

    yield make
    for model in models:
        model.close()


@pytest.fixture
def sent(server):
    """Return the input tokens of all requests so far, as the server counts them."""
    return lambda: sum(len(request.text.split()) for request in server.requests)


class City(BaseModel):
    """A city."""

    name: str
    people: int


@pytest.fixture
def city():
    return City


@pytest.fixture
def look_up():
    def look_up(city: str) -> str:
        """Look up a city."""
        return f"{city} has 2 million people."

    return FunctionTool.from_defaults(fn=look_up)


@pytest.fixture
def trace_of():
    return lambda response: response.additional_kwargs["tiers"]


@pytest.fixture
def events():
    """Collect the events that are dispatched."""
    dispatcher, seen = get_dispatcher(), []

    class Collector(BaseEventHandler):
        def handle(self, event, **kwargs):
            seen.append(event)

    handler = Collector()
    dispatcher.add_event_handler(handler)
    yield seen
    dispatcher.event_handlers[:] = [other for other in dispatcher.event_handlers if other is not handler]


@pytest.fixture
def nodes(events):
    """Return a list of the nodes of all calls, in the order of their ends, that grows."""

    class Nodes(Sequence):
        __hash__ = None

        def __len__(self):
            return len(self._all())

        def __getitem__(self, position):
            return self._all()[position]

        def __eq__(self, other):
            return self._all() == other

        def __repr__(self):
            return repr(self._all())

        def _all(self):
            return [event.trace["node"] for event in events if isinstance(event, TierDecision)]

    return Nodes()


WAYS = ["", "a", "stream_", "astream_"]


@pytest.fixture(params=WAYS, ids=["sync", "async", "stream", "astream"])
def take(request):
    """Call a method of an LLM in each of the four ways; return what came, one thing or the chunks."""
    return _taker(request.param)


@pytest.fixture(params=WAYS[2:], ids=["stream", "astream"])
def stream(request):
    """Call a method of an LLM in both streaming ways; return the chunks."""
    return _taker(request.param)


def _taker(way):
    async def ataken(method, args, kwargs):
        result = await method(*args, **kwargs)
        return [item async for item in result] if "stream" in way else [result]

    def take(llm, name, *args, **kwargs):
        method = getattr(llm, way + name)
        if way.startswith("a"):
            return asyncio.run(ataken(method, args, kwargs))
        result = method(*args, **kwargs)
        return list(result) if way else [result]

    take.way = way
    return take


@pytest.fixture
def asked():
    return [ChatMessage(role="user", content="What is the capital of France?")]


@pytest.fixture
def prompt():
    return PromptTemplate("Name a city in {country} with 3 letters.")
