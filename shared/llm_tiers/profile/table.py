"""The replay file of a profile: the arrays that `load_table` reads, and those that a warm start needs besides."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llm_tiers.embedding.wordllama import WORDLLAMA
from llm_tiers.errors import ConfigError
from llm_tiers.profile.grade import MISSING

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llm_tiers.embedding import Embedding
    from llm_tiers.ladder.price import Price
    from llm_tiers.ladder.tiers import Ladder
    from llm_tiers.profile.grade import Graded
    from llm_tiers.profile.progress import Paid
    from llm_tiers.profile.questions import Question

__all__ = ["Row", "save_table"]

_LOWEST_PRIOR, _HIGHEST_PRIOR = 0.65, 0.85
"""What `AccuracyEstimator` takes for tiers without a prior, spread evenly over the ladder."""


@dataclass(frozen=True, slots=True)
class Row:
    """One question that every tier answered.

    Attributes:
        question: The question.
        query: The text by which similar calls are found.
        node: Where in the user's graph it comes from.
        paid: What the tiers answered, cheapest tier first.
        graded: How right that is.
    """

    question: Question
    query: str
    node: str
    paid: tuple[Paid, ...]
    graded: Graded


def save_table(
    path: Path,
    rows: Sequence[Row],
    ladder: Ladder,
    prices: Mapping[str, Price],
    embedding: Embedding,
    *,
    knows_truth: bool,
    with_text: bool = False,
) -> None:
    """Write a replay file; it appears whole or not at all.

    Besides the arrays of `ReplayTable` it has `right_means` (`"right"`, or `"same as TIER"` where neither keys nor a
    check said what is right), `grades` (N x K, in [0, 1]), `said` (N x K, `answer_equal` with -2 for an answer that
    cannot be compared), `cost_usd` (N x K), `tokens_estimated` (N x K), `id`, `node`, `created` and `record_id` (N),
    and the name of the embedding's model, `embedding_model`. Texts are in it only where they are asked for: `query` (N)
    and `answer_text` (N x K).

    Args:
        path: The file.
        rows: The questions that every tier answered.
        ladder: The tiers.
        prices: Tier name to price.
        embedding: Makes the vectors.
        knows_truth: Whether the grades come from keys or a check.
        with_text: Keep the texts too.

    Raises:
        ConfigError: The file cannot be written.
    """
    arrays = _of_tiers(ladder, prices) | _of_answers(rows) | _of_questions(rows, ladder)
    vectors = np.stack([embedding.embed(row.query) for row in rows]).astype(np.float32)
    arrays["embedding_wordllama" if embedding.name == WORDLLAMA else "embedding"] = vectors
    arrays["embedding_model"] = np.array(embedding.name)
    arrays["right_means"] = np.array("right" if knows_truth else f"same as {ladder.top.name}")
    if with_text:
        arrays["query"] = np.array([row.query for row in rows])
        arrays["answer_text"] = np.array([[paid.text for paid in row.paid] for row in rows])
    # In the same folder, since only within one file system a file is replaced at once.
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # the stubs take the names for settings
        os.replace(part, path)  # noqa: PTH105 -- as pathlib's `replace`, and named like what it does
    except OSError as error:
        # On a full disk, the half that was written would stay in the way.
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise ConfigError(f"--out {path}: cannot be written: {error.strerror or error}") from None


def _of_tiers(ladder: Ladder, prices: Mapping[str, Price]) -> dict[str, NDArray[Any]]:
    spread = (_HIGHEST_PRIOR - _LOWEST_PRIOR) / (len(ladder) - 1)
    # Not the accuracies measured on this sample: a replay of it would start out with what it is meant to learn.
    priors = [_LOWEST_PRIOR + spread * place if tier.prior is None else tier.prior for place, tier in enumerate(ladder)]
    return {
        "tiers": np.array(ladder.names),
        "price_in": np.array([prices[name].input for name in ladder.names]),
        "price_out": np.array([prices[name].output for name in ladder.names]),
        "prior": np.array(priors, dtype=np.float64),
    }


def _of_answers(rows: Sequence[Row]) -> dict[str, NDArray[Any]]:
    paid = [row.paid for row in rows]
    said = np.array([row.graded.said for row in rows], dtype=np.int64)
    grades = np.array([row.graded.grades for row in rows], dtype=np.float64)
    # The published tables that this format comes from also record a judge, and models that say they abstain.
    none, unjudged = np.zeros(said.shape, dtype=np.int64), np.full(said.shape, -1, dtype=np.int64)
    return {
        "correct": grades >= 0.5,  # noqa: PLR2004 -- more right than wrong
        "grades": grades,
        "abstained": none.astype(np.bool_),
        "verdict": unjudged,
        "judge_tier": unjudged,
        "gen_in": np.array([[one.input_tokens for one in row] for row in paid], dtype=np.int64),
        "gen_out": np.array([[one.output_tokens for one in row] for row in paid], dtype=np.int64),
        "gen_s": np.array([[one.seconds for one in row] for row in paid], dtype=np.float64),
        "judge_in": none,
        "judge_out": none,
        "judge_s": none.astype(np.float64),
        "answer_exact": np.array([_exact(row) for row in rows], dtype=np.int64),
        "answer_equal": np.array([row.graded.equal for row in rows], dtype=np.int64),
        "said": said,
        "cost_usd": np.array([[one.cost_usd for one in row] for row in paid], dtype=np.float64),
        "tokens_estimated": np.array([[one.estimated for one in row] for row in paid], dtype=np.bool_),
    }


def _of_questions(rows: Sequence[Row], ladder: Ladder) -> dict[str, NDArray[Any]]:
    return {
        "id": np.array([row.question.id for row in rows]),
        "node": np.array([row.node for row in rows]),
        "created": np.array([max(one.at for one in row.paid) for row in rows], dtype=np.float64),
        "record_id": np.array([_record_id(row, ladder) for row in rows]),
    }


def _record_id(row: Row, ladder: Ladder) -> str:
    """Return the id of a row's record in a history.

    It is the same however often the file is made from the same answers, so that a second warm start adds nothing.
    """
    of = [ladder.names, row.question.id, row.node, row.question.messages, [one.at for one in row.paid]]
    return f"profile-{hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:24]}"


def _exact(row: Row) -> list[int]:
    """Number answers such that those with the very same text have equal numbers."""
    numbers: dict[str, int] = {}
    return [
        MISSING if number == MISSING or one.value is None else numbers.setdefault(one.value.strip(), len(numbers))
        for number, one in zip(row.graded.said, row.paid, strict=True)
    ]
