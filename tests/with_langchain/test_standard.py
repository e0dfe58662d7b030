"""LangChain's own standard tests, unmodified, on real `ChatOpenAI` tiers."""

import pytest
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_tiers import TieredChatModel
from llm_tiers.testing import obliging

NAMES = ("small", "medium", "large")

pytestmark = [
    # langchain_openai says so of its own default method when it is given a class of Pydantic 1,
    pytest.mark.filterwarnings("ignore:Received a Pydantic BaseModel V1 schema"),
    # and pydantic of langchain_openai, which dumps the parsed object of a streamed answer.
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),
]


class OverLoopback:
    """What both suites are told of the model."""

    @pytest.fixture(autouse=True)
    def served(self, one_server):
        one_server.scripts = dict.fromkeys(NAMES, obliging)
        self.base_url = one_server.base_url

    @property
    def chat_model_class(self):
        return TieredChatModel

    @property
    def chat_model_params(self):
        return {"tiers": [ChatOpenAI(model=name, base_url=self.base_url, api_key="unused") for name in NAMES]}

    @property
    def supports_json_mode(self):
        return True

    @property
    def supports_model_override(self):
        return True

    @property
    def model_override_value(self):
        return "large"


class TestUnit(OverLoopback, ChatModelUnitTests):
    @property
    def init_from_env_params(self):
        environment = {"OPENAI_API_KEY": "of-the-environment", "LC_OUTPUT_VERSION": "v1"}
        return environment, {"tiers": ["openai:small", "openai:large"]}, {"output_version": "v1"}


class TestIntegration(OverLoopback, ChatModelIntegrationTests):
    pass
