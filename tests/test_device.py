"""One device for everything: chosen by name, refused where it is absent, followed by batches, timings and Lightning."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
import torch

import polyfuse as pf
from polyfuse.data.tables import read_table
from polyfuse.model.prepare import make_rows, prepare_all, read_options
from polyfuse.system import device
from polyfuse.system.device import available, choose_device, device_of, place, trainer_options
from polyfuse.training import train
from tests.tiny import FAST, write_table

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    table = write_table(tmp_path_factory.mktemp("device"), rows=24)
    model = pf.fit(table, outputs=["label", "price"], split="split", settings=FAST, quiet=True, device="cpu")
    return table, model, model.save(table.parent / "m")


def test_auto_takes_what_is_fastest(monkeypatch):
    assert choose_device("auto").type == choose_device(None).type == available()[0]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == "cuda"


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps"])
def test_what_is_absent_is_refused_before_anything_is_done(monkeypatch, name, fitted):
    monkeypatch.setattr(device, "available", lambda: ["cpu"])
    with pytest.raises(ValueError, match=rf"device {name}: torch .* finds none here; take cpu or auto"):
        pf.fit(pd.DataFrame({"x": [1.0, 2.5], "y": ["a", "b"]}), outputs=["y"], device=name)
    with pytest.raises(ValueError, match=f"device {name}"):
        pf.load(fitted[2], device=name)


def test_other_names_and_numbers_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="expected auto, cpu, cuda, mps or a numbered one"):
        choose_device("gpu")
    monkeypatch.setattr(device, "available", lambda: ["cpu"])
    with pytest.raises(ValueError, match="device meta: expected auto, cpu, cuda, mps; take cpu or auto"):
        choose_device("meta")
    monkeypatch.setattr(device, "available", lambda: ["cuda", "cpu"])
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ValueError, match="device cuda:2: there are 2, cuda:0 to cuda:1"):
        choose_device("cuda:2")


@pytest.mark.parametrize(
    ("name", "expected"), [("cpu", ("cpu", 1)), ("cuda", ("cuda", 1)), ("cuda:1", ("cuda", [1])), ("mps", ("mps", 1))]
)
def test_lightning_is_given_one_device(name, expected):
    found = trainer_options(torch.device(name))
    assert (found["accelerator"], found["devices"]) == expected


def test_training_takes_no_more_than_one_device_and_leaves_the_network_there(monkeypatch, fitted):
    given, placed = [], []
    monkeypatch.setattr(train.L, "Trainer", lambda make=train.L.Trainer, **o: given.append(o) or make(**o))
    monkeypatch.setattr(train, "place", lambda network, where: placed.append(where) or place(network, where))
    pf.fit(fitted[0], outputs=["label"], inputs=["area"], split="split", settings=FAST, quiet=True)
    assert [options["devices"] for options in given] == [1]
    assert placed == [choose_device("auto")]


def test_a_saved_model_is_loaded_where_it_is_wanted(monkeypatch, fitted):
    monkeypatch.setattr("polyfuse.model.bundle.choose_device", torch.device)
    assert device_of(pf.load(fitted[2], device="meta").bundle.network) == torch.device("meta")
    assert device_of(pf.load(fitted[2], device="cpu").bundle.network) == torch.device("cpu")


def test_a_network_computes_wholly_on_its_device(fitted, monkeypatch):
    """On tensors without numbers, which know where they would be and refuse to mix with those of the processor."""
    table, model, _ = fitted
    read = read_table(table)
    prepared = prepare_all(model.recipe, model.bundle.transforms, read, read_options(model.recipe, read))
    batch = make_rows(prepared, len(read))[0, np.arange(8)]
    network = pf.load(fitted[2], device="cpu").bundle.network
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # it knows no such device
    place(network, torch.device("meta"))
    there = batch.to("meta")
    network.train()
    state = network(there)
    assert {scores.device.type for scores in state.scores.values()} == {"meta"}
    loss = torch.stack(list(network.losses(state, there).values())).sum()
    assert loss.device.type == "meta"
    loss.backward()
    assert {p.grad.device.type for p in network.parameters() if p.grad is not None} == {"meta"}
    network.eval()
    with torch.inference_mode():
        assert {scores.device.type for scores in network(there).scores.values()} == {"meta"}


def test_a_model_without_double_precision_predicts_the_same_numbers(fitted):
    """As on a device that has none."""
    table, model, folder = fitted
    expected = model.predict(table)["price"]
    single = pf.load(folder, device="cpu")
    single.bundle.network.float()
    np.testing.assert_allclose(single.predict(table)["price"], expected, rtol=1e-6)


def test_the_command_line_passes_the_device_on(monkeypatch, fitted, tmp_path):
    from polyfuse.cli import main

    asked = []
    monkeypatch.setattr("polyfuse.model.bundle.choose_device", lambda name: asked.append(name) or torch.device("cpu"))
    table, _, folder = fitted
    for verb, *more in (["predict", "--to", tmp_path / "p.csv"], ["embed", "--to", tmp_path / "v.npy"]):
        words = ["polyfuse", verb, folder, table, *more, "--device", "mps"]
        monkeypatch.setattr("sys.argv", [str(word) for word in words])
        with pytest.raises(SystemExit, match="0"):
            main()
    assert asked == ["mps", "mps"]
