"""Measures what models cost in production: made small, exported, installed without torch, served under load.

``python benchmarks/deploy.py [ROW ...] [--seeds N] [--page]``: every measurement is kept in ``deploy.json`` as it
comes, so that a stopped run goes on; ``--fresh`` measures the named rows again. What is compared is timed in turn.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import deploy_models  # noqa: F401 (registers its rows)
import deploy_service  # noqa: F401
from defaults_run import Section
from deploy_run import ROWS
from topic import Topic, machines_and_days

ORDER = ("digits", "houses", "students", "light", "load")


def page(sections: Iterable[Section], kept: Iterable[dict[str, Any]]) -> str:
    """All that is measured, with the machines it was measured on, and what is not."""
    sections = list(sections)
    head = (
        "Made by `python benchmarks/deploy.py`. Ratios are within one run, whose parts are measured in turn; cores "
        f"were shared with other work.\n\n{machines_and_days(kept)}"
    )
    lacking = [section.title for section in sections if not section.lines]
    rest = [f"Not measured yet: {', '.join(title[0].lower() + title[1:] for title in lacking)}."] if lacking else []
    return "\n\n".join([head, *(section.markdown() for section in sections if section.lines), *rest])


TOPIC = Topic("deploy", __doc__, ORDER, ROWS, page)
main = TOPIC.main

if __name__ == "__main__":
    sys.exit(main())
