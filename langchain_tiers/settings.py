"""What a user gives to the chat model, turned into what the core takes; what is wrong is refused here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableBinding
from pydantic import SecretStr

from langchain_tiers.profile import with_profile
from llm_tiers.errors import ConfigError
from llm_tiers.rebuild import known_settings, rebuilt
from llm_tiers.tiers import Ladder, Tier

if TYPE_CHECKING:
    from llm_tiers.judges import Judge

__all__ = ["as_tiers", "check_call_settings", "check_judge", "ladder_of"]


def as_tiers(tiers: object, *, api_key: object = None) -> tuple[Tier, ...]:
    """Make tiers of chat models, tiers and model names.

    Args:
        tiers: What the user gives.
        api_key: Goes to the models that know it.

    Raises:
        ConfigError: `tiers` is not a list of two or more of these with different names.
    """
    # A chat model is iterable too, over its fields.
    if isinstance(tiers, str | Mapping | Tier | BaseChatModel) or not isinstance(tiers, Iterable):
        raise ConfigError(f"tiers must be a list of chat models, cheapest first, not {type(tiers).__name__}")
    if api_key is not None and not isinstance(api_key, str | SecretStr) and not callable(api_key):
        raise ConfigError(f"api_key must be a key, not {_kind(api_key)}")
    settings = {} if api_key is None else {"api_key": api_key}
    return tuple(Ladder(_as_tier(tier, f"tiers[{position}]", settings) for position, tier in enumerate(tiers)))


def ladder_of(tiers: Sequence[Tier], settings: Mapping[str, Any]) -> Ladder:
    """Make the ladder that calls are answered with.

    Args:
        tiers: The tiers as the user gives them.
        settings: Settings for each tier that knows them; None is none.

    Raises:
        ConfigError: A model does not take a setting.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    made = [
        replace(tier, model=_configured(tier, given), timeout=tier.timeout or given.get("timeout")) for tier in tiers
    ]
    return Ladder([*map(with_profile, made[:-1]), made[-1]])


def _configured(tier: Tier, settings: Mapping[str, Any]) -> BaseChatModel:
    model = _rebuilt(tier.model, settings, f"tier {tier.name!r}")
    if getattr(model, "stream_usage", True) is None:
        # Without being asked, OpenAI's client leaves the usage out of streams where the base URL is not OpenAI's.
        return model.model_copy(update={"stream_usage": True})
    return model


def _rebuilt(model: BaseChatModel, settings: Mapping[str, Any], argument: str) -> BaseChatModel:
    try:
        return rebuilt(model, settings)
    except Exception as error:  # noqa: BLE001 -- each class refuses in its own way, and may show a key
        names = ", ".join(known_settings(model, settings))
        raise ConfigError(f"{argument} does not take {names}: {type(error).__name__}") from None


def _as_tier(given: object, argument: str, settings: Mapping[str, Any]) -> Tier:
    if not isinstance(given, Tier):
        return Tier(_as_model(given, argument, settings))
    return replace(given, model=_as_model(given.model, argument, settings))


def _as_model(given: object, argument: str, settings: Mapping[str, Any]) -> BaseChatModel:
    if isinstance(given, str):
        return _named_model(given, argument, settings)
    if isinstance(given, BaseChatModel):
        return _rebuilt(given, settings, argument)
    fix = f"{given.__name__}(...)" if isinstance(given, type) else "ChatOpenAI(model=..., temperature=...), or a name"
    if isinstance(given, RunnableBinding):
        fix += "; what was bound belongs into the model itself"
    # Only the type is shown: whatever this is, it may hold a key.
    raise ConfigError(f"{argument} is no chat model but {_kind(given)}; give one, such as {fix}")


def _kind(given: object) -> str:
    return f"the class {given.__name__}" if isinstance(given, type) else f"a {type(given).__name__}"


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


def check_judge(judge: Judge) -> None:
    """Check that the models of the judge's own are chat models.

    Raises:
        ConfigError: One is not.
    """
    for tier in judge.own_tiers():
        if not isinstance(tier.model, BaseChatModel):
            raise ConfigError(
                f"judge: its model must be a chat model, such as ChatOpenAI(model=...), not {_kind(tier.model)}"
            )


def check_call_settings(*, node: object, query_text: object, on_trace: object, inner_callbacks: object) -> None:
    """Check what describes the calls.

    Raises:
        ConfigError: One is of another kind.
    """
    if node is not None and not isinstance(node, str):
        raise ConfigError(f"node must be a name, such as 'research/plan', or None, not {_kind(node)}")
    kinds = inner_callbacks if isinstance(inner_callbacks, list | tuple) else [None]
    if not all(isinstance(kind, type) and issubclass(kind, BaseCallbackHandler) for kind in kinds):
        raise ConfigError("inner_callbacks must be a list of handler classes, such as [MyCallbackHandler]")
    for argument, function in (("query_text", query_text), ("on_trace", on_trace)):
        if function is not None and not callable(function):
            raise ConfigError(f"{argument} must be a function of one argument, or None, not {_kind(function)}")
