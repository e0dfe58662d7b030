"""The tiered chat model."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Self

from langchain_core.language_models import BaseChatModel
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field, PrivateAttr

from langchain_tiers.messages import needs_of, read_ask
from langchain_tiers.performer import ChatPerformer
from langchain_tiers.runs import node_of
from langchain_tiers.settings import as_ladder, check_call_settings, check_judge
from langchain_tiers.usage import with_total_usage
from llm_tiers.engine import Engine, Outcome
from llm_tiers.errors import ConfigError
from llm_tiers.history import as_history
from llm_tiers.policies import as_policy
from llm_tiers.prices import PriceBook

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.messages import AIMessage, BaseMessage
    from langchain_core.runnables import RunnableConfig

    from langchain_tiers.runs import RunManager
    from llm_tiers.call import Call
    from llm_tiers.engine import TraceHook
    from llm_tiers.history import History
    from llm_tiers.judges import Judge
    from llm_tiers.judges.base import JudgeFunction
    from llm_tiers.policies import Policy
    from llm_tiers.prices import Price
    from llm_tiers.starters.base import Starter
    from llm_tiers.tiers import Tier

__all__ = ["TieredChatModel"]


def _setting(default: Any = None) -> Any:
    """Return a field that no dump or representation shows: models hold keys, and a history's URL may."""
    return Field(default=default, exclude=True, repr=False)


class TieredChatModel(BaseChatModel):
    """A chat model that answers each call with the cheapest of its tiers that gets it right.

    A starter picks the first tier from a history of similar past calls, that tier answers, and a judge decides
    whether the answer stands; if not, the call goes one tier up. The top tier is not judged.

    Setup:
        Install the package with its LangChain part, and set the key of the tiers' provider:

        ```bash
        pip install "llm-tiers[langchain]"
        export OPENAI_API_KEY="..."
        ```

    Key init args:
        tiers: Two or more chat models, cheapest first: a model, a `Tier(model, name=..., prior=..., price=...)`, or
            a name such as `"openai:gpt-5-mini"` (needs the extra `agents`).
        history: Where past calls are kept: a folder, the URL of a Chroma server, a `History`, or None: in memory,
            private to this model.
        policy: How calls are answered: a `Policy` such as `llm_at()`, or the name of one.
        starter: Replaces the policy's choice of the first tier.
        judge: Replaces the policy's judge; a function of question and answer will do.
        embedding: What makes vectors of the queries; WordLlama, which needs no network, by default.
        prices: (input, output) in US$ per million tokens, by tier or model name, where the public list lacks them.
        node: Where in your application the calls come from; by default the node of the LangGraph graph. Calls of
            different nodes learn apart.
        query_text: Takes the messages and returns the text to find similar calls by; by default the human ask.
        on_trace: Is called with the `Trace` of each call, failed and cancelled ones included.

        The settings of every chat model (`cache`, `callbacks`, `tags`, `metadata`, `name`, ...) are taken too.

    Instantiate:
        ```python
        from langchain_openai import ChatOpenAI
        from langchain_tiers import TieredChatModel

        model = TieredChatModel(
            tiers=[ChatOpenAI(model="gpt-5-nano"), ChatOpenAI(model="gpt-5-mini"), ChatOpenAI(model="gpt-5")],
            history="./tiers",
        )
        ```

    Invoke:
        ```python
        model.invoke("What is the capital of Australia?")
        model.invoke("What is the capital of Australia?", model="gpt-5")  # this tier and no other
        ```

        Settings of the call (`stop`, `temperature`, ...) go to the tiers, never to the judge.

    Async:
        ```python
        await model.ainvoke("What is the capital of Australia?")
        ```

    Token usage:
        `usage_metadata` of the answer is the sum over all model calls, the judge's and the rejected tiers' included.
        Callbacks that count tokens see each of these calls under its own model's name.

    Response metadata:
        ```python
        answer.response_metadata["tiers"]  # tiers tried, verdicts, tokens, seconds, costs, and why
        model.feedback(answer.response_metadata["tiers"]["trace_id"], correct=False)
        ```

    Raises:
        ConfigError: An argument is wrong; the message names it.
        HistoryError: The history cannot be opened. One that fails later never fails a call: the answer comes, with a
            warning in its trace.
        AllTiersFailed: By a call: no tier gave an answer. It holds every tier's error, and the `trace`.
    """

    # Checked in __init__ rather than by pydantic, whose errors would show what was given, and that may hold keys.
    tiers: Any = _setting(...)
    history: Any = _setting()
    policy: Any = _setting()
    starter: Any = _setting()
    judge: Any = _setting()
    embedding: Any = _setting()
    prices: Any = _setting()
    node: Any = _setting()
    query_text: Any = _setting()
    on_trace: Any = _setting()

    _engine: Engine = PrivateAttr()

    def __init__(
        self,
        tiers: Iterable[BaseChatModel | Tier | str],
        *,
        history: str | os.PathLike[str] | History | None = None,
        policy: Policy | str | None = None,
        starter: Starter | None = None,
        judge: Judge | JudgeFunction | None = None,
        embedding: object | None = None,
        prices: Mapping[str, Price | tuple[float, float]] | None = None,
        node: str | None = None,
        query_text: Callable[[Sequence[BaseMessage]], str] | None = None,
        on_trace: TraceHook | None = None,
        **settings: Any,
    ) -> None:
        unknown = sorted(settings.keys() - type(self).model_fields.keys())
        if unknown:
            raise ConfigError(f"unknown argument {', '.join(unknown)}; there are {', '.join(type(self).model_fields)}")
        check_call_settings(node=node, query_text=query_text, on_trace=on_trace)
        ladder = as_ladder(tiers)
        chosen = as_policy(policy, starter=starter, judge=judge)
        chosen.check(ladder)
        check_judge(chosen.judge)
        price_book = PriceBook(prices)
        super().__init__(
            tiers=tuple(ladder),
            history=history,
            policy=policy,
            starter=starter,
            judge=judge,
            embedding=embedding,
            prices=prices,
            node=node,
            query_text=query_text,
            on_trace=on_trace,
            **settings,
        )
        # Last, so that a wrong argument leaves no folder open.
        self._engine = Engine(ladder, chosen, as_history(history, embedding), prices=price_book, on_trace=on_trace)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return (("tiers", self._engine.ladder.names), ("policy", self._engine.policy.name))

    def __getstate__(self) -> NoReturn:
        raise TypeError(
            "a TieredChatModel holds clients and their keys, so it cannot be pickled: make one where it runs"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Write what the history has pending and close it; a `History` that was given and the tiers stay open.

        Raises:
            HistoryError: Something could not be written. The history is let go of all the same.
        """
        if self.history is None or isinstance(self.history, str | os.PathLike):
            self._engine.close()

    def feedback(self, trace_id: str, *, correct: bool) -> None:
        """Tell whether an answer was right; the next estimates change accordingly.

        Args:
            trace_id: `response_metadata["tiers"]["trace_id"]` of the answer.
            correct: Whether the answer was right.

        Raises:
            UnknownTrace: The history has no record of the call.
        """
        self._engine.feedback(trace_id, correct=correct)

    async def afeedback(self, trace_id: str, *, correct: bool) -> None:
        """Tell in asyncio whether an answer was right; as `feedback`."""
        await asyncio.to_thread(self.feedback, trace_id, correct=correct)

    def invoke(
        self,
        input: LanguageModelInput,  # noqa: A002 -- the name in LangChain's interface
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Answer a call; `model=` pins one tier by name, and other settings go to the tiers."""
        return with_total_usage(super().invoke(input, config, stop=stop, **kwargs))

    async def ainvoke(
        self,
        input: LanguageModelInput,  # noqa: A002 -- the name in LangChain's interface
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Answer a call in asyncio; as `invoke`."""
        return with_total_usage(await super().ainvoke(input, config, stop=stop, **kwargs))

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call, performer = self._prepare(messages, stop, run_manager, **kwargs)
        return _result(self._engine.run(call, performer))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call, performer = self._prepare(messages, stop, run_manager, **kwargs)
        return _result(await self._engine.arun(call, performer))

    def _prepare(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run_manager: RunManager | None,
        *,
        model: str | None = None,
        **kwargs: Any,
    ) -> tuple[Call, ChatPerformer]:
        """Describe a call to the core, and say how its models are called."""
        if not messages:
            raise ConfigError("input: the list of messages is empty; give at least one message")
        ask = read_ask(messages)
        call = self._engine.call(
            ask.query if self.query_text is None else self._own_query(messages),
            ask=ask.text,
            context=ask.context,
            node=node_of(run_manager) if self.node is None else self.node,
            pin=model,
            tokens=count_tokens_approximately(messages),
            needs=needs_of(messages, tools=bool(kwargs.get("tools"))),
        )
        settings = kwargs if stop is None else {**kwargs, "stop": stop}
        return call, ChatPerformer(tuple(messages), settings, run_manager)

    def _own_query(self, messages: list[BaseMessage]) -> str:
        query = self.query_text(messages)
        if not isinstance(query, str):
            raise ConfigError(f"query_text returned {type(query).__name__}; it must return the text to look up")
        return query

    @property
    def _llm_type(self) -> str:
        return "llm-tiers"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"tiers": list(self._engine.ladder.names), "policy": self._engine.policy.name}


def _result(outcome: Outcome) -> ChatResult:
    """Return the answer as the tier gave it, with the trace, and without usage: `with_total_usage` adds that."""
    message: AIMessage = outcome.answer.message
    metadata = {**message.response_metadata, "tiers": outcome.trace.to_dict()}
    # A copy, because a cache of the tier's may hold the message itself.
    accepted = message.model_copy(update={"response_metadata": metadata, "usage_metadata": None})
    return ChatResult(generations=[ChatGeneration(message=accepted)])
