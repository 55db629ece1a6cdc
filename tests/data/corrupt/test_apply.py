"""Noise in some rows of a table: it follows the row and the seed, and leaves everything else alone."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse import registry
from polyfuse.data.batches import gather
from polyfuse.data.cells.source import Limits
from polyfuse.data.corrupt import CORRUPTIONS, corruptions_for
from polyfuse.data.corrupt.apply import Source, corrupt_cells
from polyfuse.data.prepare import Reading, fit_transform, prepare
from polyfuse.records import Cells, Spec

ROWS = 12
TRANSFORMS = {
    "image": "image.pixels",
    "audio": "audio.wave",
    "text": "text.ngrams",
    "columns": "columns",
    "vector": "vector",
    "sequence": "sequence",
}


def frame_of(modality: str) -> tuple[pd.DataFrame, dict[str, str]]:
    """A few columns of one modality, with a missing cell."""
    rng = np.random.default_rng(0)
    make = {
        "image": lambda n: rng.integers(0, 256, (16, 16, 3), dtype=np.uint8),
        "audio": lambda n: {"array": rng.normal(0, 0.2, 900 + n), "sampling_rate": 8000},
        "text": lambda n: f"row {n} of many words in 一张桌子",
        "vector": lambda n: rng.normal(size=5),
        "sequence": lambda n: rng.normal(size=(3 + n % 2, 5)),
    }
    if modality == "columns":
        frame = pd.DataFrame({"a": rng.normal(size=ROWS), "b": list("xyxyzzxyxyzz"), "c": np.arange(ROWS)})
        frame.loc[3, ["a", "b", "c"]] = None
        return frame, {"a": "number", "b": "category", "c": "number"}
    frame = pd.DataFrame({name: [make[modality](n) for n in range(ROWS)] for name in "ab"}, dtype=object)
    frame.at[3, "a"] = None
    return frame, dict.fromkeys("ab", modality)


def source(modality: str, rows=None) -> Source:
    frame, kinds = frame_of(modality)
    reading = Reading(cache=None)
    transform = fit_transform(Spec(TRANSFORMS[modality]), frame, kinds, np.arange(ROWS), reading)
    numbers = np.arange(ROWS) if rows is None else np.asarray(rows)
    frame = frame.iloc[numbers].reset_index(drop=True)
    return Source("in", modality, prepare(transform, frame, kinds, reading), frame, numbers, Limits())


def per_cell(cells: Cells) -> list[list[dict[str, np.ndarray] | None]]:
    """Row -> slot -> what the encoder gets, without padding."""
    lengths = cells.fields.get("lengths")

    def one(at: int):
        if at < 0:
            return None
        end = None if lengths is None else int(lengths[at])
        cut = {k: v[at] if lengths is None or k == "lengths" else v[at, :end] for k, v in cells.fields.items()}
        return {k: np.trim_zeros(v.numpy().ravel()) for k, v in cut.items()}

    return [[one(int(at)) for at in row] for row in cells.index_BK]


def same(a, b) -> bool:
    return all(
        (x is None) == (y is None) and (x is None or all(np.array_equal(x[k], y[k]) for k in x))
        for row_a, row_b in zip(a, b, strict=True)
        for x, y in zip(row_a, row_b, strict=True)
    )


ALL = [(modality, name) for modality, table in CORRUPTIONS.items() for name in table]


@pytest.mark.parametrize("modality", CORRUPTIONS)
def test_severity_0_is_the_clean_batch(modality):
    one, rows = source(modality), np.array([5, 0, 3, 7, 0])
    clean, found = gather(one.prepared, rows), corrupt_cells(one, rows, corruptions_for(modality), 0.0, 0)
    assert same(per_cell(clean), per_cell(found))
    assert {k: v.dtype for k, v in clean.fields.items()} == {k: v.dtype for k, v in found.fields.items()}


@pytest.mark.parametrize(("modality", "name"), ALL)
def test_noise_follows_the_row_whatever_its_neighbours(modality, name):
    table = {name: CORRUPTIONS[modality][name]}
    whole = per_cell(corrupt_cells(source(modality), np.arange(ROWS), table, 0.7, 5))
    part = source(modality, [9, 2, 4])  # another table, with some of the rows in another order
    assert same([whole[9], whole[4]], per_cell(corrupt_cells(part, np.array([0, 2]), table, 0.7, 5)))


@pytest.mark.parametrize("modality", CORRUPTIONS)
def test_a_mixture_gives_each_row_one_of_its_corruptions(modality):
    one, table, rows = source(modality), corruptions_for(modality), np.arange(ROWS)
    mixed = per_cell(corrupt_cells(one, rows, table, 0.7, 1))
    alone = [per_cell(corrupt_cells(one, rows, {name: c}, 0.7, 1)) for name, c in table.items()]
    assert all(any(same([mixed[r]], [each[r]]) for each in alone) for r in rows)


@pytest.mark.parametrize("modality", CORRUPTIONS)
def test_seeds_inputs_and_slots_differ_and_missing_cells_stay_missing(modality):
    one, rows = source(modality), np.arange(ROWS)
    name = next(iter(CORRUPTIONS[modality]))
    table = {name: CORRUPTIONS[modality][name]}
    found = per_cell(corrupt_cells(one, rows, table, 0.7, 1))
    assert same(found, per_cell(corrupt_cells(one, rows, table, 0.7, 1)))
    assert not same(found, per_cell(corrupt_cells(one, rows, table, 0.7, 2)))
    assert not same(found, per_cell(corrupt_cells(replace(one, name="other"), rows, table, 0.7, 1)))
    assert found[3][0] is None
    assert not same(found, per_cell(gather(one.prepared, rows)))


@pytest.mark.parametrize("modality", CORRUPTIONS)
def test_missing_takes_the_whole_input_of_a_row(modality):
    one, rows = source(modality), np.arange(ROWS)
    table = {"missing": CORRUPTIONS[modality]["missing"]}
    half, gone = corrupt_cells(one, rows, table, 0.5, 0), corrupt_cells(one, rows, table, 1.0, 0)
    assert not gone.present_B.any()
    assert not gone.present_U.any()
    whole = one.prepared.index_RK >= 0
    kept = half.index_BK.numpy() >= 0
    assert 0 < kept.sum() < whole.sum()
    assert all((k == w).all() or not k.any() for k, w in zip(kept, whole, strict=True))


def test_a_text_of_which_nothing_is_left_is_missing():
    table = {"word_drop": CORRUPTIONS["text"]["word_drop"]}
    assert not corrupt_cells(source("text"), np.arange(ROWS), table, 1.0, 0).present_B.any()


@given(st.integers(0, 2**31), st.floats(0.01, 1))
@settings(deadline=None, max_examples=15)
def test_equal_cells_of_other_rows_get_other_noise_and_the_table_stays(seed, severity):
    frame = pd.DataFrame({"a": [np.full(4, 2.0)] * 3})
    transform = registry.transform("vector")()
    transform.fit([np.arange(4.0), -np.arange(4.0)], {"a": "vector"}, Limits())
    prepared = prepare(transform, frame, {"a": "vector"}, Reading(cache=None))
    before = [cell.copy() for cell in prepared.cells]
    one = Source("in", "vector", prepared, frame, np.arange(3), Limits())
    found = corrupt_cells(one, np.arange(3), {"noise": CORRUPTIONS["vector"]["noise"]}, severity, seed)
    assert len(found.fields["x"]) == 3
    assert all(np.array_equal(a, b) for a, b in zip(before, prepared.cells, strict=True))
    assert torch.isfinite(found.fields["x"]).all()


def test_the_corruptions_need_no_torch():
    code = "import sys, polyfuse.data.corrupt; print({'torch', 'pandas'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
