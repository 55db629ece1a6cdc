"""What the front door has to say to its caller, by the logger ``polyfuse``; imports nothing of ours."""

from __future__ import annotations

import logging
from collections.abc import Iterable

LOGGER = logging.getLogger("polyfuse")


def tell(notes: Iterable[str], verbose: bool = True) -> None:
    """Log notes as warnings, each once, which Python shows on standard error unless logging is set up otherwise.

    Args:
        verbose: nothing is logged without.
    """
    for note in dict.fromkeys(notes) if verbose else ():
        LOGGER.warning(note)
