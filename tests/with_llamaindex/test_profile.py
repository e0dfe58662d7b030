"""`llm-tiers profile` and warm starts over real OpenAILike clients."""

import json

import pytest
from typer.testing import CliRunner

from llamaindex_tiers import TieredLLM
from llm_tiers.cli import app
from llm_tiers.profile import warm_start
from llm_tiers.replay import load_table

LADDER = """
from llama_index.llms.openai_like import OpenAILike
from llamaindex_tiers import TieredLLM

def client(name):
    return OpenAILike(model=name, api_base={url!r}, api_key={key!r}, is_chat_model=True,
                      is_function_calling_model=True, max_retries=0)

tiers = [client("small"), client("large")]

def model():
    return TieredLLM(tiers, prices=dict(small=(1, 2), large=(10, 20)), history=None)
"""


@pytest.fixture
def place(tmp_path, server, key, monkeypatch):
    """A folder with a ladder and a sample of four questions; small says Lyon, and the others Paris."""
    (tmp_path / "ladder.py").write_text(LADDER.format(url=server.base_url, key=key))
    lines = [{"question": f"Capital of France, {i}?", "key": "Paris", "node": "facts"} for i in range(4)]
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, lines)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def profile(*more, ladder="ladder.py:model"):
    done = CliRunner().invoke(
        app, ["profile", "data.jsonl", "--ladder", ladder, "--out", "out.npz", "--yes", *map(str, more)]
    )
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, " ".join(done.output.split())


def test_every_tier_answers_and_a_history_takes_the_file(place, server, like):
    status, told = profile("--check", "contains")
    assert status == 0, told
    assert {request.ask for request in server.requests_to("small")} == {f"Capital of France, {i}?" for i in range(4)}
    assert len(server.requests) == 8
    table = load_table(place / "out.npz")
    assert table.correct.tolist() == [[False, True]] * 4
    assert (table.gen_out > 0).all()
    tiers = [like("small"), like("large")]
    with TieredLLM(tiers, prices={"small": (1, 2), "large": (10, 20)}) as model:
        assert warm_start(model, place / "out.npz").added == 4
        recalled = model.history.recall("Capital of France, 2?", node="facts", k=1)
    assert recalled.count == 4
    assert recalled.neighbours[0].record.grades == {"check": {"small": 0.0, "large": 1.0}}


def test_a_plain_list_of_models_has_no_prices_and_nothing_is_asked(place, server):
    status, told = profile(ladder="ladder.py:tiers")
    assert status == 2
    assert "no price is known for tier 'small'" in told
    assert not server.requests


def test_messages_that_llamaindex_cannot_read_are_told_by_their_line(place, server):
    (place / "data.jsonl").write_text('{"messages": [{"role": "wizard", "content": "x"}], "key": 1}')
    status, told = profile()
    assert status == 2
    assert "data.jsonl, line 1: messages: LlamaIndex cannot read them" in told
    assert not server.requests
