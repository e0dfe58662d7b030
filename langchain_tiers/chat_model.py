"""The tiered chat model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages.utils import convert_to_messages, count_tokens_approximately
from langchain_core.runnables.config import set_config_context

from langchain_tiers.cache import cache_key
from langchain_tiers.messages import needs_of, read_ask
from langchain_tiers.performer import ChatPerformer
from langchain_tiers.pickling import packed, unpacked
from langchain_tiers.pieces import as_chat_result, as_generation_chunk
from langchain_tiers.principals import asked_by, asking_of, current_asking
from langchain_tiers.profile import common_profile
from langchain_tiers.prompt_caching import Faced
from langchain_tiers.raw import RawAndParsed
from langchain_tiers.request import STANDARD_SETTINGS, Request
from langchain_tiers.runs import (
    OuterRun,
    ahanding_down,
    ain_context,
    begin_run,
    closing_of,
    conversation_of,
    handed_down_run,
    handing_down,
    in_context,
    node_of,
)
from langchain_tiers.settings import LANGCHAIN, ChatModelArguments, check_inner_callbacks, check_trace_bytes
from langchain_tiers.structured import StructuredOutput
from langchain_tiers.tools import as_tools, names_of
from langchain_tiers.usage import result_with_total_usage, with_cached_usage, with_total_usage
from llm_tiers.arguments import check_call_settings
from llm_tiers.errors import ConfigError
from llm_tiers.flow.engine import Outcome
from llm_tiers.integration.chunks import result_last
from llm_tiers.integration.construction import Construction
from llm_tiers.integration.tiered import Tiered, hidden_setting, standard_setting
from llm_tiers.owned import owned
from llm_tiers.policies.rollout import as_rollout
from llm_tiers.trace import SHORT_TRACE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_core.callbacks import (
        AsyncCallbackManagerForLLMRun,
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
    from llm_tiers.call.call import Call
    from llm_tiers.integration.asker import Message
    from llm_tiers.ladder.tiers import Tier

__all__ = ["TieredChatModel"]


class TieredChatModel(Faced, Tiered, BaseChatModel):
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
        namespace: The part of the folder or server that this model's history uses, `"default"` by default: models with
            another one learn apart.
        policy: How calls are answered: a `Policy` such as `llm_at()`, or the name of one.
        starter: Replaces the policy's choice of the first tier.
        judge: Replaces the policy's judge; a function of question and answer will do. Beside `policy="default"` it
            gives verdicts, and rules that ask for them are learned too.
        extract: Takes an answer's text and returns the final answer in it, or None; by it answers are compared. By
            default one that finds "the answer is ...", a boxed or bold last line, and the like.
        equal: Takes two answers and returns whether they are the same, or None where that cannot be decided.
        compare: Functions by the field of an object or of a tool's arguments that they compare, as in `FinalAnswers`.
        quality: The knob of the default policy, in [0, 1]: 0 is cheapest, 1 as good as the ladder gets. None is 0.55.
        worth_usd: What a right answer is worth, in US$, instead of `quality`; prices must be known.
        learning: Largest share of the spend that the default policy's profiled calls, which all tiers answer, may add
            over a node's first 1,000 calls, in [0, 1]; a quarter of it later. 0.2 by default, 0 profiles nothing.
        audit: Chance, in [0, 1], that all tiers answer a call, for `llm-tiers calibrate`; the answer stays the same.
        grade: Grades the tiers' answers on profiled calls, after the answer has been returned: a function
            of question and answer (and of `messages=` and `node=`, if it takes them) that returns True, False, a
            number in [0, 1] or None, sync or async; a model that is asked; or a `Grader` with its bounds.
        mode: `"tier"`, the default, or `"observe"`: the tier that `serve` names answers as if there were no other, at
            no added latency, and what tiering would have done is found out after that; `observed()` tells.
        serve: Name of the tier that answers in `mode="observe"`; the top by default.
        ramp: Share of the conversations that are tiered all the same in `mode="observe"`, in [0, 1]; 0 by default.
            A conversation is LangGraph's `thread_id`, else what begins alike.
        observe_share: Largest share of what the served calls cost that asking the other tiers off the path may add, in
            [0, 1]; 0.2 by default.
        observe_usd: Most US$ that it may cost in all, as long as the model lives; by default no bound but the share.
        settings: A file that `llm-tiers calibrate` wrote, with policy and knob; instead of `policy` and `quality`.
        embedding: What makes vectors of the queries; WordLlama, which needs no network, by default.
        prices: (input, output) in US$ per million tokens, by tier or model name, where the public list lacks them.
        node: Where in your application the calls come from; by default the node of the LangGraph graph. Calls of
            different nodes learn apart.
        query_text: Takes the messages and returns the text to find similar calls by; by default the human ask.
        on_trace: Is called once with the `Trace` of each call, failed and cancelled ones included: when it ends or,
            where its answers are graded, after that, with the grades and their cost, from another thread.
        telemetry: What OpenTelemetry is told of calls: by default a span, events and metrics of each, where the process
            has an OpenTelemetry SDK; False for nothing; a `Telemetry` for other providers.
        on_exhausted: What happens where the planned tier and all above it fail: `"answer"` (the default) takes an
            answer that no judge rejected from another tier, and the trace says that it is degraded; `"raise"` raises.
        breaker: When a tier that fails is not asked for a while; `Breaker()` by default: after three failures in a row,
            at once after a wrong key or for an unknown model, for 5 seconds at first; None for never. All models of the
            process share what is known of a tier.
        history_timeout: Seconds for all that one call asks of the history, and for the vectors of its query; then it
            goes on without, and the trace says so. 0.25 by default, None for no limit. What is loaded once does not
            count.
        deadline: Seconds for the whole call, 900 by default, None for no limit: after that no tier is asked any more,
            and in asyncio what is under way is cancelled. In sync code a deadline of your own leaves what is under way,
            in its own thread, as `timeout` does.
        inner_callbacks: Kinds of callback handlers that are called for the model calls inside too, besides tracers and
            token counters; by default other handlers are called for the outer run only, as with any chat model.
        trace_bytes: Most bytes of the trace in a message, which LangGraph writes into each checkpoint: 480 by default,
            at least that, None for all of it. `on_trace` gets the whole trace anyway.
        temperature, max_tokens, stop, max_retries, api_key: Go to every tier that knows them, and not to the judge
            but for the last two. Tiers below the top retry once where their class would by default do it more often.
        timeout: Seconds to wait for each tier before the call goes one tier up; `Tier(model, timeout=...)` wins. 300 by
            default; in sync code the tier's client then keeps it, as far as its class has a time-out.

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
        model.invoke("What is the capital of Australia?", node="facts", quality=0.8)  # for this call, or by `bind`
        model.invoke("What is the capital of Australia?", principal="ada")  # who asks
        ```

        `principal` is kept hashed; by default it is the `user_id` of the config's `configurable`. One that makes
        more of a node's calls than others do moves nobody else's, and only it gives feedback on its answers.

        Settings of the call (`stop`, `temperature`, ...) go to the tiers, never to the judge.

    Stream:
        ```python
        for chunk in model.stream("What is the capital of Australia?"):
            print(chunk.text, end="")
        ```

        An answer that stands whatever it says (the top tier's, a pinned tier's, that of one tier whose answers are
        neither compared nor judged) streams live. Any other is held back until it stands, and then streamed in the
        chunks that it came in. The last chunk carries trace and usage.

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
        AllTiersFailed: By a call: no tier gave an answer. It holds every tier's error, and the `trace`. It is raised at
            once for a mistake that no tier could mend: before any request where the framework finds it
            (`invoke(typo=1)`), else after one request to each provider of the ladder.
    """

    inner_callbacks: Any = hidden_setting(())
    trace_bytes: Any = hidden_setting(SHORT_TRACE)
    stop: list[str] | None = standard_setting()
    streaming: bool = False

    def __init__(self, tiers: Iterable[BaseChatModel | Tier | str], **arguments: Unpack[ChatModelArguments]) -> None:
        check_inner_callbacks(arguments.get("inner_callbacks", ()))
        check_trace_bytes(arguments.get("trace_bytes"))
        construction = Construction.of(LANGCHAIN, type(self), tiers, arguments)
        construction.initialise(super().__init__)
        # From the fields, where pydantic has converted them. `stop` is missing: it belongs to calls, not to clients.
        standard = {name: getattr(self, name) for name in STANDARD_SETTINGS if name != "stop"}
        ladders = construction.ladders(construction.ladder(standard), standard)
        self._open(construction, ladders, arguments.get("on_trace"))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what the model was made of; a folder or a server is opened anew, a history in memory starts empty."""
        return unpacked, (type(self), packed(self._arguments()))

    def invoke(
        self,
        input: LanguageModelInput,  # noqa: A002 -- the name in LangChain's interface
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Answer a call."""
        with asked_by(asking_of(config)):
            return super().invoke(input, config, stop=stop, **kwargs)

    async def ainvoke(
        self,
        input: LanguageModelInput,  # noqa: A002 -- the name in LangChain's interface
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Answer a call in asyncio; as `invoke`."""
        with asked_by(asking_of(config)):
            return await super().ainvoke(input, config, stop=stop, **kwargs)

    def generate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Answer calls; `model=` pins one tier by name, and other settings go to the tiers that know them."""
        # Not in `_generate`, whose result goes to the run's handlers: they would count the sum once more.
        return result_with_total_usage(super().generate(messages, stop, callbacks, **kwargs))

    async def agenerate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Answer calls in asyncio; as `generate`."""
        return result_with_total_usage(await super().agenerate(messages, stop, callbacks, **kwargs))

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002 -- the name in LangChain's interface
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Generator[AIMessageChunk]:
        """Stream an answer; the last chunk carries the trace and the usage."""
        asking = asking_of(config)
        config, run = begin_run(self, config)
        # Begun here, because LangChain calls `_stream` without a run manager, and the tiers' runs would have no parent.
        chunks = cast("Generator[AIMessageChunk]", super().stream(input, config, stop=stop, **kwargs))
        # Closed with the user's loop: where that ends early, the requests end too, and the call is still traced.
        with closing(handing_down(run, chunks, asking)) as stream:
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
        asking = asking_of(config)
        config, run = begin_run(self, config)
        chunks = cast("AsyncGenerator[AIMessageChunk]", super().astream(input, config, stop=stop, **kwargs))
        async with owned(ahanding_down(run, chunks, asking)) as stream:
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
            tool_choice: The tool that must be called, `"any"` for any of them, `"auto"` or None.
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
            # False and "" ask for nothing, as in LangChain's own clients.
            "tool_choice": tool_choice or None,
            "strict": strict,
            "parallel_tool_calls": parallel_tool_calls,
            "response_format": response_format,
        }
        # Only what was given: not every provider's `bind_tools` takes all of these.
        given = {name: value for name, value in options.items() if value is not None}
        # Bound to the outer model alone: the tiers bind them at the call, so that a judge gets no tools.
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
            # For tracers; LangChain takes it out of the settings before it calls `_generate`.
            ls_structured_output_format={"schema": schema or structured.shape.function, "kwargs": options},
        )
        parser = structured.parser
        return RawAndParsed(model=model, parser=parser) if include_raw else model | parser

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        run = self._outer_run(run_manager, messages, kwargs)
        if run_manager is None or not self._has_streaming_handler(run_manager, async_api=False, **kwargs):
            with set_config_context(run.quiet_config()) as context:
                return run.ended(as_chat_result(context.run(self._outcome, messages, stop, run, **kwargs), run))
        with closing(self._items(messages, stop, run, **kwargs)) as items:
            for item in items:
                # Handlers count what `on_llm_end` gets and not the chunks, so the last one may carry the usage.
                piece = as_generation_chunk(item, run, uncounted=True)
                run_manager.on_llm_new_token(piece.text, chunk=piece)
        return run.ended(as_chat_result(cast("Outcome", item), run, run_manager.run_id))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        run = self._outer_run(run_manager, messages, kwargs)
        if run_manager is None or not self._has_streaming_handler(run_manager, async_api=True, **kwargs):
            with set_config_context(run.quiet_config()) as context:
                # As a task, because only a task can be started in a context of its own.
                asked = self._aoutcome(messages, stop, run, **kwargs)
                return run.ended(as_chat_result(await asyncio.create_task(asked, context=context), run))
        async with owned(self._aitems(messages, stop, run, **kwargs)) as items:
            async for item in items:
                piece = as_generation_chunk(item, run, uncounted=True)
                await run_manager.on_llm_new_token(piece.text, chunk=piece)
        return run.ended(as_chat_result(cast("Outcome", item), run, run_manager.run_id))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Generator[ChatGenerationChunk]:
        run = self._outer_run(run_manager or handed_down_run(), messages, kwargs)
        with closing(self._items(messages, stop, run, **kwargs)) as items:
            for item in items:
                piece = as_generation_chunk(item, run, uncounted=not run.is_counted)
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
        run = self._outer_run(run_manager or handed_down_run(), messages, kwargs)
        async with owned(self._aitems(messages, stop, run, **kwargs)) as items:
            async for item in items:
                piece = as_generation_chunk(item, run, uncounted=not run.is_counted)
                if run_manager is not None:
                    await run_manager.on_llm_new_token(piece.text, chunk=piece)
                yield piece

    def _items(
        self, messages: list[BaseMessage], stop: list[str] | None, run: OuterRun, **kwargs: Any
    ) -> Generator[AIMessageChunk | Outcome]:
        """Return the chunks of an answer and, last, its outcome, each made inside the user's run."""
        return in_context(run.quiet_config(), self._chunks_and_outcome(messages, stop, run, **kwargs))

    def _aitems(
        self, messages: list[BaseMessage], stop: list[str] | None, run: OuterRun, **kwargs: Any
    ) -> AsyncGenerator[AIMessageChunk | Outcome]:
        return ain_context(run.quiet_config(), self._achunks_and_outcome(messages, stop, run, **kwargs))

    # The four below prepare the call only when they run, in the context of the user's run: `query_text` is the user's
    # code, and the runs that it begins belong below this one.

    def _outcome(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run: OuterRun,
        **kwargs: Any,
    ) -> Outcome:
        engine = self._engine_at(kwargs.pop("quality", None))
        with run.labelled() as label:
            return label(engine.run(*self._prepare(messages, stop, run, **kwargs)))

    async def _aoutcome(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run: OuterRun,
        **kwargs: Any,
    ) -> Outcome:
        engine = self._engine_at(kwargs.pop("quality", None))
        with run.labelled() as label:
            return label(await engine.arun(*self._prepare(messages, stop, run, **kwargs)))

    def _chunks_and_outcome(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run: OuterRun,
        **kwargs: Any,
    ) -> Generator[AIMessageChunk | Outcome]:
        engine = self._engine_at(kwargs.pop("quality", None))
        live = result_last(engine.stream(*self._prepare(messages, stop, run, streaming=True, **kwargs)))
        with run.labelled() as label, closing(live):
            for item in live:
                yield label(item)

    async def _achunks_and_outcome(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run: OuterRun,
        **kwargs: Any,
    ) -> AsyncGenerator[AIMessageChunk | Outcome]:
        engine = self._engine_at(kwargs.pop("quality", None))
        live = engine.astream(*self._prepare(messages, stop, run, streaming=True, **kwargs))
        with run.labelled() as label:
            async with owned(live) as items:
                async for item in items:
                    yield label(item)

    def _should_stream(self, *, async_api: bool, run_manager: RunManager | None = None, **kwargs: Any) -> bool:
        # With a streaming handler attached, LangChain would let `invoke` call `_stream`, but without a run manager, and
        # the models' runs inside would lose their parent. `_generate` gets one, and streams to the handler itself.
        return run_manager is None and super()._should_stream(async_api=async_api, **kwargs)

    def _has_streaming_handler(self, run_manager: RunManager, *, async_api: bool, **kwargs: Any) -> bool:
        """Say whether a handler, such as the one of `astream_events`, takes the tokens of an `invoke` as they come."""
        # A model that streams by itself gives its handlers tokens, and so does one that stands in for it.
        if any(getattr(tier.model, "streaming", None) is True for tier in self._engine.ladder):
            kwargs.setdefault("stream", True)
        return super()._should_stream(async_api=async_api, run_manager=run_manager, **kwargs)

    def _outer_run(
        self, manager: RunManager | None, messages: Sequence[BaseMessage], settings: Mapping[str, Any]
    ) -> OuterRun:
        node = node_of(manager, messages, names_of(settings.get("tools"))) if self.node is None else self.node
        asking, callbacks = current_asking(), tuple(self.inner_callbacks)
        conversation = conversation_of(asking.thread, manager, messages)
        return OuterRun(manager, node, callbacks, self.trace_bytes, conversation, asking.user)

    def _prepare(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run: OuterRun,
        *,
        streaming: bool = False,
        model: str | None = None,
        node: str | None = None,
        timeout: float | None = None,
        principal: str | None = None,
        **kwargs: Any,
    ) -> tuple[Call, ChatPerformer]:
        """Describe a call to the core, and say how its models are called."""
        check_call_settings(node=node)
        # An empty list is a choice too: it switches the model's own `stop` off for this call.
        request = Request.of(messages, stop if stop is not None else self.stop, kwargs, self._engine.ladder)
        ask = read_ask(messages, closing=closing_of(run.manager))
        call = self._engine.call(
            ask.query if self.query_text is None else self._query_by_function(messages),
            ask=ask.text,
            context=ask.context,
            since=ask.since,
            node=run.node if node is None else node,
            pin=model,
            settings=request.names,
            timeout=timeout,
            # An exact count would take the tokenizer of each tier's provider, and decides only whether a tier is
            # skipped.
            tokens=count_tokens_approximately(messages),
            needs=needs_of(messages, tools=request.offers_tools, structured=request.wants_schema),
            form=request.form,
            conversation=run.conversation,
            kind=request.kind,
            messages=tuple(messages),
            principal=run.principal if principal is None else principal,
            traced=run.is_traced,
        )
        return call, ChatPerformer(request, run, streaming=streaming, judging=self._judging, trace_id=call.id)

    def _described(self, messages: Sequence[Message], tier: str, node: str | None) -> tuple[Call, ChatPerformer]:
        try:
            read = convert_to_messages([dict(message) for message in messages])
        except (ValueError, NotImplementedError, KeyError, TypeError) as error:
            raise ConfigError(f"messages: LangChain cannot read them: {str(error).partition(chr(10))[0]}") from None
        return self._prepare(read, None, OuterRun(None, (self.node or "") if node is None else node), model=tier)

    def get_token_ids(self, text: str) -> list[int]:
        """Return the tokens of a text as the top tier's model counts them."""
        model: BaseChatModel = self._engine.ladder.top.model
        # LangChain's default would download GPT-2's tokenizer.
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
        """Return the key of an outer cache: the tiers with their settings, and how one is chosen."""
        key = cache_key(self._engine.ladder, self._engine.policy, stop or self.stop, kwargs)
        rollout = self._engine.rollout
        return key if rollout is None else f"{key}:{rollout.identity}"

    def _convert_cached_generations(self, cache_val: list[Generation]) -> list[ChatGeneration]:
        return [with_cached_usage(generation) for generation in super()._convert_cached_generations(cache_val)]

    def _resolve_model_profile(self) -> ModelProfile | None:
        # From the fields: LangChain asks while it makes the model, before there is an engine.
        rollout = as_rollout([tier.name for tier in self.tiers], mode=self.mode, serve=self.serve, ramp=self.ramp)
        return common_profile([tier for tier in self.tiers if rollout is None or rollout.may_answer(tier.name)])
