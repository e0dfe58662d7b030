"""What a framework's model over a ladder does besides answering: feedback, closing, copies."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, Field, PrivateAttr

from llm_tiers.arguments import require, require_number
from llm_tiers.config.loading import FILE, load_config
from llm_tiers.errors import ConfigError
from llm_tiers.flow.background import SECONDS_AT_END
from llm_tiers.flow.engine import Engine
from llm_tiers.flow.limits import Limits
from llm_tiers.history import as_history
from llm_tiers.integration.asker import Asker
from llm_tiers.integration.construction import DEFAULT_BREAKER, OF_POLICIES
from llm_tiers.ladder.tiers import Ladder
from llm_tiers.policies.named import as_policy

if TYPE_CHECKING:
    from llm_tiers.call.call import Call
    from llm_tiers.call.performer import AsyncPerformer
    from llm_tiers.flow.engine import TraceHook
    from llm_tiers.integration.asker import Message
    from llm_tiers.integration.construction import Construction, Ladders
    from llm_tiers.policies.guarantee import Forecast
    from llm_tiers.policies.rollout import Observed
    from llm_tiers.trace import Certificate

__all__ = ["Tiered", "hidden_setting", "standard_setting"]


def hidden_setting(default: Any = None) -> Any:
    """Return a field that no dump or representation shows: models hold keys, and a history's URL may."""
    return Field(default=default, exclude=True, repr=False, frozen=True)


def standard_setting() -> Any:
    """Return a field for a setting that goes to the tiers; another one needs another model (`model_copy`)."""
    return Field(default=None, frozen=True)


class Tiered(BaseModel):
    """What a framework's model over a ladder has in common with another framework's; it stands first among the bases.

    Its fields are checked before pydantic sees them, whose errors would show what was given, and that may hold keys.
    """

    tiers: Any = hidden_setting(...)
    history: Any = hidden_setting()
    namespace: Any = hidden_setting()
    policy: Any = hidden_setting()
    starter: Any = hidden_setting()
    judge: Any = hidden_setting()
    extract: Any = hidden_setting()
    equal: Any = hidden_setting()
    compare: Any = hidden_setting()
    quality: Any = hidden_setting()
    worth_usd: Any = hidden_setting()
    learning: Any = hidden_setting()
    settings: Any = hidden_setting()
    audit: Any = hidden_setting()
    mode: Any = hidden_setting()
    serve: Any = hidden_setting()
    ramp: Any = hidden_setting()
    observe_share: Any = hidden_setting()
    observe_usd: Any = hidden_setting()
    grade: Any = hidden_setting()
    on_exhausted: Any = hidden_setting("answer")
    breaker: Any = hidden_setting(DEFAULT_BREAKER)
    history_timeout: Any = hidden_setting(Limits().history_timeout)
    deadline: Any = hidden_setting(Limits().deadline)
    embedding: Any = hidden_setting()
    prices: Any = hidden_setting()
    node: Any = hidden_setting()
    query_text: Any = hidden_setting()
    on_trace: Any = hidden_setting()
    telemetry: Any = hidden_setting()
    temperature: float | None = standard_setting()
    max_tokens: int | None = standard_setting()
    timeout: float | None = standard_setting()
    max_retries: int | None = standard_setting()

    _engine: Engine = PrivateAttr()
    _judging: Ladder = PrivateAttr()
    _given_history: tuple[Any, Any] = PrivateAttr()
    _given_namespace: Any = PrivateAttr()

    @classmethod
    def from_settings(cls, path: str | os.PathLike[str] | None = None, **arguments: Any) -> Self:
        """Make a model by a settings file and the environment.

        Args:
            path: The file, TOML: the constructor's arguments that are plain values, `tiers` as names of models or as
                tables. By default the one that `LLM_TIERS_CONFIG` names, else `llm-tiers.toml` in the working folder,
                else the table `[tool.llm-tiers]` of its `pyproject.toml`; it may be absent. A variable such as
                `LLM_TIERS_QUALITY` wins over the file. `llm-tiers config init` writes an example.
            arguments: Arguments of the constructor, which win over both, such as `grade=`.

        Raises:
            ConfigError: The file cannot be read, a setting is wrong, or there are no tiers.
        """
        held = load_config(path).config.arguments() | arguments
        if "tiers" not in held:
            raise ConfigError(
                f"no tiers: name them in {FILE}, in LLM_TIERS_TIERS as a JSON list, or give tiers=; `llm-tiers config "
                "init` writes an example"
            )
        return cls(**held)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return (("tiers", self._engine.ladder.names), ("policy", self._engine.policy.name))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        # Closing writes what is pending, which would block the event loop.
        await asyncio.to_thread(self.close)

    def close(self, timeout: float = SECONDS_AT_END) -> None:
        """Write what the history has pending and close it; a `History` that was given and the tiers stay open.

        What is left to grade, to ask off the path in `mode="observe"`, or to hand to a history that was too slow for
        its call, is given up after the time-out: `on_trace` and the log say so. A program that ends without `close`
        waits as long.

        Args:
            timeout: Seconds to wait at most for that; 0 gives it up at once. What waits to be written is written.

        Raises:
            ConfigError: `timeout` is no number of seconds.
            HistoryError: Something could not be written. The history is closed all the same.
        """
        require_number(timeout, "timeout")
        # Written so that NaN fails too.
        require(timeout >= 0, f"timeout={timeout!r} must be 0 or more seconds")
        given, _ = self._given_history
        # A `History` object is the user's, and other models may share it.
        if given is None or isinstance(given, str | os.PathLike):
            self._engine.close(timeout)
        else:
            self._engine.finish(timeout)

    def asker(self) -> Asker:
        """Return what asks single tiers past policy and history, for `llm-tiers profile`."""
        return Asker(self._engine, self._described)

    def _described(self, messages: Sequence[Message], tier: str, node: str | None) -> tuple[Call, AsyncPerformer]:
        """Describe a call that one tier must answer, and say how its model is called; each framework has its own way.

        Raises:
            ConfigError: The messages cannot be read.
        """
        raise NotImplementedError

    def flush_grades(self, timeout: float = 60.0) -> bool:
        """Wait until the answers of earlier calls are graded and the grades are in the history.

        In `mode="observe"` what is asked off the path is waited for first.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            Whether nothing is left to ask and to grade.
        """
        return self._engine.flush_grades(timeout)

    async def aflush_grades(self, timeout: float = 60.0) -> bool:  # noqa: ASYNC109 -- as `flush_grades`
        """Wait in asyncio until the answers of earlier calls are graded; as `flush_grades`."""
        return await asyncio.to_thread(self.flush_grades, timeout)

    def feedback(
        self, trace_id: str, *, correct: bool | float, tier: str | None = None, principal: str | None = None
    ) -> None:
        """Record how right an answer was; the next estimates change accordingly.

        It is kept in the history's record as a grade of its own, apart from what a grader or a judge says.

        Args:
            trace_id: The `trace_id` in the answer's trace.
            correct: Whether the answer was right, or how right, in [0, 1].
            tier: Name of the tier whose answer this is about, on a call that several answered; by default it is about
                the answer that was returned.
            principal: Who says so, as in the call; by default the application itself, which may speak of any call.

        Raises:
            ConfigError: `correct` is neither True or False nor a number in [0, 1], or the tier did not answer the call.
            FeedbackRefused: The call was another principal's.
            UnknownTrace: The history has no record of the call.
        """
        self._engine.feedback(trace_id, correct=correct, tier=tier, principal=principal)

    async def afeedback(
        self, trace_id: str, *, correct: bool | float, tier: str | None = None, principal: str | None = None
    ) -> None:
        """Report in asyncio how right an answer was; as `feedback`."""
        await asyncio.to_thread(self.feedback, trace_id, correct=correct, tier=tier, principal=principal)

    def stats(self) -> dict[str, Any]:
        """Return how the tiers are.

        Returns:
            Under `tiers`, by a tier's name: its breaker's `state` (`"closed"`, `"open"`, `"half-open"`), the
            `failures_in_a_row`, how often it has `opened`, the `seconds_left` until it is tried, and `why`.
        """
        return self._engine.stats()

    def observed(self, node: str = "") -> Observed:
        """Return what tiering would have cost, and how often its answers would have been as good, with intervals.

        It rests on the calls that a tier served in `mode="observe"`, of this process and of earlier ones with the same
        history; those that are still being followed are missing, see `flush_grades`.

        Args:
            node: Where in the graph; `""` is the root, and so all calls.

        Raises:
            ConfigError: `node` is no text.
            HistoryError: The history cannot be read.
        """
        return self._engine.observed(node)

    def certificate(self, node: str = "") -> Certificate | None:
        """Return what the policy's `Guarantee` has proved at a node; None where nothing holds.

        Args:
            node: Where in the graph; `""` is the root.

        Raises:
            ConfigError: `node` is no text.
        """
        return self._engine.certificate(node)

    def forecast(self, *, differing: float = 0.0) -> Forecast | None:
        """Return what the policy's `Guarantee` will cost to earn at a node; None for another policy.

        Args:
            differing: Assumed share of the calls on which the cheapest tier is worse than the top, in [0, 1].

        Raises:
            ConfigError: `differing` lies outside [0, 1].
        """
        return self._engine.forecast(differing=differing)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Return another model over the same tiers and the same history."""
        return self.model_copy(deep=True)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return another model, with some arguments changed; it shares what is learned, unless it gets a history.

        Raises:
            ConfigError: An argument is wrong.
        """
        if not update and not deep:
            return super().model_copy()
        # The opened history: made anew from the argument, one in memory would be empty.
        shared = {"history": self.history, "embedding": None, "namespace": None}
        if "namespace" in (update or {}):
            # Another part of the same place, which has to be opened.
            shared = {}
        return type(self)(**{**self._arguments(), **shared, **(update or {})})

    def _open(
        self,
        construction: Construction,
        ladders: Ladders,
        on_trace: TraceHook | None,
        on_end: TraceHook | None = None,
    ) -> None:
        """Open the history and make the engine; last of all, so that a wrong argument leaves no folder open.

        Args:
            construction: The checked arguments of the constructor.
            ladders: The tiers as they answer and as they judge.
            on_trace: Is called with the trace of each call when it ends, or when its answers are graded.
            on_end: Is called with the trace of each call when it ends.
        """
        given, namespace = (self.history, self.embedding), self.namespace
        opened = as_history(*given, namespace)
        self._judging = ladders.judging
        grader = construction.grader
        named = grader is not None and isinstance(grader.model, str)
        self._engine = Engine(
            ladders.answering,
            construction.policy,
            opened,
            prices=construction.prices,
            on_trace=on_trace,
            on_end=on_end,
            grader=grader,
            limits=construction.limits,
            breaker=construction.breaker,
            rollout=construction.rollout,
            telemetry=construction.telemetry,
            grading_performer=construction.framework.asking(ladders.judging if named else None),
        )
        # A copy with other settings is made of the fields, and has to share what was learned.
        self._given_history = given
        self._given_namespace = namespace
        self.__dict__.update(history=opened, embedding=None, namespace=None)

    def _engine_at(self, quality: float | None) -> Engine:
        """Return the engine for a call with a quality of its own; the model's where that is None.

        Raises:
            ConfigError: The policy has no such knob, or it is out of its range.
        """
        if quality is None:
            return self._engine
        given = {name: getattr(self, name) for name in OF_POLICIES}
        # Both say what a right answer is worth, and the call's own has the last word.
        return self._engine.at(as_policy(**{**given, "quality": quality, "worth_usd": None}))

    def _query_by_function(self, messages: Any) -> str:
        """Return the text that the user's function finds similar calls by.

        Raises:
            ConfigError: It returns none.
        """
        query = self.query_text(messages)
        if not isinstance(query, str):
            raise ConfigError(f"query_text returned {type(query).__name__}; it must return the text to look up")
        return query

    def _arguments(self) -> dict[str, Any]:
        history, embedding = self._given_history
        # Without defaults: given to the constructor, they would count as the user's choice.
        arguments = {name: getattr(self, name) for name in self.model_fields_set}
        return arguments | {"history": history, "embedding": embedding, "namespace": self._given_namespace}
