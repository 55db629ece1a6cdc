"""Which code a saved model may run: the package's, what was registered, and what ``trust`` names.

A recipe of one's own may name code of one's own, ``package.module:Class``. A saved model comes from anywhere, so that
code which it names is imported only where its reader trusts it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

Trust = str | Sequence[str]
"""Packages, modules or addresses ``package.module:Class``, one or several, whose code may be run."""

P = ParamSpec("P")
R = TypeVar("R")
_trusted: ContextVar[tuple[str, ...]] = ContextVar("trusted", default=())


class TrustError(ValueError):
    """A saved model names code that is not trusted."""


@contextmanager
def trust_packages(names: Trust) -> Iterator[None]:
    """Context in which saved models may name code of these packages, modules or classes.

    Raises:
        ValueError: an empty name.
    """
    given = (names,) if isinstance(names, str) else tuple(names)
    if not all(isinstance(name, str) and name.strip() for name in given):
        raise ValueError(f"trust: expected names of packages, modules or package.module:Class, found {names!r}")
    token = _trusted.set((*_trusted.get(), *(name.strip() for name in given)))
    try:
        yield
    finally:
        _trusted.reset(token)


def with_trust(call: Callable[P, R]) -> Callable[P, R]:
    """A function that runs within ``trust_packages`` of what its keyword ``trust`` names."""

    @wraps(call)
    def within(*args: P.args, **keywords: P.kwargs) -> R:
        names: Any = keywords.get("trust", ())
        with trust_packages(names):
            return call(*args, **keywords)

    return within


def names() -> tuple[str, ...]:
    """What is trusted here, for a process that is started to do the same."""
    return _trusted.get()


def is_trusted(address: str) -> bool:
    """Whether code at ``package.module:Class`` may be imported for a saved model."""
    module = address.partition(":")[0]
    return any(address == name or module == name or module.startswith(f"{name}.") for name in _trusted.get())


def check_trust(named: Mapping[str, str], source: str | Path) -> None:
    """Refuse code that a saved model names and nobody trusts, before any of it is imported.

    Args:
        named: where it is named -> ``package.module:Class``.
        source: the saved model.

    Raises:
        TrustError: says which, and how to trust it.
    """
    foreign = {where: address for where, address in named.items() if not is_trusted(address)}
    if foreign:
        where, address = next(iter(foreign.items()))
        names = sorted({address.partition(":")[0] for address in foreign.values()})
        options = " ".join(f"--trust {name}" for name in names)
        raise TrustError(
            f"{source}: its {where} is code that does not come with polyfuse, {address}, and loading the model would "
            f"run it; where you know and trust that code, load with trust={names!r} ({options})"
        )
