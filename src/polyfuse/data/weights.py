"""Sample weights of rows: a column of weights, checked row by row and scaled to a mean of 1."""

from __future__ import annotations

import math

import numpy as np

from polyfuse.data.cells.numbers import parse_number
from polyfuse.data.modalities import missing_mask
from polyfuse.data.tables import Table, TableError


def row_weights(table: Table, column: str, rows: np.ndarray) -> np.ndarray:
    """The weight of every row of a table (R,), 1 on average over those of ``rows`` that have one; 0 in other rows.

    Args:
        column: of numbers, 0 and above; a row of weight 0 counts for nothing.
        rows: numbers of the rows that need a weight.

    Raises:
        TableError: a weight that is missing, negative or no finite number, with its row; or none above 0.
    """
    series = table.require(column)
    gone = missing_mask(series)
    found = np.zeros(len(table))
    for row in rows.tolist():
        value = None if gone[row] else parse_number(series.iat[row])
        if value is None or not math.isfinite(value) or value < 0:
            what = "there is none" if gone[row] else f"found {str(series.iat[row])!r}"
            raise TableError(
                f"weights column {column!r}, {table.origin(row)}: expected a number of 0 or more, {what}; correct the "
                "cell, or leave the row out with where"
            )
        found[row] = value
    some = found[rows]
    if len(rows) and not some.any():
        raise TableError(f"weights column {column!r}: every weight is 0, so that no row counts for anything")
    if not len(rows):
        return found
    found = found / some.max()  # first, so that no sum of huge ones is infinite
    return found / found[rows][found[rows] > 0].mean()
