"""What LlamaIndex's components parse an answer to: what they cannot parse goes one tier up.

Reranker, extractors and evaluators parse with plain functions, of which a prompt says nothing. They are known by the
component that asks, or by the type of its prompt.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import MessageRole
from llama_index.core.output_parsers.base import StructuredOutput
from llama_index.core.prompts import PromptType

from llm_tiers.arguments import kind_of
from llm_tiers.call.json_text import is_shallow, read_json
from llm_tiers.errors import ConfigError

if TYPE_CHECKING:
    from llama_index.core.base.llms.types import ChatMessage

    from llamaindex_tiers.spans import Place
    from llm_tiers.call.answer import Answer

__all__ = ["Reading", "known_reading", "told_reading"]

Read = Callable[[str], Any]
"""Returns what a text is parsed to, or None; or raises where it cannot be parsed."""

_LONGEST = 200_000
"""Most characters of a text that is parsed: parsers that are not ours may take more than linear time."""

_TRIPLE = 3

_VERBS = frozenset(
    {
        *("select", "with", "insert", "update", "delete", "create", "alter", "drop"),
        *("explain", "show", "describe", "pragma", "values", "merge"),
    }
)
"""First words of statements in SQL."""


class Reading:
    """How a text will be parsed.

    Args:
        read: Parses a text.
        decides: Texts that are parsed to different things say different things; otherwise that is open.
    """

    def __init__(self, read: Read, *, decides: bool) -> None:
        self._read = read
        self._decides = decides

    def flaw(self, answer: Answer) -> str | None:
        """Return why an answer cannot be parsed, without quoting it; None if it can."""
        return self._parsed(answer.text)[1]

    def same(self, one: Answer, other: Answer) -> bool | None:
        """Say whether two answers are parsed to the same; None where that leaves it open."""
        (left, flaw), (right, other_flaw) = self._parsed(one.text), self._parsed(other.text)
        if flaw is not None or other_flaw is not None:
            return None
        if _equal(left, right):
            return True
        return False if self._decides else None

    def _parsed(self, text: str) -> tuple[Any, str | None]:
        if len(text) > _LONGEST or not is_shallow(text):
            return None, "cannot be parsed: too long or nested too deeply"
        try:
            value = self._read(text)
        except Exception as error:  # noqa: BLE001 -- each parser refuses in its own way, and may quote the answer
            return None, f"cannot be parsed: {type(error).__name__}"
        return value, "cannot be parsed" if value is None else None


def told_reading(parse: object) -> Reading:
    """Return the reading of a function that the user gives.

    Raises:
        ConfigError: It is no plain function.
    """
    if not callable(parse):
        raise ConfigError(f"parse must be a function of an answer's text, such as json.loads, not {kind_of(parse)}")
    if inspect.iscoroutinefunction(parse):
        raise ConfigError("parse must be a plain function, not an async one: it runs inside sync and async calls")
    return Reading(parse, decides=True)


def known_reading(place: Place, messages: Sequence[ChatMessage]) -> Reading | None:
    """Return how what asks for a text is known to parse it; None where it takes any.

    Args:
        place: Where the call stands.
        messages: What is asked.
    """
    if place.parser is not None:
        return Reading(place.parser.parse, decides=False)
    for component in place.components:
        known = next(filter(None, map(_of_class, type(component).__mro__)), None)
        if known is not None:
            return known(component, place, messages)
    known = None if place.prompt is None else _BY_TYPE.get(place.prompt.metadata.get("prompt_type"))
    return None if known is None else known(None, place, messages)


def _of_class(kind: type) -> _Known | None:
    # By name: the modules of most components need not be loaded.
    return _BY_COMPONENT.get(kind.__name__) if kind.__module__.startswith("llama_index.") else None


def _choices(component: Any, place: Place, _: Sequence[ChatMessage]) -> Reading:
    """Reranking: which documents are relevant, and how much."""
    from llama_index.core.indices.utils import default_parse_choice_select_answer_fn

    function = getattr(component, "_parse_choice_select_answer_fn", None) or default_parse_choice_select_answer_fn
    given = place.prompt_args.get("context_messages")
    count = len(given) if isinstance(given, list) else str(place.prompt_args.get("context_str", "")).count("Document ")

    def read(text: str) -> Any:
        numbers, scores = function(text, count)
        # LlamaIndex takes the last document for one that is numbered 0.
        if not numbers or min(numbers) < 1 or len(scores or numbers) != len(numbers):
            return None
        order = sorted(range(len(numbers)), key=lambda place: -(scores[place] if scores else 0.0))
        return [numbers[place] for place in order]

    return Reading(read, decides=True)


def _permutation(_: Any, __: Place, messages: Sequence[ChatMessage]) -> Reading:
    """RankGPT: the order of passages, written `[2] > [1]`."""
    # After each passage stands a message that says that it was received.
    count = sum(message.role is MessageRole.ASSISTANT for message in messages) - 1
    return Reading(lambda text: ranks_in(text, count), decides=True)


def ranks_in(text: str, count: int) -> list[int] | None:
    """Return the order of so many passages that a text says; None where it says none.

    LlamaIndex takes any digit for a rank; a sentence with a number in it is no order.
    """
    words = "".join(character if character not in "[]>,." else " " for character in text).split()
    ranks = [int(word) for word in words if word.isascii() and word.isdigit() and len(word) <= len(str(count))]
    order = list(dict.fromkeys(rank for rank in ranks if 1 <= rank <= count))
    written = "] >" in text or "]>" in text or len(ranks) == len(words)
    return order if written and len(order) >= min(2, count) else None


def _triplets(component: Any, place: Place, _: Sequence[ChatMessage]) -> Reading:
    """Graphs: which things stand in which relation."""
    from llama_index.core.indices.property_graph.utils import default_parse_triplets_fn

    function = getattr(component, "parse_fn", None) or default_parse_triplets_fn
    if function.__module__.startswith("llama_index.") and "dynamic" in function.__name__:
        return Reading(typed_triplets_in, decides=False)
    # Of the prompt's two kinds, the one that is known only by its type asks for `(subject, predicate, object)`.
    asks_json = component is None and "head_type" in str(getattr(place.prompt, "template", ""))
    read = typed_triplets_in if asks_json else function
    return Reading(lambda text: sorted(map(str, read(text) or ())) or None, decides=True)


def typed_triplets_in(text: str) -> list[Any] | None:
    """Return the triplets of a JSON text, as far as they are whole; None where there is none.

    In what is no JSON LlamaIndex looks for the same names, by an expression that may take very long.
    """
    names = ("head", "head_type", "relation", "tail", "tail_type")
    try:
        items = read_json(text)
    except ValueError:
        return [text] if all(f'"{name}"' in text or f"'{name}'" in text for name in names) else None
    whole = [item for item in items if isinstance(item, dict) and all(item.get(name) for name in names)]
    return sorted([str(item[name]) for name in names] for item in whole) or None


def _score(component: Any, _: Place, __: Sequence[ChatMessage]) -> Reading:
    """Evaluators: the score, as the evaluator's own function finds it."""
    function = getattr(component, "parser_function", None) or getattr(component, "_parser_function", None)
    if function is None:
        return Reading(score_after_result, decides=True)
    own = function.__module__.startswith("llama_index.") and "relevancy" in function.__module__

    def read(text: str) -> Any:
        # Its expression takes quadratic time.
        if own:
            return score_after_result(text)
        # All but the explanation, which stands last.
        *said, _ = function(text)
        score = said[-1]
        return None if score is None or not math.isfinite(score) else score

    return Reading(read, decides=True)


def score_after_result(text: str) -> float | None:
    """Return the number after the last `[RESULT]` of a text; None where there is none."""
    before, mark, after = text.rpartition("[RESULT]")
    written = after[:40].lstrip()
    digits = "".join(takewhile(lambda letter: letter in "0123456789.", written))
    return float(digits) if before and mark and digits else None


def _yes_or_no(_: Any, __: Place, ___: Sequence[ChatMessage]) -> Reading:
    """Evaluators that look for a yes: a text with neither yes nor no in it says nothing."""
    return Reading(yes_or_no, decides=True)


def yes_or_no(text: str) -> bool | None:
    """Return True where LlamaIndex finds a yes in a text, False where the text says no, None for neither."""
    lowered = text.lower()
    if "yes" in lowered:
        return True
    plain = "".join(letter if letter.isalpha() else " " for letter in lowered)
    return False if "no" in plain.split() else None


def _sql(_: Any, __: Place, ___: Sequence[ChatMessage]) -> Reading:
    # Two statements may give the same rows.
    return Reading(statement_in, decides=False)


def statement_in(text: str) -> str | None:
    """Return the SQL statement that LlamaIndex finds in a text, without what cannot matter; None for none."""
    _, mark, after = text.partition("SQLQuery:")
    found = (after if mark else text).partition("SQLResult:")[0].replace("```sql", "").replace("```", "").strip()
    words = found.rstrip("; \n").split()
    return " ".join(words) if words and words[0].lower().strip("(") in _VERBS else None


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, StructuredOutput) and isinstance(other, StructuredOutput):
        # Their raw texts differ.
        one, other = one.parsed_output, other.parsed_output
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001 -- what a user's function returns may compare in its own way, or not at all
        return False


_Known = Callable[[Any, "Place", Sequence["ChatMessage"]], "Reading"]

_BY_COMPONENT: dict[str, _Known] = {
    "LLMRerank": _choices,
    "DocumentSummaryIndexLLMRetriever": _choices,
    "RankGPTRerank": _permutation,
    "SimpleLLMPathExtractor": _triplets,
    "DynamicLLMPathExtractor": _triplets,
    "CorrectnessEvaluator": _score,
    "AnswerRelevancyEvaluator": _score,
    "ContextRelevancyEvaluator": _score,
    "PairwiseComparisonEvaluator": _score,
    "FaithfulnessEvaluator": _yes_or_no,
    "RelevancyEvaluator": _yes_or_no,
}

_BY_TYPE: dict[Any, _Known] = {
    PromptType.CHOICE_SELECT: _choices,
    PromptType.KNOWLEDGE_TRIPLET_EXTRACT: _triplets,
    PromptType.TEXT_TO_SQL: _sql,
}
