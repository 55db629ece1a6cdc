"""Encode once: kept tokens equal fresh ones, are computed once per cell, and go when the encoder changes."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import polyfuse as pf
from polyfuse.data.batches import gather
from polyfuse.data.prepare import Prepared
from polyfuse.model.network import Network
from polyfuse.model.token_cache import encode_once, weights_digest
from polyfuse.recipe import parse
from polyfuse.records import Tokens
from tests.tiny import FAST, write_table


class Ramp(nn.Module):
    """A text-like encoder: one token per number of a cell, each with its place; counts its calls."""

    width = 3

    def __init__(self, scale=1.0):
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.calls = nn.Linear(1, 3), 0
        self.register_buffer("scale", torch.tensor(scale))

    def forward(self, fields, present_B):
        self.calls += len(present_B)
        count = fields["values"].shape[1]
        mask = (torch.arange(count) < fields["lengths"][:, None]) & present_B[:, None]
        place = torch.arange(count, dtype=torch.float32)
        span = torch.stack([place, place + 1], -1).expand(len(mask), -1, -1)
        return Tokens(self.linear(fields["values"][..., None]) * self.scale, mask, (count,), 0, span)


class Lists:
    """A transform of number lists."""

    media = joint = False

    def __init__(self, version=1):
        self.version = version

    def state(self):
        return {"version": self.version}

    def blank(self):
        return np.zeros(1, np.float32)

    def collate(self, cells):
        longest = max(map(len, cells))
        values = np.stack([np.pad(c, (0, longest - len(c))) for c in cells])
        return {"values": values, "lengths": np.array([len(c) for c in cells])}


def prepared(version=1, rows=200):
    rng = np.random.default_rng(0)
    cells = [rng.normal(size=rng.integers(1, 6)).astype(np.float32) for _ in range(rows)]
    index = rng.integers(-1, rows, size=(50, 1))
    return Prepared(Lists(version), cells, index, [str(n).encode().rjust(16) for n in range(rows)])


def network(encoder, **options):
    return Network(
        {"x": encoder}, None, {}, [], width=4, slots={"x": 1}, weights={}, frozen=frozenset({"x"}), **options
    )


RECIPE = parse(
    {"inputs": {"x": {"columns": "x", "modality": "text", "encoder": {"name": "gru"}, "transfer": "frozen"}}}
)


def keep(encoder, cells, root, **options):
    made, notes = encode_once(network(encoder, **options), RECIPE, {"in:x": cells}, root=root)
    return made["in:x"], notes


def test_kept_tokens_are_those_of_the_encoder(tmp_path):
    encoder, cells = Ramp(), prepared()
    kept, notes = keep(encoder, cells, tmp_path)
    assert notes == []
    assert encoder.calls == 200
    rows = np.arange(50)
    fresh, ready = gather(cells, rows), gather(kept, rows)
    assert isinstance(ready.fields, Tokens)
    made = encoder(fresh.fields, fresh.present_U)
    assert torch.equal(fresh.index_BK, ready.index_BK)
    assert torch.equal(made.mask_BT, ready.fields.mask_BT)
    assert made.grid == ready.fields.grid
    real = made.mask_BT
    torch.testing.assert_close(made.x_BTD[real], ready.fields.x_BTD[real], atol=2e-3, rtol=2e-3)
    assert torch.equal(made.span_BT2[real], ready.fields.span_BT2[real])


def test_a_later_run_asks_the_encoder_for_new_cells_only(tmp_path):
    keep(Ramp(), prepared(), tmp_path)
    again = Ramp()
    keep(again, prepared(), tmp_path)
    assert again.calls == 1  # to learn the shape of its tokens
    more = Ramp()
    kept, _ = keep(more, prepared(rows=230), tmp_path)
    assert more.calls == 30
    assert len(kept.cells) == 230


@pytest.mark.parametrize("change", ["weights", "preprocessing", "pooled"])
def test_any_change_starts_anew(tmp_path, change):
    keep(Ramp(), prepared(), tmp_path)
    encoder = Ramp(2.0 if change == "weights" else 1.0)
    options = {"pooled": frozenset({"x"})} if change == "pooled" else {}
    kept, _ = keep(encoder, prepared(2 if change == "preprocessing" else 1), tmp_path, **options)
    assert encoder.calls == 200
    assert len(list((tmp_path / "tokens").iterdir())) == 2
    if change == "pooled":
        assert {len(x) for x, _ in kept.cells} == {1}


def test_what_half_precision_cannot_hold_is_kept_in_full(tmp_path):
    encoder, cells = Ramp(1e6), prepared()
    kept, _ = keep(encoder, cells, tmp_path)
    assert {x.dtype for x, _ in kept.cells} == {np.dtype("float16"), np.dtype("float32")} or {
        x.dtype for x, _ in kept.cells
    } == {np.dtype("float32")}
    fresh, ready = gather(cells, np.arange(50)), gather(kept, np.arange(50))
    made = encoder(fresh.fields, fresh.present_U)
    torch.testing.assert_close(made.x_BTD[made.mask_BT], ready.fields.x_BTD[made.mask_BT], atol=50, rtol=2e-3)


def test_what_does_not_fit_is_not_kept_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr("polyfuse.model.token_cache.LIMIT", 100)
    cells = prepared()
    kept, notes = keep(Ramp(), cells, tmp_path)
    assert kept is cells
    assert "more than there is room for" in notes[0]


def _fill(root):
    keep(Ramp(), prepared(), Path(root))


@pytest.mark.slow
def test_two_processes_may_fill_one_store(tmp_path):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_fill, args=(str(tmp_path),)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    encoder, cells = Ramp(), prepared()
    kept, _ = keep(encoder, cells, tmp_path)
    ready = gather(kept, np.arange(50))
    made = encoder(*(lambda c: (c.fields, c.present_U))(gather(cells, np.arange(50))))
    torch.testing.assert_close(made.x_BTD[made.mask_BT], ready.fields.x_BTD[made.mask_BT], atol=2e-3, rtol=2e-3)


def test_weights_have_one_name_whatever_their_kind():
    one, two = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    assert weights_digest(one) == weights_digest(two)
    two.num_batches_tracked += 1
    assert weights_digest(one) != weights_digest(two)


def test_tokens_that_lie_there_need_no_room(tmp_path, monkeypatch):
    keep(Ramp(), prepared(), tmp_path)
    monkeypatch.setattr("polyfuse.model.token_cache._room", lambda _: 0.0)
    kept, notes = keep(Ramp(), prepared(), tmp_path)
    assert kept.assemble is not None
    assert not notes
    kept, notes = keep(Ramp(), prepared(rows=230), tmp_path)
    assert kept.assemble is None
    assert "more than there is room for" in notes[0]


@pytest.mark.parametrize("shared", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_training_on_kept_tokens_equals_training_on_the_encoder(tmp_path, monkeypatch, shared):
    monkeypatch.setenv("POLYFUSE_CACHE", str(tmp_path / "cache"))
    table = write_table(tmp_path)
    if shared:  # rows that share a photo are batched together
        frame = pd.read_csv(table)
        frame["photo"] = frame.photo.dropna().iloc[:4].tolist() * (len(frame) // 4)
        frame.to_csv(table, index=False)
    pf.fit(
        table, outputs=["label"], inputs=["photo", "area"], split="split", to=tmp_path / "m", settings=FAST, quiet=True
    )
    values = {
        "data": {"split": "split", "columns": ["area"]},
        "outputs": {"label": {"column": "label"}},
        "training": {"epochs": 3, "batch_size": 16, "modality_dropout": 0},
        "ensemble": {"members": []},
        "width": 16,
    }
    eye = {"columns": "photo", "init_from": f"{tmp_path / 'm'}#image", "transfer": "frozen", "augment": "none"}
    found = {}
    for cache in ("auto", "off"):
        recipe = parse({**values, "inputs": {"eye": {**eye, "cache": cache}}})
        found[cache] = pf.fit(recipe, table=table, quiet=True).predict(table)["label_p_a"]
    assert np.abs(found["auto"] - found["off"]).max() < 2e-3
    assert (tmp_path / "cache" / "tokens").exists()
    with pytest.raises(ValueError, match="sees every cell once"):
        pf.fit(parse({**values, "inputs": {"eye": {**eye, "augment": "strong"}}}), table=table)
    with pytest.raises(ValueError, match="only frozen encoders are pooled"):
        pf.fit(parse({**values, "inputs": {"eye": {**eye, "transfer": "full", "cache": "pooled"}}}), table=table)
    pooled = pf.fit(parse({**values, "inputs": {"eye": {**eye, "cache": "pooled"}}}), table=table, to=tmp_path / "p")
    again = pf.load(tmp_path / "p").predict(table)["label_p_a"]
    assert np.array_equal(pooled.predict(table)["label_p_a"], again)
