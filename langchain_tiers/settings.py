"""What a user gives to the chat model, turned into what the core takes; what is wrong is refused here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableBinding

from langchain_tiers.performer import ChatPerformer
from langchain_tiers.profile import with_profile
from langchain_tiers.request import Request
from langchain_tiers.serialized import discreet
from llm_tiers.arguments import check_api_key, kind_of
from llm_tiers.errors import ConfigError
from llm_tiers.integration import models
from llm_tiers.integration.construction import Framework, TieredArguments
from llm_tiers.integration.models import (
    check_grading_model,
    check_own_models,
    defaults_of,
    rebuilt_or_refused,
    with_defaults,
)
from llm_tiers.ladder.tiers import Ladder, Tier
from llm_tiers.trace import SHORT_TRACE

if TYPE_CHECKING:
    from langchain_core.caches import BaseCache
    from langchain_core.callbacks import Callbacks
    from langchain_core.language_models import ModelProfile
    from langchain_core.messages import BaseMessage
    from langchain_core.rate_limiters import BaseRateLimiter

    from llm_tiers.policies.graders import Grader
    from llm_tiers.policies.judges import Judge

__all__ = ["LANGCHAIN", "ChatModelArguments", "check_inner_callbacks", "check_trace_bytes"]


class ChatModelArguments(TieredArguments, total=False):
    """The arguments of `TieredChatModel`, those of every LangChain chat model included."""

    query_text: Callable[[Sequence[BaseMessage]], str] | None
    inner_callbacks: Sequence[type[BaseCallbackHandler]]
    trace_bytes: int | None
    stop: list[str] | None
    streaming: bool
    name: str | None
    cache: BaseCache | bool | None
    verbose: bool
    callbacks: Callbacks
    tags: list[str] | None
    metadata: dict[str, Any] | None
    custom_get_token_ids: Callable[[str], list[int]] | None
    rate_limiter: BaseRateLimiter | None
    disable_streaming: bool | Literal["tool_calling"]
    output_version: str | None
    profile: ModelProfile | None


def _as_tiers(tiers: object, api_key: object) -> tuple[Tier, ...]:
    """Make tiers of chat models, tiers and model names.

    Args:
        tiers: What the user gives.
        api_key: Goes to the models that know it.

    Raises:
        ConfigError: `tiers` is not a list of two or more of these with different names.
    """
    as_model = partial(_as_model, settings=check_api_key(api_key))
    return models.as_tiers(tiers, BaseChatModel, "chat models", as_model)


def _ladder_of(tiers: Sequence[Tier], settings: Mapping[str, Any], serve: str | None = None) -> Ladder:
    """Make the ladder that calls are answered with.

    Args:
        tiers: The tiers as the user gives them.
        settings: Settings for each tier that knows them; None is none.
        serve: Name of the tier that serves as before, and so retries as before, or None.

    Raises:
        ConfigError: A model does not take a setting.
    """
    known = {name: value for name, value in settings.items() if value is not None}
    made = [
        # A client's time-out ends each of its attempts; the tier's ends all of them together.
        replace(
            tier,
            model=_configured(tier, known, last=tier is tiers[-1] or tier.name == serve),
            timeout=tier.timeout or known.get("timeout"),
        )
        for tier in tiers
    ]
    return Ladder([*map(with_profile, made[:-1]), made[-1]])


def _configured(tier: Tier, settings: Mapping[str, Any], *, last: bool) -> BaseChatModel:
    defaults = defaults_of(tier.model, last=last, timeout=tier.timeout)
    own = {name: value for name, value in defaults.items() if name not in settings}
    model: BaseChatModel = rebuilt_or_refused(with_defaults(tier.model, own), settings, f"tier {tier.name!r}")
    if getattr(model, "stream_usage", True) is None:
        # Without being asked, OpenAI's client leaves the usage out of streams where the base URL is not OpenAI's.
        model = model.model_copy(update={"stream_usage": True})
    return discreet(model)


def _as_model(model: object, argument: str, settings: Mapping[str, Any]) -> BaseChatModel:
    if isinstance(model, str):
        return _named_model(model, argument, settings)
    if isinstance(model, BaseChatModel):
        return rebuilt_or_refused(model, settings, argument)
    fix = f"{model.__name__}(...)" if isinstance(model, type) else "ChatOpenAI(model=..., temperature=...), or a name"
    if isinstance(model, RunnableBinding):
        fix += "; what was bound belongs into the model itself"
    raise ConfigError(f"{argument} is no chat model but {kind_of(model)}; give one, such as {fix}")


def _named_model(name: str, argument: str, settings: Mapping[str, Any]) -> BaseChatModel:
    """Make the model that LangChain knows by this name, such as `openai:gpt-5-mini`."""
    fix = "give 'provider:model', such as 'openai:gpt-5-mini', or the chat model itself"
    if not name or name.endswith(":"):
        raise ConfigError(f"{argument}={name!r} names no model; {fix}")
    try:
        from langchain.chat_models import init_chat_model
    except ImportError:
        raise ConfigError(
            f"{argument}={name!r}: a model's name needs the extra `agents`: pip install 'llm-tiers[agents]'; "
            "or give the chat model itself"
        ) from None
    try:
        model: BaseChatModel = init_chat_model(name, **settings)
    except Exception as error:  # noqa: BLE001 -- each client refuses in its own way, and may show a key further down
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"{argument}={name!r} cannot be made; {fix} ({reason})") from None
    return model


def _check_judge(judge: Judge) -> None:
    """Check that the models of the judge's own are chat models.

    Raises:
        ConfigError: One is not.
    """
    check_own_models(judge, BaseChatModel, "a chat model, such as ChatOpenAI(model=...)")


def _check_grader(grader: Grader) -> None:
    """Check that the grader's model, if it has one of its own, is a chat model.

    Raises:
        ConfigError: It is not.
    """
    check_grading_model(grader, BaseChatModel, "a chat model, such as ChatOpenAI(model=...)")


def _asking(judging: Ladder | None) -> ChatPerformer:
    return ChatPerformer(Request((), {}), judging=judging)


def check_inner_callbacks(inner_callbacks: object) -> None:
    """Check the kinds of handlers that are to be called for the model calls inside.

    Raises:
        ConfigError: It is no list of handler classes.
    """
    # None is no class, so whatever is no list fails the check below.
    kinds = inner_callbacks if isinstance(inner_callbacks, list | tuple) else [None]
    if not all(isinstance(kind, type) and issubclass(kind, BaseCallbackHandler) for kind in kinds):
        raise ConfigError("inner_callbacks must be a list of handler classes, such as [MyCallbackHandler]")


def check_trace_bytes(trace_bytes: object) -> None:
    """Check how long a trace may be.

    Raises:
        ConfigError: It is no number of bytes that any trace has room in.
    """
    # `type`, because True is an int as well.
    if trace_bytes is not None and (type(trace_bytes) is not int or trace_bytes < SHORT_TRACE):
        raise ConfigError(f"trace_bytes={trace_bytes!r} must be at least {SHORT_TRACE} bytes, or None for all of it")


LANGCHAIN = Framework(_as_tiers, _ladder_of, _check_judge, _check_grader, _asking)
"""How tiered chat models are constructed."""
