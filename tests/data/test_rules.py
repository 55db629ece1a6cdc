"""Each rule on columns that people have; the modality is what matters, its reason must be there."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from polyfuse.data.modalities import infer_columns
from polyfuse.data.tables import Table, read_table

N = 200
RNG = np.random.default_rng(0)
WORDS = ["good", "bad", "cheap", "broken", "lovely", "slow", "red", "small"]


def sentences(words: int) -> list[str]:
    return [" ".join(RNG.choice(WORDS, words)) for _ in range(N)]


def array(*shape: int, dtype=np.float32) -> list[np.ndarray]:
    return [np.full(shape, i, dtype=dtype) for i in range(5)]


COLUMNS = {
    "grade": (pd.Categorical(RNG.integers(1, 90, N)), "category"),
    "review": (sentences(9), "text"),
    "the same questions": (["what colour is the shape?", "is there a big circle?"] * 100, "text"),
    "person": ([f"{a} {b} {i}" for i, (a, b) in enumerate(zip(WORDS * 25, WORDS[::-1] * 25, strict=True))], "text"),
    "中文评论": (["这个电影真的非常好看", "一点也不好看，浪费时间"] * 100, "text"),
    "colour": (["red", "blue", "dark green"] * 66, "category"),
    "country": ([f"c{i % 60}" for i in range(N)], "category"),
    "类别": (["动物", "食物与饮料", "旅行"] * 66, "category"),
    "captions": ([["a dog", "a black dog runs"], ["a cat"]] * 10, "text"),
    "area": (RNG.integers(20, 4000, N), "number"),
    "bedrooms": (RNG.integers(1, 9, N), "number"),
    "height": (RNG.normal(size=N), "number"),
    "as text": ([f"{x:.2f}" for x in RNG.normal(size=N)], "number"),
    "answered": (RNG.integers(0, 2, N), "category"),
    "two of a measure": ([100.0, 230.5], "number"),
    "flag": (RNG.random(N) < 0.5, "category"),
    "gap flag": ([True, None, False] * 30, "category"),
    "zipcode": (RNG.integers(90000, 90050, N), "category"),
    "error_code": (RNG.integers(100, 120, N), "category"),
    "leading": ([f"{i % 50:03d}" for i in range(N)], "category"),
    "day": ([f"2024-0{i % 9 + 1}-1{i % 7}" for i in range(N)], "date"),
    "digits of a day": ([f"2024010{i % 9 + 1}" for i in range(N)], "number"),
    "moment": ([f"2024-01-0{i % 9 + 1}T1{i % 9}:30:00Z" for i in range(N)], "date"),
    "stamp": (pd.date_range("2020-01-01", periods=N), "date"),
    "birthday": ([datetime.date(1990, 1, i % 28 + 1) for i in range(N)], "date"),
    "photo": ([f"{i}.jpg" for i in range(N)], "image"),
    "mostly photos": ([f"{i}.jpg" for i in range(N - 20)] + ["n/a"] * 20, "image"),
    "song": ([f"music/{i}.flac" for i in range(N)], "audio"),
    "clip": ([f"{i}.mp4" for i in range(N)], "video"),
    "decoded sound": ([{"array": np.zeros(5), "sampling_rate": 8000}] * 3, "audio"),
    "pixels": (array(6, 5, 3, dtype=np.uint8), "image"),
    "grey pixels": (array(6, 5, dtype=np.uint8), "image"),
    "pictures": ([Image.new("RGB", (4, 4)), Image.new("L", (2, 2))], "image"),
    "frames": (array(7, 6, 5, 3, dtype=np.uint8), "video"),
    "vector": (array(8), "vector"),
    "list vector": ([[0.5, 1.0], [1.5, 2]], "vector"),
    "sequence": ([np.zeros((t, 4)) for t in (3, 5)], "sequence"),
    "uneven": ([[1.0, 2.0], [3.0]], "unknown"),
    "cost": ([f"${i},{i % 10}50" for i in range(1, N)], "number"),
    "percent": ([f"{i % 90} %" for i in range(N)], "number"),
    "long digits": ([f"{10**17 + i * 7}" for i in range(N)], "text"),
    "written vector": ([f"[0.5, {i}.25, 3]" for i in range(N)], "vector"),
    "bare vector": ([" ".join(f"{i}.{j}" for j in range(12)) for i in range(N)], "vector"),
    "written sequence": ([f"[[0.5, {i}], [1, 2]]" for i in range(N)], "sequence"),
    "phone numbers": ([f"0049 {i + 100} {i + 2000} {i + 30000}" for i in range(N)], "text"),
    "two numbers": ([f"{i} {i + 1}" for i in range(N)], "text"),
    "slashes": ([f"2024/0{i % 9 + 1}/1{i % 7}" for i in range(N)], "date"),
    "raw": ([b"\x00some bytes", b"\xffother bytes"], "unknown"),
    "raw text": ([b"some words", "größere Worte".encode()], "text"),
    "objects": ([object(), object()], "unknown"),
    "ragged": ([[[1.0], [2.0, 3.0]], [[4.0]]], "unknown"),
}
UNTYPED = {name: column for name, column in COLUMNS.items() if name != "grade"}  # known by its type alone


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_that_people_have(name):
    cells, modality = COLUMNS[name]
    table = read_table(pd.DataFrame({name: pd.Series(cells, dtype=getattr(cells, "dtype", object))}))
    column = infer_columns(table)[name]
    assert column.modality == modality, column
    assert column.reason


def test_the_order_of_rows_does_not_matter():
    for name, (cells, modality) in UNTYPED.items():
        series = pd.Series(list(cells), dtype=object, name=name).sample(frac=1, random_state=1, ignore_index=True)
        assert infer_columns(read_table(series.to_frame()))[name].modality == modality


def test_missing_cells_do_not_change_the_modality():
    for name, (cells, modality) in UNTYPED.items():
        gaps = [cell for some in cells for cell in (some, None)]
        frame = pd.DataFrame({name: pd.Series(gaps, dtype=object)})
        column = infer_columns(read_table(frame))[name]
        assert (column.modality, column.missing) == (modality, len(gaps) - pd.Series(list(cells)).notna().sum())


def test_a_table_of_raw_objects_needs_no_reading_first():
    frame = pd.DataFrame({"a": pd.Series([1, "x", None, [3], {"k": 1}], dtype=object)})
    assert infer_columns(Table(frame))["a"].missing == 1


def test_declared_categories_intervals_and_periods():
    values = pd.Series([1, 3, 7, 12, 30, 4, 8, 40] * 3)
    frame = pd.DataFrame(
        {
            "cut": pd.cut(values, [0, 5, 10, 50]),
            "intervals": pd.cut(values, [0, 5, 10, 50]).astype(object),
            "days": pd.Categorical(pd.to_datetime(["2024-01-01", "2024-01-02"] * 12)),
            "months": pd.period_range("2020-01", periods=24, freq="M"),
        }
    )
    columns = infer_columns(read_table(frame))
    assert {name: column.modality for name, column in columns.items()} == {
        **dict.fromkeys(("cut", "intervals", "days"), "category"),
        "months": "date",
    }
    assert all(column.role == "input" for column in columns.values())
