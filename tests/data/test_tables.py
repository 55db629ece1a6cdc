"""Reading tables: every form gives the same cells, guesses are noted, and what cannot be read says why."""

from __future__ import annotations

import json
import string
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyfuse.data.cells.source import is_missing
from polyfuse.data.coerce import MISSING
from polyfuse.data.tables import Table, TableError, read_table

LETTERS = string.ascii_letters + " ,;|\t\"'\n=äßé猫が🐈"
text_cells = st.text(LETTERS, max_size=12).filter(lambda text: text not in MISSING and text.strip())
columns = st.integers(1, 6).flatmap(
    lambda rows: st.fixed_dictionaries(
        {
            # the first cell is no number and no flag, or the whole column might be read as such
            "text": st.lists(text_cells, min_size=rows, max_size=rows).map(lambda cells: ["it's", *cells[1:]]),
            "whole": st.lists(st.integers(-(10**12), 10**12), min_size=rows, max_size=rows),
            "real": st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=rows, max_size=rows),
            "flag": st.lists(st.booleans(), min_size=rows, max_size=rows),
            "gaps": st.lists(st.none() | text_cells, min_size=rows, max_size=rows).map(lambda c: ["it's", *c[1:]]),
        }
    )
)
relaxed = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def cells(table: Table) -> dict[str, list]:
    """Plain Python cells per column, None where missing."""
    return {name: [None if is_missing(cell) else cell for cell in table.frame[name]] for name in table.frame}


def write(frame: pd.DataFrame, path, delimiter: str = ",", encoding: str = "utf8") -> None:
    if path.suffix in (".csv", ".tsv"):
        frame.to_csv(path, index=False, sep=delimiter, encoding=encoding)
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_json(path, orient="records", lines=path.suffix == ".jsonl", force_ascii=False, double_precision=15)


@relaxed
@given(
    columns=columns,
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf8", "utf-8-sig", "utf-16", "utf-32"]),
)
def test_csv_gives_back_what_was_written(tmp_path, columns, delimiter, encoding):
    write(pd.DataFrame(columns), tmp_path / "t.csv", delimiter, encoding)
    assert cells(read_table(tmp_path / "t.csv")) == columns


@relaxed
@given(columns=columns, ending=st.sampled_from(["parquet", "jsonl", "json"]))
def test_files_with_types_give_back_what_was_written(tmp_path, columns, ending):
    columns = columns if ending == "parquet" else columns | {"real": columns["whole"]}  # JSON rounds at 15 digits
    path = tmp_path / f"t.{ending}"
    write(pd.DataFrame(columns), path)
    assert cells(read_table(path)) == columns


@relaxed
@given(columns=columns)
def test_objects_in_memory_give_the_same_cells(columns):
    frame = pd.DataFrame(columns)
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    for source in (frame, columns, rows, read_table(frame)):
        assert cells(read_table(source)) == columns


def test_codes_and_words_that_mean_something_stay_as_written(tmp_path):
    lines = ("zip,country,size,account,film", "007,NA,+1,12345678901234567890,12 Monkeys", "123,DE,NA,1,7")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    table = read_table(tmp_path / "t.csv")
    assert cells(table) == {
        "zip": ["007", "123"],
        "country": ["NA", "DE"],
        "size": [1, None],
        "account": ["12345678901234567890", "1"],
        "film": ["12 Monkeys", "7"],
    }
    assert any("'NA'" in note and "'country'" in note for note in table.notes)


def test_numbers_in_every_spelling_are_numbers(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1.,-0\n.5,+3\n+2e3,12\n-1E-2,7\n+inf,0\n")
    table = read_table(tmp_path / "t.csv")
    assert cells(table) == {"a": [1.0, 0.5, 2000.0, -0.01, np.inf], "b": [0, 3, 12, 7, 0]}


def test_a_code_in_one_file_keeps_the_other_files_codes(tmp_path):
    (tmp_path / "a.csv").write_text("zip\n007\n")
    (tmp_path / "b.csv").write_text("zip\n123\n")
    assert cells(read_table([tmp_path / "a.csv", tmp_path / "b.csv"])) == {"zip": ["007", "123"]}


@pytest.mark.parametrize(
    ("encoding", "word"), [("cp1252", "naïve café – Größe"), ("latin-1", "crème brûlée"), ("gb18030", "评论很好，喜欢")]
)
def test_old_encodings_are_read_and_noted(tmp_path, encoding, word):
    (tmp_path / "t.csv").write_bytes(f"text,n\n{word},1\n{word},2\n".encode(encoding))
    table = read_table(tmp_path / "t.csv")
    assert table.frame["text"].tolist() == [word, word]
    assert "not UTF-8" in table.notes[0]


def test_decimal_commas_are_numbers_where_commas_do_not_separate(tmp_path):
    (tmp_path / "t.csv").write_text('a;b;c\n1,5;1,2,3;x\n2;4,5;"y; z"\n')
    table = read_table(tmp_path / "t.csv")
    assert cells(table) == {"a": [1.5, 2.0], "b": ["1,2,3", "4,5"], "c": ["x", "y; z"]}
    assert any("decimal" in note for note in table.notes)


def test_names_are_stripped_and_an_index_is_dropped_with_notes(tmp_path):
    (tmp_path / "t.csv").write_text(", name ,b\n0,x,1\n1,y\n")
    table = read_table(tmp_path / "t.csv")
    assert cells(table) == {"name": ["x", "y"], "b": [1, None]}
    assert len(table.notes) == 3
    assert "1 row has fewer cells than the header" in table.notes[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b,a\n1,2,3\n", "more than one column called 'a'"),
        ("a, a\n1,2\n", "more than one column called 'a'"),
        ("a,b\n", "no rows"),
        ("", "empty"),
        ("a,b\n1,2\n1,2,3\n", "line 3"),
        ('a,b\n1,2\n"1 2\n', "line 3 opens a quote that never closes"),
        ("a\0b\n", "not text"),
    ],
)
def test_csv_that_makes_no_sense_says_why(tmp_path, content, message):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(TableError, match=message):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.jsonl", '{"a": 1}\n{"a": \n', "line 2"),
        ("t.jsonl", "[1]\n", "expected an object"),
        ("t.json", '{"a": 1}', "expected a list of objects"),
        ("t.json", "{", "not JSON"),
        ("t.parquet", "PAR1", "not a readable Parquet"),
        ("t.arrow", "ARROW1", "not a readable Arrow"),
        ("t.xyz", "", "unknown kind of file"),
    ],
)
def test_other_files_that_make_no_sense_say_why(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(TableError, match=message):
        read_table(tmp_path / name)


@pytest.mark.parametrize("source", [3, [1, 2], [], {}, {"a": [1, 2], "b": [1]}, pd.DataFrame({"a": []})])
def test_what_is_no_table_is_refused(source):
    with pytest.raises(TableError):
        read_table(source)


def test_a_missing_file_names_its_neighbours(tmp_path):
    (tmp_path / "reviews.csv").write_text("a\n1\n")
    with pytest.raises(TableError, match=r"no such file.*reviews\.csv"):
        read_table(tmp_path / "review.csv")
    with pytest.raises(TableError, match=r"is a folder.*reviews\.csv"):
        read_table(tmp_path)


def test_a_misspelt_column_suggests_the_nearest():
    with pytest.raises(TableError, match="did you mean 'Price'"):
        read_table({"Price": [1], "area": [2]}).require("prise")


def test_json_lines_keep_types_and_fill_gaps(tmp_path):
    rows = [{"id": 1, "tags": ["a", "b"], "v": [0.5, 1]}, {"id": None, "tags": []}, {"id": 3, "new": "x"}]
    (tmp_path / "t.json").write_text("\n".join(map(json.dumps, rows)))  # JSON Lines under the wrong ending
    table = read_table(tmp_path / "t.json")
    assert cells(table)["id"] == [1, None, 3]
    assert cells(table)["tags"] == [["a", "b"], None, None]
    assert cells(table)["new"] == [None, None, "x"]


def test_parquet_keeps_media_lists_and_whole_numbers(tmp_path):
    cells_in = {
        "media": [{"bytes": b"x", "path": "a.png"}, None],
        "raw": [b"\x89PNG", b"y"],
        "words": [["a", "b"], None],
        "vector": [[0.5, 1.0], [1.5, 2.0]],
        "matrix": [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0]]],
        "label": pd.array([3, None], dtype="Int64"),
    }
    pd.DataFrame(cells_in).to_parquet(tmp_path / "t.parquet")
    frame = read_table(tmp_path / "t.parquet").frame
    assert frame["media"][0] == {"bytes": b"x", "path": "a.png"}
    assert frame["raw"].tolist() == [b"\x89PNG", b"y"]
    assert frame["words"][0] == ["a", "b"]
    assert frame["vector"][1].shape == (2,)
    assert frame["matrix"][0].shape == (2, 2)
    assert frame["label"][0] == 3
    assert isinstance(frame["label"][0], np.integer)


def test_whole_numbers_stay_whole_beside_missing_cells(tmp_path):
    frame = pd.DataFrame({"label": pd.array([3, None], dtype="Int64"), "other": ["a", "b"]})
    for ending in ("csv", "jsonl", "parquet"):
        write(frame, tmp_path / f"t.{ending}")
        assert str(read_table(tmp_path / f"t.{ending}").frame["label"][0]) == "3", ending
    assert str(read_table([{"label": 3}, {"label": None}]).frame["label"][0]) == "3"


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [7, 3, 12], [0, 1, 0]])
@pytest.mark.parametrize("name", ["", "Unnamed: 0", "Unnamed: 0.1"])
def test_an_index_that_was_written_without_a_name_is_no_column(tmp_path, order, name):
    frame = pd.DataFrame({"a": ["x", "y", "z"], name: order, "b": [7, 7, 8]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    for source in (frame, tmp_path / "t.csv"):
        table = read_table(source)
        assert list(table.frame) == ["a", "b"]
        assert any("numbers the rows" in note and name in note for note in table.notes)


@pytest.mark.parametrize("values", [[1, 1, 0], ["x", "y", "z"], [0.5, 1.5, 2.5], [True, False, True], [1, None, 2]])
def test_other_columns_without_a_name_stay(values):
    table = read_table(pd.DataFrame({"": values, "a": [1, 2, 3]}))
    assert list(table.frame) == ["column_1", "a"]
    assert list(read_table(pd.DataFrame({"Unnamed: 0": [2, 0, 1]})).frame) == ["Unnamed: 0"]


def test_a_named_index_becomes_a_column_and_others_go():
    frame = pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], name="key"))
    assert cells(read_table(frame)) == {"key": ["x", "y"], "a": [1, 2]}
    assert cells(read_table(frame.rename_axis(None))) == {"a": [1, 2]}


def test_texts_among_numbers_make_all_of_them_texts():
    table = read_table([{"a": "x"}, {"a": 3}, {"a": None}, {"a": True}])
    assert cells(table) == {"a": ["x", "3", None, "True"]}
    assert "mixes" in table.notes[0]


def test_files_named_after_splits_get_a_split_column(tmp_path):
    for name in ("train-0", "train-1", "test"):
        (tmp_path / f"{name}.csv").write_text("a\n1\n")
    table = read_table([tmp_path / f"{name}.csv" for name in ("train-0", "train-1", "test")])
    assert table.split == "split"
    assert table.frame["split"].tolist() == ["train", "train", "test"]
    assert read_table([tmp_path / "train-0.csv", tmp_path / "train-1.csv"]).split is None


def test_a_dict_of_tables_names_splits():
    table = read_table({"train": pd.DataFrame({"a": [1, 2]}), "validation": pd.DataFrame({"a": [3], "b": [4]})})
    assert table.frame["split"].tolist() == ["train", "train", "val"]
    assert any("no column 'b'" in note for note in table.notes)
    with pytest.raises(TableError, match="keys train, val and test"):
        read_table({"first": pd.DataFrame({"a": [1]})})
    with pytest.raises(TableError):  # a table's name under a key that is no split's
        read_table({"first": "table.csv"})


def test_a_dict_of_texts_is_a_row():
    assert read_table({"photo": "a.jpg", "text": "good"}).frame.to_dict("records") == [
        {"photo": "a.jpg", "text": "good"}
    ]


def test_splits_may_be_plain_python():
    table = read_table({"train": [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}], "test": {"a": [3], "b": ["z"]}})
    assert table.frame.to_dict("list") == {"a": [1, 2, 3], "b": ["x", "y", "z"], "split": ["train", "train", "test"]}
    assert [table.origin(row) for row in range(3)] == [
        "train, row 0",
        "train, row 1",
        "test, row 2 (row 0 of that file)",
    ]


def test_files_of_different_folders_keep_their_media(tmp_path, write_image):
    for split in ("train", "test"):
        write_image(tmp_path / split / "a.png")
        (tmp_path / split / "metadata.csv").write_text("file,text\na.png,hello. png\nhttp://x/b.png,hi\n")
    table = read_table([tmp_path / "train" / "metadata.csv", tmp_path / "test" / "metadata.csv"])
    files = table.frame["file"].tolist()
    assert files[0] == str(tmp_path / "train" / "a.png")
    assert files[2] == str(tmp_path / "test" / "a.png")
    assert files[1] == "http://x/b.png"
    assert table.split == "split"


def test_media_paths_start_from_the_table_or_the_named_root(tmp_path):
    (tmp_path / "t.csv").write_text("a\n1\n")
    (tmp_path / "media").mkdir()
    assert read_table(tmp_path / "t.csv").root == tmp_path.resolve()
    assert read_table(tmp_path / "t.csv", media_root=tmp_path / "media").root == (tmp_path / "media").resolve()
    with pytest.raises(TableError, match="no such folder"):
        read_table(tmp_path / "t.csv", media_root=tmp_path / "nowhere")


@given(keep=st.lists(st.booleans(), min_size=1, max_size=20).filter(any))
def test_rows_know_where_they_came_from_after_selection(keep):
    frames = {"train": pd.DataFrame({"n": range(len(keep))}), "test": pd.DataFrame({"n": range(3)})}
    table = read_table(frames).select(np.array([*keep, True, False, True]))
    assert table.frame.index.tolist() == list(range(len(table)))
    for row, number in enumerate(table.frame["n"]):
        assert f", row {table.rows_N[row]}" in table.origin(row)
        assert table.origin(row).removesuffix(" of that file)").endswith(f"row {number}")


def test_hugging_face_datasets_are_read_without_decoding(tmp_path, write_image):
    datasets = pytest.importorskip("datasets")
    picture = write_image(tmp_path / "a.png").read_bytes()
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["cat", "dog"]),
            "matrix": datasets.Array2D((2, 2), "float32"),
        }
    )
    rows = {"image": [{"bytes": picture, "path": None}, None], "label": [1, -1], "matrix": [np.eye(2).tolist()] * 2}
    table = read_table({"train": datasets.Dataset.from_dict(rows, features=features).select([1, 0])})
    assert is_missing(table.frame["image"][0])
    assert table.frame["image"][1]["bytes"] == picture
    assert is_missing(table.frame["label"][0])
    assert table.frame["label"][1] == "dog"
    assert table.frame["matrix"][0].shape == (2, 2)
    with pytest.raises(TableError, match="streaming"):
        read_table(datasets.Dataset.from_dict({"a": [1]}).to_iterable_dataset())


@pytest.mark.parametrize("content", ["[" * 100_000, '[{"a": ' + "9" * 5000 + "}]"])
@pytest.mark.parametrize("ending", ["json", "jsonl"])
def test_json_that_python_cannot_hold_is_named(tmp_path, content, ending):
    (tmp_path / f"t.{ending}").write_text(content)
    with pytest.raises(TableError, match=rf"t\.{ending}"):
        read_table(tmp_path / f"t.{ending}")


@pytest.mark.parametrize("form", [dict, lambda c: pd.DataFrame(c), lambda c: [{"n": cell} for cell in c["n"]]])
def test_a_signalling_nan_is_a_missing_cell(form):
    table = read_table(form({"n": [Decimal("sNaN"), Decimal("1.5"), Decimal("NaN")]}))
    assert [None if is_missing(cell) else float(cell) for cell in table.frame["n"]] == [None, 1.5, None]


def test_a_damaged_arrow_file_ends_in_an_error_and_not_the_process(tmp_path):
    frame = pd.DataFrame({"text": [f"word {n}" for n in range(20)]})
    frame.to_feather(tmp_path / "t.feather", compression="uncompressed")
    raw = (tmp_path / "t.feather").read_bytes()
    sizes = np.cumsum([0, *map(len, frame["text"])])
    offsets = next(whole for kind in ("i4", "i8") if (whole := sizes.astype(kind).tobytes()) in raw)
    for beyond in (b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff"):
        damaged = raw.replace(offsets, offsets[:40] + beyond + offsets[44:])
        assert damaged != raw
        (tmp_path / "t.feather").write_bytes(damaged)
        with pytest.raises(TableError, match=r"t\.feather: not a readable Arrow"):
            read_table(tmp_path / "t.feather")
