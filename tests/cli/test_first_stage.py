"""A first stage whose encoder another recipe takes over, frozen or trained on: from the command line."""

from __future__ import annotations

import json

import pytest
import torch

import polyfuse as pf
from polyfuse.cli import main
from tests.tiny import FAST, write_table

pytestmark = pytest.mark.usefixtures("own_cache")
SETS = [text for setting in FAST for text in ("--set", setting)]


@pytest.fixture
def run(monkeypatch, capsys):
    """``run("fit", ...)`` -> what it wrote."""

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["polyfuse", *map(str, arguments)])
        try:
            main()
        except SystemExit as end:
            if end.code:
                raise RuntimeError(capsys.readouterr().err) from end
        return capsys.readouterr().out

    return call


def weights(folder, name):
    return pf.load(folder, device="cpu").bundle.network.encoder(name).state_dict()


@pytest.mark.parametrize("objective", ["{name: supcon, between: [photo], key: label}", "{name: masked, hide: photo}"])
def test_an_encoder_of_a_first_stage_is_taken_over(run, tmp_path, objective):
    table, first = write_table(tmp_path, rows=40), tmp_path / "first"
    shared = ["--split", "split", *SETS, "--json"]
    run("fit", table, "--input", "photo@photo=image", "--set", f"objectives=[{objective}]", "--to", first, *shared)
    assert not pf.load(first).recipe.outputs
    start = ["--input", "photo@photo=image", "--output", "label", "--set", f"inputs.photo.init_from={first}#photo"]
    for transfer in ("frozen", "full"):
        to = tmp_path / transfer
        found = json.loads(run("fit", table, *start, "--set", f"inputs.photo.transfer={transfer}", "--to", to, *shared))
        assert 0 <= found["outputs"]["label"]["accuracy"] <= 1
        one, two = weights(first, "photo"), weights(to, "photo")
        same = all(torch.equal(one[name], two[name]) for name in one)
        assert same == (transfer == "frozen")
