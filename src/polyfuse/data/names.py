"""Parse names in specifications such as ``NAME@COL1,COL2=text``, where quoted names may hold ``@``, ``,`` and ``=``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

QUOTED = r'"[^"]*"|`[^`]*`'
"""A name between double quotes or backticks; it begins a text or follows one of the marks."""
WHOLE = re.compile(rf"((?:^|(?<=[.,@=:]))\s*(?:{QUOTED}))|(.)", re.DOTALL)


def split_unquoted(text: str, mark: str) -> list[str]:
    """Split a text at the marks that stand outside quotes.

    Example:
        >>> split_unquoted('"a=b"=text', "=")
        ['"a=b"', 'text']
    """
    parts = [""]
    for name, character in WHOLE.findall(text):
        if character == mark:
            parts.append("")
        else:
            parts[-1] += name or character
    return parts


def partition_unquoted(text: str, mark: str) -> tuple[str, str, str]:
    """As ``str.partition``, by the first mark outside quotes."""
    head = split_unquoted(text, mark)[0]
    return head, text[len(head) : len(head) + 1], text[len(head) + 1 :]


def unquote(name: str) -> str:
    """Strip blanks and quotes around a name.

    Example:
        >>> unquote(' "a=b" ')
        'a=b'
    """
    name = name.strip()
    return name[1:-1] if re.fullmatch(QUOTED, name) else name


def safe_file_name(name: str, taken: Iterable[str] = ()) -> str:
    """Make a file name that any file system takes; numbered where it is taken.

    Example:
        >>> safe_file_name("a/b: c")
        'a_b_c'
    """
    plain = re.sub(r"[^\w.-]+", "_", name).strip("._")[:60] or "output"
    known, free, number = {one.casefold() for one in taken}, plain, 2
    while free.casefold() in known:
        free, number = f"{plain}_{number}", number + 1
    return free


def as_name_list(names: Any) -> Sequence[str]:
    """Convert names to a list of str; a single name becomes a list of one."""
    if names is None:
        return []
    alone = isinstance(names, str) or not isinstance(names, Iterable)
    return [str(name) for name in ([names] if alone else names)]
