"""Errors that say how to go on, and the counts in them; imports nothing of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class TableError(ValueError):
    """A table, or a request on it, is invalid; the message names the column or file and how to correct it."""


def format_count(many: int, one: str, more: str = "") -> str:
    """A number of things: ``1 row``, ``2,000 rows``, and with a verb ``1 row has``, ``2,000 rows have``.

    Args:
        one: the noun, and what follows it, for one.
        more: the same for another number; by default the noun with an s.
    """
    return f"{many:,} {one if many == 1 else more or one + 's'}"


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Around the import of an optional package, or of a module that needs some: its absence brings the install line.

    Args:
        name: the extra of polyfuse that brings the package, such as ``lora``.
    """
    try:
        yield
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] == "polyfuse":
            raise  # that is no package which could be installed, or it has its line already
        raise ImportError(f"this needs {error.name}: pip install 'polyfuse[{name}]'") from error
