"""Inputs of every make, generated: none ends in a library's traceback, a hang, a lost file or row, or an unsaid loss.

What comes of an input is a table with as many rows as were written, each of whose columns is read by a model or named
in the notes with its reason; or an error of polyfuse's own. Over a thousand inputs a run.
"""

from __future__ import annotations

import bz2
import csv
import datetime
import decimal
import faulthandler
import gzip
import importlib
import io
import json
import lzma
import traceback
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

import polyfuse as pf
from polyfuse.data.coerce import GAPS, MISSING
from polyfuse.data.files import READERS
from polyfuse.data.inputs import default_inputs, exclusion_reasons, note_unused_columns
from polyfuse.data.modalities import infer_columns
from polyfuse.data.tables import Table
from tests.tiny import FAST, write_table

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("own_cache")]

PACKAGE = str(Path(pf.__file__).parent)
HANG = 60  # seconds after which an input is taken to hang; the slowest take one


def inputs_per_run(count: int):
    """Hypothesis settings of a test."""
    health = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=count, deadline=None, suppress_health_check=health, print_blob=True)


@contextmanager
def own_errors_only() -> Iterator[list[str]]:
    """Errors that polyfuse raises itself are an answer, and are noted; those of a library, or a hang, fail."""
    refused: list[str] = []
    faulthandler.dump_traceback_later(HANG, exit=True)
    try:
        yield refused
    except (ValueError, OSError, ImportError) as error:
        refused.append(str(error))
        raised = error
    else:
        raised = None
    finally:
        faulthandler.cancel_dump_traceback_later()
    event("refused" if refused else "read")  # pytest --hypothesis-show-statistics
    if raised is not None:
        last = traceback.extract_tb(raised.__traceback__)[-1].filename
        assert last.startswith(PACKAGE), f"{type(raised).__name__} of a library, {last}: {raised}"
        assert len(str(raised)) > 10


def all_is_said(table: Table, rows: int, names: list[str]) -> None:
    """As many rows as written, and each column is an input or in the notes, with a reason."""
    assert len(table) == rows
    columns = infer_columns(table)
    reasons = exclusion_reasons(columns, outputs=[])
    assert all(reason.strip() for reason in reasons.values())
    used = [name for name in columns if name not in reasons]
    if used:
        read = [name for listed, _ in default_inputs(columns, outputs=[]).values() for name in listed]
        assert sorted(read) == sorted(used)
    notes = "\n".join([*table.notes, *note_unused_columns(columns, used, reasons)])
    for name in names:
        assert name in used or name in notes, f"column {name!r} is gone without a word:\n{notes}"
    for column in columns.values():
        assert len(column.unreadable) == column.broken
        assert 0 <= column.missing <= rows
    shown = pf.inspect(table)
    assert [row["column"] for row in shown.columns] == list(table.frame)
    json.dumps(shown.columns, allow_nan=False)
    assert shown._repr_html_()


# --- delimited files --------------------------------------------------------------------------------------------------

ENCODINGS = (
    "utf-8",
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "utf-32",
    "cp1252",
    "latin-1",
    "gb18030",
)
LETTERS = "aeinrst AEINé,;|\t\"'.-+%0159ß中文字數🎈(ñ)\\/#=:&\u00a0\u200b"
WORDS = st.text(LETTERS, min_size=0, max_size=14)
NAMES = st.one_of(
    st.sampled_from(
        ["text", "net.price", "a b", "数量", 'say "x"', "x,y", "id", "split", "env", "Größe", "1", "a=b", "n@m"]
    ),
    st.text("abcxyz_ é中.", min_size=1, max_size=6).filter(str.strip),
)


def figures(draw: Callable[..., Any], rows: int) -> list[str]:
    """A column of numbers by one convention: decimals and thousands of one country, and gaps."""
    point, thousands = draw(
        st.sampled_from([(".", ""), (",", ""), (",", "."), (".", ","), (",", " "), (".", "'"), (",", "\u00a0")])
    )
    places = draw(st.sampled_from([0, 1, 2, 3]))
    numbers = draw(st.lists(st.floats(-2e6, 2e6), min_size=rows, max_size=rows))
    mark = draw(st.sampled_from(["", "", "", " €", "%", "$"]))
    written = [
        f"{number:,.{places}f}".replace(",", "t").replace(".", point).replace("t", thousands) + mark
        for number in numbers
    ]
    return [
        draw(st.sampled_from(["", "NA", "-", "null", cell])) if draw(st.booleans()) and draw(st.booleans()) else cell
        for cell in written
    ]


def days(draw: Callable[..., Any], rows: int) -> list[str]:
    """A column of dates by one convention."""
    form = draw(
        st.sampled_from(
            [
                "%Y-%m-%d",
                "%d.%m.%Y",
                "%m/%d/%Y",
                "%d %b %Y",
                "%Y-%m-%dT%H:%M:%S",
                "%Y-%m-%d %H:%M:%S+0200",
                "%d/%m/%y",
                "%Y%m%d",
            ]
        )
    )
    found = draw(
        st.lists(
            st.datetimes(datetime.datetime(1971, 1, 1), datetime.datetime(2060, 1, 1)), min_size=rows, max_size=rows
        )
    )
    return [moment.strftime(form) for moment in found]


def words(draw: Callable[..., Any], rows: int) -> list[str]:
    return draw(st.lists(WORDS, min_size=rows, max_size=rows))


def classes(draw: Callable[..., Any], rows: int) -> list[str]:
    known = draw(
        st.sampled_from(
            [
                ["yes", "no"],
                ["True", "False"],
                ["0", "1", ""],
                ["007", "12"],
                ["a|b", "b", "a|c"],
                ["['x', 'y']", "['x']"],
                ["train", "test", "val"],
            ]
        )
    )
    return draw(st.lists(st.sampled_from(known), min_size=rows, max_size=rows))


def codes(draw: Callable[..., Any], rows: int) -> list[str]:
    """Files, addresses, vectors, embedded media: what a cell of text may stand for."""
    kind = draw(
        st.sampled_from(
            [
                "{n}.png",
                "img/{n}.heic",
                "https://x.org/{n}.jpg",
                "C:\\media\\{n}.wav",
                "[{n}.0 0.2 0.3]",
                "[{n}, 2]",
                "data:image/png;base64,iVBORw0KGgo={n}",
                "{n}.mp4",
                "a{n}.jpg;b{n}.jpg",
                "id-{n:05}",
                '{{"a": {n}}}',
                "{n}.npy",
                "file:///tmp/{n}.txt",
            ]
        )
    )
    return [kind.format(n=n) for n in range(rows)]


@dataclass(frozen=True)
class Written:
    """A file as a CSV writer makes it: bytes, ending, names, rows, and whether its encoding can be told."""

    raw: bytes
    ending: str
    names: list[str]
    cells: list[list[str]]
    told: bool


@st.composite
def delimited(draw) -> Written:
    rows = draw(st.integers(1, 30))
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique_by=str.strip))
    kinds = st.sampled_from([figures, days, words, words, classes, codes])
    columns = [draw(kinds)(draw, rows) for _ in names]
    cells = [list(row) for row in zip(*columns, strict=True)]
    text = io.StringIO(newline="")
    delimiter, end = draw(st.sampled_from(",,;\t|")), draw(st.sampled_from(["\n", "\r\n", "\r"]))
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]))
    if len(names) == 1 or any(mark in name for name in names for mark in ",;\t|"):
        quoting = csv.QUOTE_ALL  # what divides cells cannot be told otherwise
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=end)
    writer.writerow(names)
    writer.writerows(cells)
    written = text.getvalue()
    ways = [written, written, written.removesuffix(end), f"sep={delimiter}{end}{written}", written + end * 3]
    written = draw(st.sampled_from(ways))
    encoding = draw(st.sampled_from(ENCODINGS))
    try:
        raw = written.encode(encoding)
    except UnicodeEncodeError:
        raw = written.encode("utf-8")
    endings = [".csv", ".csv", ".tsv", ".txt", ".tab", ".csv.gz", ".csv.bz2", ".csv.xz", ".csv.zip"]
    ending = draw(st.sampled_from(endings))
    return Written(packed(raw, ending), ending, names, cells, encoding.startswith("utf"))


def packed(raw: bytes, ending: str) -> bytes:
    if ending.endswith(".zip"):
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w") as archive:
            archive.writestr("table.csv", raw)
        return held.getvalue()
    pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}.get(Path(f"t{ending}").suffix)
    return pack(raw) if pack else raw


def is_kept(cell: str, found: Any, changed: bool) -> bool:
    """Whether a cell of a file stands in the table: as it was written, as a number or a flag, or missing."""
    if found is None or found is pd.NA or found != found:
        return cell.strip() in MISSING | GAPS
    if isinstance(found, str):
        return changed or found == cell
    return bool(cell.strip())


@inputs_per_run(400)
@given(file=delimited())
def test_a_delimited_file_loses_no_row_column_or_cell(tmp_path, file):
    path = tmp_path / f"t{file.ending}"
    path.write_bytes(file.raw)
    names = [name.strip() for name in file.names]
    with own_errors_only() as refused:
        table = pf.read_table(path)
        all_is_said(table, len(file.cells), names if file.told else [])
        for name, column in zip(names, zip(*file.cells, strict=True), strict=True):
            if file.told and name in table.frame:
                pairs = zip(column, table.frame[name], strict=True)
                lost = [pair for pair in pairs if not is_kept(*pair, name in table.formats)]
                assert not lost, f"{name}: {lost[:3]}"
    assert path.read_bytes() == file.raw
    assert not refused or path.name in refused[0]


# --- files of any bytes -----------------------------------------------------------------------------------------------

ENDINGS = (*(".csv", ".tsv", ".txt", ".jsonl") * 6, *READERS, ".csv.gz", ".zip", ".xls", ".sqlite", ".npz", "")
MARKS = b'" , ; \t \n \r\n \r a 1 1,5 { } [ ] : "x" null NaN 1e999 sep=, \\ -'.split(b" ")
ODD_BYTES = (b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\xe4", b"PK\x03\x04", b"PAR1", b"\x1f\x8b", b" ", b"9" * 30)
GRAMMAR = st.one_of(
    st.lists(st.sampled_from(MARKS), max_size=60).map(b"".join),
    st.lists(st.sampled_from([b'"a"', b"1,5", b"b", b",", b";", b"\n", b"\n", b" ", b'"']), max_size=60).map(b"".join),
    st.lists(st.sampled_from([*MARKS, *ODD_BYTES]), max_size=60).map(b"".join),
)


@inputs_per_run(500)
@given(raw=st.one_of(GRAMMAR, GRAMMAR, st.binary(max_size=200)), ending=st.sampled_from(ENDINGS))
def test_any_bytes_under_any_ending_are_a_table_or_an_error_that_names_the_file(tmp_path, raw, ending):
    path = tmp_path / f"t{ending}"
    path.write_bytes(raw)
    with own_errors_only() as refused:
        table = pf.read_table(path)
        all_is_said(table, len(table), list(table.frame))
    assert not refused or path.name in refused[0]
    assert path.read_bytes() == raw


@inputs_per_run(100)
@given(data=st.data(), ending=st.sampled_from([".csv", ".jsonl", ".parquet", ".csv.gz", ".zip", ".feather"]))
def test_a_damaged_file_is_named(tmp_path, data, ending):
    frame = pd.DataFrame({"text": [f"word {n}" for n in range(20)], "n": range(20)})
    whole = io.BytesIO()
    if ending == ".parquet":
        frame.to_parquet(whole)
    elif ending == ".feather":
        frame.to_feather(whole)
    elif ending == ".jsonl":
        frame.to_json(whole, orient="records", lines=True)
    else:
        whole.write(packed(frame.to_csv(index=False).encode(), f".csv{ending}"))
    raw = bytearray(whole.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.one_of(st.just(len(raw)), st.integers(1, len(raw))))]
    path = tmp_path / f"t{ending}"
    path.write_bytes(raw)
    with own_errors_only() as refused:
        table = pf.read_table(path)
        all_is_said(table, len(table), list(table.frame))
    assert not refused or path.name in refused[0]


# --- cells of every kind ----------------------------------------------------------------------------------------------

SHAPES = st.lists(st.sampled_from([0, 1, 2, 3, 4, 7, 16]), min_size=0, max_size=4).map(tuple)
DTYPES = st.sampled_from(
    [
        "uint8",
        "int8",
        "uint16",
        "int64",
        "float16",
        "float32",
        "float64",
        "bool",
        "complex64",
        "M8[s]",
        "m8[s]",
        "U3",
        "S2",
        "object",
    ]
)


@st.composite
def array(draw) -> np.ndarray:
    """An array of any kind and layout: channels first or last, strided, reversed, Fortran, read-only, empty."""
    made = np.zeros(draw(SHAPES), draw(DTYPES))
    layout = draw(st.sampled_from(["C", "F", "reversed", "strided", "read-only", "swapped"]))
    if layout == "F":
        made = np.asfortranarray(made)
    elif layout == "reversed" and made.ndim:
        made = made[::-1]
    elif layout == "strided" and made.ndim:
        made = np.repeat(made, 2, 0)[::2]
    elif layout == "read-only":
        made.flags.writeable = False
    elif layout == "swapped":
        made = made.astype(made.dtype.newbyteorder())
    if made.dtype.kind in "iuf" and draw(st.booleans()):
        made = made + np.asarray(draw(st.sampled_from([1, 100, 0.5])), made.dtype)
    if made.dtype.kind in "fc" and draw(st.booleans()) and made.size:
        made = made.copy()
        made.flat[0] = draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    return made


ODD = (
    pd.NA, pd.NaT, np.datetime64("NaT"), np.float32("nan"), Path("a.png"), Fraction(1, 3), decimal.Decimal("NaN"),
    pd.Interval(0, 1), pd.Period("2020-01"), range(3), bytearray(b"x"), memoryview(b"x"), np.str_("x"), np.bool_(True),
)  # fmt: skip
SINGLE = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(2**62, 2**70), st.floats(), WORDS, st.text(max_size=8),
    st.binary(max_size=12), st.decimals(allow_nan=True), st.fractions(), st.dates(), st.times(), st.datetimes(),
    st.timedeltas(), st.uuids(), st.complex_numbers(), array(), st.sampled_from(ODD),
)  # fmt: skip
CELLS = st.one_of(
    SINGLE,
    st.lists(SINGLE, max_size=3),
    st.tuples(SINGLE, SINGLE),
    st.frozensets(st.sampled_from(["a", "b", 1, None]), max_size=3),
    st.sets(st.sampled_from(["a", "b"]), max_size=2),
    st.dictionaries(st.sampled_from(["bytes", "path", "array", "sampling_rate", "x"]), SINGLE, max_size=3),
)


@st.composite
def object_columns(draw) -> dict[str, list[Any]]:
    """Columns of Python objects: mostly of one kind, with others among them."""
    rows = draw(st.integers(1, 8))
    columns = {}
    for name in draw(st.lists(NAMES, min_size=1, max_size=3, unique_by=str.strip)):
        kind = draw(st.sampled_from(["one", "mixed", "arrays"]))
        usual = draw(CELLS)
        cells = {"one": st.just(usual), "mixed": CELLS, "arrays": array()}[kind]
        columns[name] = [draw(st.one_of(cells, cells, cells, CELLS)) for _ in range(rows)]
    return columns


@inputs_per_run(300)
@given(columns=object_columns(), form=st.sampled_from(["dict", "records", "frame"]))
def test_cells_of_any_type_are_read_or_named(columns, form):
    rows = len(next(iter(columns.values())))
    frame = pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in columns.items()})
    records = [{name: cells[n] for name, cells in columns.items()} for n in range(rows)]
    with own_errors_only():
        table = pf.read_table({"dict": columns, "records": records, "frame": frame}[form])
        all_is_said(table, rows, [name.strip() for name in columns])


def arrow(cells: Any, kind: pa.DataType) -> pd.Series:
    """A pandas column of an Arrow type."""
    return pd.Series(cells, dtype=pd.ArrowDtype(kind))


DTYPED = {
    "int8": lambda n: pd.array([k % 5 for k in range(n)], "int8"),
    "UInt64": lambda n: pd.array([2**63 + k if k % 3 else None for k in range(n)], "UInt64"),
    "uint64": lambda n: np.array([2**64 - 1 - k for k in range(n)], "uint64"),
    "float16": lambda n: np.linspace(0, 7e4, n).astype("float16"),
    "Float32": lambda n: pd.array([k / 3 if k % 4 else None for k in range(n)], "Float32"),
    "longdouble": lambda n: np.arange(n, dtype=np.longdouble),
    "complex": lambda n: np.arange(n, dtype=complex),
    "boolean": lambda n: pd.array([None if k % 5 == 4 else bool(k % 2) for k in range(n)], "boolean"),
    "category": lambda n: pd.Categorical([("x", "y", None)[k % 3] for k in range(n)], ["y", "x", "z"], ordered=True),
    "category of numbers": lambda n: pd.Categorical([k % 3 for k in range(n)]),
    "category of intervals": lambda n: pd.cut(np.arange(n, dtype=float), 3),
    "category of dates": lambda n: pd.Categorical(pd.to_datetime([f"2020-01-0{1 + k % 3}" for k in range(n)])),
    "datetime": lambda n: pd.date_range("1677-10-01", periods=n, freq="D"),
    "datetime[s]": lambda n: np.array([f"{1 + 400 * k:04}-01-01" for k in range(n)], "M8[s]"),
    "zoned": lambda n: pd.date_range("2020-03-28 23:00", periods=n, freq="h", tz="Europe/Berlin"),
    "timedelta": lambda n: pd.to_timedelta(np.arange(n), "h"),
    "period": lambda n: pd.period_range("2020-01", periods=n, freq="M"),
    "interval": lambda n: pd.interval_range(0, n),
    "string": lambda n: pd.array([None if k % 4 == 3 else f"word {k}" for k in range(n)], "string"),
    "sparse": lambda n: pd.arrays.SparseArray([0.0] * (n - 1) + [1.0]),
    "arrow list": lambda n: arrow(pa.array([[k, None] if k % 2 else None for k in range(n)]), pa.list_(pa.int64())),
    "arrow decimal": lambda n: arrow([decimal.Decimal(k) for k in range(n)], pa.decimal128(9, 2)),
    "arrow struct": lambda n: arrow([{"a": k} for k in range(n)], pa.struct([("a", pa.int8())])),
    "arrow map": lambda n: arrow([[("a", k)] for k in range(n)], pa.map_(pa.string(), pa.int8())),
    "arrow binary": lambda n: arrow([b"x" * k for k in range(n)], pa.binary()),
    "arrow time": lambda n: arrow([datetime.time(k % 24) for k in range(n)], pa.time64("us")),
    "arrow date": lambda n: arrow([datetime.date(2020, 1, 1 + k % 28) for k in range(n)], pa.date32()),
    "arrow duration": lambda n: arrow(pd.to_timedelta(np.arange(n), "h"), pa.duration("ns")),
    "arrow null": lambda n: arrow([None] * n, pa.null()),
    "arrow dictionary": lambda n: pd.Series(pa.array(["a", None] * n).dictionary_encode()[:n].to_pandas()),
    "records": lambda n: np.arange(n),
    "inf": lambda n: np.array([np.inf, -np.inf, np.nan] * n)[:n],
    "vectors": lambda n: pd.Series([np.ones(3) * k for k in range(n)], dtype=object),
    "ragged": lambda n: pd.Series([np.ones((k % 4, 2)) for k in range(n)], dtype=object),
}  # fmt: skip


@inputs_per_run(150)
@given(
    kinds=st.lists(st.sampled_from(sorted(DTYPED)), min_size=1, max_size=4, unique=True),
    rows=st.sampled_from([1, 2, 3, 12, 40]),
    form=st.sampled_from(["frame", "arrow", "parquet", "jsonl", *(["polars"] if find_spec("polars") else [])]),
    index=st.sampled_from(["range", "shuffled", "named", "levels", "twice"]),
)
def test_frames_of_any_dtype_and_index_are_read_or_named(tmp_path, kinds, rows, form, index):
    frame = pd.DataFrame({kind: DTYPED[kind](rows) for kind in kinds})
    made = {
        "range": frame.index,
        "shuffled": pd.Index(np.random.default_rng(0).permutation(rows)),
        "named": pd.Index([f"k{n}" for n in range(rows)], name="key"),
        "levels": pd.MultiIndex.from_tuples([(n // 2, n) for n in range(rows)], names=["a", None]),
        "twice": pd.Index([0] * rows),
    }[index]
    source = converted(frame.set_axis(made, axis=0), form, tmp_path)
    with own_errors_only():
        table = pf.read_table(source)
        all_is_said(table, rows, kinds)


def converted(frame: pd.DataFrame, form: str, folder: Path) -> Any:
    """The frame in another form, where that form can hold it."""
    try:
        if form == "arrow":
            return pa.Table.from_pandas(frame)
        if form == "parquet":
            frame.to_parquet(folder / "t.parquet")
            return folder / "t.parquet"
        if form == "jsonl":
            frame.reset_index(drop=True).to_json(folder / "t.jsonl", orient="records", lines=True)
            return folder / "t.jsonl"
        if form == "polars":
            return importlib.import_module("polars").from_pandas(frame)
    except Exception:  # of the library that writes, not of what reads
        assume(False)
    return frame


# --- media ------------------------------------------------------------------------------------------------------------

HEADS = [
    b"",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff\xe0",
    b"GIF89a",
    b"RIFF\x24\0\0\0WAVEfmt ",
    b"OggS",
    b"ID3",
    b"BM",
    b"fLaC",
    b"II*\0",
    b"RIFF\0\0\0\0WEBP",
    b"\0\0\0\x18ftypmp42",
    b"\x93NUMPY\x01\0",
]


@inputs_per_run(150)
@given(
    contents=st.lists(st.tuples(st.sampled_from(HEADS), st.binary(max_size=60)), min_size=1, max_size=6),
    ending=st.sampled_from(
        ["png", "jpg", "wav", "ogg", "mp3", "gif", "tiff", "webp", "npy", "heic", "mp4", "PNG", "svg"]
    ),
    spelling=st.sampled_from(["{}", " {} ", "./{}", "file://{root}/{}", "{root}/{}", "sub\\..\\{}"]),
    as_bytes=st.booleans(),
)
def test_media_of_any_bytes_are_counted_and_named(tmp_path, contents, ending, spelling, as_bytes):
    cells: list[Any] = []
    for n, (head, rest) in enumerate(contents):
        (tmp_path / f"{n}.{ending}").write_bytes(head + rest)
        cells.append(head + rest or None if as_bytes else spelling.format(f"{n}.{ending}", root=tmp_path))
    with own_errors_only():
        table = pf.read_table({"clip": cells, "n": list(range(len(cells)))}, media_root=tmp_path)
        all_is_said(table, len(cells), ["clip", "n"])
    assert [(tmp_path / f"{n}.{ending}").read_bytes() for n in range(len(contents))] == [a + b for a, b in contents]


# --- predictions ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> tuple[pf.Model, pd.DataFrame, Path]:
    folder = tmp_path_factory.mktemp("fuzz")
    table = write_table(folder, rows=24)
    made = pf.fit(
        table, outputs=["label", "price"], inputs=["photo", "words", "area", "kind"], settings=FAST, quiet=True
    )
    return made, pd.read_csv(table), folder


@inputs_per_run(100)
@given(
    data=st.data(),
    column=st.sampled_from(["photo", "words", "area", "kind"]),
    rows=st.integers(1, 6),
    broken=st.sampled_from([None, 1.0]),
)
def test_a_model_answers_every_row_or_says_why_not(model, data, column, rows, broken):
    made, frame, folder = model
    frame = frame.iloc[8 : 8 + rows].copy()
    frame[column] = pd.Series([data.draw(CELLS) for _ in range(rows)], frame.index, dtype=object)
    with own_errors_only():
        found = made.predict(frame, media_root=folder, max_broken=broken, verbose=False)
        assert list(found.index) == list(frame.index)
        assert found["label"].notna().all()
        assert np.isfinite(found["price"].astype(float)).all()
