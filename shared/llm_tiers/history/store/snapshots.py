"""The results of studies beside a folder's records, so that a restart need not read all records again."""

from __future__ import annotations

import hashlib
import json
import logging
import zlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from llm_tiers.history.packed import REFUSALS, Packed

if TYPE_CHECKING:
    from llm_tiers.history.record import KeptStudy

__all__ = ["Snapshot", "Snapshots", "of_bytes", "to_bytes"]

_LOGGER = logging.getLogger("llm_tiers.history")

_FOLDER = "llm-tiers-studies"
_MAGIC = b"llm-tiers study 1\n"
"""The number goes up with the form of the file; what begins otherwise is not read."""

_LARGEST = 64_000_000
"""Bytes of one file; a larger result is made of the records again."""

_MOST = 16
"""Files of a namespace, one for each node and study; the one that was not written for the longest goes."""

_KINDS = ("<f4", "<f8")


class Snapshot(NamedTuple):
    """The result of a study at one moment.

    Attributes:
        result: The result.
        last: Id of the record that it has learned last. It has learned all that were stored before that one.
        mark: The mark of the shelf, which is another one after other processes changed what was learned.
    """

    result: Any
    last: str
    mark: str


class Snapshots:
    """The kept results of one namespace.

    A file may be missing, damaged, or of another version: then it is as if there were none. The caller sees to it that
    none is there that no longer fits the records: it forgets all before it changes or removes records that were
    learned.
    """

    def __init__(self, folder: Path, namespace: str) -> None:
        self._folder = folder / _FOLDER / namespace
        # Not known yet: an earlier process may have left some.
        self._may_be_some = True

    def load(self, node: str, study: KeptStudy) -> Snapshot | None:
        """Return what is kept for a node and a study, if anything."""
        path = self._path(node, study)
        try:
            if path.stat().st_size > _LARGEST:
                return None
            about, packed = of_bytes(path.read_bytes())
            if about.facts.get("of") != [node, study.identity()]:
                return None
            return Snapshot(study.unpack(packed), str(about.facts["last"]), str(about.facts["mark"]))
        except FileNotFoundError:
            return None
        except (OSError, *REFUSALS) as error:
            _LOGGER.debug("a kept study is not used, and made of the records again: %r", error)
            return None

    def store(self, node: str, study: KeptStudy, snapshot: Snapshot) -> None:
        """Keep a result; one that cannot be kept is left out."""
        packed = study.pack(snapshot.result)
        if packed is None or sum(array.nbytes for array in packed.arrays.values()) > _LARGEST:
            return
        about = {"of": [node, study.identity()], "last": snapshot.last, "mark": snapshot.mark}
        content = to_bytes(about, packed)
        if len(content) > _LARGEST:
            return
        path = self._path(node, study)
        draft = path.with_suffix(".tmp")
        # A full disk costs the next start some time, and no call anything.
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._may_be_some = True
            draft.write_bytes(content)
            # Not synchronised: after a crash of the machine the sum at its head shows what is not whole.
            draft.replace(path)
            self._make_room()

    def forget(self) -> None:
        """Remove everything that is kept.

        Raises:
            OSError: Something cannot be removed.
        """
        if self._may_be_some:
            for path in list(self._folder.glob("*")):
                path.unlink(missing_ok=True)
            self._may_be_some = False

    def _make_room(self) -> None:
        kept = sorted(self._folder.glob("*.study"), key=lambda path: path.stat().st_mtime_ns)
        for path in kept[:-_MOST]:
            path.unlink(missing_ok=True)

    def _path(self, node: str, study: KeptStudy) -> Path:
        # A hash, since a node may be any text.
        named = json.dumps([node, study.identity()]).encode()
        return self._folder / f"{hashlib.sha256(named).hexdigest()[:32]}.study"


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
