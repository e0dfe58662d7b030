"""When two answers say the same."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from llm_tiers.agreement.final_answer import found_in, same_final
from llm_tiers.agreement.objects import Compare, object_in, same_calls, same_values
from llm_tiers.agreement.refusals import declines, finds_none
from llm_tiers.agreement.texts import LONGEST_TEXT, characters, plain
from llm_tiers.arguments import kind_of
from llm_tiers.errors import ConfigError

if TYPE_CHECKING:
    from llm_tiers.call.answer import Answer
    from llm_tiers.call.form import Form

__all__ = ["Equality", "ExactEquality", "FinalAnswers", "InCall"]

_ABSTENTION = "abstain"


class Equality(Protocol):
    """Says whether two answers are the same."""

    def same(self, one: Answer, other: Answer) -> bool | None:
        """Return True or False, or None where that takes a model to decide."""


class ExactEquality:
    """Two answers are the same if their values are: the very same text, tool calls or object.

    Args:
        missing_counts: Two missing answers are the same, as in LLM-AT's code; otherwise a missing answer equals
            nothing.
    """

    def __init__(self, *, missing_counts: bool = False) -> None:
        self.missing_counts = missing_counts

    def __repr__(self) -> str:
        return f"ExactEquality(missing_counts={self.missing_counts})"

    def same(self, one: Answer, other: Answer) -> bool:
        """Compare the values."""
        if one.value is None and other.value is None:
            return self.missing_counts
        return one.value == other.value


class FinalAnswers:
    """Two answers are the same if they call the same tools, are the same object, or give the same final answer.

    Tool calls are compared by name and arguments in any order, objects by their fields, texts up to what cannot matter,
    final answers as numbers with their units, dates, times, letters or words. A final answer counts where the text is
    nothing else, or says so in a form that cannot be decoration. In doubt the result is None. A missing answer, a
    refusal and an abstention equal nothing; that the material holds no answer is an answer.

    Args:
        extract: Takes a text and returns its final answer, or None where it has none; by default one that finds the
            usual ways to give an answer. Whatever two texts share is compared as text.
        equal: Takes two answers (`Answer`) and returns True, False, or None where that cannot be decided; it
            decides alone, except over missing answers and refusals.
        compare: Functions by the field of an object or of a tool's arguments that they compare: `"city"`,
            `"address.city"`, or `"get_weather.city"` for one tool. Each takes the two values (None for a field that
            is left out) and returns True, False, or None where that cannot be decided.
        skip_prose: Free text in the fields of objects and in the arguments of tools is not compared, nor is what a
            model says of its own confidence; the tools' names and all other values are (see `fields.py`).

    Raises:
        ConfigError: An argument is of another kind, or does not go with `equal`.
    """

    def __init__(
        self,
        extract: Callable[[str], str | None] | None = None,
        *,
        equal: Callable[[Answer, Answer], bool | None] | None = None,
        compare: Mapping[str, Callable[[Any, Any], bool | None]] | None = None,
        skip_prose: bool = False,
    ) -> None:
        for argument, function, what in (
            ("extract", extract, "from a text to its final answer"),
            ("equal", equal, "of two answers"),
        ):
            if function is not None:
                _require_function(argument, function, what)
        if equal is not None and (extract is not None or compare is not None):
            raise ConfigError("equal= decides alone; leave out extract= and compare=, or equal=")
        if compare is not None:
            if not isinstance(compare, Mapping) or not all(isinstance(field, str) and field for field in compare):
                raise ConfigError('compare must map names of fields to functions, such as {"city": same_city}')
            for field, function in compare.items():
                _require_function(f"compare[{field!r}]", function, "of two values")
        self.extract = extract
        self.equal = equal
        self.compare: Compare = dict(compare or {})
        self.skip_prose = skip_prose

    def __repr__(self) -> str:
        given = {"extract": self.extract, "equal": self.equal}
        names = [f"{argument}={_name(function)}" for argument, function in given.items() if function is not None]
        if self.compare:
            names.append(f"compare={sorted(self.compare)}")
        if self.skip_prose:
            names.append("skip_prose=True")
        return f"FinalAnswers({', '.join(names)})"

    def same(self, one: Answer, other: Answer) -> bool | None:
        """Compare tool calls, objects, texts and final answers, in this order."""
        return self.explained(one, other)[0]

    def explained(self, one: Answer, other: Answer, form: Form | None = None) -> tuple[bool | None, str | None]:
        """Compare two answers, and say what went wrong in a function of the user's, or None.

        Args:
            one: An answer.
            other: Another.
            form: The form that the call asks for, which knows the defaults of tools' arguments and what texts are
                parsed to.
        """
        try:
            return self._same(one, other, form), None
        except _OddFunctionError as error:
            return None, str(error)

    def _same(self, one: Answer, other: Answer, form: Form | None) -> bool | None:  # noqa: PLR0911 -- in this order
        if one.value is None or other.value is None:
            return False
        calls = bool(one.tool_calls or other.tool_calls)
        # Before the user's functions, which need not know that two refusals agree on nothing.
        if not calls and (declines(one.text) or declines(other.text)):
            return False
        if self.equal is not None:
            # It decides alone: after it nothing is compared by our rules.
            return _same_by("equal", self.equal, one, other)
        if calls:
            schemas = None if form is None else form.tools
            return same_calls(one.tool_calls, other.tool_calls, self._asking(), schemas, skip_prose=self.skip_prose)
        if self.extract is not None:
            return self._same_extracts(one.text, other.text, self.extract)
        if one.text == other.text:
            return True
        parsed = None if form is None or form.text_same is None else form.text_same(one, other)
        if parsed is not None:
            return parsed
        objects = object_in(one.text), object_in(other.text)
        if objects[0] is not None and objects[1] is not None:
            return same_values(*objects, self._asking(), skip_prose=self.skip_prose)
        return _same_text(one.text, other.text)

    def _same_extracts(self, one: str, other: str, extract: Callable[[str], str | None]) -> bool | None:
        finals = [_asked("extract", extract, one, kind=str)]
        # Once for the same text: a function may return something else the second time.
        finals.append(finals[0] if one == other else _asked("extract", extract, other, kind=str))
        if any(said is not None and said.casefold() == _ABSTENTION for said in finals):
            return False
        objects = object_in(one), object_in(other)
        if objects[0] is not None and objects[1] is not None:
            return same_values(*objects, self._asking(), skip_prose=self.skip_prose)
        if one == other or _plain(one) == _plain(other):
            return True
        return None if None in finals else finals[0] == finals[1]

    def _asking(self) -> Compare:
        return {field: partial(_same_by, f"compare[{field!r}]", function) for field, function in self.compare.items()}


class InCall:
    """An equality in one call: it knows the form that is asked for, and what goes wrong in it is a warning.

    Args:
        equality: When two answers are the same.
        form: The form that the call asks for, or None.
        warn: Is called with what went wrong.
    """

    def __init__(self, equality: Equality, form: Form | None, warn: Callable[[str], None]) -> None:
        self._equality = equality
        self._form = form
        self._warn = warn

    def same(self, one: Answer, other: Answer) -> bool | None:
        """Compare two answers; a comparison that fails is undecided."""
        if not isinstance(self._equality, FinalAnswers):
            return self._equality.same(one, other)
        same, warning = self._equality.explained(one, other, self._form)
        if warning is not None:
            self._warn(warning)
        return same


class _OddFunctionError(Exception):
    """A function of the user's raised, or returned what it must not."""


def _asked(argument: str, function: Callable[..., Any], *values: Any, kind: type = bool) -> Any:
    try:
        said = function(*values)
    except Exception as error:  # a user's function must not cost the user the answer
        raise _OddFunctionError(f"{argument} raised {type(error).__name__}: the answers were not compared") from error
    if kind is bool and type(said).__name__ in ("bool_", "bool"):  # numpy's bool as well
        return bool(said)
    if said is None or isinstance(said, kind):
        return said
    wanted = "True, False or None" if kind is bool else "a text or None"
    raise _OddFunctionError(f"{argument} returned {type(said).__name__}; it must return {wanted}")


def _same_by(argument: str, function: Callable[..., Any], one: Any, other: Any) -> bool | None:
    said: bool | None = _asked(argument, function, one, other)
    return said


def _require_function(argument: str, function: object, what: str) -> None:
    # A class is callable too, but what it makes says nothing about the answers.
    if not callable(function) or isinstance(function, type):
        raise ConfigError(f"{argument} must be a function {what}, not {kind_of(function)}")
    if inspect.iscoroutinefunction(function):
        raise ConfigError(f"{argument} must be a plain function, not an async one: it runs inside sync and async calls")


def _name(function: object) -> str:
    return getattr(function, "__name__", type(function).__name__)


def _plain(text: str) -> str:
    """Return a text up to what cannot matter; a long one as it is."""
    text = text.strip()
    return text if len(text) > LONGEST_TEXT else plain(characters(text))


def _same_text(one: str, other: str) -> bool | None:
    # Before the texts: there are many ways to say that the material holds no answer.
    absent = finds_none(one), finds_none(other)
    if absent[0] is not None and absent[1] is not None:
        return True if absent[0] == absent[1] or "" in absent else None
    if _plain(one) == _plain(other):
        return True
    finals = found_in(one), found_in(other)
    return None if finals[0] is None or finals[1] is None else same_final(finals[0], finals[1])
