"""Tool calls, objects and lists, compared field by field."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from math import isclose, isnan
from typing import TYPE_CHECKING, Any, TypeAlias

from llm_tiers.agreement.fields import are_free_texts, is_exact, is_own_confidence, is_search
from llm_tiers.agreement.quantities import quantity, same_quantity
from llm_tiers.agreement.texts import LONGEST_TEXT, characters, plain
from llm_tiers.call.json_text import is_shallow

if TYPE_CHECKING:
    from llm_tiers.call.answer import ToolCall

__all__ = ["Compare", "object_in", "same_calls", "same_values"]

Compare: TypeAlias = Mapping[str, Callable[[Any, Any], bool | None]]
"""By field, a function of the field's two values; see `FinalAnswers`."""

_LONGEST_JSON = 50_000
_DEEPEST = 60
_MOST_VALUES = 4_000
_MOST_CALLS = 32
_LONGEST_NUMBER = 80
_FENCED = re.compile(
    r"(?:[^\n`]{1,100}\n{1,2})?```(?:json)?[ \t]*\n(.*)\n[ \t]*```(?:\n{1,2}[^\n`]{1,100})?", re.DOTALL | re.IGNORECASE
)
"""A block of code, with a line before it and one after it at most."""
_EXPONENT = re.compile(r"[eE][-+]?(\d+)")
_NAME = re.compile(r"[^\W\d_]+(?:[ .,'-]{1,3}[^\W\d_]+){0,4}\.?")


class _Unread(str):
    """A number that is too long to be read; equal where it is written the same."""

    __slots__ = ()


class _DoubledFieldError(ValueError):
    """An object that has a field twice."""


def object_in(text: str) -> Any:
    """Return the JSON object or list that a text is, in a block of code or not; None where it is none, or too deep."""
    # Bounded before anything is parsed: the text is a model's.
    if len(text) > _LONGEST_JSON:
        return None
    text = text.strip()
    if fenced := _FENCED.fullmatch(text):
        text = fenced[1].strip()
    if not text.startswith(("{", "[")) or not text.endswith(("}", "]")):
        return None
    if text.count(",") > _MOST_VALUES or not is_shallow(text, _DEEPEST):
        return None
    try:
        return json.loads(
            text, parse_int=_number, parse_float=_number, parse_constant=_Unread, object_pairs_hook=_fields
        )
    except ValueError:
        return None


def _number(text: str) -> Decimal | _Unread:
    # A calculated 1e999999999 would fill the memory.
    exponent = _EXPONENT.search(text[:_LONGEST_NUMBER])
    if len(text) > _LONGEST_NUMBER or (exponent and len(exponent[1]) > 3):  # noqa: PLR2004
        return _Unread(text)
    return Decimal(text)


def _fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    # Python keeps the last of two fields with one name, and another reader may keep the first.
    if len(fields) < len(pairs):
        raise _DoubledFieldError
    return fields


def same_calls(
    ones: Sequence[ToolCall],
    others: Sequence[ToolCall],
    compare: Compare | None = None,
    schemas: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    skip_prose: bool = False,
) -> bool | None:
    """Say whether two answers call the same tools with the same arguments, in any order.

    Args:
        ones: The calls of one answer.
        others: The calls of the other.
        compare: The user's functions by field.
        schemas: The JSON schema of each tool's arguments by its name, as far as known.
        skip_prose: Free text in the arguments, and what a model says of its own sureness, is not compared.
    """
    if sorted(call.name for call in ones) != sorted(call.name for call in others):
        return False
    if any(call.arguments is None for call in (*ones, *others)):
        return False
    # Each call is compared with each of the other answer.
    if len(ones) > _MOST_CALLS:
        return None
    left, doubt = list(others), False
    for call in ones:
        schema = (schemas or {}).get(call.name)
        said = [
            (
                other,
                _Comparison(compare or {}, call.name, skip_prose).arguments(call.arguments, other.arguments, schema),
            )
            for other in left
            if other.name == call.name
        ]
        match = next((other for other, same in said if same), None)
        doubt = doubt or (match is None and any(same is None for _, same in said))
        if match is None and not doubt:
            return False
        if match is not None:
            # Each call matches one of the other's at most: two equal calls may do more than one.
            left = [other for other in left if other is not match]
    return None if doubt else True


def same_values(one: Any, other: Any, compare: Compare | None = None, *, skip_prose: bool = False) -> bool | None:
    """Say whether two objects or lists are the same; None where a text in them, or a missing field, leaves it open.

    With `skip_prose` free text and what a model says of its own sureness are not compared; where there is nothing else,
    they are.
    """
    comparison = _Comparison(compare or {}, "", skip_prose)
    same = comparison.values(one, other, ())
    if same is True and comparison.skipped and not comparison.compared:
        return _Comparison(compare or {}, "").values(one, other, ())
    return same


class _Comparison:
    """One comparison of two values; it stops at a bound of depth and number."""

    def __init__(self, compare: Compare, tool: str, skip_prose: bool = False) -> None:  # noqa: FBT001, FBT002
        self._compare = compare
        self._tool = tool
        self._skip_prose = skip_prose
        self.skipped = self.compared = 0
        self._left = _MOST_VALUES

    def arguments(self, one: Any, other: Any, schema: Mapping[str, Any] | None) -> bool | None:
        """Compare the arguments of a tool: a null stands for what was left out, unless the default is another."""
        known = (schema or {}).get("properties")
        properties = known if isinstance(known, Mapping) else {}
        return self.values(_complete(one, properties), _complete(other, properties), ())

    def values(self, one: Any, other: Any, path: tuple[str, ...]) -> bool | None:
        """Compare two values."""
        self._left -= 1
        if self._left < 0 or len(path) > _DEEPEST:
            return None
        function = self._function(path)
        if function is not None:
            return function(_native(one), _native(other))
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            return self._objects(one, other, path)
        if _is_list(one) and _is_list(other):
            return self._lists(one, other, path)
        if self._skips(one, other, path):
            return True
        self.compared += 1
        return _same_leaf(one, other, _field(path))

    def _skips(self, one: Any, other: Any, path: tuple[str, ...]) -> bool:
        """Whether two values are not compared; a note may be left out as well as worded in another way."""
        given, name = [value for value in (one, other) if value is not None], _field(path)
        if not (self._skip_prose and given):
            return False
        skips = are_free_texts(name, given) or all(is_own_confidence(name, value) for value in given)
        self.skipped += skips
        return skips

    def _function(self, path: tuple[str, ...]) -> Callable[[Any, Any], bool | None] | None:
        if not self._compare or not path:
            return None
        name = ".".join(step for step in path if step != "*")
        return self._compare.get(f"{self._tool}.{name}") or self._compare.get(name)

    def _objects(self, one: Mapping[str, Any], other: Mapping[str, Any], path: tuple[str, ...]) -> bool | None:
        same: bool | None = True
        for key in dict.fromkeys((*one, *other)):
            if key in one and key in other:
                found = self.values(one[key], other[key], (*path, str(key)))
            else:
                found = self._with_missing(one.get(key), other.get(key), (*path, str(key)))
            if found is False:
                return False
            same = same if found else None
        return same

    def _with_missing(self, one: Any, other: Any, path: tuple[str, ...]) -> bool | None:
        """Compare a field that one of two objects leaves out, whose value there is None."""
        function = self._function(path)
        if function is not None:
            return function(_native(one), _native(other))
        # A null stands for what is left out.
        return True if one is other or self._skips(one, other, path) else None

    def _lists(self, one: Sequence[Any], other: Sequence[Any], path: tuple[str, ...]) -> bool | None:
        if len(one) != len(other):
            return False
        same: bool | None = True
        for left, right in zip(one, other, strict=True):
            found = self.values(left, right, (*path, "*"))
            if found is False:
                return False
            same = same if found else None
        return same


def _field(path: tuple[str, ...]) -> str:
    """Return the name of the field that a value is in, itself or as one of a list."""
    return next((step for step in reversed(path) if step != "*"), "")


def _complete(arguments: Mapping[str, Any], properties: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out nulls that stand for a default of null, and put in other defaults that are known."""
    defaults = {
        name: schema["default"]
        for name, schema in properties.items()
        if isinstance(schema, Mapping) and schema.get("default") is not None
    }
    kept = {name: value for name, value in arguments.items() if value is not None or name in defaults}
    return {**defaults, **kept}


def _native(value: Any) -> Any:
    """Return a value as a user's function expects it: numbers are `int` or `float`."""
    if isinstance(value, Decimal):
        whole, parts = value.as_integer_ratio()
        return whole if parts == 1 else float(value)
    if isinstance(value, dict):
        return {key: _native(item) for key, item in value.items()}
    return [_native(item) for item in value] if isinstance(value, list) else value


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _same_leaf(one: Any, other: Any, name: str) -> bool | None:
    if isinstance(one, str) and isinstance(other, str):
        if isinstance(one, _Unread) or isinstance(other, _Unread):
            return True if type(one) is type(other) and one == other else None
        return _same_string(one, other, name)
    # Python takes True for 1.
    if isinstance(one, bool) or isinstance(other, bool) or one is None or other is None:
        return one is other
    numbers = isinstance(one, int | float | Decimal) and isinstance(other, int | float | Decimal)
    if numbers:
        if one == other:
            return True
        # Floats come from a client's parser, which may have rounded.
        both = isinstance(one, float) and isinstance(other, float)
        return None if both and (isclose(one, other) or isnan(one) or isnan(other)) else False
    return False if type(one) is not type(other) else None


def _same_string(one: str, other: str, name: str) -> bool | None:
    if one == other:
        return True
    if max(len(one), len(other)) > LONGEST_TEXT:
        return None
    left, right = characters(one).strip(), characters(other).strip()
    # A key, a path or a code is another one with another case; a search for a name is not.
    if is_exact(name) and not (is_search(name) and _NAME.fullmatch(left[:80])):
        return True if left == right and is_search(name) else _apart(left, right)
    if left == right:
        return True
    if len(left) <= 80 and len(right) <= 80:  # noqa: PLR2004
        return _same_short(left, right)
    return True if plain(left) == plain(right) else None


def _same_short(one: str, other: str) -> bool | None:
    names = bool(_NAME.fullmatch(one)) and bool(_NAME.fullmatch(other))
    if names and len(one) > 2 and " ".join(one.lower().split()) == " ".join(other.lower().split()):  # noqa: PLR2004
        return True
    numbers = quantity(one), quantity(other)
    if numbers[0] is not None and numbers[1] is not None:
        # What is the same number in another dress may still be another text to a tool.
        return False if same_quantity(numbers[0], numbers[1]) is False else None
    return _apart(one, other)


def _apart(one: str, other: str) -> bool | None:
    """Return False for two single words that are surely not the same, else None."""
    if one.lower() == other.lower() or not (one.isalpha() and other.isalpha()):
        return None
    short = min(len(one), len(other)) < 3 or any(word.isupper() and len(word) < 6 for word in (one, other))  # noqa: PLR2004
    return None if short or one[:3].lower() == other[:3].lower() else False
