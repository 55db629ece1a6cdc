"""Read tables in compressed files, zip archives and Excel sheets, and explain how to read other kinds of files."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

import pandas as pd

from polyfuse.data.media import modality_from_ending
from polyfuse.data.output_paths import parse_path
from polyfuse.errors import TableError

UNPACKED = 4_000_000_000
"""Bytes that a packed table may grow to: a file of some kilobytes can fill any memory."""

COMPRESSIONS: dict[str, Callable[[Path], IO[bytes]]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}  # type: ignore[dict-item]

OTHER_KINDS = {
    (".xls", ".xlsb", ".ods"): "pandas.read_excel({path!r})",
    (".dta",): "pandas.read_stata({path!r})",
    (".sav",): "pandas.read_spss({path!r})",
    (".sas7bdat", ".xpt"): "pandas.read_sas({path!r})",
    (".orc",): "pandas.read_orc({path!r})",
    (".h5", ".hdf5", ".hdf"): "pandas.read_hdf({path!r})",
    (".xml",): "pandas.read_xml({path!r})",
    (".html", ".htm"): "pandas.read_html({path!r})[0]",
    (".pkl", ".pickle"): "pandas.read_pickle({path!r})",
    (".npy",): "pandas.DataFrame(numpy.load({path!r})).rename(columns=str)",
    (".db", ".sqlite", ".sqlite3"): "pandas.read_sql('select * from TABLE', sqlite3.connect({path!r}))",
    (".zst",): "pandas.read_csv({path!r})",
}
"""File endings -> the expression that reads such a file in Python."""
WARNINGS = {".pkl": " (only if you trust where it comes from: it can run any code)"}
WARNINGS[".pickle"] = WARNINGS[".pkl"]

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+:/{1,2}(?=[^/])")  # pathlib makes one slash of two


def unpack(path: Path, endings: Iterable[str]) -> tuple[str, bytes | None]:
    """Return name and content of the table in a compressed file or archive; else the file's own name and None.

    Args:
        endings: of the files that can be read.

    Raises:
        TableError: damaged, too large, or not exactly one table inside.
    """
    suffix = path.suffix.lower()
    try:
        if suffix in COMPRESSIONS:
            with COMPRESSIONS[suffix](path) as file:
                return path.stem, _read_limited(file, path)
        if suffix == ".zip":
            return _from_zip(path, tuple(endings))
    except (
        OSError,
        EOFError,
        zlib.error,
        lzma.LZMAError,
        zipfile.BadZipFile,
        RuntimeError,
        NotImplementedError,
    ) as error:
        raise TableError(f"{path}: cannot be unpacked: {error}; get the file again, or unpack it yourself") from None
    return path.name, None


def _read_limited(file: IO[bytes], path: Path) -> bytes:
    content = file.read(UNPACKED + 1)
    if len(content) > UNPACKED:
        raise TableError(f"{path}: more than {UNPACKED:,} bytes when unpacked; unpack it and give the file inside")
    return content


def _from_zip(path: Path, endings: tuple[str, ...]) -> tuple[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        names = [n for n in archive.namelist() if not n.endswith("/") and not n.startswith("__MACOSX/")]
        tables = [n for n in names if n.lower().endswith(endings) and not Path(n).name.startswith(".")]
        media = [n for n in names if modality_from_ending(n)]
        unpack = f"python -m zipfile -e {path.name} {path.stem}"
        if media and tables:
            raise TableError(f"{path}: holds a table and media files such as {media[0]!r}; unpack it first: {unpack}")
        if len(tables) != 1:
            inside = ", ".join(map(repr, (tables or names)[:8])) or "nothing"
            raise TableError(f"{path}: expected one table inside, found {inside}; unpack it and name one: {unpack}")
        with archive.open(tables[0]) as file:
            return Path(tables[0]).name, _read_limited(file, path)


def read_excel(path: Path, raw: bytes | None = None) -> tuple[pd.DataFrame, list[str]]:
    """The only sheet with cells of an .xlsx file, its first full row as the header.

    Raises:
        TableError: openpyxl is not installed, the file is damaged, or several sheets hold cells.
    """
    try:
        import openpyxl  # noqa: F401
    except ImportError:
        raise TableError(
            f"{path}: reading .xlsx needs openpyxl: pip install openpyxl; or save the sheet as CSV"
        ) from None
    options: dict[str, Any] = {"header": None, "dtype": object, "keep_default_na": False, "na_values": [""]}
    try:
        sheets = pd.read_excel(path if raw is None else io.BytesIO(raw), sheet_name=None, engine="openpyxl", **options)
    except Exception as error:  # a damaged file raises anything from KeyError to BadZipFile
        raise TableError(f"{path}: not a readable Excel file: {error}") from None
    filled = {name: cells.dropna(how="all").dropna(how="all", axis=1) for name, cells in sheets.items()}
    filled = {name: cells for name, cells in filled.items() if cells.size}
    if len(filled) != 1:
        names = ", ".join(map(repr, filled))
        line = f"pandas.read_excel({str(path)!r}, sheet_name={next(iter(filled))!r})" if filled else ""
        found = f"{len(filled)} sheets hold cells: {names}; read one in Python: {line}" if filled else "no cells"
        raise TableError(f"{path}: {found}")
    return _split_header(next(iter(filled.values())), path)


def _split_header(cells: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, list[str]]:
    """The rows below the header, which is the first row with more than one cell where there are several columns."""
    present = cells.notna().sum(axis=1).to_numpy()
    titles = int((present > 1).argmax()) if cells.shape[1] > 1 and (present > 1).any() else 0
    frame = cells.iloc[titles + 1 :].reset_index(drop=True)
    names = [
        name.strip() if isinstance(name, str) else "" if pd.isna(name) else str(name) for name in cells.iloc[titles]
    ]
    return frame.set_axis(pd.Index(names, dtype=object), axis=1), (
        [f"{path.name}: {titles} rows above the header are left out"] if titles else []
    )


def explain_file_kind(path: Path, known: Iterable[str]) -> str:
    """Explain how to read a file of a kind that is not supported."""
    suffix = path.suffix.lower()
    for endings, expression in OTHER_KINDS.items():
        if suffix in endings:
            line = expression.format(path=str(path))
            return (
                f"{path}: {suffix} files are not read here. In Python, give what this gives{WARNINGS.get(suffix, '')}: "
                f"{line}; for the command line, write a Parquet file of it with .to_parquet('{path.stem}.parquet')"
            )
    return f"{path}: unknown kind of file; expected {', '.join(known)}, or one of them as .gz, .bz2, .xz or .zip"


def is_url(source: str | Path) -> bool:
    """Whether this is a URL and not a path."""
    return bool(ADDRESS.match(str(source))) and str(source)[:5].lower() != "file:"


def local_path(source: str | Path) -> Path:
    """The path of a file that is named by a path or a ``file://`` address.

    Raises:
        TableError: an internet address; the message shows the line of Python that reads it.
    """
    text = str(source)
    if text[:5].lower() == "file:" or not is_url(text):
        return parse_path(source)
    address = text if "://" in text else text.replace(":/", "://", 1)
    name = address.partition("?")[0].lower()
    if dataset := re.match(r"(?:https?://huggingface\.co/datasets/|hf://datasets/)([\w.\-]+/[\w.\-]+)/?$", address):
        line = f'datasets.load_dataset("{dataset[1]}")'
    else:
        kinds = {".parquet": "read_parquet", ".json": "read_json", ".xlsx": "read_excel", ".tsv": "read_table"}
        reader = next((reader for suffix, reader in kinds.items() if name.endswith(suffix)), "read_csv")
        more = ", lines=True" if name.endswith((".jsonl", ".ndjson", ".jsonl.gz")) else ""
        line = f'pandas.{"read_json" if more else reader}("{address}"{more})'
    raise TableError(f"{address}: internet addresses are not read here; download the file, or in Python give {line}")
