"""Columns of whole tables: roles, counts of missing and broken cells, overrides, and heads for outputs."""

from __future__ import annotations

import datetime
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from polyfuse.data.cells.source import is_missing
from polyfuse.data.modalities import MODALITIES, infer_columns, infer_output, inspect_rows, missing_mask
from polyfuse.data.tables import Table, TableError, read_table

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.binary(max_size=8),
    st.dates(),
    st.datetimes(),
    st.decimals(allow_nan=False),  # pandas itself stumbles over signalling ones
    st.sampled_from(["a.png", "http://x/a.wav", "2024-01-01", "007", "a|b", "9" * 400, pd.NA, pd.NaT, object()]),
)
arrays = npst.arrays(st.sampled_from(["u1", "f4", "i8", "?", "U3", "O"]), npst.array_shapes(min_dims=0, max_side=3))
anything = st.recursive(
    scalars | arrays,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
)
records = st.fixed_dictionaries({"bytes": st.none() | st.binary(), "path": st.none() | st.text()})


@settings(max_examples=150, deadline=None)
@given(
    cells=st.lists(anything | records, min_size=1, max_size=8),
    modality=st.none() | st.sampled_from(MODALITIES),
)
def test_any_cells_at_all_are_understood_or_called_unknown(cells, modality):
    table = read_table(pd.DataFrame({"a": pd.Series(cells, dtype=object)}))
    column = infer_columns(table, {"a": modality} if modality else {}, sample=5)["a"]
    assert column.modality in (*MODALITIES, "unknown")
    assert column.missing == sum(map(is_missing, table.frame["a"]))
    assert 0 <= column.broken <= len(cells) - column.missing
    json.dumps(inspect_rows({"a": column}, table.origin))


@given(
    st.lists(st.none() | st.text(" a\t", max_size=2), min_size=1, max_size=6),
    st.sampled_from(["str", object, "category"]),
)
def test_missing_masks_agree_with_the_cells(cells, dtype):
    series = pd.Series(cells, dtype=dtype)
    assert missing_mask(series).tolist() == [is_missing(cell) for cell in series]


def roles(**columns) -> dict[str, str]:
    return {name: column.role for name, column in infer_columns(read_table(columns)).items()}


def test_roles():
    n = 30
    rng = np.random.default_rng(0)
    assert roles(
        utterance=[f"x{i * 7919 % 997}_{i}" for i in range(n)],
        hexcode=[f"1F{i:03X}" for i in range(n)],
        PassengerId=rng.permutation(n) + 5,
        row=range(n),
        user_id=[i % 5 for i in range(n)],
        customer_id=[f"c{i % 5}" for i in range(n)],
        area=rng.permutation(n) + 100,
        word=[f"w{'abcdefghij'[i % 10] * (i // 10 + 1)}" for i in range(n)],
        name_zh=[f"区域指标{chr(0x4E00 + i)}{i}" for i in range(n)],
        version=["1.0"] * n,
        mark=["x", None] * (n // 2),
        nothing=[None] * n,
        fold=["train", "dev", "test"] * 10,
        things=[object() for _ in range(n)],
    ) == {
        "utterance": "identifier",
        "hexcode": "identifier",
        "PassengerId": "identifier",
        "row": "identifier",
        "user_id": "input",
        "customer_id": "input",
        "area": "input",
        "word": "input",
        "name_zh": "input",
        "version": "constant",
        "mark": "input",
        "nothing": "empty",
        "fold": "split",
        "things": "unusable",
    }


def test_an_override_decides_modality_and_role():
    table = read_table({"code": [f"k{i}" for i in range(9)], "n": range(9)})
    columns = infer_columns(table, {"code": "category", "n": "category"})
    assert [(c.modality, c.role) for c in columns.values()] == [("category", "input")] * 2
    with pytest.raises(TableError, match="did you mean 'category'"):
        infer_columns(table, {"n": "categry"})
    with pytest.raises(TableError, match="did you mean 'code'"):
        infer_columns(table, {"cod": "text"})


def test_broken_rows_are_counted_with_their_repetitions(tmp_path, write_image):
    write_image(tmp_path / "good.png")
    (tmp_path / "junk.png").write_bytes(b"junk")
    (tmp_path / "t.csv").write_text("photo\n" + 'good.png\njunk.png\nlost.png\nlost.png\n""\n' * 3)
    column = infer_columns(read_table(tmp_path / "t.csv"))["photo"]
    assert (column.modality, column.missing, column.broken, column.distinct) == ("image", 3, 9, 3)
    assert "2 of 3 files found" in column.reason


def test_the_reason_says_how_large_and_how_long_media_are(tmp_path, write_image, write_sound):
    write_image(tmp_path / "a.png", (30, 20))
    write_image(tmp_path / "b.png", (8, 16))
    write_sound(tmp_path / "a.wav", 0.5)
    write_sound(tmp_path / "b.wav", 2.0, rate=16_000)
    (tmp_path / "t.csv").write_text("photo,call\na.png,a.wav\nb.png,b.wav\nlost.png,a.wav\n")
    columns = infer_columns(read_table(tmp_path / "t.csv"))
    assert "8 x 16 to 30 x 20 pixels" in columns["photo"].reason
    assert "0.5 to 2.0 s, 8,000 to 16,000 Hz" in columns["call"].reason
    assert "30 x 20 pixels" in infer_columns(read_table({"p": [str(tmp_path / "a.png")] * 3}))["p"].reason


def test_addresses_are_not_downloaded_and_the_reason_says_so():
    column = infer_columns(read_table({"a": [f"https://x.org/{i}.jpg" for i in range(4)]}))["a"]
    assert (column.modality, column.broken) == ("image", 4)
    assert "download" in column.reason


@pytest.mark.parametrize(
    ("modality", "cells", "broken"),
    [
        ("number", ["1", "$2.5", "three", None], 1),
        ("number", [1.0, np.inf, np.nan], 1),
        ("date", ["2024-01-01", "2024-13-01", "soon"], 2),
        ("vector", [np.zeros(3), np.zeros(3), np.zeros(2)], 1),
        ("vector", [[1, 2], ["a", "b"], [3, 4]], 1),
        ("sequence", [np.zeros((2, 3)), np.zeros((5, 3)), np.zeros((2, 4))], 1),
        ("text", ["a", "b"], 0),
    ],
)
def test_broken_cells_of_other_modalities(modality, cells, broken):
    table = Table(pd.DataFrame({"a": pd.Series(cells, dtype=object)}))
    column = infer_columns(table, {"a": modality})["a"]
    assert column.broken == len(column.unreadable) == broken
    assert all(why and cells[row] is not None for row, _, why in column.unreadable)


def test_a_large_table_is_quick_because_contents_are_sampled():
    n = 20_000
    table = read_table(
        {"raw": [b"\x89PNG\r\n\x1a\n%d" % i for i in range(n)], "n": range(n), "w": [f"v {i % 99}" for i in range(n)]}
    )
    columns = infer_columns(table, sample=20)
    assert columns["raw"].modality == "image"
    assert 0 < columns["raw"].broken <= 20


@pytest.mark.parametrize(
    ("cells", "head"),
    [
        (["yes", "no"] * 20, "category"),
        ([True, False] * 20, "category"),
        ([0, 1] * 20, "category"),
        ([0.0, 1.0, None] * 20, "category"),
        (list(range(10)) * 10, "category"),
        ([f"${i},500" for i in range(1, 99)], "number"),
        (list(range(47)) * 10, "category"),
        ([f"class {i}" for i in range(150)] * 3, "category"),
        (["it was very good indeed", "it was not so good"] * 20, "category"),
        (np.random.default_rng(0).normal(40, 9, 500).round().tolist(), "number"),
        (np.random.default_rng(0).normal(size=50).tolist(), "number"),
        ([*range(1, 80), *np.random.default_rng(0).normal(40, 12, 900).clip(1, 79).round().tolist()], "number"),
        (np.random.default_rng(0).integers(10**5, 10**6, 80).tolist(), "number"),
        ([1.0, 1.5, 2.0, 2.5] * 20, "number"),
        ([["a", "b"], ["b"], ["a", "c"], ["c"]] * 5, "labels"),
        (["a|b", "b", "a|c", "c"] * 5, "labels"),
        (["drama; war", "war", "drama"] * 5, "labels"),
        ([[1, 5], [5], [1, 2, 5]] * 5, "labels"),
        ([["p", "q"], ["q"], ["r"]] * 5, "labels"),
        ([["a black dog runs fast", "a dog in the park"], ["a cat sits on a mat"]], "text"),
        ([f"a long caption about the thing {i}" for i in range(40)], "text"),
        (["a.png", "b.png"], "image"),
        ([b"\x89PNG\r\n\x1a\n"], "image"),
        (["a.wav", "b.wav"], "speech"),
    ],
)
def test_heads_for_outputs(cells, head):
    found, reason = infer_output(read_table({"y": cells}).frame["y"])
    assert found == head
    assert reason


@pytest.mark.parametrize(
    "cells",
    [[None, None], [[0.5, 1.0], [2.0, 3.0]], [datetime.date(2024, 1, 1)]],
)
def test_outputs_that_no_head_learns_are_refused(cells):
    with pytest.raises(TableError, match="'y'"):
        infer_output(pd.Series(cells, name="y", dtype=object))


def test_real_tables(real_data):
    columns = infer_columns(read_table(real_data / "houses" / "table.csv"))
    assert {name: c.modality for name, c in columns.items()} == {
        **dict.fromkeys(("bedrooms", "bathrooms", "area", "price"), "number"),
        **dict.fromkeys(("frontal", "bedroom", "bathroom", "kitchen"), "image"),
        **dict.fromkeys(("zipcode", "split"), "category"),
    }
    columns = infer_columns(read_table(real_data / "emoji" / "emoji.parquet"))
    assert {name: c.modality for name, c in columns.items() if c.role == "input"} == {
        "image": "image",
        **dict.fromkeys(("name_en", "tags_en", "name_zh", "tags_zh"), "text"),
        **dict.fromkeys(("group", "subgroup"), "category"),
    }
    fsdd = infer_columns(read_table(real_data / "fsdd" / "table.csv"))
    assert (fsdd["audio"].modality, fsdd["audio"].broken) == ("audio", 0)
    assert infer_output(read_table(real_data / "fsdd" / "table.csv").frame["digit"])[0] == "category"


def test_lists_of_objects_that_an_output_may_hold_are_told_from_mixed_things():
    """``inspect`` says so; an input cannot be made of them."""
    frame = pd.DataFrame(
        {
            "boxes": [[{"bbox": [1, 2, 3, 4], "label": "cat"}], [], None] * 4,
            "events": [[{"start": 0.5, "end": 1, "label": "bell"}], [], None] * 4,
            "mixed": [[1, "a", None], [{"b": 2}], None] * 4,
        }
    )
    found = infer_columns(read_table(frame))
    assert {name: column.modality for name, column in found.items()} == {
        "boxes": "boxes", "events": "events", "mixed": "unknown",
    }  # fmt: skip
    assert "boxes of 1 label: an output" in found["boxes"].reason
    assert all(column.role == "unusable" for column in found.values())
