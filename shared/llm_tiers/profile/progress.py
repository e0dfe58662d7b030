"""The answers that are paid for, in a file beside the result, from which an interrupted profile is resumed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import filelock
from pydantic import BaseModel, SecretStr

from llm_tiers.call.answer import Answer
from llm_tiers.errors import ConfigError
from llm_tiers.profile.questions import Question, fingerprint

if TYPE_CHECKING:
    from llm_tiers.call.answer import Finish
    from llm_tiers.ladder.tiers import Ladder, Tier

__all__ = ["Paid", "Progress", "progress_path"]

_FORMAT = "llm-tiers profile"
_VERSION = 1

_NO_EFFECT_ON_ANSWERS = frozenset(
    (
        *("timeout", "request_timeout", "max_retries", "rate_limiter", "reuse_client", "stream_usage", "cache"),
        *("callbacks", "callback_manager", "tags", "metadata", "verbose", "name", "profile"),
    )
)
"""Settings of models that change no answer, so that they may differ when a profile is resumed."""

# The last part of a field's name, such as `openai_api_key`. A key that is replaced changes no answer, and even a digest
# of one should not be on the disk.
_SECRETS = ("key", "token", "secret", "password", "headers")


@dataclass(frozen=True, slots=True)
class Paid:
    """What one tier answered to one question, or what a failed call of it cost.

    Attributes:
        id: The question's id.
        tier: The tier's name.
        at: When the call ended, in seconds since 1970 (UTC).
        text: The answer.
        value: What decides whether two answers are equal; None for a missing answer.
        input_tokens: Input tokens; where `estimated` is set, counted here.
        output_tokens: Output tokens, likewise.
        estimated: Whether the provider reported no tokens.
        seconds: How long the call took.
        cost_usd: What it cost in US$; None where that is unknown.
        finish: Why the answer ends; None where the provider does not say.
        failed: Why there is no answer although the call cost something, or None.
    """

    id: str
    tier: str
    at: float
    text: str = field(default="", repr=False)
    value: str | None = field(default=None, repr=False)
    input_tokens: int = 0
    output_tokens: int = 0
    estimated: bool = False
    seconds: float = 0.0
    cost_usd: float | None = None
    finish: Finish | None = None
    failed: str | None = None

    @property
    def answer(self) -> Answer:
        """The answer as judges and comparisons read it; one that was cut or filtered counts as missing."""
        answer = Answer(self.tier, self.text, self.value, finish=self.finish)
        return answer if answer.unfinished is None else Answer(self.tier, self.text, None, finish=self.finish)


def progress_path(out: Path) -> Path:
    """Return where the answers paid for are kept."""
    return out.with_name(f"{out.name}.progress.jsonl")


class Progress:
    """The answers paid for so far. Each is on the disk before its worker makes another call.

    Args:
        path: The file; what an earlier run left there is read.
        ladder: The tiers asked.
        questions: The questions.

    Raises:
        ConfigError: The file belongs to another ladder or other questions, another process writes it, or it cannot be
            read or written.
    """

    def __init__(self, path: Path, ladder: Ladder, questions: Sequence[Question]) -> None:
        self.path = path
        self._asked = frozenset((question.id, tier.name) for question in questions for tier in ladder)
        self.answers: dict[tuple[str, str], Paid] = {}
        self.spent = 0.0
        self._lock = filelock.FileLock(f"{path}.lock", timeout=0)
        try:
            self._lock.acquire()
        except filelock.Timeout:
            raise ConfigError(f"{path}: another process is writing it; wait for it, or give another --out") from None
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written: {error.strerror or error}") from None
        try:
            self._resume(_header(ladder, questions))
        except BaseException:
            self._release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and let other processes have it."""
        # Closing writes once more what a full disk refused. If it fails again, `add` has already reported it.
        with suppress(OSError):
            self._file.close()
        self._release()

    def add(self, paid: Paid) -> None:
        """Add what was paid for, and write it to the disk.

        Raises:
            ConfigError: It cannot be written; it is added all the same.
        """
        self._add(paid)
        self._write(asdict(paid))

    def _add(self, paid: Paid) -> None:
        # A failed call counts as spent, but it is no answer: the tier is asked again.
        self.spent += paid.cost_usd or 0.0
        if paid.failed is None:
            self.answers[paid.id, paid.tier] = paid

    def _resume(self, header: Mapping[str, Any]) -> None:
        """Read what an earlier run wrote, and open the file behind its last whole line."""
        try:
            content = self.path.read_bytes() if self.path.exists() else b""
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be read: {error.strerror or error}") from None
        # A last line without a line feed was being written when the process was killed; it is overwritten.
        whole_lines = content[: content.rfind(b"\n") + 1]
        lines = whole_lines.decode("utf-8", "replace").splitlines()
        if lines:
            self._check_same_run(self._parse(1, lines[0]), header)
        for number, line in enumerate(lines[1:], 2):
            self._add(self._paid(number, line))
        try:
            # Readable by the user alone, since it holds what the models said.
            self._file = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
            self._file.truncate(len(whole_lines))
            self._file.seek(len(whole_lines))
        except OSError as error:
            raise ConfigError(self._unwritable(error)) from None
        if not lines:
            self._write(header)

    def _paid(self, number: int, line: str) -> Paid:
        try:
            paid = Paid(**self._parse(number, line))
            known = (paid.id, paid.tier) in self._asked and (paid.cost_usd or 0.0) >= 0.0
        except TypeError:  # other fields, or values of another kind
            known = False
        if not known:
            raise ConfigError(self._damaged(number))
        return paid

    def _parse(self, number: int, line: str) -> dict[str, Any]:
        try:
            data = json.loads(line)
        except ValueError:
            data = None
        if not isinstance(data, dict):
            raise ConfigError(self._damaged(number))
        return data

    def _damaged(self, number: int) -> str:
        return f"{self.path}, line {number}: was not written by llm-tiers profile; mend or remove the line, or the file"

    def _unwritable(self, error: OSError) -> str:
        return f"{self.path}: cannot be written: {error.strerror or error}"

    def _check_same_run(self, before: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        if before.get(_FORMAT) != _VERSION:
            raise ConfigError(self._damaged(1))
        try:
            difference = _difference(before, header)
        except (TypeError, KeyError, AttributeError):
            raise ConfigError(self._damaged(1)) from None
        if difference is not None:
            raise ConfigError(
                f"{self.path} holds answers of another run: {difference}; give another --out, or remove the file to "
                "ask and pay for everything again"
            )

    def _write(self, data: Mapping[str, Any]) -> None:
        # Synced line by line: each line cost money, and a machine may lose power.
        try:
            self._file.write(json.dumps(data).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise ConfigError(self._unwritable(error)) from None

    def _release(self) -> None:
        # Removed while it is locked: afterwards it might be another process's lock. Windows refuses to remove an open
        # file; there it stays, which does no harm.
        with suppress(OSError):
            Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()


def _header(ladder: Ladder, questions: Sequence[Question]) -> dict[str, Any]:
    tiers = [{"name": tier.name, "model": tier.model_name, "settings": _settings(tier)} for tier in ladder]
    return {_FORMAT: _VERSION, "tiers": tiers, "questions": len(questions), "data": fingerprint(questions)}


def _difference(before: Mapping[str, Any], header: Mapping[str, Any]) -> str | None:
    """Say in what an earlier run, by its header, differs from this one; None if in nothing."""
    names = [[tier["name"] for tier in one["tiers"]] for one in (before, header)]
    if names[0] != names[1]:
        return f"the ladder was {', '.join(names[0])} and is {', '.join(names[1])}"
    for old, new in zip(before["tiers"], header["tiers"], strict=True):
        if old.get("model") != new["model"]:
            return f"the ladder changed: tier {new['name']!r} was model {old.get('model')} and is {new['model']}"
        if old.get("settings") != new["settings"]:
            return f"the ladder changed: the model of tier {new['name']!r} has other settings"
    if before.get("data") != header["data"]:
        return (
            f"the data changed: the answers are to {before.get('questions')} questions, this file has "
            f"{header['questions']}, and a question, its id or its node differs"
        )
    return None


def _settings(tier: Tier) -> str:
    """Return a digest of the settings that a model's answers depend on; no key is among them."""
    model = tier.model
    # Only what was set: a new version of a client may have other defaults and more fields, and would refuse the file.
    fields = sorted(model.model_fields_set) if isinstance(model, BaseModel) else []
    settings = {name: getattr(model, name, None) for name in fields if not _is_left_out(name)}
    # Clients and callbacks have no form that is the same in the next process.
    plain = {name: value for name, value in settings.items() if _is_plain(value)}
    return hashlib.sha256(json.dumps([type(model).__qualname__, plain], sort_keys=True).encode()).hexdigest()[:16]


def _is_left_out(name: str) -> bool:
    return name in _NO_EFFECT_ON_ANSWERS or name.rpartition("_")[2] in _SECRETS


def _is_plain(value: object) -> bool:
    if isinstance(value, SecretStr):
        return False
    try:
        json.dumps(value, sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        return False
    return True
