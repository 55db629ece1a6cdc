"""Errors that say how to go on; imports nothing of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class TableError(ValueError):
    """A table, or what is asked of it, does not make sense; the message names the column or file and the way out."""


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Around the import of an optional package: its absence becomes an error with the install line.

    Args:
        name: the extra of polyfuse that brings the package, such as ``lora``.
    """
    try:
        yield
    except ImportError as error:
        raise ImportError(f"this needs {error.name}: pip install 'polyfuse[{name}]'") from error
