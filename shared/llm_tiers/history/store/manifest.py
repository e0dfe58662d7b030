"""The small file beside a folder's records that names their embedding, so that Chroma need not be opened for it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import filelock

from llm_tiers.errors import HistoryError

__all__ = ["NAME", "Manifest"]

NAME = "llm-tiers.json"
_FORMAT = 1


class Manifest:
    """Which namespaces a folder holds: for each one its embedding, the dimension, and the deleted records.

    The folder's lock must be held. The same facts stand in the collections' metadata, so the file may be deleted: it
    comes back with the next write.
    """

    def __init__(self, folder: Path, *, damaged: bool = False) -> None:
        self._path = folder / NAME
        self._namespaces: dict[str, dict[str, Any]] = {}
        self._seen: tuple[int, int] | None = None
        self.exists = False
        if not damaged:
            self.look_again()

    def look_again(self) -> None:
        """Read the file again if another process wrote it meanwhile."""
        try:
            found = self._path.stat()
        except OSError:
            self.exists = False
            return
        seen = (found.st_ino, found.st_mtime_ns)
        if not self.exists or seen != self._seen:
            self._namespaces = self._read()
            self.exists, self._seen = True, seen

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            version, namespaces = int(content["format"]), dict(content["namespaces"])
        except (KeyError, TypeError, ValueError) as error:
            msg = f"{self._path} is damaged ({error}); delete this file, it is written anew from the records"
            raise HistoryError(msg) from error
        if version > _FORMAT:
            msg = f"{self._path} was written by a newer llm-tiers (format {version}); upgrade, or take a new folder"
            raise HistoryError(msg)
        return namespaces

    def embedding(self, namespace: str) -> tuple[str, int] | None:
        """Return the name and dimension of the embedding that made a namespace; None where it is new."""
        held = self._namespaces.get(namespace)
        return None if held is None else (held["embedding"], held["dimension"])

    def tombstones(self, namespace: str) -> Mapping[str, int]:
        """Return how many deleted records each collection carries."""
        return dict(self._namespaces.get(namespace, {}).get("deleted", {}))

    def enrol(self, namespace: str, embedding: str, dimension: int) -> None:
        """Write down which embedding makes a namespace, before its first record is stored."""
        if self.exists and namespace in self._namespaces:
            return
        # Several processes may share the folder, and each writes the whole file.
        with filelock.FileLock(self._path.with_suffix(".lock.json")):
            self.look_again()
            if not self.exists or namespace not in self._namespaces:
                self._namespaces[namespace] = {"embedding": embedding, "dimension": dimension}
                self._write()

    def store_tombstones(self, namespace: str, deleted: Mapping[str, int]) -> None:
        """Store how many deleted records each collection carries."""
        held = self._namespaces.get(namespace)
        # Only changes are written: this is called after every batch.
        known = {name: count for name, count in deleted.items() if count}
        if held is not None and held.get("deleted", {}) != known:
            held["deleted"] = known
            self._write()

    def _write(self) -> None:
        draft = self._path.with_suffix(f".{os.getpid()}.tmp")
        draft.write_text(
            json.dumps({"format": _FORMAT, "namespaces": self._namespaces}, indent=1) + "\n", encoding="utf-8"
        )
        # A rename is all or nothing: a crash leaves the old file or the new one.
        draft.replace(self._path)
        self.exists = True
