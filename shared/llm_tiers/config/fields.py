"""What may stand in a settings file, or in a variable `LLM_TIERS_...` of the environment."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from llm_tiers.ladder.tiers import Tier

__all__ = ["PREFIX", "Config", "TierConfig"]

PREFIX = "LLM_TIERS_"


class TierConfig(BaseModel):
    """One tier, where its model's name does not say all.

    Attributes:
        model: The model's name, as the framework takes it: `gpt-5-nano`, in LangChain also `openai:gpt-5-nano`.
        name: The tier's name in traces; the model's by default.
        price: Input and output, in US$ per million tokens.
        prior: The share of calls that it is thought to get right, in [0, 1].
        context_window: In tokens.
        timeout: In seconds.
    """

    model_config = ConfigDict(extra="forbid")

    model: str
    name: str | None = None
    price: tuple[float, float] | None = None
    prior: float | None = None
    context_window: int | None = None
    timeout: float | None = None

    def tier(self) -> Tier:
        """Return the tier; what is not set is left to it."""
        return Tier(**{name: getattr(self, name) for name in self.model_fields_set})


class Config(BaseSettings):
    """The arguments of `TieredChatModel` and `TieredLLM` that are plain values; their docstrings describe them.

    A variable of the environment wins over the file: `LLM_TIERS_QUALITY=0.6`, lists as JSON. Keys of providers are no
    part of it: the providers' own variables have them.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid")

    tiers: list[str | TierConfig] | None = None
    history: str | None = None
    namespace: str | None = None
    policy: str | None = None
    quality: float | None = None
    worth_usd: float | None = None
    learning: float | None = None
    audit: float | None = None
    settings: str | None = None
    mode: Literal["tier", "observe"] | None = None
    serve: str | None = None
    ramp: float | None = None
    observe_share: float | None = None
    observe_usd: float | None = None
    on_exhausted: Literal["answer", "raise"] | None = None
    history_timeout: float | None = None
    deadline: float | None = None
    timeout: float | None = None
    max_retries: int | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    embedding: str | None = None
    telemetry: bool | None = None
    node: str | None = None
    prices: dict[str, tuple[float, float]] | None = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 -- pydantic-settings names it
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over what the file has, which is what this is made of."""
        return env_settings, init_settings

    def arguments(self) -> dict[str, Any]:
        """Return what is set, as the models' constructors take it."""
        found = {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}
        if self.tiers is not None:
            found["tiers"] = [one if isinstance(one, str) else one.tier() for one in self.tiers]
        return found
