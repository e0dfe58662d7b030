"""The tiered chat model."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import aclosing, closing
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.runnables import RunnableMap, RunnablePassthrough
from langchain_core.runnables.config import set_config_context
from pydantic import ValidationError

from langchain_tiers.messages import needs_of, read_ask
from langchain_tiers.performer import ChatPerformer
from langchain_tiers.pickling import packed, unpacked
from langchain_tiers.pieces import shown, whole
from langchain_tiers.profile import common_profile
from langchain_tiers.request import STANDARD_SETTINGS, Request
from langchain_tiers.runs import (
    OuterRun,
    ahanding_down,
    ain_context,
    begin,
    handed_down,
    handing_down,
    in_context,
    node_of,
)
from langchain_tiers.settings import as_tiers, check_inner_callbacks, check_judge, ladder_of
from langchain_tiers.structured import ObjectParser, StructuredOutput
from langchain_tiers.tools import as_tools
from langchain_tiers.usage import with_total_usage
from llm_tiers.arguments import check_call_settings, check_known, without_values
from llm_tiers.flow.engine import Outcome
from llm_tiers.integration.chunks import result_last
from llm_tiers.integration.tiered import Tiered, hidden_setting, standard_setting
from llm_tiers.ladder.prices import PriceBook
from llm_tiers.policies.named import as_policy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_core.callbacks import (
        AsyncCallbackManagerForLLMRun,
        BaseCallbackHandler,
        CallbackManagerForLLMRun,
        Callbacks,
    )
    from langchain_core.language_models import LanguageModelInput, ModelProfile
    from langchain_core.language_models.base import LangSmithParams
    from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
    from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, Generation, LLMResult
    from langchain_core.runnables import Runnable, RunnableConfig
    from langchain_core.tools import BaseTool

    from langchain_tiers.runs import RunManager
    from llm_tiers.call.answer import Answer
    from llm_tiers.call.call import Call
    from llm_tiers.flow.engine import TraceHook
    from llm_tiers.history import History
    from llm_tiers.ladder.price import Price
    from llm_tiers.ladder.tiers import Tier
    from llm_tiers.policies.judges import Judge
    from llm_tiers.policies.judges.judge import JudgeFunction
    from llm_tiers.policies.policy import Policy
    from llm_tiers.policies.starters.base import Starter

__all__ = ["TieredChatModel"]


class TieredChatModel(Tiered, BaseChatModel):
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
        extract: Takes an answer's text and returns the final answer in it, or None; by it answers are compared. By
            default one that finds "the answer is ...", a boxed or bold last line, and the like.
        equal: Takes two answers and returns whether they are the same, or None where it cannot tell.
        compare: Functions by the field of an object or of a tool's arguments that they compare, as in `FinalAnswers`.
        quality: The knob of the default policy, in [0, 1]: 0 is cheapest, 1 as good as the ladder gets.
        audit: Chance, in [0, 1], that all tiers answer a call, for `llm-tiers calibrate`; the answer stays the same.
        settings: A file that `llm-tiers calibrate` wrote, with policy and knob; instead of `policy` and `quality`.
        embedding: What makes vectors of the queries; WordLlama, which needs no network, by default.
        prices: (input, output) in US$ per million tokens, by tier or model name, where the public list lacks them.
        node: Where in your application the calls come from; by default the node of the LangGraph graph. Calls of
            different nodes learn apart.
        query_text: Takes the messages and returns the text to find similar calls by; by default the human ask.
        on_trace: Is called with the `Trace` of each call, failed and cancelled ones included.
        inner_callbacks: Kinds of callback handlers that hear of the model calls inside, beside tracers and token
            counters; by default other handlers hear of one call, as of any chat model.
        temperature, max_tokens, stop, max_retries, api_key: Go to every tier that knows them, and not to the judge
            but for the last two.
        timeout: Seconds to wait for each tier before the call goes one tier up; `Tier(model, timeout=...)` wins.

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

    Stream:
        ```python
        for chunk in model.stream("What is the capital of Australia?"):
            print(chunk.text, end="")
        ```

        An answer that is not judged (the top tier's, a pinned tier's) streams live. Any other is held back until it
        stands, and then streamed in the chunks that it came in. The last chunk carries trace and usage.

    Async:
        ```python
        await model.ainvoke("What is the capital of Australia?")
        ```

    Tool calling:
        ```python
        model.bind_tools([get_weather]).invoke("What is the weather in Canberra?").tool_calls
        ```

        A call that fits its tool's schema is accepted without a judge. An unknown tool, arguments that do not fit,
        malformed JSON, and a missing call where one is forced go one tier up.

    Structured output:
        ```python
        model.with_structured_output(City).invoke("What is the capital of Australia?")
        ```

        Every tier is asked in its own provider's way. An object that fits is accepted without a judge.

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

    inner_callbacks: Any = hidden_setting(())
    stop: list[str] | None = standard_setting()
    streaming: bool = False

    def __init__(
        self,
        tiers: Iterable[BaseChatModel | Tier | str],
        *,
        history: str | os.PathLike[str] | History | None = None,
        policy: Policy | str | None = None,
        starter: Starter | None = None,
        judge: Judge | JudgeFunction | None = None,
        extract: Callable[[str], str | None] | None = None,
        equal: Callable[[Answer, Answer], bool | None] | None = None,
        compare: Mapping[str, Callable[[Any, Any], bool | None]] | None = None,
        quality: float | None = None,
        audit: float | None = None,
        settings: str | os.PathLike[str] | None = None,
        embedding: object | None = None,
        prices: Mapping[str, Price | tuple[float, float]] | None = None,
        node: str | None = None,
        query_text: Callable[[Sequence[BaseMessage]], str] | None = None,
        on_trace: TraceHook | None = None,
        inner_callbacks: Sequence[type[BaseCallbackHandler]] = (),
        temperature: float | None = None,
        max_tokens: int | None = None,
        timeout: float | None = None,
        stop: list[str] | None = None,
        max_retries: int | None = None,
        api_key: Any = None,
        **others: Any,
    ) -> None:
        check_known(others, type(self).model_fields)
        check_call_settings(node=node, query_text=query_text, on_trace=on_trace)
        check_inner_callbacks(inner_callbacks)
        given = as_tiers(tiers, api_key=api_key)
        chosen = as_policy(
            policy,
            starter=starter,
            judge=judge,
            extract=extract,
            equal=equal,
            compare=compare,
            quality=quality,
            audit=audit,
            settings=settings,
        )
        price_book = PriceBook(prices)
        fields = {
            "tiers": given,
            "history": history,
            "policy": policy,
            "starter": starter,
            "judge": judge,
            "extract": extract,
            "equal": equal,
            "compare": compare,
            "quality": quality,
            "audit": audit,
            "settings": settings,
            "embedding": embedding,
            "prices": prices,
            "node": node,
            "query_text": query_text,
            "on_trace": on_trace,
            "inner_callbacks": inner_callbacks,
            "temperature": temperature,
            "max_tokens": max_tokens,
            "timeout": timeout,
            "stop": stop,
            "max_retries": max_retries,
            **others,
        }
        try:
            super().__init__(**{name: value for name, value in fields.items() if value is not None})
        except ValidationError as error:
            raise without_values(error) from None
        standard = {name: getattr(self, name) for name in STANDARD_SETTINGS if name != "stop"}
        ladder = ladder_of(given, standard)
        chosen.check(ladder)
        check_judge(chosen.judge)
        of_answers = {name for name in ("temperature", "max_tokens") if standard[name] is not None}
        rest = {name: value for name, value in standard.items() if name not in of_answers}
        judging = ladder_of(given, rest) if of_answers else ladder
        self._open(ladder, judging, chosen, price_book, on_trace)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return (("tiers", self._engine.ladder.names), ("policy", self._engine.policy.name))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what the model was made of; a folder or a server is opened anew, a history in memory starts empty."""
        return unpacked, (type(self), packed(self._arguments()))

    def generate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Answer calls; `model=` pins one tier by name, and other settings go to the tiers that know them."""
        return _with_usage(super().generate(messages, stop, callbacks, **kwargs))

    async def agenerate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Answer calls in asyncio; as `generate`."""
        return _with_usage(await super().agenerate(messages, stop, callbacks, **kwargs))

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002 -- the name in LangChain's interface
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Generator[AIMessageChunk]:
        """Stream an answer; the last chunk carries the trace and the usage."""
        config, run = begin(self, config)
        chunks = cast("Generator[AIMessageChunk]", super().stream(input, config, stop=stop, **kwargs))
        with closing(handing_down(run, chunks)) as stream:
            for chunk in stream:
                yield with_total_usage(chunk)

    async def astream(
        self,
        input: LanguageModelInput,  # noqa: A002 -- the name in LangChain's interface
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncGenerator[AIMessageChunk]:
        """Stream an answer in asyncio; as `stream`."""
        config, run = begin(self, config)
        chunks = cast("AsyncGenerator[AIMessageChunk]", super().astream(input, config, stop=stop, **kwargs))
        async with aclosing(ahanding_down(run, chunks)) as stream:
            async for chunk in stream:
                yield with_total_usage(chunk)

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: dict[str, Any] | str | bool | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        response_format: dict[str, Any] | type | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools; each tier's model gets them in its own provider's format.

        A tool call whose arguments fit the tool's schema is accepted without asking a judge. An unknown tool, arguments
        that do not fit, and a missing call where one is forced go one tier up.

        Args:
            tools: Tools, functions, Pydantic classes, or tools as dicts.
            tool_choice: The tool that must be called, `"any"` for whichever, `"auto"` or None.
            strict: Ask the provider to keep to the schema, where it can.
            parallel_tool_calls: Whether several tools may be called at once.
            response_format: What an answer that calls no tool must be: a JSON schema in OpenAI's format, or a
                Pydantic class.
            **kwargs: Further settings of the call.

        Raises:
            ConfigError: The schema of a tool's arguments is no JSON schema.
            ValueError: Something is no tool.
        """
        options = {
            "tool_choice": tool_choice or None,
            "strict": strict,
            "parallel_tool_calls": parallel_tool_calls,
            "response_format": response_format,
        }
        given = {name: value for name, value in options.items() if value is not None}
        return self.bind(tools=as_tools(tools), **given, **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        include_raw: bool = False,
        method: Literal["function_calling", "json_mode", "json_schema"] | None = None,
        strict: bool | None = None,
        tools: Sequence[Any] | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Return a runnable that gives objects of a schema; each tier is asked in its own provider's way.

        An object that fits is accepted without asking a judge; one that does not goes one tier up.

        Args:
            schema: A Pydantic class, a TypedDict class, a JSON schema or a function in OpenAI's format; with
                `method="json_mode"` it may be left out.
            include_raw: Return a dict of `raw` (the message), `parsed` and `parsing_error`, and raise nothing.
            method: How the tiers are asked; by default each tier's own default.
            strict: Ask the provider to keep to the schema, where it can.
            tools: Tools that may be called instead.
            **kwargs: Passed on to each tier's `with_structured_output`.

        Raises:
            ConfigError: The schema is no JSON schema.
            ValueError: No tier can give such an object; what the top tier says of it.
        """
        given = {"method": method, "strict": strict}
        options = {name: value for name, value in given.items() if value is not None}
        structured = StructuredOutput.over(self._engine.ladder, schema, tools=tools, options={**options, **kwargs})
        model = self.bind(
            structured_output=structured,
            ls_structured_output_format={"schema": schema or structured.shape.function, "kwargs": options},
        )
        parser = ObjectParser(shape=structured.shape)
        if not include_raw:
            return model | parser
        parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
        failed = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=model) | parsed.with_fallbacks([failed], exception_key="parsing_error")

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        run = self._outer(run_manager, messages)
        if run_manager is None or not self._is_heard(run_manager, async_api=False, **kwargs):
            with set_config_context(run.quiet_config()) as context:
                return whole(context.run(self._ask, messages, stop, run, **kwargs))
        with closing(in_context(run.quiet_config(), self._live(messages, stop, run, **kwargs))) as items:
            for item in items:
                piece = shown(item, run, uncounted=True)
                run_manager.on_llm_new_token(piece.text, chunk=piece)
        return whole(cast("Outcome", item), run_manager.run_id)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        run = self._outer(run_manager, messages)
        if run_manager is None or not self._is_heard(run_manager, async_api=True, **kwargs):
            with set_config_context(run.quiet_config()) as context:
                asked = self._aask(messages, stop, run, **kwargs)
                return whole(await asyncio.create_task(asked, context=context))
        async with aclosing(ain_context(run.quiet_config(), self._alive(messages, stop, run, **kwargs))) as items:
            async for item in items:
                piece = shown(item, run, uncounted=True)
                await run_manager.on_llm_new_token(piece.text, chunk=piece)
        return whole(cast("Outcome", item), run_manager.run_id)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Generator[ChatGenerationChunk]:
        run = self._outer(run_manager or handed_down(), messages)
        with closing(in_context(run.quiet_config(), self._live(messages, stop, run, **kwargs))) as items:
            for item in items:
                piece = shown(item, run, uncounted=_is_uncounted(run_manager))
                if run_manager is not None:
                    run_manager.on_llm_new_token(piece.text, chunk=piece)
                yield piece

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncGenerator[ChatGenerationChunk]:
        run = self._outer(run_manager or handed_down(), messages)
        async with aclosing(ain_context(run.quiet_config(), self._alive(messages, stop, run, **kwargs))) as items:
            async for item in items:
                piece = shown(item, run, uncounted=_is_uncounted(run_manager))
                if run_manager is not None:
                    await run_manager.on_llm_new_token(piece.text, chunk=piece)
                yield piece

    def _ask(self, messages: list[BaseMessage], stop: list[str] | None, run: OuterRun, **kwargs: Any) -> Outcome:
        return self._engine.run(*self._prepare(messages, stop, run, **kwargs))

    async def _aask(self, messages: list[BaseMessage], stop: list[str] | None, run: OuterRun, **kwargs: Any) -> Outcome:
        return await self._engine.arun(*self._prepare(messages, stop, run, **kwargs))

    def _live(
        self, messages: list[BaseMessage], stop: list[str] | None, run: OuterRun, **kwargs: Any
    ) -> Generator[AIMessageChunk | Outcome]:
        yield from result_last(self._engine.stream(*self._prepare(messages, stop, run, streaming=True, **kwargs)))

    async def _alive(
        self, messages: list[BaseMessage], stop: list[str] | None, run: OuterRun, **kwargs: Any
    ) -> AsyncGenerator[AIMessageChunk | Outcome]:
        live = self._engine.astream(*self._prepare(messages, stop, run, streaming=True, **kwargs))
        async with aclosing(live):
            async for item in live:
                yield item

    def _should_stream(self, *, async_api: bool, run_manager: RunManager | None = None, **kwargs: Any) -> bool:
        # LangChain would have `invoke` go through `_stream`, which is not told of its run; `_generate` is, and streams.
        return run_manager is None and super()._should_stream(async_api=async_api, **kwargs)

    def _is_heard(self, run_manager: RunManager, *, async_api: bool, **kwargs: Any) -> bool:
        """Say whether somebody listens for the tokens of an `invoke`."""
        return super()._should_stream(async_api=async_api, run_manager=run_manager, **kwargs)

    def _outer(self, manager: RunManager | None, messages: Sequence[BaseMessage]) -> OuterRun:
        node = node_of(manager, messages) if self.node is None else self.node
        return OuterRun(manager, node, tuple(self.inner_callbacks))

    def _prepare(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run: OuterRun,
        *,
        streaming: bool = False,
        model: str | None = None,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> tuple[Call, ChatPerformer]:
        """Describe a call to the core, and say how its models are called."""
        request = Request.of(messages, stop if stop is not None else self.stop, kwargs)
        ask = read_ask(messages)
        call = self._engine.call(
            ask.query if self.query_text is None else self._own_query(messages),
            ask=ask.text,
            context=ask.context,
            since=ask.since,
            node=run.node,
            pin=model,
            timeout=timeout,
            tokens=count_tokens_approximately(messages),
            needs=needs_of(messages, tools=request.offers_tools),
            form=request.form,
        )
        return call, ChatPerformer(request, run, streaming=streaming, judging=self._judging)

    def get_token_ids(self, text: str) -> list[int]:
        """Return the tokens of a text as the top tier's model counts them."""
        model: BaseChatModel = self._engine.ladder.top.model
        return model.get_token_ids(text)

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[Any] | None = None) -> int:
        """Return how many tokens messages have as the top tier's model counts them."""
        model: BaseChatModel = self._engine.ladder.top.model
        return model.get_num_tokens_from_messages(messages, tools)

    @property
    def _llm_type(self) -> str:
        return "llm-tiers"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"tiers": list(self._engine.ladder.names), "policy": self._engine.policy.name}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop or self.stop or None, **kwargs)
        params["ls_provider"] = "llm-tiers"
        params.setdefault("ls_model_name", "|".join(self._engine.ladder.names))
        return params

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        """Return what an outer cache tells models apart by: the tiers with their settings, and how one is chosen."""
        policy = self._engine.policy
        models = [*self._engine.ladder, *policy.judge.own_tiers()]
        tiers = [(tier.name, tier.model._get_llm_string(stop=stop or self.stop)) for tier in models]  # noqa: SLF001
        starter = type(policy.starter).__name__, sorted(vars(policy.starter).items())
        return str([tiers, policy.name, starter, policy.judge.identity(), policy.equality, sorted(kwargs.items())])

    def _convert_cached_generations(self, cache_val: list[Generation]) -> list[ChatGeneration]:
        converted = super()._convert_cached_generations(cache_val)
        for generation in converted:
            # LangChain notes a cost of 0 and no tokens, which those who count tokens stumble over.
            message = cast("AIMessage", generation.message)
            none = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
            usage = {**none, **(message.usage_metadata or {})}
            generation.message = message.model_copy(update={"usage_metadata": usage})
        return converted

    def _resolve_model_profile(self) -> ModelProfile | None:
        return common_profile(self.tiers)


def _is_uncounted(run_manager: RunManager | None) -> bool:
    """Say whether a stream may carry its usage inside the run.

    The public methods add it outside, but the third version of stream events has no outside: it hands its run to the
    stream, and then the usage goes along where no handler would count it once more.
    """
    return run_manager is not None and not run_manager.handlers


def _with_usage(result: LLMResult) -> LLMResult:
    """Add the usage of all model calls to every answer, for the caller alone: the handlers have had theirs."""
    generations = [[_generation_with_usage(generation) for generation in row] for row in result.generations]
    return result.model_copy(update={"generations": generations})


def _generation_with_usage(generation: Any) -> Any:
    return generation.model_copy(update={"message": with_total_usage(generation.message)})
