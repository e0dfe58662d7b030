"""A judging model's reply as a verdict."""

from __future__ import annotations

import re

from llm_tiers.policies.judges.case import Verdict

__all__ = ["verdict_of"]

_FIRST_WORD = re.compile(r"\W*(yes|no)(?![\w/|])", re.IGNORECASE | re.ASCII)


def verdict_of(reply: str) -> Verdict:
    """Take the reply's first word: yes is valid, no is invalid, and anything else is uncertain."""
    match = _FIRST_WORD.match(reply)
    if match is None:
        return Verdict.UNCERTAIN
    return Verdict.VALID if match[1].lower() == "yes" else Verdict.INVALID
