"""No key and no prompt where it does not belong; and what an import brings along."""

import json
import logging
import subprocess
import sys

import pytest
from langchain_core.load import dumpd, dumps
from langchain_core.tracers import BaseTracer

from llm_tiers import AllTiersFailed, ConfigError, Tier
from llm_tiers.ladder.prices import PriceBook
from llm_tiers.testing import HttpError

ASK = "My mother's maiden name is Smith. Who am I?"


def test_nothing_that_shows_a_model_shows_a_key(tiered, key):
    model = tiered(prices={})

    shown = [
        repr(model),
        str(model),
        dumps(model),
        json.dumps(dumpd(model)),
        model.model_dump_json(),
        json.dumps(model._identifying_params),
        repr(model.bind(stop=["x"])),
        repr(model._engine.ladder),
    ]

    assert not [text for text in shown if key in text]
    assert "small" in shown[0]


def test_a_key_that_a_provider_echoes_is_hidden(server, tiered, key, caplog):
    caplog.set_level(logging.DEBUG, "llm_tiers")
    for name in ("small", "medium"):
        server.scripts[name] = HttpError(401, f"Incorrect API key provided: {key}.")

    answer = tiered().invoke(ASK)

    trace = answer.response_metadata["tiers"]
    assert "Incorrect API key provided: ***" in trace["attempts"][0]["error"]
    assert key not in json.dumps(trace)
    assert key not in caplog.text
    assert "Smith" not in json.dumps(trace) + caplog.text

    server.scripts["large"] = HttpError(401, f"Incorrect API key provided: {key}.")
    with pytest.raises(AllTiersFailed) as failure:
        tiered().invoke(ASK)
    assert key not in repr(failure.value) + str(failure.value) + repr(failure.value.exceptions)


class Kept(BaseTracer):
    """Keeps what a tracer is told, as text."""

    def __init__(self):
        super().__init__()
        self.told = []

    def _persist_run(self, run):
        self.told.append(repr(run.model_dump()))


@pytest.mark.parametrize("method", [None, "tools", "object"])
def test_headers_and_organisation_are_shown_to_nobody(server, chat, tiered, take, key, method):
    server.scripts |= dict.fromkeys(("small", "medium"), '{"name": "Paris"}')
    private = {"default_headers": {"X-Gateway": "header-of-mine"}, "organization": "org-of-mine"}
    tiers, kept = [chat(name, **private) for name in ("small", "medium")], Kept()
    model = tiered(tiers=tiers, callbacks=[kept])
    asked = model
    if method == "tools":
        asked = model.bind_tools([{"title": "look", "description": "Look.", "type": "object", "properties": {}}])
    elif method == "object":
        asked = model.with_structured_output({"title": "City", "type": "object", "properties": {"name": {}}})

    take(asked, ASK)

    assert "small" in kept.told[0]
    shown = [*kept.told, model._get_llm_string(), repr(model._identifying_params)]
    assert not [text for text in shown if "of-mine" in text or key in text]
    # The headers are sent all the same, and the user's own model tells what it did.
    assert model._engine.ladder.top.model.default_headers == private["default_headers"]
    assert "org-of-mine" in repr(tiers[0]._serialized)


def test_models_that_differ_in_what_is_hidden_have_keys_of_their_own(chat, tiered):
    keys = {
        tiered(tiers=[chat(name, default_headers=headers) for name in ("small", "large")])._get_llm_string()
        for headers in ({"X-Gateway": "one"}, {"X-Gateway": "other"}, None)
    }

    assert len(keys) == 3


@pytest.mark.parametrize(
    "price", ["sk-a-key-of-mine", ("sk-a-key-of-mine", 2), {"sk-a-key-of-mine": 1}, [-1, "sk-a-key-of-mine"]]
)
def test_a_key_that_is_given_as_a_price_does_not_come_back(price):
    for make in (lambda: Tier(object(), name="small", price=price), lambda: PriceBook({"small": price})):
        with pytest.raises(ConfigError, match="must be") as refused:
            make()
        assert "sk-a" not in str(refused.value)


@pytest.mark.parametrize(
    ("package", "unwanted"),
    [
        ("llm_tiers", ["langchain_core", "langchain", "llama_index", "chromadb", "wordllama"]),
        ("llm_tiers.testing", ["langchain_core", "llama_index", "chromadb", "wordllama", "openai"]),
        ("langchain_tiers", ["llama_index", "chromadb", "wordllama", "langchain_openai", "langchain", "langgraph"]),
    ],
)
def test_an_import_brings_only_what_it_needs(package, unwanted):
    code = f"import sys, {package}; print(*(name for name in {unwanted!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_public_names():
    import langchain_tiers

    assert langchain_tiers.__all__ == ["TieredChatModel"]
