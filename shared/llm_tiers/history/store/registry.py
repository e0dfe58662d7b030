"""The places that this process has open: who shares them, who closes them, and what a fork or an exit does to them."""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401 - so that its exit hook is registered before ours
import logging
import os
import queue
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from llm_tiers.errors import ConfigError, HistoryError
from llm_tiers.history.store import client
from llm_tiers.history.store.folders import Folder, Served
from llm_tiers.history.store.library import Library
from llm_tiers.history.store.places import Memory, Place, Server
from llm_tiers.history.store.service import AVAILABLE

__all__ = ["abandon", "acquire", "is_history", "is_server", "keep_alive_in_child", "release"]

_LOGGER = logging.getLogger("llm_tiers.history")


class _Process:
    """What this process has open."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.places: dict[object, Place] = {}
        self.abandoned: queue.SimpleQueue[tuple[Place, Library]] = queue.SimpleQueue()


_process = _Process()
_inherited: list[Any] = []


def _reset_after_fork() -> None:
    """In a forked child: open nothing, but keep the parent's objects: their destructors would wait forever."""
    global _process  # noqa: PLW0603
    _inherited.append(_process)
    _process = _Process()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)


def keep_alive_in_child(place: Place) -> None:
    """In a forked child: keep the parent's place: its destructors would wait for threads that do not exist here."""
    _inherited.append(place)


def is_server(where: object) -> bool:
    """Whether `where` is meant as a Chroma server."""
    return isinstance(where, str) and "://" in where


def is_history(source: str) -> bool:
    """Whether a source is meant as a history, a folder or a server, and not as a file."""
    # Not `Path.is_dir`, which raises where a name is too long.
    return is_server(source) or os.path.isdir(source)  # noqa: PTH112


def acquire(
    where: str | os.PathLike[str] | None,
    headers: Mapping[str, str],
    use: Callable[[Place], Library],
    *,
    embedded: bool = False,
) -> tuple[Place, Library]:
    """Open a place, or join those of this process who have it open, and take a library from it by `use`.

    Raises:
        ConfigError: This process has the folder open with another `embedded`.
    """
    with _process.lock:
        _release_abandoned()
        key, opening = _plan(where, headers, embedded=embedded)
        place = _process.places.get(key) or opening()
        if isinstance(place, Folder | Served) and isinstance(place, Folder) is not _is_embedded(embedded):
            msg = f"{place.where} is open in this process with embedded={not embedded}; give the same each time"
            raise ConfigError(msg)
        try:
            library = use(place)
        except BaseException:
            # Nobody uses the place, so a failed opening must not keep the folder locked.
            if not place.libraries:
                _process.places.pop(key, None)
                place.close()
            raise
        _process.places[key] = place
        return place, library


def _is_embedded(asked: bool) -> bool:  # noqa: FBT001 - the setting itself
    """Whether a folder is opened by this process alone: asked for, or because the system has no locks to hand on."""
    return asked or not AVAILABLE


def _plan(
    where: str | os.PathLike[str] | None, headers: Mapping[str, str], *, embedded: bool
) -> tuple[object, Callable[[], Place]]:
    """Return what identifies a place in this process, and how to open it."""
    if is_server(where):
        url = str(where)
        # The headers belong to the key: histories with different credentials must not share a connection.
        return (url, frozenset(headers.items())), lambda: Server(url, headers)
    folder = None if where is None else Path(where).expanduser().resolve()
    if folder is not None and not _is_embedded(embedded):
        return folder, lambda: Served(folder)
    if client.engine_inherited():
        msg = (
            f"history: {where or 'Chroma in memory'} cannot be used in this process, which was forked from one that "
            f"had used Chroma: its engine hangs there; start processes by 'spawn' or 'forkserver', or give a folder "
            f"(without embedded=True) or the URL of a Chroma server"
        )
        raise HistoryError(msg)
    if folder is None:
        # A key that equals no other, since each history in memory is private.
        return object(), Memory
    return folder, lambda: Folder(folder)


def release(place: Place, library: Library) -> None:
    """Write what a library holds and give it back; its last user closes the place.

    Raises:
        HistoryError: Something could not be written. The place is released all the same.
    """
    with _process.lock:
        try:
            if not place.ephemeral:
                library.flush()
        finally:
            place.leave(library)
            if not place.libraries:
                for key in [key for key, held in _process.places.items() if held is place]:
                    del _process.places[key]
                place.close()


def abandon(place: Place, library: Library) -> None:
    """Remember a history that was lost without being closed; the next one to be opened closes it.

    The garbage collector calls this in any thread and at any point, so it takes no lock and touches no file.
    """
    _process.abandoned.put((place, library))


def _release_abandoned() -> None:
    while True:
        try:
            place, library = _process.abandoned.get_nowait()
        except queue.Empty:
            return
        _release_quietly(place, library)


def _release_quietly(place: Place, library: Library) -> None:
    if place.inherited:
        keep_alive_in_child(place)
        return
    try:
        release(place, library)
    except HistoryError:
        _LOGGER.exception("a history that was not closed could not write its last records")


def _write_the_rest() -> None:
    """At exit: write what waits, and unlock the folders."""
    _release_abandoned()
    for place in _lasting():
        for library in list(place.libraries.values()):
            # Even if others still use it: the process ends now.
            library.users = 1
            _release_quietly(place, library)


def _write_early() -> None:
    """As the exit begins: write what waits, while Chroma can still be imported.

    Importing Chroma starts a thread pool, which Python forbids once its pools are shut down, and that is before the
    exit handlers run. Threads that still work may add records after this; `_write_the_rest` writes those.
    """
    _release_abandoned()
    for place in _lasting():
        for library in list(place.libraries.values()):
            try:
                library.flush()
            except HistoryError:
                _LOGGER.debug("the history could not write as the exit began; it tries once more", exc_info=True)


def _lasting() -> list[Place]:
    """Return the places that outlive the process; the writers of the others end here."""
    places = list(_process.places.values())
    for place in places:
        if place.ephemeral and not place.inherited:
            place.writer.stop()
    return [place for place in places if not place.ephemeral]


atexit.register(_write_the_rest)
# The hook by which Python's own pools shut down. Its functions run in reverse order, so `concurrent.futures.thread` has
# to register first. It is private to Python, hence `getattr`.
_before_exit = getattr(threading, "_register_atexit", None)
if _before_exit is not None:
    _before_exit(_write_early)
