"""Packed tables and other kinds of files: read where that is safe, else an error with the line that reads them."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile

import pandas as pd
import pytest

from polyfuse.data import archives
from polyfuse.data.tables import TableError, read_table

FRAME = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
CSV = FRAME.to_csv(index=False).encode()


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet", "feather"])
@pytest.mark.parametrize(("packing", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
def test_compressed_files_are_read(tmp_path, suffix, packing, pack):
    path = tmp_path / f"train.{suffix}"
    writers = {"csv": CSV, "jsonl": FRAME.to_json(orient="records", lines=True).encode()}
    if suffix in writers:
        path.write_bytes(writers[suffix])
    else:
        getattr(FRAME, f"to_{suffix}")(path)
    assert read_table(path).frame.to_dict("list") == FRAME.to_dict("list")
    whole = tmp_path / f"train.{suffix}.{packing}"
    whole.write_bytes(pack(path.read_bytes()))
    table = read_table([whole, path])
    assert table.frame.to_dict("list") == pd.concat([FRAME, FRAME]).to_dict("list")
    assert table.origin(0) == f"train.{suffix}.{packing}, row 0"
    whole.write_bytes(pack(path.read_bytes())[:-9])
    with pytest.raises(TableError, match="cannot be unpacked"):
        read_table(whole)


def test_a_zip_with_one_table_is_read(tmp_path):
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data/t.csv", CSV)
        archive.writestr("__MACOSX/data/._t.csv", b"\0")
        archive.writestr("data/readme.md", "hello")
    assert read_table(path).frame.to_dict("list") == FRAME.to_dict("list")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("data/photo.jpg", b"x")
    with pytest.raises(
        TableError, match=r"media files such as 'data/photo\.jpg'; unpack it first: python -m zipfile -e"
    ):
        read_table(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", CSV)
        archive.writestr("b.csv", CSV)
    with pytest.raises(TableError, match=r"found 'a\.csv', 'b\.csv'"):
        read_table(path)
    path.write_bytes(b"PK")
    with pytest.raises(TableError, match="cannot be unpacked"):
        read_table(path)


def test_what_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "UNPACKED", 5)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(CSV))
    with pytest.raises(TableError, match="more than 5 bytes when unpacked"):
        read_table(tmp_path / "t.csv.gz")


def test_excel_sheets_are_read(tmp_path):
    pytest.importorskip("openpyxl")
    path = tmp_path / "t.xlsx"
    frame = pd.DataFrame({"n": [1, None, 3], "text": ["NA", "b", None], "day": pd.to_datetime(["2024-05-01"] * 3)})
    frame.to_excel(path, index=False)
    table = read_table(path)
    assert table.frame["text"].tolist()[:2] == ["NA", "b"]
    assert str(table.frame["n"][2]) == "3"
    frame.to_excel(path, startrow=2)  # with an index, below a title
    with pd.ExcelWriter(path, mode="a", if_sheet_exists="overlay") as writer:
        pd.DataFrame([["A report"]]).to_excel(writer, index=False, header=False)
    assert list(read_table(path).frame) == ["n", "text", "day"]
    with pd.ExcelWriter(path) as writer:
        frame.to_excel(writer, sheet_name="one")
        frame.to_excel(writer, sheet_name="two")
    with pytest.raises(TableError, match=r"'one', 'two'.*sheet_name='one'"):
        read_table(path)
    path.write_bytes(b"no")
    with pytest.raises(TableError, match="not a readable Excel file"):
        read_table(path)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("t.xls", "pandas.read_excel("),
        ("t.dta", "pandas.read_stata("),
        ("t.pkl", "only if you trust"),
        ("t.sqlite", "sqlite3.connect("),
        ("t.csv.zst", "pandas.read_csv("),
    ],
)
def test_other_kinds_of_files_show_the_line_that_reads_them(tmp_path, name, line):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(TableError) as error:
        read_table(tmp_path / name)
    assert line in str(error.value)
    assert name in str(error.value)


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("https://x.org/data/train.csv?raw=1", 'pandas.read_csv("https://x.org/data/train.csv?raw=1")'),
        ("s3://bucket/t.parquet", 'pandas.read_parquet("s3://bucket/t.parquet")'),
        ("http://x.org/t.jsonl", 'pandas.read_json("http://x.org/t.jsonl", lines=True)'),
        ("https://huggingface.co/datasets/some/thing", 'datasets.load_dataset("some/thing")'),
    ],
)
def test_addresses_show_the_line_that_reads_them(address, line):
    with pytest.raises(TableError) as error:
        read_table(address)
    assert line in str(error.value)


def test_addresses_of_files_are_paths(tmp_path):
    path = tmp_path / "a table.csv"
    path.write_bytes(CSV)
    for address in (path.as_uri(), f"file://localhost{path}", f"file:{path}"):
        assert len(read_table(address)) == 2
