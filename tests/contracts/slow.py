"""Parts whose check takes seconds each: some of them by default, all of them where slow tests run."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def slow_but(names: Iterable[str], quick: Collection[str]) -> list[Any]:
    """Names as parameters; those that are not ``quick`` are marked slow."""
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]
