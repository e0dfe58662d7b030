"""The arguments of a tiered model's constructor: checked in one place and one order for both frameworks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self, TypedDict

from pydantic import BaseModel, ValidationError

from llm_tiers.arguments import check_call_settings, check_known, without_values
from llm_tiers.flow.limits import Limits, OnExhausted
from llm_tiers.ladder.breaker import Breaker, as_breaker
from llm_tiers.ladder.prices import PriceBook
from llm_tiers.policies.graders import as_grader
from llm_tiers.policies.named import as_policy
from llm_tiers.policies.rollout import as_rollout
from llm_tiers.telemetry.settings import as_telemetry

if TYPE_CHECKING:
    import os

    from llm_tiers.call.answer import Answer
    from llm_tiers.call.performer import Performer
    from llm_tiers.flow.engine import TraceHook
    from llm_tiers.history import History
    from llm_tiers.ladder.price import Price
    from llm_tiers.ladder.tiers import Ladder, Tier
    from llm_tiers.policies.graders import Grader
    from llm_tiers.policies.guarantee import SMART, Guarantee
    from llm_tiers.policies.judges import Judge
    from llm_tiers.policies.judges.judge import JudgeFunction
    from llm_tiers.policies.policy import Policy
    from llm_tiers.policies.rollout import Rollout
    from llm_tiers.policies.rollout.rollout import Mode
    from llm_tiers.policies.starters.base import Starter
    from llm_tiers.telemetry.settings import Telemetry

__all__ = ["OF_POLICIES", "OF_ROLLOUTS", "Construction", "Framework", "Ladders", "TieredArguments"]

OF_POLICIES = (
    *("policy", "starter", "judge", "extract", "equal", "compare"),
    *("quality", "worth_usd", "learning", "audit", "settings"),
)
"""The arguments that together choose the policy."""

OF_ROLLOUTS = ("mode", "serve", "ramp", "observe_share", "observe_usd")
"""The arguments that say which calls are really tiered."""

_OF_ANSWERS = ("temperature", "max_tokens")
"""Settings that are meant for answers; a judge that replies with one word must not be given them."""


_LIMITS = tuple(one.name for one in fields(Limits))
"""The arguments that say how far a call goes."""

_NONE_SAYS_SOMETHING = (*_LIMITS, "breaker", "trace_bytes")
"""Arguments for which None is another value than the default."""

DEFAULT_BREAKER = Breaker()


class TieredArguments(TypedDict, total=False):
    """The arguments of every model over a ladder; the docstrings of the models describe them."""

    history: str | os.PathLike[str] | History | None
    namespace: str | None
    policy: Policy | Guarantee | SMART | str | None
    starter: Starter | None
    judge: Judge | JudgeFunction | None
    extract: Callable[[str], str | None] | None
    equal: Callable[[Answer, Answer], bool | None] | None
    compare: Mapping[str, Callable[[Any, Any], bool | None]] | None
    quality: float | None
    worth_usd: float | None
    learning: float | None
    audit: float | None
    settings: str | os.PathLike[str] | None
    mode: Mode | None
    serve: str | None
    ramp: float | None
    observe_share: float | None
    observe_usd: float | None
    on_exhausted: OnExhausted
    breaker: Breaker | None
    history_timeout: float | None
    deadline: float | None
    embedding: object | None
    grade: Any
    prices: Mapping[str, Price | tuple[float, float]] | None
    node: str | None
    on_trace: TraceHook | None
    telemetry: Telemetry | bool | None
    temperature: float | None
    max_tokens: int | None
    timeout: float | None
    max_retries: int | None
    api_key: Any


@dataclass(frozen=True, slots=True)
class Framework:
    """The steps of the construction that differ between the frameworks.

    Attributes:
        as_tiers: Takes what the user gives as `tiers`, and the API key, and returns the tiers.
        ladder_of: Takes tiers, settings, and the name of the tier that serves as before or None, and returns the
            ladder of models with these settings.
        check_judge: Checks that the judge's own models are models of the framework.
        check_grader: Checks that the grader's own model is one of the framework.
        asking: Returns a performer that asks models prompts of ours, in no run of the user's; it takes the tiers to
            ask in place of those of the same name, or None.
    """

    as_tiers: Callable[[object, object], tuple[Tier, ...]]
    ladder_of: Callable[[Sequence[Tier], Mapping[str, Any], str | None], Ladder]
    check_judge: Callable[[Judge], None]
    check_grader: Callable[[Grader], None]
    asking: Callable[[Ladder | None], Performer]


@dataclass(frozen=True, slots=True)
class Ladders:
    """The tiers as they answer, and as they judge: without the settings that are meant for answers."""

    answering: Ladder
    judging: Ladder


@dataclass(frozen=True, slots=True)
class Construction:
    """What a tiered model is built from.

    Attributes:
        framework: The steps that differ between the frameworks.
        tiers: The tiers, without the settings that the wrapper is given.
        policy: The policy that the arguments choose.
        prices: The price book.
        grader: Grades the answers of profiled calls, or None.
        limits: How far a call goes.
        breaker: When a tier that fails is not asked for a while, or None.
        rollout: Which calls one tier serves while tiering is only observed, or None.
        telemetry: What OpenTelemetry is told of calls; None for nothing.
        fields: The model's fields, as pydantic gets them; they may hold keys.
    """

    framework: Framework
    tiers: tuple[Tier, ...]
    policy: Policy
    prices: PriceBook
    grader: Grader | None
    limits: Limits
    breaker: Breaker | None
    rollout: Rollout | None
    telemetry: Telemetry | None
    fields: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(
        cls, framework: Framework, model_class: type[BaseModel], tiers: object, arguments: Mapping[str, Any]
    ) -> Self:
        """Check the arguments of a constructor.

        Args:
            framework: The steps that differ between the frameworks.
            model_class: The class that is constructed.
            tiers: What the user gives as `tiers`.
            arguments: The other arguments by name, as the user gives them.

        Raises:
            ConfigError: An argument is wrong; the message names it.
        """
        given = dict(arguments)
        # No field, so that no dump or pickle can show it.
        api_key = given.pop("api_key", None)
        check_known(given, model_class.model_fields)
        check_call_settings(**{name: given.get(name) for name in ("node", "query_text", "on_trace")})
        # In this order, so that both frameworks report the same one of two mistakes.
        made = framework.as_tiers(tiers, api_key)
        policy = as_policy(**{name: given.get(name) for name in OF_POLICIES})
        grader = as_grader(given.get("grade"))
        limits = Limits(**{name: given[name] for name in _LIMITS if name in given})
        breaker = as_breaker(given.get("breaker", DEFAULT_BREAKER))
        prices = PriceBook(given.get("prices"))
        rollout = as_rollout([tier.name for tier in made], **{name: given.get(name) for name in OF_ROLLOUTS})
        telemetry = as_telemetry(given.get("telemetry"))
        fields = {**given, "tiers": made}
        return cls(framework, made, policy, prices, grader, limits, breaker, rollout, telemetry, fields)

    def initialise(self, init: Callable[..., None], **defaults: Any) -> None:
        """Call pydantic's constructor with the fields that were given.

        Args:
            init: The constructor of the model's base class.
            **defaults: Values for fields that are no arguments of the call; an argument that is None overrides them.

        Raises:
            ConfigError: A value has the wrong type.
        """
        # None stands for "not given": pydantic would count it as set, and a copy would then pass it on.
        fields = {**defaults, **self.fields}
        given = {name: value for name, value in fields.items() if value is not None or name in _NONE_SAYS_SOMETHING}
        try:
            init(**given)
        except ValidationError as error:
            # `from None`: pydantic's own error shows the values, which may hold keys.
            raise without_values(error) from None

    @property
    def _serving(self) -> str | None:
        return None if self.rollout is None else self.rollout.serve

    def ladder(self, settings: Mapping[str, Any]) -> Ladder:
        """Return the tiers with settings as they answer.

        Raises:
            ConfigError: A model does not take a setting.
        """
        return self.framework.ladder_of(self.tiers, settings, self._serving)

    def ladders(self, answering: Ladder, settings: Mapping[str, Any]) -> Ladders:
        """Return the ladder that answers beside the one that judges, after a check of the policy against it.

        Args:
            answering: The tiers as they answer: `ladder(settings)`.
            settings: The settings that the wrapper was given; None for one that was not.

        Raises:
            ConfigError: The policy or the grader names a tier that the ladder lacks, or the judge's or the grader's
                model is of another framework.
        """
        self.policy.check(answering)
        self.framework.check_judge(self.policy.judge)
        if self.grader is not None:
            self.framework.check_grader(self.grader)
            self.grader.check(answering, self.prices)
        if all(settings.get(name) is None for name in _OF_ANSWERS):
            return Ladders(answering, answering)
        rest = {name: value for name, value in settings.items() if name not in _OF_ANSWERS}
        return Ladders(answering, self.framework.ladder_of(self.tiers, rest, self._serving))
