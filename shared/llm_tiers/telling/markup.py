"""HTML that cannot be broken by a stranger's text: whatever is not made by `el` is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TypeAlias

__all__ = ["Child", "Markup", "bdi", "el", "join"]


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child: TypeAlias = "Markup | str | int | float | None"

_VOID = frozenset({"meta", "br", "line", "polyline", "circle", "rect", "path"})


def el(tag: str, *children: Child, **attributes: str | float | bool | None) -> Markup:
    """Return an element; texts in it and its attributes are escaped.

    Args:
        tag: Its name.
        children: What is in it; None is left out.
        attributes: Its attributes, with `_` for `-` (`class_` is `class`); None and False are left out, True stands
            without a value.
    """
    parts = [tag]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        written = key.rstrip("_").replace("_", "-")
        parts.append(written if value is True else f'{written}="{escape(str(value))}"')
    opening = f"<{' '.join(parts)}>"
    if tag in _VOID:
        return Markup(opening)
    return Markup(f"{opening}{join(children)}</{tag}>")


def join(children: Iterable[Child]) -> Markup:
    """Return what stands side by side, as HTML."""
    return Markup("".join(_escaped(child) for child in children if child is not None))


def bdi(text: str) -> Markup:
    """Return a stranger's name, whose direction of writing stays its own."""
    return el("bdi", text)


def _escaped(child: Child) -> str:
    return child if isinstance(child, Markup) else escape(str(child))
