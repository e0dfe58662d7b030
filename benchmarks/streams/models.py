"""The scripted tiers: chat models in this process, or real clients of a server on this machine."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_openai import ChatOpenAI

from llm_tiers import Tier
from llm_tiers.testing import LoopbackServer, Reply, ToolCall
from streams.kinds import PRICES, Said, Stream

__all__ = ["judge_within_process", "over_http", "within_process"]

_READ = 150
"""Tokens of a judge's instructions."""


class Scripted(BaseChatModel):
    """One tier of a stream."""

    model_name: str
    script: Any
    tool: str = ""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **settings: Any) -> Any:
        return self.bind(tools=tools, **settings)

    def _generate(self, messages: list[BaseMessage], *_: object, **__: object) -> ChatResult:
        # Nothing of the model is real except its interface: the tokens are the stream's, so that costs are exact.
        said, (given, written) = self.script(str(messages[-1].content))
        calls = [] if said.arguments is None else [{"name": self.tool, "args": said.arguments, "id": "call"}]
        usage = {"input_tokens": given, "output_tokens": written, "total_tokens": given + written}
        return ChatResult(
            generations=[ChatGeneration(message=AIMessage(said.text, tool_calls=calls, usage_metadata=usage))]
        )


def within_process(stream: Stream) -> list[Tier]:
    """Return tiers that answer at once."""

    def script_of(tier: int) -> Any:
        return lambda ask: (_said(stream, tier, ask), stream.tokens)

    return [
        Tier(Scripted(model_name=name, script=script_of(tier), tool=stream.tool_name), name=name, price=PRICES[name])
        for tier, name in enumerate(stream.tiers)
    ]


def judge_within_process(stream: Stream, seed: int) -> Tier:
    """Return the model that gives verdicts, of the middle tier; it reads question and answer, and writes one word."""
    name = stream.tiers[1]

    def verdict(prompt: str) -> tuple[Said, tuple[int, int]]:
        call = stream.number(prompt)
        tier = next(tier for tier in range(len(stream.tiers)) if stream.said(call, tier).text in prompt)
        errs = random.Random(f"judge-{seed}-{call}-{tier}").random() >= (stream.judge or 0.0)
        return Said("yes" if stream.right[call, tier] != errs else "no"), (sum(stream.tokens) + _READ, 1)

    return Tier(Scripted(model_name=name, script=verdict), name="judge", price=PRICES[name])


@contextmanager
def over_http(stream: Stream) -> Iterator[list[Tier]]:
    """Yield tiers that are real clients of a server with the same script."""

    def script_of(tier: int) -> Any:
        def reply(request: Any) -> Reply:
            said, (given, written) = _said(stream, tier, request.ask), stream.tokens
            calls = () if said.arguments is None else (ToolCall(stream.tool_name, said.arguments),)
            return Reply(said.text, calls=calls, input_tokens=given, output_tokens=written)

        return reply

    with LoopbackServer({name: script_of(tier) for tier, name in enumerate(stream.tiers)}) as server:
        yield [
            Tier(ChatOpenAI(model=name, base_url=server.base_url, api_key="unused"), name=name, price=PRICES[name])
            for name in stream.tiers
        ]


def _said(stream: Stream, tier: int, ask: str) -> Said:
    return stream.said(stream.number(ask), tier)
