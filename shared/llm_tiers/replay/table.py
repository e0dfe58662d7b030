"""A table of recorded outcomes: what each tier answered to each question, and what it cost."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from llm_tiers.errors import ReplayFileError
from llm_tiers.files.pipes import open_to_read

__all__ = ["BUNDLED", "BY_QUESTION_AND_TIER", "UNREADABLE", "ReplayTable", "load_table"]

_DATA = Path(__file__).parent / "data"
BUNDLED = (_DATA / "llm_at_math.npz", _DATA / "llm_at_mcqa.npz")
"""The two tables that come with the package; `data/README.md` names their source."""

_BY_TIER = ("tiers", "price_in", "price_out", "prior")
BY_QUESTION_AND_TIER = (
    "correct",
    "abstained",
    "verdict",
    "judge_tier",
    "gen_in",
    "gen_out",
    "gen_s",
    "judge_in",
    "judge_out",
    "judge_s",
    "answer_exact",
    "answer_equal",
)
"""Arrays with one entry for each question and tier."""

_EMBEDDINGS = ("embedding_wordllama", "embedding")
_MEANING = "right_means"
_UNREAD = np.empty(0)

_ZIP, _NPY = b"PK\x03\x04", b"\x93NUM"
"""How files of several arrays begin, and files of one."""


@dataclass(frozen=True, slots=True, eq=False)
class ReplayTable:
    """What K tiers answered to N questions.

    Attributes:
        path: The file.
        tiers: K names, cheapest first.
        price_in: K prices in US$ per million input tokens.
        price_out: K prices in US$ per million output tokens.
        prior: K benchmark accuracies, in [0, 1].
        embedding_name: Which array the embedding is.
        embedding: N x D, one vector a question.
        correct: N x K, whether the answer is right.
        abstained: N x K, whether the model said that it abstains.
        verdict: N x K, what the recorded judge said: 1 valid, 0 invalid, -1 not judged.
        judge_tier: N x K, the position of the tier that judged, -1 for none.
        gen_in: N x K, input tokens of the answer; gen_out its output tokens, gen_s its seconds.
        judge_in: N x K, input tokens of the judge call; judge_out its output tokens, judge_s its seconds.
        answer_exact: N x K; within a row equal numbers are equal answers, letter by letter; -1 is no answer.
        answer_equal: N x K, the same where numbers are compared as numbers; `answer_exact` in a file without it.
        right_means: What `correct` says: `"right"`, as in a file without it, or `"same as TIER"` where nobody knew the
            truth.
        weights: N weights, where the questions are calls that were drawn with unequal chances; None: all count alike.
    """

    path: Path
    tiers: tuple[str, ...]
    price_in: NDArray[np.float64]
    price_out: NDArray[np.float64]
    prior: NDArray[np.float64]
    embedding_name: str
    embedding: NDArray[np.float32]
    correct: NDArray[np.bool_]
    abstained: NDArray[np.bool_]
    verdict: NDArray[np.int64]
    judge_tier: NDArray[np.int64]
    gen_in: NDArray[np.int64]
    gen_out: NDArray[np.int64]
    gen_s: NDArray[np.float64]
    judge_in: NDArray[np.int64]
    judge_out: NDArray[np.int64]
    judge_s: NDArray[np.float64]
    answer_exact: NDArray[np.int64]
    answer_equal: NDArray[np.int64]
    right_means: str = "right"
    weights: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.correct)

    @property
    def has_verdicts(self) -> bool:
        """Whether any answer was judged."""
        return bool((self.verdict >= 0).any())


_FLAGS = ("correct", "abstained")
_TYPES = {"correct": np.bool_, "abstained": np.bool_, "gen_s": np.float64, "judge_s": np.float64}


def load_table(path: str | Path, embedding: str | None = None) -> ReplayTable:
    """Read a table of recorded outcomes.

    Args:
        path: An `.npz` file with the arrays of `ReplayTable`; arrays beyond them are not read.
        embedding: Name of the array with the questions' embeddings; by default `embedding_wordllama`, else
            `embedding`.

    Raises:
        ReplayFileError: The file cannot be read, or an array is missing, misshapen or out of range.
    """
    path = Path(path)
    arrays = _read(path, frozenset((*_BY_TIER, *BY_QUESTION_AND_TIER, *_EMBEDDINGS, _MEANING, embedding or "")))
    # The array is optional: without it, numbers are equal only if they are written alike.
    if "answer_exact" in arrays:
        arrays.setdefault("answer_equal", arrays["answer_exact"])
    name = embedding or next((known for known in _EMBEDDINGS if known in arrays), _EMBEDDINGS[0])
    for needed in (*_BY_TIER, *BY_QUESTION_AND_TIER, name):
        if needed not in arrays:
            raise ReplayFileError(f"{path}: the array {needed!r} is missing; the file has {', '.join(sorted(arrays))}")
    _check_shapes(path, arrays, name)
    # Shapes and types before values: a comparison of misshapen arrays would raise numpy's error instead of ours.
    typed = {key: _typed(path, key, arrays[key]) for key in (*_BY_TIER[1:], *BY_QUESTION_AND_TIER)}
    table = ReplayTable(
        path=path,
        # Numpy keeps names as text or as bytes, depending on how the file was written.
        tiers=tuple(tier.decode() if isinstance(tier, bytes) else str(tier) for tier in arrays["tiers"]),
        embedding_name=name,
        embedding=arrays[name].astype(np.float32),
        right_means=str(arrays[_MEANING]) if _MEANING in arrays else "right",
        **typed,
    )
    _check_values(table)
    return table


UNREADABLE = (
    *(OSError, ValueError, EOFError, BadZipFile, zlib.error),
    # Of headers that promise more than any memory, of encrypted or unknown entries, and of nonsense in a header.
    *(MemoryError, OverflowError, RuntimeError, KeyError, TypeError, SyntaxError, struct.error),
)
"""What numpy and zipfile raise at a file that is damaged or made to harm."""


def _read(path: Path, wanted: frozenset[str]) -> dict[str, NDArray[Any]]:
    try:
        # Opened here, since numpy leaves a file open that it cannot read.
        with open_to_read(path) as content:
            start = content.read(len(_ZIP))
            content.seek(0)
            # Numpy takes any other file for a pickle, and advises to allow that.
            if start and start != _ZIP and not start.startswith(_NPY):
                raise ReplayFileError(f"{path}: not a readable .npz file: it is of another format")
            # A pickle in a file from elsewhere could run any code.
            file = np.load(content, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise ReplayFileError(f"{path}: not an .npz file of named arrays")
            with file:
                # Other arrays may be of any kind; they are named where one is missing, but not read.
                return {key: file[key] if key in wanted else _UNREAD for key in file.files}
    except FileNotFoundError:
        raise ReplayFileError(f"{path}: there is no such file") from None
    except UNREADABLE as error:
        raise ReplayFileError(f"{path}: not a readable .npz file: {error}") from error


def _typed(path: Path, key: str, array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind not in "biuf":
        raise ReplayFileError(f"{path}: the array {key!r} holds {array.dtype}, not numbers")
    if key in _FLAGS and not np.isin(array, (0, 1)).all():
        raise ReplayFileError(f"{path}: the array {key!r} must hold 1 or 0")
    # Counts that were averaged over several runs would be cut to whole numbers without a word.
    if key not in _TYPES and key not in _BY_TIER and not (np.isfinite(array) & (array == np.round(array))).all():
        raise ReplayFileError(f"{path}: the array {key!r} must hold whole numbers")
    return array.astype(_TYPES.get(key, np.float64 if key in _BY_TIER else np.int64))


def _check_shapes(path: Path, arrays: Mapping[str, NDArray[Any]], embedding: str) -> None:
    tiers = arrays["tiers"]
    if tiers.ndim != 1 or len(tiers) < 2:  # noqa: PLR2004
        raise ReplayFileError(f"{path}: the array 'tiers' has shape {tiers.shape}; it must name two or more tiers")
    correct = arrays["correct"]
    if correct.ndim != 2 or not len(correct):  # noqa: PLR2004
        raise ReplayFileError(f"{path}: the array 'correct' has shape {correct.shape}; it must be questions x tiers")
    # Both sizes come from these two arrays; all others are measured against them.
    n, k = len(correct), len(tiers)
    expected = dict.fromkeys(_BY_TIER, (k,)) | dict.fromkeys(BY_QUESTION_AND_TIER, (n, k))
    for key, shape in expected.items():
        if arrays[key].shape != shape:
            raise ReplayFileError(f"{path}: the array {key!r} has shape {arrays[key].shape}; it must be {shape}")
    vectors = arrays[embedding]
    if vectors.ndim != 2 or len(vectors) != n or not vectors.shape[1] or vectors.dtype.kind != "f":  # noqa: PLR2004
        raise ReplayFileError(
            f"{path}: the array {embedding!r} is {vectors.dtype} of shape {vectors.shape}; "
            f"it must hold one vector of floats for each of the {n} questions"
        )


def _check_values(table: ReplayTable) -> None:
    def require(holds: bool, text: str) -> None:  # noqa: FBT001
        if not holds:
            raise ReplayFileError(f"{table.path}: {text}")

    judged = table.verdict >= 0
    require(all(table.tiers), "the array 'tiers' has an empty name")
    require(len(set(table.tiers)) == len(table.tiers), "the array 'tiers' names a tier twice")
    require(bool(np.isin(table.verdict, (-1, 0, 1)).all()), "the array 'verdict' must hold 1, 0 or -1")
    require(
        bool(((table.judge_tier >= -1) & (table.judge_tier < len(table.tiers))).all()),
        "the array 'judge_tier' must hold positions of tiers, or -1",
    )
    require(bool((table.judge_tier[judged] >= 0).all()), "the array 'judge_tier' is -1 where 'verdict' is not")
    require(
        bool(np.isfinite(table.embedding).all()), f"the array {table.embedding_name!r} has a value that is no number"
    )
    for key in ("price_in", "price_out", "gen_in", "gen_out", "gen_s", "judge_in", "judge_out", "judge_s"):
        values = getattr(table, key)
        require(
            bool((np.isfinite(values) & (values >= 0)).all()), f"the array {key!r} has a negative or undefined value"
        )
    require(bool(((table.prior >= 0) & (table.prior <= 1)).all()), "the array 'prior' must lie in [0, 1]")
