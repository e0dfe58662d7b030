"""Settings from a file and the environment: what `from_settings` and `llm-tiers config` read."""

from llm_tiers.config.fields import Config, TierConfig
from llm_tiers.config.loading import Loaded, load_config

__all__ = ["Config", "Loaded", "TierConfig", "load_config"]
