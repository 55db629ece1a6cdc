"""What completing a recipe says: every column is read, or named in the notes with its reason."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.data.inputs import ROLES, UNNAMED
from polyfuse.data.tables import TableError, read_table
from polyfuse.recipe import parse
from polyfuse.recipe.resolve import resolve

ROWS = 40
KINDS = {
    "number": lambda rng: rng.normal(size=ROWS),
    "category": lambda rng: rng.choice(["red", "green", "blue"], ROWS),
    "text": lambda rng: [f"{w} was seen on the way home" for w in rng.choice(["a cat", "the dog", "no bird"], ROWS)],
    "empty": lambda _: [None] * ROWS,
    "constant": lambda _: ["same"] * ROWS,
    "counted": lambda _: list(range(ROWS)),
    "identifier": lambda rng: [f"x{n}" for n in rng.permutation(ROWS)],
    "clip": lambda _: [f"clips/{n}.mp4" for n in range(ROWS)],
    "address": lambda rng: [f"https://example.org/watch?v={n}" for n in rng.integers(0, 9, ROWS)],
    "split_words": lambda rng: [*("train", "val", "test"), *rng.choice(["train", "test"], ROWS - 3)],
    "objects": lambda _: [object() for _ in range(ROWS)],
    "mixed": lambda _: [[n, "a", None] for n in range(ROWS)],
    "frames": lambda _: [np.zeros((2, 3, 4, 3), np.uint8) + n for n in range(ROWS)],
    "ragged": lambda rng: [rng.normal(size=1 + n % 3).tolist() for n in range(ROWS)],
    "vector": lambda rng: list(rng.normal(size=(ROWS, 3))),
    "date": lambda rng: pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 900, ROWS), "D"),
    "flag": lambda rng: rng.random(ROWS) < 0.5,
    "bytes": lambda _: [b"\x00\x01\xff" + bytes([n]) for n in range(ROWS)],
}


def table_of(kinds):
    rng = np.random.default_rng(0)
    return pd.DataFrame({f"{kind} {n}": pd.Series(list(KINDS[kind](rng))) for n, kind in enumerate(kinds)})


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=9), st.data())
def test_every_column_is_read_or_named_with_its_reason(kinds, data):
    frame = table_of(kinds).assign(y=["a", "b"] * (ROWS // 2))
    named = data.draw(st.lists(st.sampled_from(list(frame)[:-1]), max_size=2, unique=True))
    asked = {"outputs": {"y": {"column": "y"}}, "data": {"columns": named}, "preset": "plain"}
    refusal = ""
    try:
        recipe, _, notes = resolve(parse(asked), read_table(frame))
    except TableError as error:  # nothing left, or a column that cannot be what was asked: it names the columns
        refusal = str(error)
    if refusal:
        assert any(name in refusal for name in frame)
        return
    read = {c for item in recipe.inputs.values() for c in item.columns} | {"y", recipe.data.split}
    said = [note for note in notes if " left out: " in note]
    for name in frame:
        mine = [note for note in said if repr(name) in note.partition(" left out: ")[0]]
        assert len(mine) == (0 if name in read else 1), name
        assert all(len(note.partition(" left out: ")[2]) > 10 for note in mine)
    if named:
        assert all(note.endswith(UNNAMED) for note in said)


def test_clips_are_seen_and_addresses_are_not_learnt_as_words():
    frame = table_of(["clip", "address", "number"]).assign(y=["a", "b"] * (ROWS // 2))
    recipe, _, notes = resolve(parse({"outputs": {"y": {"column": "y"}}, "preset": "plain"}), read_table(frame))
    assert [item.columns for item in recipe.inputs.values()] == [["clip 0"], ["number 2"]]
    assert any("'clip 0'" in note and "sound@clip 0=audio" in note for note in notes)
    assert f"column 'address 1' is left out: {ROLES['address']}" in notes
    heard = {
        "inputs": {name: {"columns": ["clip 0"], "modality": name} for name in ("video", "audio")},
        "outputs": {"y": {"column": "y"}},
        "preset": "plain",
    }
    assert not any("sound@" in note for note in resolve(parse(heard), read_table(frame))[2])
    with pytest.raises(TableError, match=r"(?s)no column is left.*address 1"):
        resolve(parse({"outputs": {"y": {"column": "y"}}}), read_table(frame.drop(columns=["number 2", "clip 0"])))
    named = {"outputs": {"y": {"column": "y"}}, "data": {"columns": ["address 1"]}, "preset": "plain"}
    assert [i.columns for i in resolve(parse(named), read_table(frame))[0].inputs.values()] == [["address 1"]]
