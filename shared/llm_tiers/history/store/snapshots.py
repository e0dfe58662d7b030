"""The results of studies beside a folder's records, so that a restart need not read all records again."""

from __future__ import annotations

import hashlib
import json
import logging
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from llm_tiers.history.packed import REFUSALS, Packed

if TYPE_CHECKING:
    from llm_tiers.history.record import KeptStudy

__all__ = ["Key", "Snapshot", "Snapshots", "looks", "of_bytes", "to_bytes"]

_LOGGER = logging.getLogger("llm_tiers.history")

_FOLDER = "llm-tiers-studies"
_MAGIC = b"llm-tiers study 1\n"
"""The number goes up with the form of the file; what begins otherwise is not read."""

_LARGEST = 64_000_000
"""Bytes of one file; a larger result is made of the records again."""

_MOST = 64
"""Files of a namespace, one for each node and study; the one that was not written for the longest goes."""

_SEAL, _LARGEST_SEAL = "seal.json", 1_000_000

_KINDS = ("<f4", "<f8")


Key: TypeAlias = "tuple[str, KeptStudy, frozenset[str]]"
"""A node, a study, and the principals whose records it leaves out."""


class Snapshot(NamedTuple):
    """The result of a study at one moment.

    Attributes:
        result: The result.
        last: Id of the record that it has learned last. It has learned all that were stored before that one.
        mark: The mark of the shelf, which is another one after other processes changed what was learned.
        records: How many records the node had.
    """

    result: Any
    last: str
    mark: str
    records: int


class Snapshots:
    """The kept results of one namespace.

    A file may be missing, damaged, or of another version: then it is as if there were none. The caller sees to it that
    none is there that no longer fits the records: it forgets all before it changes or removes records that were
    learned.

    A seal says which of them have learned all that is stored, and what the database looked like then. While it still
    looks so, they can be read without opening it.

    Args:
        folder: The history's folder.
        namespace: The namespace.
        database: What the database looks like, by `looks`.
        alone: Says whether this process has used the folder alone since it opened it. Otherwise its studies do not know
            what others stored meanwhile, and nothing is kept any more.
    """

    def __init__(self, folder: Path, namespace: str, database: list[int], alone: Callable[[], bool]) -> None:
        self._folder = folder / _FOLDER / namespace
        self._alone = alone
        # Not known yet: an earlier process may have left some.
        self._may_be_some = True
        self._whole = self._sealed(database)

    def load(self, key: Key) -> Snapshot | None:
        """Return what is kept for a node and a study, if anything."""
        path = self._path(key)
        try:
            if path.stat().st_size > _LARGEST:
                return None
            about, packed = of_bytes(path.read_bytes())
            if about.facts.get("of") != _named(key):
                return None
            last, mark = about.facts["last"], about.facts["mark"]
            return Snapshot(key[1].unpack(packed), str(last), str(mark), about.whole("records"))
        except FileNotFoundError:
            return None
        except (OSError, *REFUSALS) as error:
            _LOGGER.debug("a kept study is not used, and made of the records again: %r", error)
            return None

    def store(self, key: Key, snapshot: Snapshot) -> bool:
        """Keep a result; False where it cannot be kept."""
        if not self._alone():
            return False
        packed = key[1].pack(snapshot.result)
        if packed is None or sum(array.nbytes for array in packed.arrays.values()) > _LARGEST:
            return False
        about = {"of": _named(key), "last": snapshot.last, "mark": snapshot.mark, "records": snapshot.records}
        content = to_bytes(about, packed)
        if len(content) > _LARGEST:
            return False
        path = self._path(key)
        # A full disk costs the next start some time, and no call anything.
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._may_be_some = True
            # Not synchronised: after a crash of the machine the sum at its head shows what is not whole.
            _replace(path, content)
            self._make_room()
            return True
        return False

    def forget(self) -> None:
        """Remove everything that is kept.

        Raises:
            OSError: Something cannot be removed.
        """
        self.changes()
        if self._may_be_some:
            for path in list(self._folder.glob("*")):
                path.unlink(missing_ok=True)
            self._may_be_some = False

    def is_whole(self, key: Key) -> bool:
        """Whether what is kept has learned all that is stored."""
        return self._path(key).name in self._whole.get(key[0], ())

    @property
    def is_any_whole(self) -> bool:
        """Whether anything that is kept has."""
        return any(self._whole.values())

    def became_whole(self, key: Key) -> None:
        """Take notice that what is kept has learned all that is stored."""
        name, names = self._path(key).name, self._whole.setdefault(key[0], [])
        if name not in names:
            names.append(name)

    def grows(self, node: str) -> None:
        """Take notice that a node gets another record."""
        self._whole.pop(node, None)

    def changes(self) -> None:
        """Take notice that a record is about to change, which any may have learned."""
        self._whole.clear()

    def seal(self, database: list[int]) -> None:
        """Write down what has learned all, once the database is closed."""
        with suppress(OSError):
            if self._folder.is_dir() and self._alone():
                content = json.dumps({"database": database, "whole": self._whole}).encode()
                _replace(self._folder / _SEAL, content)

    def _sealed(self, database: list[int]) -> dict[str, list[str]]:
        path = self._folder / _SEAL
        try:
            if path.stat().st_size > _LARGEST_SEAL:
                return {}
            held = json.loads(path.read_bytes())
            if not database or held["database"] != database:
                return {}
            return {str(node): [str(name) for name in names] for node, names in dict(held["whole"]).items()}
        except (OSError, *REFUSALS):
            return {}

    def _make_room(self) -> None:
        kept = sorted(self._folder.glob("*.study"), key=lambda path: path.stat().st_mtime_ns)
        for path in kept[:-_MOST]:
            path.unlink(missing_ok=True)

    def _path(self, key: Key) -> Path:
        # A hash, since a node may be any text.
        return self._folder / f"{hashlib.sha256(json.dumps(_named(key)).encode()).hexdigest()[:32]}.study"


def looks(database: Path) -> list[int]:
    """Return by what it shows that a database was written to; nothing where there is none."""
    found = []
    for path in (database, database.with_name(f"{database.name}-wal")):
        with suppress(OSError):
            held = path.stat()
            found += [held.st_size, held.st_mtime_ns] if held.st_size else []
    return found


def _named(key: Key) -> list[Any]:
    node, study, without = key
    return [node, study.identity(), sorted(without)]


def _replace(path: Path, content: bytes) -> None:
    draft = path.with_suffix(".tmp")
    draft.write_bytes(content)
    draft.replace(path)


def to_bytes(about: dict[str, Any], packed: Packed) -> bytes:
    """Return what is written: a line that names the form, a check sum, a head in JSON, and the arrays one by one."""
    arrays = {name: np.ascontiguousarray(array) for name, array in packed.arrays.items()}
    described = [[name, array.dtype.str, list(array.shape)] for name, array in arrays.items()]
    head = json.dumps({"about": about, "facts": packed.facts, "arrays": described}).encode()
    body = b"".join([len(head).to_bytes(8, "little"), head, *(array.tobytes() for array in arrays.values())])
    return _MAGIC + zlib.crc32(body).to_bytes(4, "little") + body


def of_bytes(content: bytes) -> tuple[Packed, Packed]:
    """Return what `to_bytes` was given; where something else wrote it, one of `REFUSALS` is raised."""
    begin = len(_MAGIC) + 4
    body = memoryview(content)[begin:]
    if content[: len(_MAGIC)] != _MAGIC or zlib.crc32(body) != int.from_bytes(content[len(_MAGIC) : begin], "little"):
        raise ValueError("it is of another form, or not whole")
    length = int.from_bytes(body[:8], "little")
    head, rest = json.loads(bytes(body[8 : 8 + length])), body[8 + length :]
    arrays = {}
    for name, kind, shape in head["arrays"]:
        if kind not in _KINDS or not all(type(size) is int and size >= 0 for size in shape):
            raise ValueError("an array of another kind")
        # In Python's numbers, which do not overflow.
        size = int(kind[-1])
        for one in shape:
            size *= one
        if size > len(rest):
            raise ValueError("an array that is not whole")
        arrays[name] = np.frombuffer(rest[:size], dtype=kind).reshape(shape).copy()
        rest = rest[size:]
    return Packed(dict(head["about"])), Packed(dict(head["facts"]), arrays)
