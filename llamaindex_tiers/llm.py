"""The tiered LLM."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM
from llama_index_instrumentation import get_dispatcher, root_dispatcher
from pydantic import BaseModel, PrivateAttr, ValidationError

from llamaindex_tiers.calls import PreparedCall
from llamaindex_tiers.events import dispatch_decision
from llamaindex_tiers.messages import conversation_of, needs_of, phase_of, read_ask, tokens_of
from llamaindex_tiers.metadata import calls_tools, common_metadata
from llamaindex_tiers.performer import LLMPerformer
from llamaindex_tiers.pickling import remake, without_unpicklable_callbacks
from llamaindex_tiers.reading import told_reading
from llamaindex_tiers.readings import known_reading
from llamaindex_tiers.request import STANDARD_SETTINGS, Request, conversation, tool_options
from llamaindex_tiers.responses import record_responses
from llamaindex_tiers.runs import OuterRun
from llamaindex_tiers.settings import LLAMAINDEX, LLMArguments, common_settings
from llamaindex_tiers.spans import current_place, keep_open_spans
from llamaindex_tiers.structured import Shape
from llamaindex_tiers.tool_history import is_mixed
from llamaindex_tiers.tools import tool_call_reader
from llm_tiers.arguments import without_values
from llm_tiers.errors import ConfigError
from llm_tiers.integration.construction import Construction
from llm_tiers.integration.tiered import Tiered, hidden_setting
from llm_tiers.telemetry.others import makes_spans

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llama_index.core.chat_engine.types import AgentChatResponse
    from llama_index.core.llms.llm import ToolSelection
    from llama_index.core.prompts import PromptTemplate
    from llama_index.core.tools.types import BaseTool

    from llm_tiers.call.call import Call
    from llm_tiers.integration.asker import Message
    from llm_tiers.ladder.tiers import Tier

__all__ = ["TieredLLM"]

Model = TypeVar("Model", bound=BaseModel)

_SETTABLE = frozenset({*STANDARD_SETTINGS, "context_window"})

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
        namespace: The part of the folder or server that this model's history uses, `"default"` by default: models with
            another one learn apart.
        policy: How calls are answered: a `Policy` such as `llm_at()`, or the name of one.
        starter: Replaces the policy's choice of the first tier.
        judge: Replaces the policy's judge; a function of question and answer will do. Beside `policy="default"` it
            gives verdicts, and rules that ask for them are learned too.
        extract: Takes an answer's text and returns the final answer in it, or None; by it answers are compared.
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
            Conversations that begin alike count as one.
        observe_share: Largest share of what the served calls cost that asking the other tiers off the path may add, in
            [0, 1]; 0.2 by default.
        observe_usd: Most US$ that it may cost in all, as long as the model lives; by default no bound but the share.
        settings: A file that `llm-tiers calibrate` wrote, with policy and knob; instead of `policy` and `quality`.
        embedding: What makes vectors of the queries; WordLlama, which needs no network, by default.
        prices: (input, output) in US$ per million tokens, by tier or model name, where the public list lacks them.
        node: Where in your application the calls come from; by default what LlamaIndex's spans say: agent and its
            phase, workflow step, prompt type, component, class of the object. Calls of different nodes learn apart.
            Under `instrument_tags({"llm_tiers_node": ...})` calls come from that node; `for_node` gives a view with
            another node.
        query_text: Takes the messages and returns the text to find similar calls by; by default the human ask, or what
            the query engine was asked.
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
        context_window: Tokens that LlamaIndex may put into one prompt; by default the least of the tiers.
        parse: Takes a text and returns what your application parses it to, for all calls of the LLM that want plain
            text; `parse=` of a call goes first. Where it raises or returns None, the call goes one tier up; answers
            that it parses are compared by what it returns.
        temperature, max_tokens, max_retries, api_key: Go to every tier that knows them, and not to the judge but for
            the last two. Tiers below the top retry once where their class would by default do it more often.
        timeout: Seconds to wait for each tier before the call goes one tier up; `Tier(llm, timeout=...)` wins. 300 by
            default; in sync code the tier's client then keeps it, as far as its class has a time-out.

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
        llm.complete("What is the capital of Australia?", principal="ada")  # who asks
        ```

        `principal` is kept hashed; a query engine's calls have it from `instrument_tags({"llm_tiers_principal": ...})`.
        One that makes more of a node's calls than others do moves nobody else's, and only it gives feedback on its
        answers.

        Settings of the call (`temperature`, ...) go to the tiers, never to the judge. With `parse=json.loads` a text
        that cannot be parsed goes one tier up.

    Stream:
        ```python
        for chunk in llm.stream_complete("What is the capital of Australia?"):
            print(chunk.delta, end="")
        ```

        An answer that is not judged (the top tier's, a pinned tier's) streams live. Any other is held back until it
        stands, and then streamed in the chunks that it came in. The last chunk carries the trace and the tokens, at the
        latest when the stream has ended.

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

        `tiers_of(result)` finds the tier and the trace id in what query engines, chat engines, agents and structured
        LLMs return, and in an object of `structured_predict`.

        `prompt_tokens`, `completion_tokens` and `total_tokens` beside it are the sums over all model calls, the judge's
        and the rejected tiers' included. A `TierDecision` event is dispatched for each call.

    Raises:
        ConfigError: An argument is wrong; the message names it.
        HistoryError: The history cannot be opened. One that fails later never fails a call: the answer comes, with a
            warning in its trace.
        AllTiersFailed: By a call: no tier gave an answer. It holds every tier's error, and the `trace`. It is raised at
            once for a mistake that no tier could mend: before any request where LlamaIndex finds it, else after one
            request to each provider of the ladder.
    """

    # Not frozen: applications set these when the LLM has been made, as they do with other LLMs.
    temperature: float | None = None
    max_tokens: int | None = None
    timeout: float | None = None
    max_retries: int | None = None
    context_window: int | None = None
    parse: Any = hidden_setting()

    _metadata: LLMMetadata = PrivateAttr()
    _mixed: bool = PrivateAttr(default=False)

    def __init__(self, tiers: Iterable[LLM | Tier | str], **arguments: Unpack[LLMArguments]) -> None:
        construction = Construction.of(LLAMAINDEX, type(self), tiers, arguments)
        if arguments.get("parse") is not None:
            told_reading(arguments["parse"])
        standard = {name: arguments.get(name) for name in STANDARD_SETTINGS}
        # Before the fields are set: what all tiers agree on is the default of some of them.
        ladder = construction.ladder(standard)
        construction.initialise(super().__init__, **common_settings(ladder))
        ladders = construction.ladders(ladder, standard)
        rollout = construction.rollout
        answering = [tier for tier in ladder if rollout is None or rollout.may_answer(tier.name)]
        self._metadata = common_metadata(ladder, arguments.get("context_window"), answering)
        self._mixed = is_mixed(ladder)
        self._open(construction, ladders, arguments.get("on_trace"), dispatch_decision)
        # On LlamaIndex's root dispatcher, which the spans and events of all its parts reach.
        keep_open_spans()
        record_responses()

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; a setting of the tiers goes to them, as if the LLM had been made with it.

        Raises:
            ConfigError: A tier cannot take the value.
        """
        if name not in _SETTABLE:
            super().__setattr__(name, value)
            return
        made = self.model_copy(update={name: value})
        self._engine = self._engine.over(made._engine.ladder)  # noqa: SLF001 -- a copy of its own class
        self._judging, self._metadata = made._judging, made._metadata  # noqa: SLF001
        self.__dict__[name] = getattr(made, name)
        self.__pydantic_fields_set__.add(name)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what the LLM was made of; a folder or a server is opened anew, a history in memory starts empty."""
        return remake, (type(self), without_unpicklable_callbacks(self._arguments()))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return another LLM, with some arguments changed; it shares what is learned, unless it gets a history.

        Raises:
            ConfigError: An argument is wrong.
        """
        if update and not deep and update.keys() <= LLM.model_fields.keys():
            # LlamaIndex's own fields, such as the callback manager, are read at each call: the engine stays.
            return BaseModel.model_copy(self, update=update)
        return super().model_copy(update=update, deep=deep)

    def for_node(self, node: str) -> Self:
        """Return a view of the LLM whose calls come from a node of their own; it shares everything else.

        Two query engines of one class over different indices learn apart with `llm.for_node("docs")` and
        `llm.for_node("tickets")`. Closing a view closes the LLM.

        Args:
            node: The name; `/` separates levels.

        Raises:
            ConfigError: It is no name.
        """
        if not isinstance(node, str) or not node:
            raise ConfigError(f"node must be a name, such as 'docs', not {node!r:.80}")
        return BaseModel.model_copy(self, update={"node": node})

    @classmethod
    def class_name(cls) -> str:
        """Return the name that LlamaIndex knows the class by."""
        return "TieredLLM"

    @classmethod
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> Self:
        """Make an LLM of what `to_dict` returns and of `tiers=`, which it leaves out because they hold keys.

        Args:
            data: The settings.
            **kwargs: The arguments of the constructor that the settings lack, `tiers` first of all.

        Raises:
            ConfigError: There are no tiers, or an argument is wrong.
        """
        if "tiers" not in {**data, **kwargs}:
            raise ConfigError(
                "tiers: a dict of the LLM leaves out its tiers, policy and history, which may hold keys; give them: "
                "TieredLLM.from_dict(data, tiers=[...], history=...)"
            )
        made: Self = super().from_dict(data, **kwargs)
        return made

    @property
    def model(self) -> str:
        """The name that stands for all tiers, as `metadata.model_name`."""
        return self._metadata.model_name

    @property
    def metadata(self) -> LLMMetadata:
        """What is true of every tier that may answer."""
        return self._metadata

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:  # noqa: FBT001, FBT002
        """Complete a prompt; `model=` pins one tier by name, and other settings go to the tiers."""
        response: CompletionResponse = self._prepare(Request.complete(prompt, kwargs, formatted=formatted)).run()
        return response

    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:  # noqa: FBT001, FBT002
        """Complete a prompt in asyncio; as `complete`."""
        response: CompletionResponse = await self._prepare(Request.complete(prompt, kwargs, formatted=formatted)).arun()
        return response

    def stream_complete(
        self,
        prompt: str,
        formatted: bool = False,  # noqa: FBT001, FBT002 -- LlamaIndex's interface
        **kwargs: Any,
    ) -> Generator[CompletionResponse, None, None]:
        """Stream a completion; the last chunk carries the trace and the tokens."""
        return self._prepare(Request.complete(prompt, kwargs, formatted=formatted), streaming=True).stream()

    async def astream_complete(
        self,
        prompt: str,
        formatted: bool = False,  # noqa: FBT001, FBT002 -- LlamaIndex's interface
        **kwargs: Any,
    ) -> AsyncGenerator[CompletionResponse, None]:
        """Stream a completion in asyncio; as `stream_complete`."""
        return self._prepare(Request.complete(prompt, kwargs, formatted=formatted), streaming=True).astream()

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer messages; `model=` pins one tier by name, and other settings go to the tiers."""
        response: ChatResponse = self._prepare(Request.chat(messages, kwargs)).run()
        return response

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer messages in asyncio; as `chat`."""
        response: ChatResponse = await self._prepare(Request.chat(messages, kwargs)).arun()
        return response

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Generator[ChatResponse, None, None]:
        """Stream an answer to messages; the last chunk carries the trace and the tokens."""
        return self._prepare(Request.chat(messages, kwargs), streaming=True).stream()

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> AsyncGenerator[ChatResponse, None]:
        """Stream an answer to messages in asyncio; as `stream_chat`."""
        return self._prepare(Request.chat(messages, kwargs), streaming=True).astream()

    # LlamaIndex opens spans by itself only for methods that are abstract or decorated in a base class, which these four
    # are not.

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
            **kwargs: What else `chat_with_tools` of the tiers takes, such as `tool_choice`, and settings of the call.

        Raises:
            ConfigError: There is no message, or something is no tool.
            AllTiersFailed: No tier gave an answer.
        """
        options = tool_options(verbose, allow_parallel_tool_calls, tool_required, kwargs)
        response: ChatResponse = self._prepare(Request.with_tools(tools, user_msg, chat_history, options)).run()
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
        options = tool_options(verbose, allow_parallel_tool_calls, tool_required, kwargs)
        response: ChatResponse = await self._prepare(Request.with_tools(tools, user_msg, chat_history, options)).arun()
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
        options = tool_options(verbose, allow_parallel_tool_calls, tool_required, kwargs)
        return self._prepare(Request.with_tools(tools, user_msg, chat_history, options), streaming=True).stream()

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
        options = tool_options(verbose, allow_parallel_tool_calls, tool_required, kwargs)
        return self._prepare(Request.with_tools(tools, user_msg, chat_history, options), streaming=True).astream()

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
        value: Model = self._prepare(self._structured(output_cls, prompt, llm_kwargs, prompt_args)).run()
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
        value: Model = await self._prepare(self._structured(output_cls, prompt, llm_kwargs, prompt_args)).arun()
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
        return self._prepare(self._structured(output_cls, prompt, llm_kwargs, prompt_args), streaming=True).stream()

    @dispatcher.span
    async def astream_structured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any, None]:
        """Yield an object as it grows in asyncio; as `structured_predict` and `stream_chat`."""
        return self._prepare(self._structured(output_cls, prompt, llm_kwargs, prompt_args), streaming=True).astream()

    def predict_and_call(self, *args: Any, **kwargs: Any) -> AgentChatResponse:
        """Have tools called and return what they gave; in words where no tier's class takes tools."""
        if self._has_function_calling_tier():
            return super().predict_and_call(*args, **kwargs)
        return LLM.predict_and_call(self, *args, **kwargs)

    async def apredict_and_call(self, *args: Any, **kwargs: Any) -> AgentChatResponse:
        """Have tools called in asyncio; as `predict_and_call`."""
        if self._has_function_calling_tier():
            return await super().apredict_and_call(*args, **kwargs)
        return await LLM.apredict_and_call(self, *args, **kwargs)

    def _has_function_calling_tier(self) -> bool:
        # By the class: only from one of these is the method for it inherited.
        return any(calls_tools(tier) and isinstance(tier.model, FunctionCallingLLM) for tier in self._engine.ladder)

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
        # Agents call this for every chunk of a stream, so it must not search or parse more than it has to.
        reader = tool_call_reader(self._engine.ladder, response)
        if reader is not None:
            own = {"error_on_no_tool_call": error_on_no_tool_call, **kwargs}
            return list(reader.get_tool_calls_from_response(response, **own))
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
        options = tool_options(verbose, allow_parallel_tool_calls, tool_required, kwargs)
        # The tools themselves: dicts in one provider's format could not be turned into another's.
        return {"messages": conversation(user_msg, chat_history), "tools": list(tools), **options}

    def _structured(
        self,
        output_cls: type[BaseModel],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None,
        prompt_args: Mapping[str, Any],
    ) -> Request:
        shape = Shape(output_cls, prompt, prompt_args, self.pydantic_program_mode)
        return Request.structured(shape, llm_kwargs, self.system_prompt)

    def _prepare(self, request: Request, *, streaming: bool = False) -> PreparedCall:
        """Describe a call to the core, and say how its models are called.

        It must run in the public method and not in the generator that the method returns: by the time a consumer takes
        the first chunk, the spans that show where the call comes from may be closed.
        """
        place = current_place()
        request = replace(request, mixed=self._mixed).read_by(known_reading(place, request.messages), self.parse)
        ask = read_ask(request.messages)
        spans_say = f"{place.node}/{phase_of(request.messages)}" if place.steps else place.node
        node = spans_say if self.node is None else self.node
        call = self._engine.call(
            # The prompt of a query engine holds the retrieved texts too, and is similar to those of other questions.
            (place.query or ask.query) if self.query_text is None else self._query_by_function(request.messages),
            ask=ask.text,
            context=ask.context,
            since=ask.since,
            node=node if place.tagged_node is None else place.tagged_node,
            pin=request.pin,
            settings=frozenset(request.settings),
            timeout=request.timeout,
            principal=place.tagged_principal if request.principal is None else request.principal,
            tokens=tokens_of(request.messages),
            needs=needs_of(request.messages, tools=request.offers_tools),
            form=request.form,
            conversation=conversation_of(request.messages),
            kind=request.kind,
            messages=tuple(request.messages),
            traced=makes_spans(root_dispatcher.span_handlers),
        )
        # In a chat LlamaIndex has put it among the messages; for an object each tier makes its messages itself.
        own_prompt = None if request.shape is None else self.system_prompt
        # The first versions of llama-index-core 0.14 have no rate limiter.
        limiter = getattr(self, "rate_limiter", None)
        run = OuterRun(place, self.callback_manager, limiter, own_prompt)
        performer = LLMPerformer(request, run, streaming=streaming, judging=self._judging)
        return PreparedCall(self._engine, call, performer)

    def _described(self, messages: Sequence[Message], tier: str, node: str | None) -> tuple[Call, LLMPerformer]:
        try:
            read = [ChatMessage(**message) for message in messages]
        except (ValueError, TypeError) as error:
            detail = str(without_values(error)) if isinstance(error, ValidationError) else str(error)
            raise ConfigError(f"messages: LlamaIndex cannot read them: {detail}") from None
        prepared = self._prepare(Request.chat(read, {"model": tier}))
        call = prepared.call if node is None else replace(prepared.call, node=node)
        return call, prepared.performer
