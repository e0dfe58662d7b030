"""Whatever is wrong is told before any model is called, by an error that names the argument and the fix."""

import os
import subprocess
import sys

import pytest
from langchain_core.language_models import GenericFakeChatModel

from langchain_tiers import TieredChatModel
from llm_tiers import (
    AccuracyEstimator,
    ChromaHistory,
    ConfigError,
    EmbeddingMismatch,
    HistoryError,
    HistoryLocked,
    HistoryUnreachable,
    LlmTiersError,
    PromptJudge,
    Tier,
    llm_at,
)

ASK = "What is the capital of France?"


@pytest.fixture
def refused(server):
    """Expect an error, and no request to any model."""

    def refused(error, match, make):
        with pytest.raises(error, match=match) as failure:
            make()
        assert server.requests == ()
        assert "sk-very-secret-key" not in str(failure.value)
        assert isinstance(failure.value, LlmTiersError)

    return refused


def east(text):
    return [1.0, 0.0]


def west(text):
    return [-1.0, 0.0]


def test_an_empty_ladder(refused):
    refused(ConfigError, "tiers: the ladder is empty; give two or more", lambda: TieredChatModel(tiers=[]))


def test_one_tier(refused, chat):
    refused(ConfigError, "tiers: the ladder has only 'small'", lambda: TieredChatModel(tiers=[chat("small")]))


def test_two_tiers_of_one_name(refused, chat):
    make = lambda: TieredChatModel(tiers=[chat("small"), chat("small", temperature=1)])  # noqa: E731
    refused(ConfigError, r"tiers: 'small' stands more than once.*Tier\(model, name=", make)


def test_a_tier_without_a_name(refused, chat):
    nameless = GenericFakeChatModel(messages=iter(()))
    refused(ConfigError, r"tiers: .*Tier\(model, name=", lambda: TieredChatModel(tiers=[nameless, chat("large")]))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"model": "small", "api_key": "sk-very-secret-key"}, "a dict"),
        (lambda messages: "Lyon", "a function"),
        (GenericFakeChatModel, "the class GenericFakeChatModel"),
        (None, "a NoneType"),
        (Tier(3, name="three"), "a int"),
    ],
)
def test_a_tier_that_is_no_model(refused, chat, wrong, told):
    refused(ConfigError, rf"tiers\[1\] is no chat model but {told}", lambda: TieredChatModel([chat("small"), wrong]))


def test_a_binding_is_no_model(refused, chat):
    bound = chat("small").bind(temperature=1)
    refused(
        ConfigError,
        r"tiers\[0\].*what was bound belongs",
        lambda: TieredChatModel([bound, chat("large")]),
    )


@pytest.mark.parametrize("wrong", ["openai:gpt-5", None, {"small": "openai:gpt-5"}])
def test_tiers_that_are_no_list(refused, wrong):
    refused(ConfigError, "tiers must be a list of chat models", lambda: TieredChatModel(tiers=wrong))


def test_a_model_in_place_of_the_list(refused, chat):
    refused(ConfigError, "tiers must be a list.*not ChatOpenAI", lambda: TieredChatModel(tiers=chat("small")))


@pytest.mark.parametrize("name", ["no-such-model", "nobody:some-model", ""])
def test_an_unknown_model_name(refused, chat, name):
    refused(ConfigError, r"tiers\[0\].*'openai:gpt-5-mini'", lambda: TieredChatModel([name, chat("large")]))


def test_a_model_name_without_langchain(refused, chat, monkeypatch):
    monkeypatch.setitem(sys.modules, "langchain.chat_models", None)
    make = lambda: TieredChatModel(["openai:gpt-5-mini", chat("large")])  # noqa: E731
    refused(ConfigError, r"tiers\[0\].*pip install 'llm-tiers\[agents\]'", make)


@pytest.mark.parametrize("theta", [-0.1, 1.1])
def test_theta_outside_its_range(refused, tiered, theta):
    refused(ConfigError, "theta", lambda: tiered(policy=llm_at(theta=theta)))


def test_k_below_one(refused, tiered):
    refused(ConfigError, "k=0", lambda: tiered(starter=AccuracyEstimator(k=0)))


@pytest.mark.parametrize(
    ("argument", "wrong"),
    [
        ("policy", "clever"),
        ("policy", 3),
        ("starter", "small"),
        ("judge", "yes"),
        ("judge", PromptJudge(model="huge")),
        ("judge", PromptJudge(model=Tier("gpt-5", name="referee"))),
        ("judge", PromptJudge(floor="huge")),
        ("embedding", 3),
        ("embedding", "no-such-embedding"),
        ("prices", {"small": "cheap"}),
        ("node", 3),
        ("query_text", "text"),
        ("on_trace", "print"),
        ("history", 3),
        ("history", ""),
        ("history", "http://"),
        ("history", object()),
        ("judgee", None),
    ],
)
def test_an_argument_of_another_kind(refused, tiered, argument, wrong):
    refused(ConfigError, rf"\b{argument}\b", lambda: tiered(**{argument: wrong}))


def test_an_embedding_beside_a_history_that_has_one(refused, tiered):
    with ChromaHistory(embedding=east) as history:
        refused(ConfigError, "embedding: give it to the history", lambda: tiered(history=history, embedding=east))


def test_a_query_text_that_returns_no_text(refused, tiered):
    refused(ConfigError, "query_text returned int", lambda: tiered(query_text=len).invoke(ASK))


def test_a_history_made_by_another_embedding(refused, server, tiered, tmp_path):
    with tiered(history=tmp_path, embedding=east) as model:
        model.invoke(ASK)
    server.forget()

    refused(EmbeddingMismatch, "east", lambda: tiered(history=tmp_path, embedding=west))


def test_a_server_that_does_not_answer(refused, tiered):
    refused(HistoryUnreachable, "chroma run", lambda: tiered(history="http://127.0.0.1:9"))


def test_a_url_with_a_password(refused, tiered):
    refused(ConfigError, "history: .*headers", lambda: tiered(history="http://me:sk-very-secret-key@127.0.0.1:9"))


def test_a_file_in_place_of_the_folder(refused, tiered, tmp_path):
    (tmp_path / "notes").write_text("mine")
    refused(HistoryError, "notes", lambda: tiered(history=tmp_path / "notes"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(refused, tiered, tmp_path):
    tmp_path.chmod(0o500)
    refused(HistoryError, "cannot be written to", lambda: tiered(history=tmp_path / "tiers"))


HOLDER = """
import sys
from llm_tiers import ChromaHistory
with ChromaHistory(sys.argv[1], embedded=True):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_that_another_process_holds(refused, tiered, tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        refused(HistoryLocked, "chroma run", lambda: tiered(history=tmp_path))
        holder.stdin.close()

    tiered(history=tmp_path).invoke(ASK)


def test_a_wrong_argument_leaves_no_folder_open(tiered, tmp_path):
    with pytest.raises(ConfigError, match="prices"):
        tiered(history=tmp_path / "tiers", prices={"small": -1})
    assert not (tmp_path / "tiers").exists()
