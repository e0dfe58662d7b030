"""Settings from a file and the environment."""

import pytest
from typer.testing import CliRunner

from llm_tiers import ConfigError, Price
from llm_tiers.cli import app
from llm_tiers.config import load_config

FILE = """
tiers = ["gpt-5-nano", { model = "gpt-5", name = "large", price = [1.25, 10.0], prior = 0.9 }]
quality = 0.6
history = "./here"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("QUALITY", "CONFIG", "TIERS", "HISTORY"):
        monkeypatch.delenv(f"LLM_TIERS_{name}", raising=False)
    return tmp_path


def run(*words):
    return CliRunner().invoke(app, ["config", *words], env={"COLUMNS": "200"})


def test_a_file_has_what_the_constructor_takes(folder):
    (folder / "llm-tiers.toml").write_text(FILE)
    arguments = load_config().config.arguments()
    nano, large = arguments.pop("tiers")
    assert arguments == {"quality": 0.6, "history": "./here"}
    assert nano == "gpt-5-nano"
    assert (large.model, large.name, large.price, large.prior) == ("gpt-5", "large", Price(1.25, 10.0), 0.9)


def test_the_environment_wins_and_each_setting_knows_where_it_is_from(folder, monkeypatch):
    (folder / "llm-tiers.toml").write_text(FILE)
    monkeypatch.setenv("LLM_TIERS_QUALITY", "0.8")
    monkeypatch.setenv("LLM_TIERS_TIERS", '["small", "large"]')
    loaded = load_config()
    assert loaded.config.arguments() == {"tiers": ["small", "large"], "history": "./here", "quality": 0.8}
    assert loaded.origins == {
        "tiers": "LLM_TIERS_TIERS", "quality": "LLM_TIERS_QUALITY", "history": "llm-tiers.toml"
    }  # fmt: skip


def test_a_projects_own_file_may_hold_them(folder):
    (folder / "pyproject.toml").write_text('[project]\nname = "x"\n')
    assert load_config().file is None
    (folder / "pyproject.toml").write_text('[tool.llm-tiers]\ntiers = ["a", "b"]\n')
    assert load_config().config.tiers == ["a", "b"]
    (folder / "llm-tiers.toml").write_text('tiers = ["c", "d"]\n')
    assert load_config().config.tiers == ["c", "d"]


def test_another_file_is_named_by_argument_or_environment(folder, monkeypatch):
    (folder / "other.toml").write_text("quality = 0.1\n")
    monkeypatch.setenv("LLM_TIERS_CONFIG", str(folder / "other.toml"))
    assert load_config().config.quality == 0.1
    (folder / "third.toml").write_text("quality = 0.2\n")
    assert load_config("third.toml").config.quality == 0.2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("qualty = 0.6", r"bad.toml: 'qualty' is no setting; did you mean 'quality'\?"),
        ("colour = 1", r"'colour' is no setting; there are tiers, history"),
        ("quality = 'high'", r"bad.toml: quality is wrong .*valid number"),
        ("mode = 'watch'", r"mode is wrong .*'tier' or 'observe'"),
        ("api_key = 'sk-1'", r"'api_key' looks like a secret.*OPENAI_API_KEY"),
        ("tiers = [{ model = 'a', prize = [1, 2] }, 'b']", r"'prize' is no setting of a tier; did you mean 'price'\?"),
        ("tiers = [{ name = 'a' }, 'b']", r"bad.toml: tiers is wrong \(0.*"),
        ("tiers = 'a'", r"tiers is wrong .*list"),
        ("quality = ", r"bad.toml cannot be read as TOML"),
    ],
)
def test_what_is_wrong_is_named_with_the_fix(folder, text, said):
    (folder / "bad.toml").write_text(text)
    with pytest.raises(ConfigError, match=said) as refused:
        load_config("bad.toml")
    assert "sk-1" not in str(refused.value)
    done = run("check", "bad.toml")
    assert done.exit_code == 2
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mode = 'observe'\nramp = 2", "ramp=2.0 must lie in [0, 1]; 0.1 tiers every tenth conversation"),
        ("ramp = 0.5", "ramp=0.5 needs mode='observe'"),
        ("mode = 'observe'\nserve = 'gpt-9'", "serve='gpt-9' must name the tier that answers as before"),
        ("mode = 'observe'\nobserve_usd = -1", "observe_usd=-1.0 must be 0 or more US$"),
        ("policy = 'bogus'", "policy='bogus' is unknown"),
        ("quality = 7", "quality=7.0 must lie in [0, 1]"),
        ("deadline = 0", "deadline=0.0 must be more than 0 seconds"),
        ("embedding = 'bogus'", "embedding: no embedding is called 'bogus'"),
        ("settings = 'nowhere.json'", "settings: there is no file nowhere.json"),
        ("tiers = ['a']", "tiers: the ladder has only 'a'"),
        ("tiers = ['a', 'x:a']", "tiers: 'a' stands more than once"),
        ("tiers = ['a', { model = 'b', prior = 2 }]", "Tier 'b': prior=2.0 must lie in [0, 1]"),
    ],
)
@pytest.mark.parametrize("command", ["check", "show"])
def test_a_value_that_no_model_takes_is_named_as_the_model_names_it(folder, command, text, said):
    tiers = "" if text.startswith("tiers") else "tiers = ['a', 'b']\n"
    (folder / "bad.toml").write_text(tiers + text)
    done = run(command, "bad.toml")
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: bad.toml: {said}")


def test_a_value_of_the_environment_is_named_by_its_variable(monkeypatch):
    monkeypatch.setenv("LLM_TIERS_MODE", "observe")
    monkeypatch.setenv("LLM_TIERS_RAMP", "2")
    done = run("show")
    assert done.exit_code == 2
    assert "2.0" in done.stdout
    assert done.stderr.startswith("error: LLM_TIERS_RAMP: ramp=2.0 must lie in [0, 1]")


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("QUALITY", "high", "LLM_TIERS_QUALITY is wrong .*valid number"),
        ("TIERS", "gpt-5", "LLM_TIERS_TIERS is wrong .*valid list"),
        ("CONFIG", "nowhere.toml", r"no file nowhere.toml \(LLM_TIERS_CONFIG names it\)"),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch, variable, value, said):
    monkeypatch.setenv(f"LLM_TIERS_{variable}", value)
    with pytest.raises(ConfigError, match=said):
        load_config()


def test_show_says_where_each_setting_is_from_and_which_variables_have_no_effect(folder, monkeypatch):
    assert "no llm-tiers.toml, no [tool.llm-tiers], no LLM_TIERS_..." in run("show").output
    (folder / "llm-tiers.toml").write_text(FILE)
    monkeypatch.setenv("LLM_TIERS_QUALITY", "0.8")
    monkeypatch.setenv("LLM_TIERS_QUALTY", "0.9")
    done = run("show")
    assert done.exit_code == 0
    assert "0.8" in done.output
    assert "LLM_TIERS_QUALITY" in done.output
    assert "LLM_TIERS_QUALTY is no setting, and has no effect" in done.output


def test_init_writes_an_example_that_check_accepts_and_overwrites_nothing(folder):
    assert run("init").exit_code == 0
    assert run("check").exit_code == 0
    assert [getattr(one, "model", one) for one in load_config().config.tiers] == ["gpt-5-nano", "gpt-5-mini", "gpt-5"]
    again = run("init")
    assert again.exit_code == 2
    assert "llm-tiers.toml exists" in again.output


def test_without_tiers_check_says_how_to_name_them():
    done = run("check")
    assert done.exit_code == 2
    assert "names no tiers" in done.output
