"""Frames of every library and plain Python give the same table; what is no table names the way to one."""

from __future__ import annotations

import datetime
import types

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from polyfuse.data.cells.source import is_missing
from polyfuse.data.tables import TableError, read_table

CELLS = {
    "text": ["a", None, "c"],
    "whole": [1, None, 3],
    "real": [0.5, 1.5, None],
    "flag": [True, None, False],
    "words": [["x", "y"], None, ["z"]],
    "vector": [[0.5, 1.0], [1.5, 2.0], [2.5, 3.0]],
    "day": [datetime.date(2024, 5, 1), None, datetime.date(2024, 5, 3)],
    "media": [{"bytes": b"x", "path": "a.png"}] * 3,
}


class Stream:
    """What knows the Arrow protocol and nothing else."""

    def __init__(self, table):
        self.__arrow_c_stream__ = table.__arrow_c_stream__


class Interchange:
    """What knows the DataFrame interchange protocol and nothing else."""

    def __init__(self, table):
        self.__dataframe__ = table.__dataframe__


def plain(table):
    """Python's own cells, None where missing."""
    cells = {name: table.frame[name].tolist() for name in table.frame}
    lists = {n: [c.tolist() if isinstance(c, np.ndarray) else c for c in column] for n, column in cells.items()}
    return {name: [None if is_missing(cell) else cell for cell in column] for name, column in lists.items()}


@pytest.mark.parametrize("kind", [lambda t: t, Stream, lambda t: t.to_reader(), lambda t: t.to_batches()[0]])
def test_whatever_speaks_arrow_is_a_table(kind):
    assert plain(read_table(kind(pa.table(CELLS)))) == CELLS
    halves = read_table({"train": kind(pa.table(CELLS)), "test": kind(pa.table(CELLS))})
    assert halves.frame["split"].tolist() == ["train"] * 3 + ["test"] * 3


def test_whatever_knows_the_interchange_protocol_is_a_table():
    some = {name: CELLS[name] for name in ("text", "whole", "real")}
    assert plain(read_table(Interchange(pa.table(some)))) == some


@pytest.mark.parametrize(
    "kind",
    [
        pa.large_string(),
        pa.string_view(),
        pa.dictionary(pa.int8(), pa.string()),
        pa.dictionary(pa.int32(), pa.large_string()),
    ],
)
def test_texts_of_every_arrow_type_are_texts(kind):
    column = pa.array(CELLS["text"]).cast(pa.large_string()).cast(kind) if not pa.types.is_dictionary(kind) else None
    column = pa.array(CELLS["text"]).dictionary_encode().cast(kind) if column is None else column
    assert plain(read_table(pa.table({"text": column})))["text"] == CELLS["text"]


def test_polars_frames_are_read():
    polars = pytest.importorskip("polars")
    cells = {name: column for name, column in CELLS.items() if name != "media"}
    frame = polars.DataFrame(cells).with_columns(polars.col("text").cast(polars.Categorical).alias("kind"))
    assert plain(read_table(frame)) == cells | {"kind": cells["text"]}
    with pytest.raises(TableError, match="collect"):
        read_table(frame.lazy())
    with pytest.raises(TableError, match="to_frame"):
        read_table(frame["text"])


def test_arrow_backed_columns_of_pandas_are_read():
    frame = pa.table(CELLS).to_pandas(types_mapper=pd.ArrowDtype).set_index(pd.Index([5, 3, 9]))
    assert isinstance(frame.dtypes["words"], pd.ArrowDtype)
    assert plain(read_table(frame)) == CELLS
    older = pd.DataFrame({"a": pd.array(["x", " ", None], dtype="string"), "b": pd.arrays.SparseArray([0, 0, 1])})
    assert plain(read_table(older)) == {"a": ["x", None, None], "b": [0, 0, 1]}


def test_column_names_that_are_no_texts_become_texts():
    table = read_table(pd.DataFrame([[1, "x"], [2, "y"]]))
    assert plain(table) == {"0": [1, 2], "1": ["x", "y"]}
    assert "'0', '1'" in table.notes[0]
    columns = pd.MultiIndex.from_tuples([("a", "mean"), ("b", "")])
    assert list(read_table(pd.DataFrame([[1, 2]], columns=columns)).frame) == ["a_mean", "b"]
    assert list(read_table([{1: "x", 2: "y"}]).frame) == ["1", "2"]


def test_a_dict_is_one_row_columns_or_what_to_dict_gives():
    assert plain(read_table({"text": "hello", "n": 3, "photo": {"path": "a.png", "bytes": None}, "no": None})) == {
        "text": ["hello"],
        "n": [3],
        "photo": [{"path": "a.png", "bytes": None}],
        "no": [None],
    }
    assert plain(read_table({"text": ("a", "b"), "n": np.arange(2)})) == {"text": ["a", "b"], "n": [0, 1]}
    mixed = read_table({"text": "hello", "tags": ["a", "b"]})
    assert plain(mixed) == {"text": ["hello"], "tags": [["a", "b"]]}
    assert "one row" in mixed.notes[0]
    assert plain(read_table(pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}).to_dict())) == {"a": [1, 2], "b": ["x", "y"]}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (pd.Series([1, 2], name="a"), r"pandas Series; .*to_frame\(\)"),
        (np.zeros((2, 3)), r"numpy ndarray; .*pandas\.DataFrame\(array"),
        (pa.chunked_array([[1, 2]]), "pyarrow ChunkedArray; expected"),
        (types.SimpleNamespace(), "types SimpleNamespace; expected a path"),
        (42, "from a int; expected a path"),
    ],
)
def test_what_is_no_table_names_the_way_to_one(source, message):
    with pytest.raises(TableError, match=message):
        read_table(source)


def test_an_arrow_type_that_cannot_be_read_names_its_column():
    union = pa.UnionArray.from_dense(
        pa.array([0, 1], pa.int8()), pa.array([0, 0], pa.int32()), [pa.array([1]), pa.array(["x"])]
    )
    table = pa.table({"fine": [1, 2], "odd": union})
    with pytest.raises(TableError, match="'odd'"):
        read_table(table)
