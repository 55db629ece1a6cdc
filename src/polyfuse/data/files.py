"""Read a file into a frame: delimited text (its encoding detected), JSON, JSON Lines, Parquet and Arrow.

CSV cells come as the text that was written; ``coerce`` makes numbers of them once all files of a table are together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import feather

from polyfuse.data.annotations_coco import looks_like_coco, parse_coco
from polyfuse.data.archives import read_excel
from polyfuse.data.conll import looks_like_conll, parse_conll
from polyfuse.data.delimited import read_delimited
from polyfuse.errors import TableError


def read_csv(path: Path, raw: bytes | None = None) -> tuple[pd.DataFrame, list[str]]:
    """Read all cells of a CSV or TSV file as text, missing ones as NaN, with notes on what was guessed."""
    text, notes = _decode_file(path, raw)
    frame, delimiter, said = read_delimited(text, path)
    # a file whose cells may hold commas often comes from where 3,5 is a number
    frame.attrs["usual"] = "comma" if delimiter == ";" else ""
    return frame, notes + said


BYTE_ORDER_MARKS = (  # UTF-32's begins as UTF-16's does
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


def _decode_file(path: Path, raw: bytes | None) -> tuple[str, list[str]]:
    raw = path.read_bytes() if raw is None else raw
    for mark, encoding in BYTE_ORDER_MARKS:
        if raw.startswith(mark):
            return _decode(path, raw, encoding), []
    if b"\0" in raw[:4096]:
        raise TableError(f"{path}: the file is not text; expected CSV, TSV or JSON Lines in UTF-8")
    try:
        return raw.decode("utf8"), []
    except UnicodeDecodeError:
        encoding = _legacy_encoding(raw)
        note = f"{path.name} is not UTF-8: read as {encoding}; save it as UTF-8 if letters look wrong"
        return _decode(path, raw, encoding), [note]


def _decode(path: Path, raw: bytes, encoding: str) -> str:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise TableError(f"{path}: starts as {encoding} but is damaged at byte {error.start:,}") from None


def _legacy_encoding(raw: bytes) -> str:
    """GB 18030 when bytes above 127 come in pairs, as Chinese does; else Western European, where they stand alone."""
    runs = re.findall(rb"[\x80-\xff]+", raw[:1_000_000])
    paired = sum(len(run) % 2 == 0 for run in runs)
    for encoding in ("gb18030", "cp1252") if paired > 0.9 * len(runs) else ("cp1252",):
        try:
            raw.decode(encoding)
            return encoding
        except UnicodeDecodeError:
            continue
    return "latin-1"


HEAD = 50_000
"""Bytes of a file of unknown ending that are looked at."""


def read_conll(path: Path, raw: bytes | None = None) -> tuple[pd.DataFrame, list[str]]:
    """A column file of a CoNLL task: a row per sentence."""
    text, notes = _decode_file(path, raw)
    frame, said = parse_conll(text, path)
    return frame, notes + said


def reader_by_content(path: Path, raw: bytes | None) -> Any:
    """The reader of a file whose ending says nothing, such as ``eng.train``, where its content does; else None."""
    if raw is None:
        with path.open("rb") as file:
            raw = file.read(HEAD)
    known = b"\0" not in raw and looks_like_conll(raw[:HEAD].decode("utf8", "replace"))
    return read_conll if known else None


def read_json(path: Path, raw: bytes | None = None) -> tuple[pd.DataFrame, list[str]]:
    """JSON Lines, or one JSON list of objects, or one object of equally long lists."""
    text, notes = _decode_file(path, raw)
    if path.suffix.lower() == ".json":
        try:
            whole = json.loads(text)
        except json.JSONDecodeError as error:
            if error.msg != "Extra data":  # several documents: JSON Lines under the wrong name
                raise TableError(f"{path}: not JSON: {error}") from None
        except (ValueError, RecursionError) as error:  # a number of thousands of digits, lists in lists in lists
            raise TableError(f"{path}: JSON that cannot be read: {error}") from None
        else:
            if looks_like_coco(whole):
                frame, said = parse_coco(whole, path.name)
                return frame, notes + said
            return _from_json(path, whole), notes
    return from_records(list(_parse_json_lines(path, text))), notes


def _parse_json_lines(path: Path, text: str) -> Iterable[Mapping[str, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise TableError(f"{path}: line {number} is not JSON: {error.msg}") from None
        except (ValueError, RecursionError) as error:
            raise TableError(f"{path}: line {number} is JSON that cannot be read: {error}") from None
        if not isinstance(row, dict):
            raise TableError(f"{path}: line {number} holds a {type(row).__name__}; expected an object, column: value")
        yield row


def _from_json(path: Path, whole: Any) -> pd.DataFrame:
    if isinstance(whole, list) and all(isinstance(row, dict) for row in whole):
        return from_records(whole)
    if isinstance(whole, dict) and whole and all(isinstance(values, list) for values in whole.values()):
        return from_columns(whole)
    raise TableError(f"{path}: expected a list of objects, one per row, or an object with one list per column")


def from_records(rows: list[Mapping[str, Any]]) -> pd.DataFrame:
    """One row per mapping; a key that a row lacks is a missing cell."""
    names = dict.fromkeys(name for row in rows for name in row)
    return from_columns({name: [row.get(name) for row in rows] for name in names})


def from_columns(columns: Mapping[str, Any]) -> pd.DataFrame:
    """One column per entry, all of one length."""
    lists = {name: list(values) for name, values in columns.items()}
    lengths = {name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1:
        raise TableError(f"columns differ in length: {', '.join(f'{name} {n:,}' for name, n in lengths.items())}")
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in lists.items()})


def read_parquet(path: Path, raw: bytes | None = None) -> tuple[pd.DataFrame, list[str]]:
    """A Parquet file; media cells may be paths, bytes or ``{"bytes", "path"}``."""
    try:
        # not pq.read_table: it makes columns out of folders called "name=value"
        return from_arrow(_check_offsets(pq.ParquetFile(path if raw is None else pa.BufferReader(raw)).read())), []
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"{path}: not a readable Parquet file: {error}") from None


def read_ipc(path: Path, raw: bytes | None = None) -> tuple[pd.DataFrame, list[str]]:
    """An Arrow or Feather file."""
    content = pa.BufferReader(path.read_bytes() if raw is None else raw)
    try:
        return from_arrow(_check_offsets(feather.read_table(content))), []
    except (pa.ArrowException, OSError) as error:
        first = error
        content.seek(0)
    try:
        return from_arrow(_check_offsets(pa.ipc.open_stream(content).read_all())), []
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"{path}: not a readable Arrow or Feather file: {first}; as a stream: {error}") from None


def _check_offsets(table: pa.Table) -> pa.Table:
    """Check that every offset lies inside the table: Arrow itself follows those of a damaged file anywhere.

    Raises:
        ArrowInvalid: one does not.
    """
    table.validate(full=True)
    return table


def from_arrow(table: pa.Table) -> pd.DataFrame:
    """An Arrow table with whole numbers kept whole, and cells that are lists as lists of texts or as arrays."""
    kept = [i for i, name in enumerate(table.column_names) if not re.fullmatch(r"__index_level_\d+__", name)]
    columns = []
    for i in kept:
        try:
            columns.append(_from_arrow_column(table.column(i)).rename(table.column_names[i]))
        except (pa.ArrowException, NotImplementedError, TypeError, ValueError) as error:
            name, kind = table.column_names[i], table.column(i).type
            raise TableError(
                f"column {name!r}: its Arrow type {kind} cannot be read ({error}); cast it first"
            ) from None
    return pd.concat(columns, axis=1) if columns else pd.DataFrame()


def _from_arrow_column(column: pa.ChunkedArray) -> pd.Series:
    if isinstance(column.type, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
    kind = column.type
    if pa.types.is_integer(kind) and column.null_count:
        return column.to_pandas(types_mapper=lambda _: pd.Int64Dtype())
    if pa.types.is_boolean(kind) and column.null_count:
        return column.to_pandas(types_mapper=lambda _: pd.BooleanDtype())
    if not _is_list(kind):
        return column.to_pandas()
    leaf = kind.value_type
    while _is_list(leaf):
        leaf = leaf.value_type
    if not (pa.types.is_integer(leaf) or pa.types.is_floating(leaf)):
        return pd.Series(column.to_pylist(), dtype=object)
    if not _is_list(kind.value_type):
        return column.to_pandas()
    return pd.Series([_as_array(cell, leaf.to_pandas_dtype()) for cell in column.to_pylist()], dtype=object)


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _as_array(cell: Any, dtype: Any) -> Any:
    """A list of equally long lists as one array; a ragged one as it is."""
    try:
        return cell if cell is None else np.array(cell, dtype=dtype)
    except (ValueError, TypeError):
        return cell


READERS = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".tab": read_csv,
    ".txt": read_csv,
    ".json": read_json,
    ".jsonl": read_json,
    ".ndjson": read_json,
    ".parquet": read_parquet,
    ".pq": read_parquet,
    ".feather": read_ipc,
    ".arrow": read_ipc,
    ".xlsx": read_excel,
    ".conll": read_conll,
    ".iob": read_conll,
    ".bio": read_conll,
}
"""File ending -> reader."""
