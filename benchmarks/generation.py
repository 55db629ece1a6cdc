"""Measures what is written: captions, answers, transcripts and translations, beside published figures and baselines.

``python benchmarks/generation.py [ROW ...] [--seeds N] [--page]``: every measurement is kept in ``generation.json`` as
it comes, so that a stopped run goes on; ``--fresh`` measures the named rows again. Validation rows chose the settings.
The page's part between two marks is written anew from what is kept; the rest of the page is another's and stays.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import generation_answers  # noqa: F401 (registers its rows)
import generation_captions  # noqa: F401
import generation_speech  # noqa: F401
from defaults_run import Section
from generation_run import ROWS
from topic import Topic, machines_and_days

ORDER = (
    "captions_en", "captions_zh", "captions_scratch", "answers", "words", "digit_strings", "emoji_names",
    "caption_translation",
)  # fmt: skip


def page(sections: Iterable[Section], kept: Iterable[dict[str, Any]]) -> str:
    """All that is measured, with the machines it was measured on, and what is not."""
    sections = list(sections)
    head = (
        "Made by `python benchmarks/generation.py`. Mean ± standard deviation over seeds; one seed where there is no "
        "spread. Texts are written out for every figure; none is teacher-forced. Minutes are of the slowest seed, on "
        "cores that other work shared.\n\n"
        f"{machines_and_days(kept)}"
    )
    lacking = [section.title for section in sections if not section.lines]
    rest = [f"Not measured yet: {', '.join(title[0].lower() + title[1:] for title in lacking)}."] if lacking else []
    return "\n\n".join([head, *(section.markdown() for section in sections if section.lines), *rest])


TOPIC = Topic("generation", __doc__, ORDER, ROWS, page)
main = TOPIC.main

if __name__ == "__main__":
    sys.exit(main())
