"""The tiered LLM."""

from __future__ import annotations

import logging
import pickle
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import aclosing, closing
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM
from llama_index_instrumentation import get_dispatcher
from pydantic import BaseModel, PrivateAttr, ValidationError

from llamaindex_tiers.events import TierDecision
from llamaindex_tiers.hearing import listen
from llamaindex_tiers.messages import needs_of, read_ask, tokens_of
from llamaindex_tiers.metadata import common_metadata
from llamaindex_tiers.performer import LLMPerformer
from llamaindex_tiers.pieces import TIER, last, whole
from llamaindex_tiers.request import Request
from llamaindex_tiers.runs import OuterRun, own_span_id
from llamaindex_tiers.settings import as_tiers, check_judge, common_settings, ladder_of
from llamaindex_tiers.spans import here, watch
from llamaindex_tiers.structured import Shape
from llm_tiers.arguments import check_call_settings, check_known, without_values
from llm_tiers.flow.engine import Outcome
from llm_tiers.integration.chunks import result_last
from llm_tiers.integration.tiered import Tiered, standard_setting
from llm_tiers.ladder.prices import PriceBook
from llm_tiers.policies.named import as_policy

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from llama_index.core.llms.llm import ToolSelection
    from llama_index.core.prompts import PromptTemplate
    from llama_index.core.tools.types import BaseTool

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
    from llm_tiers.trace import Trace

__all__ = ["TieredLLM"]

Model = TypeVar("Model", bound=BaseModel)

logger = logging.getLogger("llm_tiers")
dispatcher = get_dispatcher(__name__)


class TieredLLM(Tiered, FunctionCallingLLM):
    """An LLM that answers each call with the cheapest of its tiers that gets it right.

    A starter picks the first tier from a history of similar past calls, that tier answers, and a judge decides
    whether the answer stands; if not, the call goes one tier up. The top tier is not judged.

    Setup:
        Install the package with its LlamaIndex part, and set the key of the tiers' provider:

        ```bash
        pip install "llm-tiers[llamaindex]"
        export OPENAI_API_KEY="..."
        ```

    Key init args:
        tiers: Two or more LLMs, cheapest first: an LLM, a `Tier(llm, name=..., prior=..., price=...)`, or the name of a
            model of OpenAI's such as `"gpt-5-mini"`.
        history: Where past calls are kept: a folder, the URL of a Chroma server, a `History`, or None: in memory,
            private to this LLM.
        policy: How calls are answered: a `Policy` such as `llm_at()`, or the name of one.
        starter: Replaces the policy's choice of the first tier.
        judge: Replaces the policy's judge; a function of question and answer will do.
        extract: Takes an answer's text and returns the final answer in it, or None; by it answers are compared.
        equal: Takes two answers and returns whether they are the same, or None where it cannot tell.
        compare: Functions by the field of an object or of a tool's arguments that they compare, as in `FinalAnswers`.
        quality: The knob of the default policy, in [0, 1]: 0 is cheapest, 1 as good as the ladder gets.
        audit: Chance, in [0, 1], that all tiers answer a call, for `llm-tiers calibrate`; the answer stays the same.
        settings: A file that `llm-tiers calibrate` wrote, with policy and knob; instead of `policy` and `quality`.
        embedding: What makes vectors of the queries; WordLlama, which needs no network, by default.
        prices: (input, output) in US$ per million tokens, by tier or model name, where the public list lacks them.
        node: Where in your application the calls come from; by default what LlamaIndex's spans tell: agent, workflow
            step, prompt type, class of the object. Calls of different nodes learn apart. Under
            `instrument_tags({"llm_tiers_node": ...})` calls come from that node.
        query_text: Takes the messages and returns the text to find similar calls by; by default the human ask, or what
            the query engine was asked.
        on_trace: Is called with the `Trace` of each call, failed and cancelled ones included.
        context_window: Tokens that LlamaIndex may put into one prompt; by default the smallest of the tiers'.
        temperature, max_tokens, max_retries, api_key: Go to every tier that knows them, and not to the judge but for
            the last two. Tiers below the top retry once where their class would by default do it more often.
        timeout: Seconds to wait for each tier before the call goes one tier up; `Tier(llm, timeout=...)` wins.

        The settings of every LLM (`callback_manager`, `system_prompt`, `output_parser`, `rate_limiter`, ...) are taken
        too; some are by default the tiers' own, where all tiers have the same.

    Instantiate:
        ```python
        from llama_index.core import Settings
        from llama_index.llms.openai import OpenAI
        from llamaindex_tiers import TieredLLM

        Settings.llm = TieredLLM(
            tiers=[OpenAI("gpt-5-nano"), OpenAI("gpt-5-mini"), OpenAI("gpt-5")],
            history="./tiers",
        )
        ```

    Complete and chat:
        ```python
        llm.complete("What is the capital of Australia?")
        llm.complete("What is the capital of Australia?", model="gpt-5")  # this tier and no other
        ```

        Settings of the call (`temperature`, ...) go to the tiers, never to the judge.

    Stream:
        ```python
        for chunk in llm.stream_complete("What is the capital of Australia?"):
            print(chunk.delta, end="")
        ```

        An answer that is not judged (the top tier's, a pinned tier's) streams live. Any other is held back until it
        stands, and then streamed in the chunks that it came in. One more chunk, which says nothing new, carries the
        trace and the tokens.

    Tool calling:
        Agents and `chat_with_tools` work as with any LLM that calls functions. A call that fits its tool's schema is
        accepted without a judge. An unknown tool, arguments that do not fit, malformed JSON, and a missing call where
        one is forced go one tier up.

    Structured output:
        `structured_predict`, `as_structured_llm` and `output_cls`: every tier is asked in its own way. An object of the
        class is accepted without a judge; anything else goes one tier up.

    Response:
        ```python
        answer.additional_kwargs["tiers"]  # tiers tried, verdicts, tokens, seconds, costs, and why
        llm.feedback(answer.additional_kwargs["tiers"]["trace_id"], correct=False)
        ```

        `prompt_tokens`, `completion_tokens` and `total_tokens` beside it are the sums over all model calls, the judge's
        and the rejected tiers' included. Instrumentation hears a `TierDecision` of each call.

    Raises:
        ConfigError: An argument is wrong; the message names it.
        HistoryError: The history cannot be opened. One that fails later never fails a call: the answer comes, with a
            warning in its trace.
        AllTiersFailed: By a call: no tier gave an answer. It holds every tier's error, and the `trace`.
    """

    context_window: int | None = standard_setting()

    _metadata: LLMMetadata = PrivateAttr()

    def __init__(
        self,
        tiers: Iterable[LLM | Tier | str],
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
        query_text: Callable[[Sequence[ChatMessage]], str] | None = None,
        on_trace: TraceHook | None = None,
        context_window: int | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        timeout: float | None = None,
        max_retries: int | None = None,
        api_key: Any = None,
        **others: Any,
    ) -> None:
        check_known(others, type(self).model_fields)
        check_call_settings(node=node, query_text=query_text, on_trace=on_trace)
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
        standard = {
            "temperature": temperature,
            "max_tokens": max_tokens,
            "timeout": timeout,
            "max_retries": max_retries,
        }
        ladder = ladder_of(given, standard)
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
            "context_window": context_window,
            **standard,
            **common_settings(ladder),
            **others,
        }
        try:
            super().__init__(**{name: value for name, value in fields.items() if value is not None})
        except ValidationError as error:
            raise without_values(error) from None
        chosen.check(ladder)
        check_judge(chosen.judge)
        rest = {**standard, "temperature": None, "max_tokens": None}
        judging = ladder if rest == standard else ladder_of(given, rest)
        self._metadata = common_metadata(ladder, context_window)
        self._open(ladder, judging, chosen, price_book, partial(_tell, on_trace))
        watch()
        listen()

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return (("tiers", self._engine.ladder.names), ("policy", self._engine.policy.name))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what the LLM was made of; a folder or a server is opened anew, a history in memory starts empty."""
        return _made, (type(self), _picklable(self._arguments()))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return another LLM, with some arguments changed; it shares what is learned, unless it gets a history.

        Raises:
            ConfigError: An argument is wrong.
        """
        if update and not deep and update.keys() <= LLM.model_fields.keys():
            return BaseModel.model_copy(self, update=update)
        return super().model_copy(update=update, deep=deep)

    @classmethod
    def class_name(cls) -> str:
        """Return the name that LlamaIndex knows the class by."""
        return "TieredLLM"

    @property
    def metadata(self) -> LLMMetadata:
        """What holds for whichever tier answers."""
        return self._metadata

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:  # noqa: FBT001, FBT002
        """Complete a prompt; `model=` pins one tier by name, and other settings go to the tiers."""
        response: CompletionResponse = self._run(Request.complete(prompt, kwargs, formatted=formatted))
        return response

    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:  # noqa: FBT001, FBT002
        """Complete a prompt in asyncio; as `complete`."""
        response: CompletionResponse = await self._arun(Request.complete(prompt, kwargs, formatted=formatted))
        return response

    def stream_complete(
        self,
        prompt: str,
        formatted: bool = False,  # noqa: FBT001, FBT002 -- LlamaIndex's interface
        **kwargs: Any,
    ) -> Generator[CompletionResponse, None, None]:
        """Stream a completion; the last chunk carries the trace and the tokens."""
        return self._stream(Request.complete(prompt, kwargs, formatted=formatted))

    async def astream_complete(
        self,
        prompt: str,
        formatted: bool = False,  # noqa: FBT001, FBT002 -- LlamaIndex's interface
        **kwargs: Any,
    ) -> AsyncGenerator[CompletionResponse, None]:
        """Stream a completion in asyncio; as `stream_complete`."""
        return self._astream(Request.complete(prompt, kwargs, formatted=formatted))

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer messages; `model=` pins one tier by name, and other settings go to the tiers."""
        response: ChatResponse = self._run(Request.chat(messages, kwargs))
        return response

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer messages in asyncio; as `chat`."""
        response: ChatResponse = await self._arun(Request.chat(messages, kwargs))
        return response

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Generator[ChatResponse, None, None]:
        """Stream an answer to messages; the last chunk carries the trace and the tokens."""
        return self._stream(Request.chat(messages, kwargs))

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> AsyncGenerator[ChatResponse, None]:
        """Stream an answer to messages in asyncio; as `stream_chat`."""
        return self._astream(Request.chat(messages, kwargs))

    @dispatcher.span
    def chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,  # noqa: FBT001, FBT002
        allow_parallel_tool_calls: bool = False,  # noqa: FBT001, FBT002
        tool_required: bool = False,  # noqa: FBT001, FBT002
        **kwargs: Any,
    ) -> ChatResponse:
        """Answer messages, with tools that may be called; each tier's LLM is given them in its own way.

        Args:
            tools: The tools.
            user_msg: The last message, or None where the history has it.
            chat_history: The messages before it.
            verbose: As LlamaIndex's LLMs take it.
            allow_parallel_tool_calls: Several tools may be called at once.
            tool_required: A tool must be called.
            **kwargs: What `chat_with_tools` of the tiers takes beside, such as `tool_choice`, and settings of the call.

        Raises:
            ConfigError: There is no message, or something is no tool.
            AllTiersFailed: No tier gave an answer.
        """
        options = _options(verbose, allow_parallel_tool_calls, tool_required)
        response: ChatResponse = self._run(Request.with_tools(tools, user_msg, chat_history, options | kwargs))
        return response

    @dispatcher.span
    async def achat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,  # noqa: FBT001, FBT002
        allow_parallel_tool_calls: bool = False,  # noqa: FBT001, FBT002
        tool_required: bool = False,  # noqa: FBT001, FBT002
        **kwargs: Any,
    ) -> ChatResponse:
        """Answer messages with tools in asyncio; as `chat_with_tools`."""
        options = _options(verbose, allow_parallel_tool_calls, tool_required)
        response: ChatResponse = await self._arun(Request.with_tools(tools, user_msg, chat_history, options | kwargs))
        return response

    @dispatcher.span
    def stream_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,  # noqa: FBT001, FBT002
        allow_parallel_tool_calls: bool = False,  # noqa: FBT001, FBT002
        tool_required: bool = False,  # noqa: FBT001, FBT002
        **kwargs: Any,
    ) -> Generator[ChatResponse, None, None]:
        """Stream an answer with tools; as `chat_with_tools` and `stream_chat`."""
        options = _options(verbose, allow_parallel_tool_calls, tool_required)
        return self._stream(Request.with_tools(tools, user_msg, chat_history, options | kwargs))

    @dispatcher.span
    async def astream_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,  # noqa: FBT001, FBT002
        allow_parallel_tool_calls: bool = False,  # noqa: FBT001, FBT002
        tool_required: bool = False,  # noqa: FBT001, FBT002
        **kwargs: Any,
    ) -> AsyncGenerator[ChatResponse, None]:
        """Stream an answer with tools in asyncio; as `chat_with_tools` and `stream_chat`."""
        options = _options(verbose, allow_parallel_tool_calls, tool_required)
        return self._astream(Request.with_tools(tools, user_msg, chat_history, options | kwargs))

    @dispatcher.span
    def structured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """Fill in a prompt and return an object of a class; each tier's LLM is asked in its own way.

        Args:
            output_cls: A Pydantic class.
            prompt: The template of the prompt.
            llm_kwargs: Settings of the call.
            **prompt_args: What the prompt is filled in with.

        Raises:
            ConfigError: The class or the prompt is none.
            ValueError: No tier gave such an object; what LlamaIndex says of the top tier's answer. So is TypeError.
            AllTiersFailed: No tier gave an answer.
        """
        request = self._structured(output_cls, prompt, llm_kwargs, prompt_args)
        value: Model = self._run(request)
        return value

    @dispatcher.span
    async def astructured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """Return an object in asyncio; as `structured_predict`."""
        request = self._structured(output_cls, prompt, llm_kwargs, prompt_args)
        value: Model = await self._arun(request)
        return value

    @dispatcher.span
    def stream_structured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Any, None, None]:
        """Yield an object as it grows; as `structured_predict` and `stream_chat`."""
        return self._stream(self._structured(output_cls, prompt, llm_kwargs, prompt_args))

    @dispatcher.span
    async def astream_structured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any, None]:
        """Yield an object as it grows in asyncio; as `structured_predict` and `stream_chat`."""
        return self._astream(self._structured(output_cls, prompt, llm_kwargs, prompt_args))

    def get_tool_calls_from_response(
        self,
        response: ChatResponse,
        error_on_no_tool_call: bool = True,  # noqa: FBT001, FBT002 -- LlamaIndex's interface
        **kwargs: Any,
    ) -> list[ToolSelection]:
        """Return the tool calls in a response, as the LLM reads them that gave it.

        Raises:
            ValueError: There is none, and that is an error.
        """
        reader = self._reader_of(response)
        if reader is not None:
            return reader.get_tool_calls_from_response(response, error_on_no_tool_call=error_on_no_tool_call, **kwargs)
        if error_on_no_tool_call:
            raise ValueError("Expected at least one tool call, but no tier can call tools.")
        return []

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,  # noqa: FBT001, FBT002
        allow_parallel_tool_calls: bool = False,  # noqa: FBT001, FBT002
        tool_required: bool = False,  # noqa: FBT001, FBT002
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return what `chat` takes for a chat with tools: the tools themselves, which each tier writes in its way."""
        asked = ChatMessage(content=user_msg) if isinstance(user_msg, str) else user_msg
        messages = [*(chat_history or ()), *([] if asked is None else [asked])]
        options = _options(verbose, allow_parallel_tool_calls, tool_required)
        return {"messages": messages, "tools": list(tools), **options, **kwargs}

    def _reader_of(self, response: ChatResponse) -> FunctionCallingLLM | None:
        """Return the LLM that gave a response; the dearest that calls tools where it is none of ours."""
        answered = response.additional_kwargs.get(TIER)
        callers = [tier for tier in self._engine.ladder if isinstance(tier.model, FunctionCallingLLM)]
        readers: list[FunctionCallingLLM] = [tier.model for tier in callers if tier.name == answered]
        return next(iter(readers), callers[-1].model if callers else None)

    def _structured(
        self,
        output_cls: type[BaseModel],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None,
        prompt_args: Mapping[str, Any],
    ) -> Request:
        shape = Shape(output_cls, prompt, prompt_args, self.pydantic_program_mode)
        return Request.structured(shape, llm_kwargs, self.system_prompt)

    def _run(self, request: Request) -> Any:
        outcome = self._engine.run(*self._prepare(request))
        return _result(request, outcome)

    async def _arun(self, request: Request) -> Any:
        outcome = await self._engine.arun(*self._prepare(request))
        return _result(request, outcome)

    def _stream(self, request: Request) -> Generator[Any, None, None]:
        # Here and not in the generator: when its first chunk is taken, the spans around the call may be closed.
        call, performer = self._prepare(request, streaming=True)
        return self._streamed(call, performer)

    def _astream(self, request: Request) -> AsyncGenerator[Any, None]:
        call, performer = self._prepare(request, streaming=True)
        return self._astreamed(call, performer)

    def _streamed(self, call: Call, performer: LLMPerformer) -> Generator[Any, None, None]:
        run = performer.run
        live = result_last(self._engine.stream(call, performer))
        with run.told_of_errors(), run.open_inside() as inside, closing(inside.taken(live)) as items:
            for item in items:
                if not isinstance(item, Outcome):
                    yield item
        run.tell_end(performer.request, item)
        yield from _ending(item)

    async def _astreamed(self, call: Call, performer: LLMPerformer) -> AsyncGenerator[Any, None]:
        run = performer.run
        with run.told_of_errors(), run.open_inside() as inside:
            async with aclosing(inside.ataken(self._engine.astream(call, performer))) as items:
                async for item in items:
                    if not isinstance(item, Outcome):
                        yield item
        run.tell_end(performer.request, item)
        for end in _ending(item):
            yield end

    def _prepare(self, request: Request, *, streaming: bool = False) -> tuple[Call, LLMPerformer]:
        """Describe a call to the core, and say how its models are called."""
        place = here()
        request = request.read_by(place.parser)
        ask = read_ask(request.messages)
        node = place.node if self.node is None else self.node
        call = self._engine.call(
            (place.query or ask.query) if self.query_text is None else self._own_query(request.messages),
            ask=ask.text,
            context=ask.context,
            since=ask.since,
            node=node if place.tagged_node is None else place.tagged_node,
            pin=request.pin,
            timeout=request.timeout,
            tokens=tokens_of(request.messages),
            needs=needs_of(request.messages, tools=request.offers_tools),
            form=request.form,
        )
        own_prompt = None if request.shape is None else self.system_prompt
        limiter = getattr(self, "rate_limiter", None)  # not in the first versions of 0.14
        run = OuterRun(place, self.callback_manager, limiter, own_prompt)
        return call, LLMPerformer(request, run, streaming=streaming, judging=self._judging)


def _tell(on_trace: TraceHook | None, trace: Trace) -> None:
    dispatcher.event(TierDecision(trace=trace.to_dict(), span_id=own_span_id()))
    if on_trace is not None:
        on_trace(trace)


def _options(verbose: bool, parallel: bool, required: bool) -> dict[str, bool]:  # noqa: FBT001
    """Return what LlamaIndex's methods with tools take by position, by its names."""
    return {"verbose": verbose, "allow_parallel_tool_calls": parallel, "tool_required": required}


def _result(request: Request, outcome: Outcome) -> Any:
    response = whole(outcome)
    return response if request.shape is None else request.shape.taken(response)


def _ending(outcome: Outcome) -> Generator[Any, None, None]:
    end = last(outcome)
    if end is not None:
        yield end


def _picklable(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out callback handlers that cannot be pickled, as LlamaIndex's LLMs do."""
    rest = dict(arguments)
    manager = rest.pop("callback_manager", None)
    try:
        pickle.dumps(manager)
    except (TypeError, AttributeError, pickle.PicklingError):
        logger.warning("the callback manager cannot be pickled and is left out")
        return rest
    return rest if manager is None else {**rest, "callback_manager": manager}


def _made(kind: type[TieredLLM], arguments: Mapping[str, Any]) -> TieredLLM:
    return kind(**arguments)
