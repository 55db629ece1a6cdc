"""Running all checks of a contract over one part, so that one run tells everything that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

Case = TypeVar("Case")


def run_all(made: Any, case: Case, checks: Sequence[Callable[[Case], None]]) -> None:
    """Run every check.

    Args:
        made: the part's class, for the message.
        case: what each check is given.

    Raises:
        AssertionError: some do not hold; names each, with what was found.
    """
    failed, first = [], None
    for check in checks:
        try:
            check(case)
        except Exception as error:  # whatever a part does
            first = first or error
            what = f"{type(error).__name__}: {error}" if not isinstance(error, AssertionError) else str(error)
            failed.append(f"- {(check.__doc__ or check.__name__).partition(chr(10))[0]} {what}".rstrip())
    if failed:
        name = getattr(made, "__name__", repr(made))
        count = f"{len(failed)} of {len(checks)} checks do not hold"
        raise AssertionError("\n".join([f"{name}: {count}", *failed])) from first
