"""A judging model's reply as a verdict."""

from __future__ import annotations

import re

from llm_tiers.policies.judges.case import Verdict

__all__ = ["verdict_of"]

_FIRST_WORD = re.compile(
    r"\W*(yes|no)[\s*\"'`)\]]*"
    r"(?:\Z|(?<=\n)|[.!](?!\w)|(?:[,:;\u2013\u2014]|(?<=\s)-(?=\s))(?!\s*(?:or|and)\b))",
    re.IGNORECASE | re.ASCII,
)
"""The first word and what sets it apart: the end, a full stop, a comma or the like, a new line."""


def verdict_of(reply: str) -> Verdict:
    """Take the reply's first word: yes is valid, no is invalid, and anything else is uncertain.

    The word counts only where it is the whole reply or is set apart from the rest: in "Yes or no? No." it is none.
    """
    # At the beginning only: a judge that argues first may say yes and no on the way.
    match = _FIRST_WORD.match(reply)
    if match is None:
        return Verdict.UNCERTAIN
    return Verdict.VALID if match[1].lower() == "yes" else Verdict.INVALID
