"""Convert frames of other libraries, and dicts, to pandas frames with plain dtypes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from polyfuse.data.files import from_arrow, from_columns, from_records
from polyfuse.errors import TableError

CONVERSIONS = (  # module, type, how to make a frame of it
    ("pandas", "Series", "one row of a frame is frame.loc[[row]], one column series.to_frame()"),
    ("polars", "Series", "one column is series.to_frame()"),
    ("polars", "LazyFrame", "collect it first: frame.collect()"),
    ("dask", "", "compute it first: frame.compute()"),
    ("pyspark", "", "bring it here first: frame.toPandas()"),
    ("numpy", "", "name its columns: pandas.DataFrame(array, columns=[...])"),
    ("torch", "", "name its columns: pandas.DataFrame(tensor.numpy(), columns=[...])"),
    ("_io", "", "give the path of the file"),
)
"""What is near to a table, and the way from it to one."""


def is_frame(value: Any) -> bool:
    """Whether a value is a frame: pandas, Arrow, or anything of the Arrow stream or DataFrame interchange protocols."""
    if isinstance(value, (type, pa.Array, pa.ChunkedArray)) or hasattr(value, "dtype"):  # one column is no frame
        return False
    return isinstance(value, pd.DataFrame) or hasattr(value, "__arrow_c_stream__") or hasattr(value, "__dataframe__")


def to_pandas(frame: Any) -> pd.DataFrame:
    """Convert a frame to pandas, with columns of NumPy's dtypes, pandas' own, or objects: lists, arrays and texts.

    Raises:
        TableError: a column of a type that cannot be read.
    """
    if isinstance(frame, pd.DataFrame):
        return _convert_dtypes(index_to_columns(frame))
    try:
        if hasattr(frame, "__arrow_c_stream__"):
            return from_arrow(pa.table(frame))
        from pyarrow.interchange import from_dataframe

        return from_arrow(from_dataframe(frame))
    except (pa.ArrowException, NotImplementedError, TypeError, ValueError) as error:
        if isinstance(error, TableError):
            raise
        raise TableError(f"the {qualified_type(frame)} cannot be read: {error}; give frame.to_pandas()") from None


def index_to_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Turn named index levels into columns; an unnamed index only counts rows."""
    named = [name for name in frame.index.names if name is not None and name not in frame.columns]
    return frame.reset_index(level=named) if named else frame


def _convert_dtypes(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns of Arrow, of pandas' older texts and sparse ones in the types that the rest of the package knows."""
    odd = (pd.ArrowDtype, pd.StringDtype, pd.SparseDtype)
    if not any(isinstance(dtype, odd) and dtype != "str" for dtype in frame.dtypes):
        return frame
    frame = frame.reset_index(drop=True)
    columns = [_convert_dtype(frame.iloc[:, i]) for i in range(frame.shape[1])]
    return pd.concat(columns, axis=1).set_axis(frame.columns, axis=1)


def _convert_dtype(series: pd.Series) -> pd.Series:
    if isinstance(series.dtype, pd.ArrowDtype):
        cells = pa.array(series.array)
        whole = cells if isinstance(cells, pa.ChunkedArray) else pa.chunked_array([cells])
        return from_arrow(pa.table({str(series.name): whole})).iloc[:, 0]
    if isinstance(series.dtype, pd.SparseDtype):
        return series.sparse.to_dense()
    if isinstance(series.dtype, pd.StringDtype) and series.dtype != "str":
        return series.astype(object).where(series.notna(), None)
    return series


def from_mapping(source: Mapping[Any, Any]) -> tuple[pd.DataFrame, list[str]]:
    """A dict of columns; of single values, which is one row; or what ``DataFrame.to_dict()`` gives."""
    values = list(source.values())
    if values and all(isinstance(value, Mapping) and value and all(map(_is_int, value)) for value in values):
        return from_columns({name: list(column.values()) for name, column in source.items()}), []
    single = [name for name, value in source.items() if _is_cell(value)]
    if not single:
        return from_columns(source), []
    notes = [
        f"the dict is read as one row, since {single[0]!r} holds a single value; {name!r} holds several"
        for name in source
        if name not in single
    ]
    return from_records([source]), notes[:1]


def _is_int(value: Any) -> bool:
    return isinstance(value, (int, np.integer))


def _is_cell(value: Any) -> bool:
    """One value, not a column of them."""
    single = isinstance(value, (str, bytes, bytearray, memoryview, Mapping, Path)) or not hasattr(value, "__iter__")
    return single or getattr(value, "ndim", 1) == 0


def qualified_type(value: Any) -> str:
    """The type of a value with the library that it comes from, for messages."""
    kind = type(value)
    library = kind.__module__.partition(".")[0]
    return kind.__name__ if library == "builtins" else f"{library} {kind.__name__}"


def explain_not_a_table(value: Any) -> str:
    """Explain why a value is no table, and how to make one of it."""
    kind, library = type(value).__name__, type(value).__module__.partition(".")[0]
    expected = (
        "expected a path, a list of paths, a pandas, polars or Arrow frame, a Hugging Face Dataset, a list of dicts or "
        "a dict of lists"
    )
    way = next((how for module, name, how in CONVERSIONS if module == library and name in ("", kind)), expected)
    return f"cannot read a table from a {qualified_type(value)}; {way}"
