"""Answers written to break who reads them, for the tests of both integrations."""

from __future__ import annotations

DEEP = {
    "lists": "[" * 1_500,
    "objects": '{"a":' * 3_000,
    "closed lists": "[" * 1_500 + "]" * 1_500,
    "closed objects": '{"a":' * 3_000 + "1" + "}" * 3_000,
    "five thousand": '{"a":' * 5_000 + "1" + "}" * 5_000,
    "hundred": '{"a":' * 200 + "1" + "}" * 200,
}
"""Texts that are nested deeply, as JSON or as the beginning of it."""

SLOW = {
    "exponent": "1e3000000",
    "boxed exponent": r"\boxed{1e999999999}",
    "digits": "9" * 20_000 + "x",
    "blanks": "a" + " " * 20_000 + "b",
    "quotes": "a" + '."' * 10_000,
    "a refusal and blanks": "i will" + " " * 20_000,
    "nested names": r"\boxed{" + r"\text{" * 3_000 + "}" * 3_001,
    "lines": "\n" * 20_000 + "x",
    "a megabyte": "Par" + "is" * 500_000,
}
"""Texts that a reader that is not linear, or a number that is calculated, takes seconds or years for."""

ODD = {
    "lone surrogate": ("Paris \ud83d", "Paris \ufffd"),
    "control characters": ("Paris \x00\x1b[2J", "Paris \x00\x1b[2J"),
}
"""Texts with characters that are seldom, and how a judge reads them."""

HUGE = "Lyon" + "\u00e4" * 1_000_000 + "Paris"

ENDLESS_PATTERN = {
    "title": "Code",
    "description": "A code.",
    "type": "object",
    "properties": {"code": {"type": "string", "pattern": "^(a+)+$"}},
    "required": ["code"],
}
"""A user's schema whose pattern takes a time exponential in the length of a text."""

ENDLESS_CODE = "a" * 60 + "!"

ENDLESS_ITEMS = [{"a": number} for number in range(1_900)]
"""Items whose uniqueness takes jsonschema seconds."""

SECONDS = 10
"""CPU time of a whole call over HTTP in a busy machine, client, server and store included; a bomb takes minutes."""
