"""Checking a value that a model wrote against a user's JSON schema, with a bound on the work."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache, partial
from graphlib import CycleError, TopologicalSorter
from itertools import islice
from typing import Any, TypeAlias

from jsonschema.exceptions import ValidationError, best_match
from jsonschema.validators import Draft202012Validator, extend, validator_for
from referencing import Registry

from llm_tiers.call.patterns import LONGEST_MATCHED, matches

__all__ = ["STEPS", "TooMuchWorkError", "first_error", "is_recursive"]

STEPS = 8_000
"""The most keywords that are checked in one value, at some microseconds each. If alternatives of a schema refer back to
it, their number at least doubles with each level of the value."""

_STEPS_OF_AN_ERROR = 4
"""What making an error object costs, in steps."""

_ERRORS = 50
"""The number of errors of which the most relevant one is reported."""

Keyword: TypeAlias = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]

# jsonschema calls keywords with a fixed signature, which has no place for a counter of the one check that is running.
_left: ContextVar[list[int]] = ContextVar("llm_tiers_schema_steps")


class TooMuchWorkError(Exception):
    """Checking the value would take more than `STEPS` steps."""


def first_error(value: object, schema: Mapping[str, Any], *, tries_all: bool = False) -> ValidationError | None:
    """Return the most relevant error of a JSON value against a schema; None if it fits.

    What cannot be checked in bounded time is taken on trust: patterns with lookaround or backreferences, and
    `unevaluatedProperties` beside `patternProperties`. A text that is too long for its pattern does not fit.

    Args:
        value: The value. Its depth and its number of values must be bounded already.
        schema: A valid schema.
        tries_all: Whether to check each alternative to its end, as pydantic does, so that the steps measure pydantic's
            work with the value; otherwise an alternative ends at its first error.

    Raises:
        TooMuchWorkError: It takes too many steps.
        RecursionError: The schema refers to itself without end.
        referencing.exceptions.Unresolvable: The schema refers to another document.
    """
    checker = _bounded(validator_for(schema, default=Draft202012Validator), _trusts_rest(schema), tries_all)
    # An empty registry, so that no reference is fetched from the network.
    registry: Registry[Any] = Registry()
    token = _left.set([STEPS])
    try:
        errors = checker(schema, registry=registry).iter_errors(_brief(value))
        error: ValidationError | None = best_match(islice(errors, _ERRORS))
    finally:
        _left.reset(token)
    return error


def _trusts_rest(schema: Any) -> bool:
    """Say whether a schema has `patternProperties` anywhere.

    For `unevaluatedProperties` jsonschema matches these patterns itself, with Python's engine.
    """
    if isinstance(schema, Mapping):
        return "patternProperties" in schema or any(map(_trusts_rest, schema.values()))
    return isinstance(schema, list) and any(map(_trusts_rest, schema))


def is_recursive(schema: Mapping[str, Any]) -> bool:
    """Say whether a schema's definitions refer to themselves, so that a value may be nested to any depth."""
    # Pydantic's name, and that of older drafts.
    definitions = schema.get("$defs") or schema.get("definitions") or {}
    refers = {name: _names_referred_to(definition) for name, definition in definitions.items()}
    try:
        TopologicalSorter(refers).prepare()
    except CycleError:
        return True
    return "#" in _names_referred_to(schema)


def _names_referred_to(schema: Any) -> set[str]:
    if isinstance(schema, list):
        return set().union(*map(_names_referred_to, schema))
    if not isinstance(schema, Mapping):
        return set()
    reference = schema.get("$ref")
    own = {reference.rpartition("/")[2]} if isinstance(reference, str) else set()
    return own.union(*map(_names_referred_to, schema.values()))


@lru_cache(maxsize=32)
def _bounded(kind: Any, trusts_rest: bool, tries_all: bool) -> Any:  # noqa: FBT001 -- keys of the cache
    """Return the validator of a draft, changed so that it counts steps and replaces keywords that are not linear."""
    own: dict[str, Keyword] = {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "uniqueItems": _unique_items,
        "oneOf": partial(_alternatives, most=1, tries_all=tries_all),
        "anyOf": partial(_alternatives, most=None, tries_all=tries_all),
    }
    known = {name: _counted(own.get(name, check)) for name, check in kind.VALIDATORS.items()}
    if trusts_rest:
        known["unevaluatedProperties"] = _trusted
    return extend(kind, known)


def _trusted(_validator: Any, _wanted: Any, _value: Any, _schema: Any) -> None:
    return None


def _counted(check: Keyword) -> Keyword:
    def counted(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
        _spend(1)
        for error in check(validator, wanted, value, schema) or ():
            _spend(_STEPS_OF_AN_ERROR)
            yield error

    return counted


def _spend(steps: int) -> None:
    left = _left.get()
    left[0] -= steps
    if left[0] < 0:
        raise TooMuchWorkError


def _alternatives(
    validator: Any, alternatives: Any, value: Any, schema: Any, *, most: int | None, tries_all: bool
) -> Iterator[ValidationError]:
    """Check `anyOf` and `oneOf`."""
    chosen = _chosen(value, schema.get("discriminator"))
    errors, fitting = [], 0
    for position, alternative in enumerate(alternatives if chosen is None else [chosen]):
        found = validator.descend(value, alternative, schema_path=position)
        failed = [*found] if tries_all else [*islice(found, 1)]
        fitting += not failed
        errors += failed
        # `anyOf` is decided by the first that fits, `oneOf` by the second.
        if fitting and (most is None or fitting > most):
            break
    if not fitting or (most is not None and fitting > most):
        yield ValidationError("alternatives", context=() if fitting else errors)


def _chosen(value: Any, discriminator: Any) -> Mapping[str, Any] | None:
    """Return the alternative that a field of the value names by OpenAPI's `discriminator`, or None."""
    # Pydantic writes it for tagged unions. All other alternatives are then neither tried nor reported.
    if not (isinstance(value, dict) and isinstance(discriminator, Mapping)):
        return None
    name = value.get(discriminator.get("propertyName", ""))
    mapping = discriminator.get("mapping")
    reference = mapping.get(name) if isinstance(mapping, Mapping) and isinstance(name, str) else None
    return {"$ref": reference} if isinstance(reference, str) else None


def _pattern(_validator: Any, pattern: str, value: Any, _schema: Any) -> Iterator[ValidationError]:
    if not isinstance(value, str):
        return
    # Matching 100 characters takes about as long as a keyword.
    _spend(len(value) // 100)
    if len(value) > LONGEST_MATCHED or matches(pattern, value) is False:
        yield ValidationError("pattern")


def _pattern_properties(
    validator: Any, patterns: Mapping[str, Any], value: Any, _schema: Any
) -> Iterator[ValidationError]:
    for pattern, schema in patterns.items() if isinstance(value, dict) else ():
        _spend(_work(value))
        for name, item in value.items():
            if matches(pattern, name):
                yield from validator.descend(item, schema, path=name, schema_path=pattern)


def _additional_properties(validator: Any, allowed: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(value, dict):
        return
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    _spend(_work(value) * len(patterns))
    rest = [
        name for name in value if name not in known and all(matches(pattern, name) is False for pattern in patterns)
    ]
    if allowed is False and rest:
        yield ValidationError("additional properties")
    for name in rest if isinstance(allowed, Mapping) else ():
        yield from validator.descend(value[name], allowed, path=name)


def _work(names: Mapping[str, Any]) -> int:
    """Return how many steps matching all names of an object with one pattern costs."""
    return len(names) // 10 + sum(map(len, names)) // 100


def _unique_items(_validator: Any, wanted: Any, value: Any, _schema: Any) -> Iterator[ValidationError]:
    if wanted is not True or not isinstance(value, list):
        return
    # As texts, whose hashes are salted. Numbers can be chosen so that all have one hash, and a set takes quadratic
    # time.
    texts = [_canonical(item) for item in value]
    _spend(sum(map(len, texts)) // 5)
    if len(set(texts)) < len(texts):
        yield ValidationError("items that are not unique")


def _canonical(value: Any) -> str:
    """Return a text that is the same for values that are equal in the sense of JSON Schema, where 1.0 is 1."""
    return json.dumps(_with_whole_numbers(value), sort_keys=True)


def _with_whole_numbers(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _with_whole_numbers(item) for name, item in value.items()}
    return [_with_whole_numbers(item) for item in value] if isinstance(value, list) else value


class _BriefText(str):
    """A text that an error does not quote."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "a text"


class _BriefList(list[Any]):
    """A list that an error does not quote: each error would write out all that is in it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "a list"


class _BriefObject(dict[str, Any]):
    """An object that an error does not quote."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "an object"


def _brief(value: Any) -> Any:
    """Return a value whose errors are short: jsonschema quotes it in each, and nothing of it may be shown."""
    if isinstance(value, dict):
        return _BriefObject((_BriefText(name), _brief(item)) for name, item in value.items())
    if isinstance(value, list):
        return _BriefList(map(_brief, value))
    return _BriefText(value) if isinstance(value, str) else value
