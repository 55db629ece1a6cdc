"""Measures alignments of inputs in one space: recall, names never trained as classes, what alignment is worth.

``python benchmarks/alignment.py [ROW ...] [--seeds N] [--page]``: every measurement is kept in ``alignment.json`` as it
comes, so that a stopped run goes on; ``--fresh`` measures the named rows again. Validation rows chose the settings.
The page's part between two marks is written anew from what is kept; the rest of the page is another's and stays.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import alignment_digits  # noqa: F401 (registers its rows)
import alignment_emoji  # noqa: F401
import alignment_flickr  # noqa: F401
from alignment_run import ROWS
from defaults_run import Section
from topic import Topic, machines_and_days

ORDER = ("flickr_en", "flickr_zh", "flickr_both", "flickr_scratch", "emojis", "digits", "worth")


def page(sections: Iterable[Section], kept: Iterable[dict[str, Any]]) -> str:
    """All that is measured, with the machines it was measured on, and what is not."""
    sections = list(sections)
    head = (
        "Made by `python benchmarks/alignment.py`. Mean ± standard deviation over seeds; one seed where there is no "
        "spread. Settings of captions were chosen on validation rows, those of emoji and digits not at all. "
        "Seconds are of the slowest seed, on cores that other work shared.\n\n"
        f"{machines_and_days(kept)}"
    )
    lacking = [section.title for section in sections if not section.lines]
    rest = [f"Not measured yet: {', '.join(title[0].lower() + title[1:] for title in lacking)}."] if lacking else []
    return "\n\n".join([head, *(section.markdown() for section in sections if section.lines), *rest])


TOPIC = Topic("alignment", __doc__, ORDER, ROWS, page)
main = TOPIC.main

if __name__ == "__main__":
    sys.exit(main())
