"""Encode rows and queries as vectors in the shared space, by the model of an index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from polyfuse.data.tables import Table, read_table
from polyfuse.model.bundle import Bundle
from polyfuse.model.inference import shared_vectors
from polyfuse.model.prepare import make_rows, prepare_all, read_options, summary
from polyfuse.search.store import SearchError


def encode_rows(
    bundle: Bundle, table: Table, *, needed: Iterable[str] | None = None, max_broken: float | None = None
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], list[str]]:
    """Aligned input -> unit vectors (R, E) and which rows have one; and notes on cells that cannot be read.

    Args:
        needed: columns that must be there, those of all aligned inputs by default; what else is absent is missing.
        max_broken: share of a column's cells that may be unreadable; the recipe's by default.

    Raises:
        TableError: a needed column is absent.
    """
    every = {column for name in bundle.network.aligned for column in bundle.recipe.inputs[name].columns}
    for column in sorted(every if needed is None else needed):
        table.require(column)
    frame = table.frame.copy(deep=False)
    for item in bundle.recipe.inputs.values():  # what is not aligned is not needed
        for column in item.columns:
            if column not in frame:
                frame[column] = None
    whole = Table(frame, table.root, table.name, table.notes, table.split, table.parts, table.rows_N)
    how = read_options(bundle.recipe, whole, max_broken)
    prepared = prepare_all(bundle.recipe, bundle.transforms, whole, how, targets=False, heads=False)
    notes = list(dict.fromkeys(note for cells in prepared.values() for note in summary(cells, whole)))
    return shared_vectors(bundle.network, make_rows(prepared, len(whole))), notes


def encode_query(bundle: Bundle, cells: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Encode a query: aligned input -> the vector of its cell.

    Args:
        cells: input -> a text, the path or bytes of a medium, ...

    Raises:
        SearchError: an input that is not aligned or has several columns, or a cell that cannot be read.
    """
    found = {}
    for name, cell in cells.items():
        if name not in bundle.network.aligned:
            known = ", ".join(bundle.network.aligned)
            raise SearchError(f"the model does not align {name!r}; it aligns {known}")
        columns = bundle.recipe.inputs[name].columns
        if len(columns) != 1:
            raise SearchError(f"input {name!r} reads {len(columns)} columns; ask by the row of an index instead")
        frame = pd.DataFrame({c: [None] for item in bundle.recipe.inputs.values() for c in item.columns}, dtype=object)
        frame.at[0, columns[0]] = cell
        recipe = bundle.recipe.model_copy(deep=True)
        recipe.data.max_broken = 1.0  # a broken query is told below, by its own reason
        table = read_table(frame)
        how = read_options(recipe, table)
        prepared = prepare_all(recipe, bundle.transforms, table, how, targets=False, heads=False)
        reader = bundle.network.reads[name][0]
        broken = prepared[f"in:{reader}"].broken
        if broken:
            raise SearchError(f"the query for {name!r} cannot be read: {broken[0].reason}")
        vector_RE, there_R = shared_vectors(bundle.network, make_rows(prepared, 1))[name]
        if not there_R[0]:
            raise SearchError(f"the query for {name!r} is empty")
        found[name] = vector_RE[0]
    return found


def fingerprint(bundle: Bundle) -> str:
    """A name for the space: the same weights and preprocessing give the same."""
    import hashlib
    import json

    digest = hashlib.sha256()
    for name, tensor in sorted(bundle.network.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.detach().cpu().float().numpy()).tobytes())
    states = {name: bundle.transforms[name].state() for name in sorted(bundle.transforms)}
    digest.update(json.dumps(states, sort_keys=True, default=str).encode())
    return digest.hexdigest()[:32]
