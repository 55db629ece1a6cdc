"""Measures what shows that the defaults hold, beside the many tables of ``suite``, and writes it into ``defaults.md``.

``python benchmarks/defaults.py [ROW ...] [--seeds N] [--rows-cap N] [--page]``: every measurement is kept in
``defaults.json`` as it comes, so that a stopped run goes on; ``--fresh`` measures the named rows again. The page's part
between two marks is written anew from what is kept; the rest of the page is another's and stays.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import curves  # noqa: F401 (registers its rows)
import defaults_rows  # noqa: F401
import install  # noqa: F401
from defaults_run import ON_REQUEST, ROWS, Section
from topic import Topic, machines_and_days

ORDER = (
    "emoji",
    "mosi_text",
    "words",
    "houses",
    "houses_folds",
    "fights_frames",
    "fsdd_speakers",
    "curves",
    "install",
    "demo",
)


def page(sections: Iterable[Section], kept: Iterable[dict[str, Any]]) -> str:
    """All that is measured, with the machines it was measured on."""
    head = (
        "Made by `python benchmarks/defaults.py`. Mean ± standard deviation (number of seeds); seconds are those of "
        "the slowest seed's whole command, imports and evaluation included. No choice was made by test rows.\n\n"
        f"{machines_and_days(kept)}"
    )
    return "\n\n".join([head, *(section.markdown() for section in sections if section.lines)])


TOPIC = Topic("defaults", __doc__, ORDER, ROWS, page, on_request=ON_REQUEST, capped=True, timed=True)
main = TOPIC.main

if __name__ == "__main__":
    sys.exit(main())
