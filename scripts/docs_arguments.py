"""An extension of griffe, which reads docstrings for the site: arguments that share a line become a line each."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

TOGETHER = re.compile(r"^( +)(\w+(?:, \w+)+): (.*(?:\n\1 +.*)*)", re.M)


def apart(docstring: str) -> str:
    """``    a, b: text`` -> ``    a: text`` and ``    b: text``, in the section of arguments alone."""
    before, args, rest = docstring.partition("Args:\n")
    section, blank, after = rest.partition("\n\n")

    def split(match: re.Match[str]) -> str:
        return "\n".join(f"{match[1]}{name}: {match[3]}" for name in match[2].split(", "))

    return before + args + TOGETHER.sub(split, section) + blank + after


class OneLineEach(Extension):
    """Splits them in every docstring that is collected."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Called by griffe for each module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = apart(obj.docstring.value)
