"""LangChain's standard tests on one candidate, which an environment variable names; run by `__main__.py`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from llm_tiers.testing import LoopbackServer, obliging

sys.path.insert(0, str(Path(__file__).parent))

import candidates

CANDIDATE = os.environ["LLM_TIERS_CANDIDATE"]


class Candidate:
    """Stands for the class of the candidate: called with settings, it makes one."""

    def __init__(self, base_url: str) -> None:
        self._make = partial(candidates.make, CANDIDATE, base_url)

    def __call__(self, **settings: Any) -> Any:
        return self._make(**settings)

    def is_lc_serializable(self) -> bool:
        return False


class OverLoopback:
    @pytest.fixture(autouse=True)
    def served(self) -> Iterator[None]:
        with LoopbackServer(dict.fromkeys(candidates.TIERS, obliging)) as server:
            self.base_url = server.base_url
            yield

    @property
    def chat_model_class(self) -> Any:
        return Candidate(self.base_url)

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {}

    @property
    def has_tool_calling(self) -> bool:
        return True

    @property
    def has_tool_choice(self) -> bool:
        return True

    @property
    def has_structured_output(self) -> bool:
        return True

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "large"


class TestUnit(OverLoopback, ChatModelUnitTests):
    pass


class TestIntegration(OverLoopback, ChatModelIntegrationTests):
    pass
