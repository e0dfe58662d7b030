"""Opening a file that may be a pipe, whose other end nobody may hold."""

from __future__ import annotations

import errno
import os
import select
import time
from io import BufferedReader, BufferedWriter
from pathlib import Path

__all__ = ["open_to_read", "open_to_write"]

_PATIENCE = 30.0
"""Seconds that the other end of a pipe is waited for; without a bound, a command would hang and say nothing."""

_STEP = 0.05


def open_to_read(path: Path) -> BufferedReader:
    """Open a file; a pipe as soon as something comes from it.

    Raises:
        OSError: It cannot be opened, or it is a pipe and nothing came.
    """
    if not path.is_fifo():
        return path.open("rb")
    # Not blocking, since opening a pipe waits until somebody writes to it.
    pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        came = select.select([pipe], [], [], _PATIENCE)[0]
    except BaseException:  # Ctrl-C
        os.close(pipe)
        raise
    if not came:
        os.close(pipe)
        raise OSError(errno.ETIMEDOUT, f"a pipe, and nothing came from it within {_PATIENCE:g} s")
    os.set_blocking(pipe, True)
    return os.fdopen(pipe, "rb")


def open_to_write(path: Path) -> BufferedWriter:
    """Open a file, which loses what it has; a pipe as soon as somebody reads from it.

    Raises:
        OSError: It cannot be opened, or it is a pipe and nobody reads from it.
    """
    if not path.is_fifo():
        return path.open("wb")
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            if time.monotonic() > deadline:
                raise OSError(errno.ETIMEDOUT, f"a pipe, and nobody read from it within {_PATIENCE:g} s") from None
            time.sleep(_STEP)
        else:
            os.set_blocking(pipe, True)
            return os.fdopen(pipe, "wb")
