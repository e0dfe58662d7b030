"""For `make docs`: the arguments that a model's docstring lists under "Key init args" are shown as a list.

The heading is LangChain's. Tools that read Google's style do not know it, and would make one paragraph of the section.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

__all__ = ["ConstructorArguments"]

_SECTION = re.compile(r"^Key init args:\n(?:(?: {4}.*)?\n)+", re.MULTILINE)
_ENTRY = re.compile(r"^ {4}(\w+(?:, \w+)*): ", re.MULTILINE)


class ConstructorArguments(Extension):
    """Marks each argument of the section as an entry of a list, as the source is read."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Take an object that was read."""
        if obj.docstring is not None:
            obj.docstring.value = _SECTION.sub(
                lambda section: _ENTRY.sub(r"    - `\1`: ", section[0]), obj.docstring.value
            )
