"""What retrievers, indices and postprocessors parse an answer to.

Each function takes the component that asks, where the call stands and what is asked, and returns the reading; None
where that component takes any text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llamaindex_tiers.reading import Reading
from llm_tiers.call.json_text import read_json

if TYPE_CHECKING:
    from llama_index.core.base.llms.types import ChatMessage

    from llamaindex_tiers.spans import Place

__all__ = [
    "branches",
    "chosen_in",
    "cypher",
    "filters",
    "json_path",
    "keywords",
    "keywords_in",
    "masked",
    "masked_in",
    "neighbour",
    "neighbour_in",
    "path_in",
    "queries",
    "synonyms",
]

_WORDS = 5
"""Most words of a keyword; more are a sentence."""

_CYPHER = frozenset(("match", "optional", "create", "merge", "with", "unwind", "call", "return", "use", "load"))
"""First words of statements in Cypher."""


def branches(_: Any, place: Place, __: Sequence[ChatMessage]) -> Reading:
    """Tree indices: the numbers of the summaries to follow."""
    given = {**(place.prompt.kwargs if place.prompt is not None else {}), **place.prompt_args}
    count, most = given.get("num_chunks"), given.get("branching_factor", 1)
    return Reading(lambda text: chosen_in(text, _whole(count), _whole(most) or 1), decides=True)


def chosen_in(text: str, count: int | None, most: int = 1) -> list[int] | None:
    """Return the first numbers of a text, wherever they stand: LlamaIndex's choice; None where one is no choice."""
    words = "".join(letter if letter.isascii() and letter.isdigit() else " " for letter in text).split()[:most]
    longest = len(str(count or 999))
    chosen = [int(word) for word in words if len(word) <= longest]
    is_choice = len(chosen) == len(words) and all(1 <= number <= (count or number) for number in chosen)
    return chosen if chosen and is_choice else None


def keywords(_: Any, __: Place, ___: Sequence[ChatMessage]) -> Reading:
    """Keyword tables and knowledge graphs: words between commas; others may do as well."""
    return Reading(keywords_in, decides=False)


def keywords_in(text: str) -> list[str] | None:
    """Return the keywords after `KEYWORDS:` or `SYNONYMS:`, or of a bare list; None for a sentence."""
    said = text.strip()
    mark = next((mark for mark in ("KEYWORDS:", "SYNONYMS:") if said.startswith(mark)), "")
    found = sorted({word.strip().lower() for word in said[len(mark) :].split(",")} - {""})
    short = all(len(word.split()) <= _WORDS for word in found)
    return found if found and short and (mark or len(found) > 1) else None


def queries(component: Any, place: Place, _: Sequence[ChatMessage]) -> Reading | None:
    """Query fusion: as many further queries as were asked for, one on each line."""
    # The retrievers that it fuses may ask as well, each for its own.
    if place.components[:1] != (component,):
        return None
    wanted = component.num_queries - 1

    def read(text: str) -> list[str] | None:
        lines = [line.strip() for line in text.strip("`").split("\n") if line.strip()]
        return lines[:wanted] if len(lines) >= wanted else None

    return Reading(read, decides=False)


def synonyms(component: Any, _: Place, __: Sequence[ChatMessage]) -> Reading:
    """Synonyms of a query's keywords, between carets or as the user's own function reads them."""
    own = component._output_parsing_fn  # noqa: SLF001 -- it has no public name

    def read(text: str) -> list[str] | None:
        found = sorted({word.strip().capitalize() for word in (own(text) if own else text.split("^"))} - {""})
        return found if found and (own or all(len(word.split()) <= _WORDS for word in found)) else None

    return Reading(read, decides=False)


def cypher(component: Any, place: Place, _: Sequence[ChatMessage]) -> Reading | None:
    """A statement in Cypher, which the graph store gets as it stands or as the user's validator returns it."""
    if place.prompt is not component.text_to_cypher_template:
        return None
    own = component.cypher_validator

    def read(text: str) -> str | None:
        statement = own(text) if own else text
        words = statement.split(None, 1)
        return " ".join(statement.split()) if words and words[0].lower() in _CYPHER else None

    # Two statements may find the same.
    return Reading(read, decides=False)


def filters(component: Any, _: Place, __: Sequence[ChatMessage]) -> Reading:
    """A query of a vector store with its filters, in JSON."""
    parser = component._output_parser  # noqa: SLF001 -- it has no public name
    return Reading(parser.parse, decides=False)


def neighbour(_: Any, __: Place, ___: Sequence[ChatMessage]) -> Reading:
    """Whether the previous or the next node is needed too."""
    return Reading(neighbour_in, decides=True)


def neighbour_in(text: str) -> str | None:
    """Return which neighbour LlamaIndex finds in a text; None where it would raise."""
    lowered = text.lower()
    return next((word for word in ("previous", "next", "none") if word in lowered), None)


def masked(_: Any, __: Place, ___: Sequence[ChatMessage]) -> Reading:
    """A text without personal data, and what its tags stand for."""
    return Reading(masked_in, decides=False)


def masked_in(text: str) -> tuple[str, Any] | None:
    """Return a text and the mapping after `Output Mapping:`; None where LlamaIndex would raise."""
    said, mark, after = text.partition("Output Mapping:")
    mapping = read_json(after.partition("Output Mapping:")[0].strip()) if mark else None
    return (said.strip(), mapping) if isinstance(mapping, dict) else None


def json_path(_: Any, __: Place, ___: Sequence[ChatMessage]) -> Reading:
    """Where in a JSON document the answer stands; two paths may lead to the same."""
    return Reading(path_in, decides=False)


def path_in(text: str) -> str | None:
    """Return the JSON path that LlamaIndex finds in a text; None for a sentence."""
    _, mark, after = text.partition("JSONPath:")
    lines = (after if mark else text).strip().splitlines()
    path = lines[0].strip() if lines else ""
    return path if path.startswith(("$", "@")) else None


def _whole(number: Any) -> int | None:
    return number if isinstance(number, int) else None
