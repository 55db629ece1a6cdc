"""Draws the two halves once: ``python -m benchmarks.suite.halves`` writes ``halves.json``, which then stays as it is.

Tables cut from one source stand in one half, so that nothing chosen on one half has seen a source of the other.
Sources come in a seeded order, largest first, each to the half that then has kinds and tasks most evenly. A source that
is added later goes to the half that has fewer tables of its kinds; nothing that is there moves.
"""

from __future__ import annotations

import json
from collections import Counter

from benchmarks.suite import HALVES, tables
from benchmarks.suite.table import Table, seed_of

NAMES = ("choose", "report")


def draw(known: dict[str, Table], halves: dict[str, list[str]] | None = None) -> dict[str, list[str]]:
    """The halves of all tables; those of ``halves`` stay where they are."""
    found = {half: list((halves or {}).get(half, [])) for half in NAMES}
    old = {name for names in found.values() for name in names}
    families: dict[str, list[str]] = {}
    for name in sorted(known):
        families.setdefault(known[name].family, []).append(name)
    for family in sorted(families, key=lambda f: (-len(families[f]), seed_of(f"half {f}"))):
        names = [name for name in families[family] if name not in old]
        home = [half for half in NAMES if set(found[half]) & set(families[family])]
        half = home[0] if home else min(NAMES, key=lambda h: _unevenness(found, known, h, names))
        found[half] += names
    return {half: sorted(names) for half, names in found.items()}


def _unevenness(found: dict[str, list[str]], known: dict[str, Table], half: str, names: list[str]) -> float:
    """How uneven the halves are with those names in that half: over all tables, kinds, and tasks of a kind."""
    counts: Counter = Counter()
    for other in NAMES:
        sign = 1 if other == "choose" else -1
        for name in [*found[other], *(names if other == half else [])]:
            if name in known:
                item = known[name]
                counts.update({"all": sign, item.kind: sign})
                counts.update({(item.kind, item.task): sign})
    return sum(abs(value) for value in counts.values())


if __name__ == "__main__":
    kept = json.loads(HALVES.read_text(encoding="utf8")) if HALVES.exists() else None
    HALVES.write_text(json.dumps(draw(tables(), kept), indent=1) + "\n", encoding="utf8")
