"""What LlamaIndex's components parse an answer to: what they cannot parse goes one tier up.

Reranker, extractors and evaluators parse with plain functions, of which a prompt says nothing. They are known by the
component that asks, or by the type of its prompt.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import MessageRole
from llama_index.core.output_parsers import PydanticOutputParser
from llama_index.core.prompts import PromptType

from llamaindex_tiers import retrieving
from llamaindex_tiers.reading import Reading
from llm_tiers.call.json_text import read_json

if TYPE_CHECKING:
    from llama_index.core.base.llms.types import ChatMessage
    from llama_index.core.types import BaseOutputParser

    from llamaindex_tiers.spans import Place

__all__ = ["known_reading"]

_TRIPLE = 3

_VERBS = frozenset(
    {
        *("select", "with", "insert", "update", "delete", "create", "alter", "drop"),
        *("explain", "show", "describe", "pragma", "values", "merge"),
    }
)
"""First words of statements in SQL."""


def known_reading(place: Place, messages: Sequence[ChatMessage]) -> Reading | None:
    """Return how what asks for a text is known to parse it; None where it takes any.

    Args:
        place: Where the call stands.
        messages: What is asked.
    """
    for component in place.components:
        known = next(filter(None, map(_of_class, type(component).__mro__)), None)
        # What parses with the prompt's own parser and then looks at a part of it says more than the parser.
        if known is not None and (place.parser is None or known is _passing):
            return known(component, place, messages)
    if place.parser is not None:
        return Reading(_bounded(place.parser), decides=False)
    known = None if place.prompt is None else _BY_TYPE.get(place.prompt.metadata.get("prompt_type"))
    return None if known is None else known(None, place, messages)


def _bounded(parser: BaseOutputParser) -> Callable[[str], Any]:
    """Return how a parser parses, in linear time where it is one of LlamaIndex's for objects."""
    if not isinstance(parser, PydanticOutputParser):
        return parser.parse

    def parse(text: str) -> Any:
        # Where nothing closes a brace, its expression looks from each of them to the end of the text.
        if text.rfind("}") < text.find("{"):
            raise ValueError("no object in the text")
        return parser.parse(text)

    return parse


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


def _passing(component: Any, _: Place, __: Sequence[ChatMessage]) -> Reading:
    """Guidelines: whether an answer keeps to them; the reasons may differ."""
    parse = _bounded(component._output_parser)  # noqa: SLF001
    return Reading(lambda text: bool(parse(text).passing), decides=True)


def _sql(_: Any, __: Place, ___: Sequence[ChatMessage]) -> Reading:
    # Two statements may give the same rows.
    return Reading(statement_in, decides=False)


def statement_in(text: str) -> str | None:
    """Return the SQL statement that LlamaIndex finds in a text, without what cannot matter; None for none."""
    _, mark, after = text.partition("SQLQuery:")
    found = (after if mark else text).partition("SQLResult:")[0].replace("```sql", "").replace("```", "").strip()
    words = found.rstrip("; \n").split()
    return " ".join(words) if words and words[0].lower().strip("(") in _VERBS else None


_Known = Callable[[Any, "Place", Sequence["ChatMessage"]], "Reading | None"]

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
    "GuidelineEvaluator": _passing,
    "QueryFusionRetriever": retrieving.queries,
    "LLMSynonymRetriever": retrieving.synonyms,
    "TextToCypherRetriever": retrieving.cypher,
    "VectorIndexAutoRetriever": retrieving.filters,
    "AutoPrevNextNodePostprocessor": retrieving.neighbour,
    "PIINodePostprocessor": retrieving.masked,
}

_BY_TYPE: dict[Any, _Known] = {
    PromptType.CHOICE_SELECT: _choices,
    PromptType.KNOWLEDGE_TRIPLET_EXTRACT: _triplets,
    PromptType.TEXT_TO_SQL: _sql,
    PromptType.TREE_SELECT: retrieving.branches,
    PromptType.TREE_SELECT_MULTIPLE: retrieving.branches,
    PromptType.TREE_INSERT: retrieving.branches,
    PromptType.KEYWORD_EXTRACT: retrieving.keywords,
    PromptType.QUERY_KEYWORD_EXTRACT: retrieving.keywords,
    PromptType.JSON_PATH: retrieving.json_path,
}
