"""Explanations of exported models, which answer without torch; those of saved ones are ``Model.explain``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polyfuse import runtime
from polyfuse.data.tables import read_table
from polyfuse.explain.rows import Explanations
from polyfuse.explain.table import explain_table
from polyfuse.trust import Trust


def explain_exported(
    folder: str | Path,
    table: Any,
    rows: Sequence[int],
    *,
    where: str | None = None,
    media_root: str | Path | None = None,
    trust: Trust = (),
    **asked: Any,
) -> tuple[Explanations, list[str]]:
    """Why an exported model says what it says of some rows, and what is to be said of their cells.

    Args:
        folder: as ``polyfuse export`` wrote it.
        table, rows, where, media_root, asked: as for ``Model.explain``.

    Raises:
        ExportError: the folder is damaged, or of a newer version.
        ValueError: as ``Model.explain``.
    """
    servant = runtime.load(folder, trust=trust)
    formats = servant.manifest["reading"]["formats"]
    read = read_table(table, media_root=media_root, where=where, formats=formats, decide=False)
    for facts in servant.inputs.values():
        for column in facts.columns:
            read.require(column)
    return explain_table(servant, read, rows, **asked)
