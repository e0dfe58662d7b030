"""What LlamaIndex's metadata say of the tiers, and of all of them together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from llama_index.core.base.llms.types import LLMMetadata, MessageRole
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW
from llama_index.core.llms.function_calling import FunctionCallingLLM

from llm_tiers.errors import ConfigError

if TYPE_CHECKING:
    from llm_tiers.ladder.tiers import Ladder, Tier

__all__ = ["check_metadata", "common_metadata", "with_abilities"]

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
    metadata = tier.model.metadata
    window, capabilities = tier.context_window, tier.capabilities
    # The default says nothing: classes report it for models whose window they do not know.
    if window is None and not last and metadata.context_window != DEFAULT_CONTEXT_WINDOW:
        window = metadata.context_window
    if capabilities is None and not _calls_tools(tier):
        capabilities = _CAPABILITIES - {"tools"}
    return replace(tier, context_window=window, capabilities=capabilities)


def common_metadata(ladder: Ladder, context_window: int | None) -> LLMMetadata:
    """Return what is true of every tier that may answer; it is the same for every call.

    Args:
        ladder: The tiers.
        context_window: What the user says of it; by default the smallest of the tiers'.
    """
    each = [tier.model.metadata for tier in ladder]
    roles = {metadata.system_role for metadata in each}
    return LLMMetadata(
        context_window=context_window or min(_window(tier) for tier in ladder),
        num_output=max(metadata.num_output for metadata in each),
        is_chat_model=any(metadata.is_chat_model for metadata in each),
        # One is enough, since tiers that cannot are skipped where tools are offered.
        is_function_calling_model=any(map(_calls_tools, ladder)),
        model_name=f"tiered({','.join(ladder.names)})",
        system_role=roles.pop() if len(roles) == 1 else MessageRole.SYSTEM,
    )


def _window(tier: Tier) -> int:
    window: int = tier.model.metadata.context_window
    return window if tier.context_window is None else tier.context_window


def _calls_tools(tier: Tier) -> bool:
    return isinstance(tier.model, FunctionCallingLLM) and tier.model.metadata.is_function_calling_model
