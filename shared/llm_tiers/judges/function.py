"""The judge that is the user's own function."""

from __future__ import annotations

import inspect
import uuid

import numpy as np

from llm_tiers.errors import ConfigError
from llm_tiers.judges.base import Case, Judge, JudgeFunction, Judgement, Review, Verdict

__all__ = ["FunctionJudge", "as_judge"]


class FunctionJudge(Judge):
    """Let a function decide.

    Args:
        function: Takes the question and the answer as text; returns True (valid), False (invalid), None (uncertain) or
            a `Verdict`. It must not block: it runs where the call runs, the event loop included. If it raises, or
            returns anything else, the verdict is uncertain and the trace says why.
    """

    def __init__(self, function: JudgeFunction) -> None:
        self.function = function

        self._token = uuid.uuid4().hex

    def __repr__(self) -> str:
        return f"FunctionJudge({self._name})"

    def identity(self) -> str:
        """Return the function's name, or for one that has none of its own what no other judge has."""
        name = getattr(self.function, "__qualname__", "<")
        return self._token if "<" in name else f"{self.function.__module__}.{name}"

    @property
    def _name(self) -> str:
        return getattr(self.function, "__name__", type(self.function).__name__)

    def review(self, case: Case) -> Review:
        """Ask the function."""
        yield from ()  # a review is a generator, also where it asks for nothing
        try:
            accepted = self.function(case.call.question, case.answer.text)
        except Exception as error:  # noqa: BLE001 -- a user's judge must not cost the user the answer
            return Judgement(
                Verdict.UNCERTAIN, self._name, f"judge {self._name} raised {type(error).__name__}: {error}"
            )
        return self._judgement(accepted)

    def _judgement(self, said: object) -> Judgement:
        if isinstance(said, Verdict):
            return Judgement(said, self._name)
        if said is None:
            return Judgement(Verdict.UNCERTAIN, self._name)
        if isinstance(said, bool | np.bool_):
            return Judgement(Verdict.VALID if said else Verdict.INVALID, self._name)
        # What is merely truthy, such as the word "no", must not accept an answer.
        warning = f"judge {self._name} returned {type(said).__name__}; it must return True, False or None"
        return Judgement(Verdict.UNCERTAIN, self._name, warning)


def as_judge(judge: Judge | JudgeFunction) -> Judge:
    """Take a judge or a function.

    Raises:
        ConfigError: It is neither.
    """
    if isinstance(judge, Judge):
        return judge
    if not callable(judge) or isinstance(judge, type):
        kind = judge.__name__ if isinstance(judge, type) else type(judge).__name__
        raise ConfigError(f"judge must be one, such as PromptJudge(), or a function of question and answer, not {kind}")
    if inspect.iscoroutinefunction(judge):
        raise ConfigError("judge must be a plain function, not an async one: it runs inside sync and async calls alike")
    return FunctionJudge(judge)
