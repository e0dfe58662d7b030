"""What `import llm_tiers` gives."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

import llm_tiers
from llm_tiers import errors

NAMES = [
    "AccuracyEstimator",
    "Agreement",
    "AllTiersFailed",
    "Answer",
    "Attempt",
    "Breaker",
    "Call",
    "Certificate",
    "ChromaHistory",
    "ConfigError",
    "Embedding",
    "EmbeddingMismatch",
    "Engine",
    "ExactEquality",
    "FeedbackRefused",
    "FinalAnswers",
    "FixedStarter",
    "Forecast",
    "FunctionJudge",
    "Grader",
    "Grading",
    "Guarantee",
    "HistoryError",
    "HistoryLocked",
    "HistoryUnreachable",
    "Interval",
    "Judge",
    "Ladder",
    "LinUCB",
    "LlmTiersError",
    "Observed",
    "Outcome",
    "Policy",
    "Price",
    "PromptJudge",
    "ReplayFileError",
    "SMART",
    "Schema",
    "Telemetry",
    "Tier",
    "TierError",
    "ToolCall",
    "Trace",
    "Unjudged",
    "UnknownTrace",
    "Usage",
    "Verdict",
    "feedback_from",
    "llm_at",
]
PARTS = [module.name for module in pkgutil.walk_packages(llm_tiers.__path__, "llm_tiers.") if not module.ispkg]


def test_the_public_names_are_these():
    assert llm_tiers.__all__ == NAMES
    assert sorted(NAMES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_resolves(name):
    assert getattr(llm_tiers, name).__doc__


def test_every_exception_is_public():
    assert set(errors.__all__) <= set(llm_tiers.__all__)


@pytest.mark.parametrize("part", PARTS)
def test_every_module_lists_names_that_it_has(part):
    module = importlib.import_module(part)
    assert module.__all__
    assert all(hasattr(module, name) for name in module.__all__)


def test_the_modules_checked_are_in_the_package():
    known = {
        "call.answer",
        "call.requests",
        "errors",
        "flow.cascade",
        "history.chroma",
        "policies.judges.judge",
        "trace",
    }
    assert {f"llm_tiers.{part}" for part in known} <= set(PARTS)


def test_the_core_imports_no_framework():
    asked = "import sys, llm_tiers; print(sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}; {asked}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "'llm_tiers'" in done.stdout
    for framework in ("langchain_core", "langchain", "langgraph", "llama_index"):
        assert f"'{framework}'" not in done.stdout
