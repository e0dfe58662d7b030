"""How long a user waits for the first token of a stream, beside the tier's own model.

    python benchmarks/first_token.py [--streams 10]

Tiers speak 30 words, one every 50 ms, the first after 300 ms. The default has learned at its node that the cheapest
tier will do, so its answer is neither compared nor judged. Prints Markdown: median milliseconds until the first word.
They take turns, so that a drift of the machine's speed hits all alike.
"""

# ruff: noqa: ARG002 -- the frameworks say which arguments a model takes

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from llama_index.core.base.llms.types import CompletionResponse, CompletionResponseGen, LLMMetadata
from llama_index.core.llms import CustomLLM

from langchain_tiers import TieredChatModel
from llamaindex_tiers import TieredLLM
from llm_tiers import Tier

WORDS = [f"word{number} " for number in range(30)]
FIRST, NEXT = 0.3, 0.05
PRICES = {"small": (1.0, 2.0), "medium": (10.0, 20.0), "large": (50.0, 100.0)}
LESSONS = 16


def spoken() -> Iterator[str]:
    for place, word in enumerate(WORDS):
        time.sleep(NEXT if place else FIRST)
        yield word


class Chat(BaseChatModel):
    """A chat model of LangChain that speaks slowly, and answers whole at once."""

    @property
    def _llm_type(self) -> str:
        return "slow"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("".join(WORDS)))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for word in spoken():
            yield ChatGenerationChunk(message=AIMessageChunk(word))


class Completing(CustomLLM):
    """An LLM of LlamaIndex that does the same."""

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="slow")

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:  # noqa: FBT001, FBT002
        return CompletionResponse(text="".join(WORDS))

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:  # noqa: FBT001, FBT002
        text = ""
        for word in spoken():
            text += word
            yield CompletionResponse(text=text, delta=word)


def taught(model: Any, ask: Callable[[str], dict[str, Any]]) -> Any:
    """Teach a model that its cheapest tier is right and the others are not; return one that learns no more."""
    for number in range(LESSONS):
        trace = ask(f"question {number}")
        for tier in {attempt["tier"] for attempt in trace["attempts"]}:
            model.feedback(trace["trace_id"], correct=tier == "small", tier=tier)
    return model.model_copy(update={"learning": 0.0})


def first_word(stream: Iterator[Any], text: Callable[[Any], str | None]) -> float:
    began = time.perf_counter()
    first = next(time.perf_counter() for piece in stream if text(piece))
    for _ in stream:
        pass
    return (first - began) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=10)
    streams = parser.parse_args().streams
    settings: dict[str, Any] = {"learning": 1.0, "trace_bytes": None}
    chats = [Tier(Chat(), name=name, price=price) for name, price in PRICES.items()]
    chat = TieredChatModel(chats, **settings)
    chat_taught = taught(chat, lambda question: chat.invoke(question).response_metadata["tiers"])
    llms = [Tier(Completing(), name=name, price=price) for name, price in PRICES.items()]
    llm = TieredLLM(llms, learning=1.0)
    llm_taught = taught(llm, lambda question: llm.complete(question).additional_kwargs["tiers"])
    runs: dict[str, Callable[[str], float]] = {
        "LangChain, the tier's own model": lambda ask: first_word(Chat().stream(ask), lambda piece: piece.text),
        "LangChain, `TieredChatModel`": lambda ask: first_word(chat_taught.stream(ask), lambda piece: piece.text),
        "LlamaIndex, the tier's own model": lambda ask: first_word(
            Completing().stream_complete(ask), lambda piece: piece.delta
        ),
        "LlamaIndex, `TieredLLM`": lambda ask: first_word(llm_taught.stream_complete(ask), lambda piece: piece.delta),
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(streams):
        for name, run in runs.items():
            times[name].append(run(f"question {number}"))
    chat.close()
    llm.close()
    print("| first word of a stream | median ms |\n|---|---|")
    for name, taken in times.items():
        print(f"| {name} | {median(taken):.1f} |")


if __name__ == "__main__":
    main()
