"""Whose a call is, as the history keeps it: not the name, only whether it is the same one."""

from __future__ import annotations

import hashlib

from llm_tiers.arguments import kind_of, require

__all__ = ["hashed"]


def hashed(principal: object) -> str | None:
    """Return what stands for a principal in records; None for None.

    It keeps names out of what is stored. It does not hide them from somebody who tries the names that he knows.

    Raises:
        ConfigError: It is no text, or an empty one.
    """
    if principal is None:
        return None
    given = "an empty text" if principal == "" else kind_of(principal)
    wanted = "principal must be the name of whoever asks, such as a user's id, or None"
    require(isinstance(principal, str) and principal != "", f"{wanted}, not {given}")
    return hashlib.sha256(f"llm-tiers principal {principal}".encode("utf-8", "replace")).hexdigest()[:24]
