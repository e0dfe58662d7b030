"""`TieredChatModel.from_settings`: a file, the environment, and arguments that win over both."""

import pytest

from langchain_tiers import TieredChatModel
from llm_tiers import ConfigError


@pytest.fixture(autouse=True)
def outside(tmp_path, monkeypatch, server):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "unused")
    for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE"):
        monkeypatch.setenv(name, server.base_url)
    server.scripts = {"gpt-5-nano": "Paris", "gpt-5": "Paris"}
    return tmp_path


def test_a_model_of_a_file_answers_and_learns_there(outside):
    (outside / "llm-tiers.toml").write_text(
        'tiers = ["openai:gpt-5-nano", { model = "openai:gpt-5", name = "large" }]\nhistory = "tiers"\nquality = 0.6\n'
    )
    with TieredChatModel.from_settings() as model:
        message = model.invoke("What is the capital of France?")
    assert message.text == "Paris"
    assert [tier.name for tier in model.tiers] == ["gpt-5-nano", "large"]
    assert model.quality == 0.6
    assert (outside / "tiers").is_dir()


def test_arguments_win_over_the_environment_and_that_over_the_file(outside, monkeypatch):
    tiers = '["openai:gpt-5-nano", "openai:gpt-5"]'
    (outside / "llm-tiers.toml").write_text(f"tiers = {tiers}\nquality = 0.6\naudit = 0.1\n")
    monkeypatch.setenv("LLM_TIERS_QUALITY", "0.7")
    monkeypatch.setenv("LLM_TIERS_AUDIT", "0.2")
    with TieredChatModel.from_settings(quality=0.8) as model:
        assert (model.quality, model.audit) == (0.8, 0.2)


def test_without_tiers_the_error_says_where_to_name_them():
    with pytest.raises(ConfigError, match=r"no tiers: name them in llm-tiers.toml"):
        TieredChatModel.from_settings()


def test_a_wrong_value_is_refused_as_by_the_constructor(outside):
    (outside / "llm-tiers.toml").write_text('tiers = ["openai:gpt-5-nano", "openai:gpt-5"]\nquality = 7\n')
    with pytest.raises(ConfigError, match="quality=7"):
        TieredChatModel.from_settings()
