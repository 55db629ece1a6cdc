"""Small real tables with classical baselines, on which the defaults of polyfuse are chosen and judged.

``python -m benchmarks.suite`` runs it; ``tables()`` names the tables.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path

from benchmarks.suite.table import TABLES, Table

HALVES = Path(__file__).with_name("halves.json")


def tables() -> dict[str, Table]:
    """Every table by name."""
    for kind in ("columns", "text", "sound", "picture", "several"):
        importlib.import_module(f"benchmarks.suite.tables_{kind}")
    return TABLES


def halves() -> dict[str, list[str]]:
    """The names of the tables on which defaults are chosen, and of those that only report."""
    return json.loads(HALVES.read_text(encoding="utf8"))
