"""The LLMs that are compared, each over the same two tiers of a loopback server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llama_index.core.base.llms.types import CompletionResponse, LLMMetadata
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.callbacks import llm_completion_callback
from llama_index.llms.openai import OpenAI, OpenAIResponses

TIERS = ("gpt-4.1-nano", "gpt-4.1")
NAMES = {
    "tiered": "`TieredLLM`",
    "bare": "`OpenAI` alone",
    "custom": "a `CustomLLM` wrapper",
}
KEY = "sk-very-secret-key"

Judge = Callable[[str, str], bool]


def client(base_url: str, name: str) -> OpenAI:
    streaming = {"stream_options": {"include_usage": True}}
    return OpenAI(model=name, api_base=base_url, api_key=KEY, max_retries=0, additional_kwargs=streaming)


def responses_client(base_url: str, name: str) -> OpenAIResponses:
    """Return a client that writes tool calls in another way."""
    return OpenAIResponses(model=name, api_base=base_url, api_key=KEY, max_retries=0)


class Cascade(CustomLLM):
    """What one writes first: the cheap model, and the dear one where the judge says no."""

    small: Any
    large: OpenAI
    judge: Any = None

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="cascade", is_chat_model=True)

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:  # noqa: FBT001, FBT002
        answer = self.small.complete(prompt, formatted, **kwargs)
        if self.judge is None or self.judge(prompt, answer.text):
            return answer
        return self.large.complete(prompt, formatted, **kwargs)

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002
        answer = self.complete(prompt, formatted, **kwargs)
        answer.delta = answer.text
        yield answer


def make(candidate: str, base_url: str, judge: Judge, *, mixed: bool = False) -> Any:
    """Make a candidate; a mixed one has a small tier of another class."""
    small = (responses_client if mixed else client)(base_url, TIERS[0])
    large = client(base_url, TIERS[1])
    if candidate == "bare":
        return large if mixed else small
    if candidate == "custom":
        return Cascade(small=small, large=large, judge=judge)
    from llamaindex_tiers import TieredLLM

    return TieredLLM([small, large], policy="estimate", judge=judge)
