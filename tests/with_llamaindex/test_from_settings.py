"""`TieredLLM.from_settings`."""

from llamaindex_tiers import TieredLLM


def test_a_model_of_a_file_answers(tmp_path, monkeypatch, server):
    monkeypatch.setenv("OPENAI_API_KEY", "unused")
    monkeypatch.setenv("OPENAI_API_BASE", server.base_url)
    server.scripts = {"gpt-5-nano": "Paris", "gpt-5": "Paris"}
    file = tmp_path / "settings.toml"
    file.write_text('tiers = ["gpt-5-nano", "gpt-5"]\nquality = 0.6\n')
    llm = TieredLLM.from_settings(file, max_tokens=50)
    assert llm.complete("What is the capital of France?").text == "Paris"
    assert (llm.quality, llm.max_tokens) == (0.6, 50)
    llm.close()
