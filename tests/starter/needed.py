"""Skips tests of starter parts that are not installed, and says which."""

from __future__ import annotations

import pytest

from polyfuse import starter


def needed(name: str) -> str:
    """``starter:NAME``, where it is installed."""
    state = next(state for state in starter.states() if state.name == f"starter:{name}")
    if state.version is None:
        pytest.skip(f"{state.package} is not installed: {state.install}")
    return state.name
