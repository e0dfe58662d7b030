"""No key and no prompt where it does not belong; and what an import brings along."""

import json
import logging
import subprocess
import sys

import pytest
from langchain_core.load import dumpd, dumps

from llm_tiers import AllTiersFailed
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
