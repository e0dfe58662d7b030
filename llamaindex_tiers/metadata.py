"""What LlamaIndex's metadata say of the tiers, and of all of them together."""

from __future__ import annotations

from dataclasses import replace
from inspect import signature
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import LLMMetadata, MessageRole
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW, DEFAULT_NUM_OUTPUTS

from llm_tiers.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_tiers.ladder.tiers import Ladder, Tier

__all__ = ["calls_tools", "check_metadata", "common_metadata", "has_tool_methods", "with_abilities"]

_CAPABILITIES = frozenset({"tools", "images"})
"""What a call may need."""


def check_metadata(tier: Tier) -> None:
    """Check that a tier's model can say what it is.

    Raises:
        ConfigError: It cannot, such as OpenAI's class with a model that is none of OpenAI's.
    """
    try:
        tier.model.metadata  # noqa: B018 -- it raises
    except Exception as error:  # noqa: BLE001 -- each class refuses in its own way
        # What follows lists all models that the class knows.
        reason = str(error).partition(". Please")[0]
        raise ConfigError(
            f"tiers: {tier.name!r} cannot say what it is ({reason}); a model behind another server is an "
            "OpenAILike(model=..., is_chat_model=True, is_function_calling_model=True)"
        ) from None


def with_abilities(tier: Tier, *, last: bool = False) -> Tier:
    """Fill in what a tier's model cannot do, as far as its metadata say so and the user has not.

    Args:
        tier: The tier.
        last: It is the top, which is not skipped for a long input: its length is only estimated.
    """
    window, capabilities = tier.context_window, tier.capabilities
    if window is None and not last:
        window = _for_prompts(tier.model)
    if capabilities is None and not calls_tools(tier):
        capabilities = _CAPABILITIES - {"tools"}
    return replace(tier, context_window=window, capabilities=capabilities)


def common_metadata(ladder: Ladder, context_window: int | None, answering: Sequence[Tier] | None = None) -> LLMMetadata:
    """Return what is true of every tier that may answer; it is the same for every call.

    Args:
        ladder: The tiers.
        context_window: What the user says of it; by default that of the tier whose prompts may be shortest.
        answering: The tiers whose answers a user may get; by default all.
    """
    tiers = tuple(ladder) if answering is None else tuple(answering)
    each = [tier.model.metadata for tier in tiers]
    roles = {metadata.system_role for metadata in each}
    window, output = _room(tiers, context_window)
    return LLMMetadata(
        context_window=window,
        num_output=output,
        is_chat_model=any(metadata.is_chat_model for metadata in each),
        # One is enough, since tiers that cannot are skipped where tools are offered. As they say, whatever their class:
        # by this LlamaIndex chooses how it asks, and it should ask as it would ask the tiers.
        is_function_calling_model=any(metadata.is_function_calling_model for metadata in each),
        model_name=f"tiered({','.join(ladder.names)})",
        system_role=roles.pop() if len(roles) == 1 else MessageRole.SYSTEM,
    )


def _room(tiers: Sequence[Tier], given: int | None) -> tuple[int, int]:
    """Return a context window and what of it is kept free for the answer: both of the same tier.

    LlamaIndex fills prompts up to the difference. One tier's window less another's answer may leave nothing.
    """
    outputs = [tier.model.metadata.num_output for tier in tiers]
    windows = map(_stated_window, tiers)
    stated = [(window, output) for window, output in zip(windows, outputs, strict=True) if window is not None]
    # -1 is LlamaIndex's word for "not known".
    window, output = min(
        stated or [(DEFAULT_CONTEXT_WINDOW, max(outputs))],
        key=lambda room: room[0] - (room[1] if room[1] >= 0 else DEFAULT_NUM_OUTPUTS),
    )
    if given is None:
        return (window, output) if stated else (window, min(output, window // 4))
    # The user speaks of prompts; the answer has its room in the windows of the models.
    return given, min(output, given // 4)


def _stated_window(tier: Tier) -> int | None:
    """Return the context window that the user or the model's class knows of; None for a default of the class."""
    # What `with_abilities` filled in leaves out the room for the answer.
    if tier.context_window in (None, _for_prompts(tier.model)):
        return _known_window(tier.model)
    return tier.context_window


def _for_prompts(model: Any) -> int | None:
    """Return how much of a model's window a prompt may take: providers count the answer's room as well."""
    window = _known_window(model)
    return None if window is None else max(1, window - max(0, model.metadata.num_output))


def _known_window(model: Any) -> int | None:
    window: int = model.metadata.context_window
    if "context_window" not in type(model).model_fields:
        # Worked out from the model's name, or what classes report for models that they do not know.
        return None if window == DEFAULT_CONTEXT_WINDOW else window
    if "context_window" not in model.model_fields_set or window == _default_argument(model):
        return None
    return window


def _default_argument(model: Any) -> Any:
    """Return the window that a class's constructor takes where the user gives none, if it has one."""
    parameter = signature(type(model)).parameters.get("context_window")
    # What pydantic makes of a field is no default of a constructor's own: there the fields that are set tell.
    return None if parameter is None or "__init__" not in vars(type(model)) else parameter.default


def calls_tools(tier: Tier) -> bool:
    """Say whether a tier's model takes tools; some classes claim to, and have no method for it."""
    return has_tool_methods(tier.model) and tier.model.metadata.is_function_calling_model


def has_tool_methods(model: Any) -> bool:
    """Say whether a model can be asked with tools, in one way at least; LlamaIndex does not ask for its class."""
    ways = (getattr(model, f"{way}chat_with_tools", None) for way in ("", "a", "stream_", "astream_"))
    return hasattr(model, "get_tool_calls_from_response") and any(ways)
