"""What a user gives to the LLM, turned into what the core takes; what is wrong is refused here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from llama_index.core.callbacks import CallbackManager
from llama_index.core.llms import LLM
from pydantic import SecretStr

from llamaindex_tiers.metadata import check_metadata, with_abilities
from llamaindex_tiers.performer import LLMPerformer
from llamaindex_tiers.request import Request
from llamaindex_tiers.runs import OuterRun
from llamaindex_tiers.spans import Place
from llamaindex_tiers.usage import AskedForUs
from llm_tiers.arguments import check_api_key, kind_of
from llm_tiers.errors import ConfigError
from llm_tiers.integration import models
from llm_tiers.integration.construction import Framework, TieredArguments
from llm_tiers.integration.models import (
    check_grading_model,
    check_own_models,
    defaults_of,
    known_settings,
    rebuilt_or_refused,
    with_defaults,
)
from llm_tiers.ladder.tiers import Ladder, Tier

if TYPE_CHECKING:
    from llama_index.core.base.llms.types import ChatMessage
    from llama_index.core.prompts import BasePromptTemplate
    from llama_index.core.types import BaseOutputParser, PydanticProgramMode

    from llm_tiers.policies.graders import Grader
    from llm_tiers.policies.judges import Judge

__all__ = ["LLAMAINDEX", "LLMArguments", "common_settings"]

_COMMON = ("system_prompt", "messages_to_prompt", "completion_to_prompt", "output_parser", "pydantic_program_mode")
"""What LlamaIndex's LLMs do around a model call; around all tiers where it is the same for all."""

_RETRIES = "max_retries"
_OF_CLIENTS = (_RETRIES, "timeout", "api_key")
"""Settings that a client is made with."""


class LLMArguments(TieredArguments, total=False):
    """The arguments of `TieredLLM`, those of every LLM of LlamaIndex's included."""

    query_text: Callable[[Sequence[ChatMessage]], str] | None
    context_window: int | None
    parse: Callable[[str], Any] | None
    callback_manager: CallbackManager
    system_prompt: str | None
    messages_to_prompt: Callable[[Sequence[ChatMessage]], str] | None
    completion_to_prompt: Callable[[str], str] | None
    output_parser: BaseOutputParser | None
    pydantic_program_mode: PydanticProgramMode
    query_wrapper_prompt: BasePromptTemplate | None
    rate_limiter: Any


def _as_tiers(tiers: object, api_key: object) -> tuple[Tier, ...]:
    """Make tiers of LLMs, tiers and names of OpenAI's models.

    Args:
        tiers: What the user gives.
        api_key: Goes to the models that know it.

    Raises:
        ConfigError: `tiers` is not a list of two or more of these with different names.
    """
    settings = check_api_key(api_key)
    if isinstance(api_key, SecretStr):
        settings = {"api_key": api_key.get_secret_value()}  # LlamaIndex's LLMs take plain text
    return models.as_tiers(tiers, LLM, "LLMs", partial(_as_model, settings=settings))


def _ladder_of(tiers: Sequence[Tier], settings: Mapping[str, Any], serve: str | None = None) -> Ladder:
    """Make the ladder that calls are answered with.

    Args:
        tiers: The tiers as the user gives them.
        settings: Settings for each tier that knows them; None is none.
        serve: Name of the tier that serves as before, and so retries as before, or None.

    Raises:
        ConfigError: A model does not take a setting, or has no metadata.
    """
    known = {name: value for name, value in settings.items() if value is not None}
    made = [
        # A client's time-out ends each of its attempts; the tier's ends all of them together.
        replace(tier, model=_with_settings(tier, known), timeout=tier.timeout or known.get("timeout"))
        for tier in tiers
    ]
    if "timeout" not in known:
        made = [replace(tier, model=_with_time_out(tier)) for tier in made]
    if _RETRIES not in known:
        below = [tier for tier in made[:-1] if tier.name != serve]
        made = [replace(tier, model=_retrying_once(tier.model)) if tier in below else tier for tier in made]
    for tier in made:
        check_metadata(tier)
    return Ladder([*(with_abilities(tier) for tier in made[:-1]), with_abilities(made[-1], last=True)])


def common_settings(ladder: Ladder) -> dict[str, Any]:
    """Return those of LlamaIndex's settings that are the same for all tiers."""
    first, *others = [tier.model for tier in ladder]
    return {
        name: getattr(first, name)
        for name in _COMMON
        if all(getattr(other, name) == getattr(first, name) for other in others)
    }


def _check_judge(judge: Judge) -> None:
    """Check that the models of the judge's own are LLMs.

    Raises:
        ConfigError: One is not.
    """
    check_own_models(judge, LLM, "an LLM, such as OpenAI(model=...)")


def _check_grader(grader: Grader) -> None:
    """Check that the grader's model, if it has one of its own, is an LLM.

    Raises:
        ConfigError: It is not.
    """
    check_grading_model(grader, LLM, "an LLM, such as OpenAI(model=...)")


def _asking(judging: Ladder | None) -> LLMPerformer:
    run = OuterRun(Place(None, {}), CallbackManager())
    return LLMPerformer(Request("chat", (), {}), run, judging=judging)


def _as_model(model: object, argument: str, settings: Mapping[str, Any]) -> LLM:
    if isinstance(model, str):
        return _named_model(model, argument, settings)
    if isinstance(model, LLM):
        return _renewed(model, rebuilt_or_refused(model, settings, argument), settings)
    fix = (
        f"{model.__name__}(...)" if isinstance(model, type) else "OpenAI(model=...), or the name of a model of OpenAI's"
    )
    raise ConfigError(f"{argument} is no LLM but {kind_of(model)}; give one, such as {fix}")


def _named_model(name: str, argument: str, settings: Mapping[str, Any]) -> LLM:
    """Make OpenAI's model of this name, with or without `openai:` before it."""
    fix = "give the name of a model of OpenAI's, such as 'gpt-5-mini', or the LLM itself"
    provider, _, model = name.rpartition(":")
    if not model or provider not in ("", "openai"):
        raise ConfigError(f"{argument}={name!r} names no model of OpenAI's; {fix}")
    try:
        from llama_index.llms.openai import OpenAI
    except ImportError:
        raise ConfigError(
            f"{argument}={name!r}: a model's name needs the package llama-index-llms-openai, which the extra "
            "`llamaindex` brings: pip install 'llm-tiers[llamaindex]'; or give the LLM itself"
        ) from None
    try:
        made: LLM = OpenAI(model=model, **settings)
        made.metadata  # noqa: B018 -- it knows the names, and raises
    except ValueError as error:
        reason = str(error).partition(". Please")[0]
        raise ConfigError(f"{argument}={name!r} cannot be made; {fix} ({reason})") from None
    return made


def _with_settings(tier: Tier, settings: Mapping[str, Any]) -> LLM:
    model: LLM = tier.model
    made = _renewed(model, rebuilt_or_refused(model, settings, f"tier {tier.name!r}"), settings)
    if _streams_like_openai(made) and "stream_options" not in made.additional_kwargs:  # type: ignore[attr-defined]
        # Without being asked, OpenAI leaves the usage out of streams.
        asking = {**made.additional_kwargs, "stream_options": AskedForUs(include_usage=True)}  # type: ignore[attr-defined]
        return made.model_copy(update={"additional_kwargs": asking})
    return made


def _with_time_out(tier: Tier) -> LLM:
    """Return the tier's model with a time-out where its class would wait as long as its client likes."""
    model: LLM = tier.model
    defaults = defaults_of(model, last=True, timeout=tier.timeout)
    return _renewed(model, with_defaults(model, defaults), defaults)


def _streams_like_openai(model: LLM) -> bool:
    # By name: the package need not be there.
    kinds = ((kind.__module__, kind.__name__) for kind in type(model).__mro__)
    return ("llama_index.llms.openai.base", "OpenAI") in kinds


def _retrying_once(model: LLM) -> LLM:
    """Return a model that retries once where its class would retry more often: the next tier up is the better retry.

    LlamaIndex's OpenAI gives its number of retries to the client and retries around it as often.
    """
    field = type(model).model_fields.get(_RETRIES)
    often = getattr(model, _RETRIES, None)
    # Another number than the class's own is the user's choice.
    if field is None or often != field.default or not isinstance(often, int) or often <= 1:
        return model
    fewer = {_RETRIES: 1}
    return _renewed(model, model.model_copy(update=fewer), fewer)


def _renewed(old: LLM, new: LLM, settings: Mapping[str, Any]) -> LLM:
    """Let a model with new settings have the clients of the old one, with those settings."""
    known = {name: value for name, value in known_settings(old, settings).items() if name in _OF_CLIENTS}
    if new is old or new.__pydantic_private__ is None:
        return new
    for name, value in (old.__pydantic_private__ or {}).items():
        made = new.__pydantic_private__.get(name)
        # OpenAI's and Anthropic's clients make another one with other settings over the same connections. Anthropic's
        # class makes one at once, and without the key, which only the old one has.
        renew = getattr(value, "with_options", None)
        if made is None or made is value or renew is not None:
            new.__pydantic_private__[name] = renew(**known) if renew is not None and known else value
    return new


LLAMAINDEX = Framework(_as_tiers, _ladder_of, _check_judge, _check_grader, _asking)
"""How tiered LLMs are constructed."""
