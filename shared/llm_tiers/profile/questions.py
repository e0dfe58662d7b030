"""The sample that a user profiles: one question a line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeAlias

from llm_tiers.arguments import kind_of
from llm_tiers.call.json_text import read_json
from llm_tiers.errors import ConfigError
from llm_tiers.files.pipes import open_to_read
from llm_tiers.integration.asker import Message

__all__ = ["Key", "Question", "fingerprint", "keys_of", "read_questions"]

Key: TypeAlias = str | int | float | bool
"""One right answer."""

_LONGEST_LINE = 1 << 26
"""Bytes of one question, with its images; what is longer, such as what /dev/zero gives, would fill the memory."""

_FIELDS = ("question", "messages", "key", "node", "id")


@dataclass(frozen=True, slots=True)
class Question:
    """One line of the sample.

    Attributes:
        line: The line's number in the file, from 1.
        id: What the user calls the question; by default the line's number.
        messages: What is asked.
        key: The right answer as the line has it: one, a list of which any is right, or None.
        node: Where in the user's graph the question comes from; None for the model's own node.
    """

    line: int
    id: str
    messages: tuple[Message, ...] = field(repr=False)
    key: Key | list[Key] | None = field(default=None, repr=False)
    node: str | None = None

    @property
    def keys(self) -> tuple[Key, ...]:
        """The right answers; empty where the line has no key."""
        return keys_of(self.key)


def keys_of(key: Key | list[Key] | None) -> tuple[Key, ...]:
    """Return the right answers that a key names."""
    return () if key is None else tuple(key) if isinstance(key, list) else (key,)


def read_questions(path: Path) -> tuple[Question, ...]:
    """Read a file of JSON lines: `{"question": ...}` or `{"messages": [...]}` with optional `key`, `node` and `id`.

    Raises:
        ConfigError: The file cannot be read, or a line is wrong; the message has the line's number.
    """
    try:
        with open_to_read(path) as file:
            questions = tuple(_questions(path, file))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    if not questions:
        raise ConfigError(f'{path}: there is no question in it; write one a line: {{"question": "..."}}')
    _check_ids(path, questions)
    return questions


def fingerprint(questions: Sequence[Question]) -> str:
    """Return a digest of what is asked. Keys are left out: a corrected key makes no answer unusable."""
    # The order counts too: without ids of the user's own, a question's id is the number of its line.
    asked = [[question.id, question.messages, question.node] for question in questions]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _questions(path: Path, file: IO[bytes]) -> Iterator[Question]:
    number = 0
    # Lines end at line feeds alone: `str.splitlines` also splits at U+2028, which JSON allows inside a text.
    while line := file.readline(_LONGEST_LINE + 1):
        number += 1
        where = f"{path}, line {number}"
        if len(line) > _LONGEST_LINE:
            raise ConfigError(f"{where}: longer than {_LONGEST_LINE:,} bytes, so it is no question")
        try:
            # Editors on Windows begin a file with a byte order mark.
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise ConfigError(f"{where}: not UTF-8 text: byte {error.start} of it cannot be read") from None
        if text.strip():
            yield _question(where, number, text)


def _question(where: str, number: int, line: str) -> Question:
    try:
        data = read_json(line)
    except ValueError as error:
        raise ConfigError(f"{where}: not JSON: {error}") from None
    if not isinstance(data, dict):
        raise ConfigError(f'{where}: must be an object such as {{"question": "..."}}, not {_kind(data)}')
    unknown = [name for name in data if name not in _FIELDS]
    if unknown:
        # A key under another name, such as "answer", would be ignored, and the answers paid for would stay ungraded.
        raise ConfigError(f"{where}: unknown field {unknown[0]!r}; there are {', '.join(_FIELDS)}")
    return Question(number, _id(where, number, data), _messages(where, data), _key(where, data), _node(where, data))


def _messages(where: str, data: Mapping[str, Any]) -> tuple[Message, ...]:
    if ("question" in data) == ("messages" in data):
        raise ConfigError(f"{where}: give either 'question' or 'messages'")
    if "question" in data:
        question = data["question"]
        if not isinstance(question, str) or not question.strip():
            raise ConfigError(f"{where}: 'question' must be a text that is not empty")
        return ({"role": "user", "content": question},)
    messages = data["messages"]
    if not isinstance(messages, list) or not messages:
        raise ConfigError(f"{where}: 'messages' must be a list of one or more messages")
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str) or "content" not in message:
            raise ConfigError(f"{where}: each of 'messages' must have 'role' and 'content'")
    return tuple(messages)


def _key(where: str, data: Mapping[str, Any]) -> Key | list[Key] | None:
    key: Key | list[Key] | None = data.get("key")
    keys = keys_of(key)
    # An empty list would read as "no key", while the user may mean that no answer is right.
    if not all(isinstance(one, str | int | float) for one in keys) or key == []:
        raise ConfigError(f"{where}: 'key' must be a text or a number, or a list of these, any of which is right")
    if any(isinstance(one, str) and not one.strip() for one in keys):
        raise ConfigError(f"{where}: 'key' must not be empty; leave it out where the right answer is unknown")
    return key


def _node(where: str, data: Mapping[str, Any]) -> str | None:
    node = data.get("node")
    if node is not None and not isinstance(node, str):
        raise ConfigError(f"{where}: 'node' must be a name, such as 'research/plan'")
    return node


def _id(where: str, number: int, data: Mapping[str, Any]) -> str:
    given = data.get("id", number)
    # JSON's true is an int in Python, and would become the id "True".
    if isinstance(given, bool) or not isinstance(given, str | int) or given == "":
        raise ConfigError(f"{where}: 'id' must be a text or a whole number")
    return str(given)


def _check_ids(path: Path, questions: Sequence[Question]) -> None:
    seen: dict[str, int] = {}
    for question in questions:
        if question.id in seen:
            raise ConfigError(
                f"{path}, line {question.line}: id {question.id!r} is that of line {seen[question.id]} already"
            )
        seen[question.id] = question.line


def _kind(data: object) -> str:
    return "null" if data is None else kind_of(data)
