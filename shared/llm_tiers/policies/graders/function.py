"""A user's function that grades answers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llm_tiers.arguments import kind_of
from llm_tiers.errors import ConfigError

if TYPE_CHECKING:
    from llm_tiers.call.answer import Answer
    from llm_tiers.call.call import Call

__all__ = ["GradeFunction"]

_OPTIONAL = ("messages", "node")
"""Arguments that a function gets besides question and answer, if its signature names them."""


@dataclass(frozen=True, slots=True)
class GradeFunction:
    """A function of question and answer, and of messages and node if it takes them.

    Attributes:
        function: The user's function; it may be async.
        optional: Which of `messages` and `node` it takes.
    """

    function: Callable[..., Any] = field(repr=False)
    optional: tuple[str, ...] = ()

    @classmethod
    def of(cls, function: Callable[..., Any]) -> GradeFunction:
        """Return a function with what its signature asks for.

        Raises:
            ConfigError: It cannot be called with a question and an answer.
        """
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):  # functions written in C may have no signature
            return cls(function)
        optional = tuple(name for name in _OPTIONAL if _is_keyword(signature.parameters, name))
        # Only by name: a third parameter of any other name, without a default, is a mistake that should show now and
        # not in the background after the first profiled call.
        try:
            signature.bind("question", "answer", **dict.fromkeys(optional))
        except TypeError as error:
            raise ConfigError(
                f"grade: the function must take a question and an answer, and may take messages and node: {error}"
            ) from None
        return cls(function, optional)

    @property
    def name(self) -> str:
        """The function's name."""
        return getattr(self.function, "__name__", None) or kind_of(self.function)

    def __call__(self, call: Call, answer: Answer) -> Any:
        """Return what the function returns for an answer: an awaitable, if the function is async."""
        given = {"messages": call.messages, "node": call.node}
        return self.function(call.question, answer.text, **{name: given[name] for name in self.optional})


def _is_keyword(parameters: Mapping[str, inspect.Parameter], name: str) -> bool:
    found = parameters.get(name)
    return found is not None and found.kind in (found.POSITIONAL_OR_KEYWORD, found.KEYWORD_ONLY)
