"""What is seen of a training: curves, where time went, and loggers by name."""

from __future__ import annotations

import importlib.util
import io
import json

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import polyfuse as pf
from polyfuse.evaluation.figures import training
from polyfuse.recipe import RecipeError

pytestmark = pytest.mark.usefixtures("own_cache")
SETTINGS = ["preset=plain", "width=8", "training.batch_size=8", "training.epochs=4"]


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    x = rng.normal(size=60)
    split = ["train", "train", "val", "test"] * 15
    return pd.DataFrame({"x": x, "z": rng.normal(size=60), "y": np.where(x > 0, "a", "b"), "split": split})


@pytest.fixture(scope="module")
def fitted(frame, tmp_path_factory):
    to = tmp_path_factory.mktemp("models") / "m"
    settings = [*SETTINGS, "training.loggers=[csv, tensorboard]"]
    return pf.fit(frame, outputs=["y"], to=to, settings=settings, quiet=True), to


def test_curves_and_times_are_in_the_report_the_page_and_the_terminal(fitted, tmp_path):
    model, to = fitted
    kept = json.loads((to / "report.json").read_text())
    (history,) = kept["training"]["history"]
    assert history["steps"] == list(range(1, 17))
    assert len(history["loss"]) == 16
    assert history["val_steps"] == [4, 8, 12, 16]
    assert all(0 <= quality <= 1 for quality in history["val_quality"])
    assert history["loss"][-1] < history["loss"][0]
    assert list(kept["seconds"]) == ["reading", "encoding", "training", "judging"]
    assert all(value >= 0 for value in kept["seconds"].values())
    page = model.fit_report.to_html(tmp_path / "r.html").read_text()
    assert "How it learnt" in page
    assert "Loss and quality against steps of training" in page
    assert "judging" in page
    console = Console(file=io.StringIO(), width=100)
    console.print(model.fit_report)
    assert "time: reading" in console.file.getvalue()


def test_a_loaded_model_still_shows_its_curves(fitted, frame, tmp_path):
    report = pf.load(fitted[1]).evaluate(frame)
    assert "How it learnt" in report.to_html(tmp_path / "r.html").read_text()
    assert list(report.seconds) == ["reading", "judging"]


def test_loggers_write_beside_the_model(fitted):
    _, to = fitted
    run = to.parent / "m.run"
    lines = pd.read_csv(run / "metrics.csv")
    assert list(lines) == ["step", "name", "value"]
    assert {"rate", "val/loss", "val/quality"} <= set(lines["name"])
    assert lines["name"].str.startswith("train/").any()
    assert lines["step"].is_monotonic_increasing
    assert list(run.rglob("events.out.tfevents.*"))


def test_loggers_are_named_or_refused(frame, tmp_path):
    with pytest.raises(RecipeError, match="loggers"):
        pf.fit(frame, outputs=["y"], settings=["training.loggers=wandb"], quiet=True)
    if importlib.util.find_spec("mlflow") is None:
        with pytest.raises(RecipeError, match="mlflow is not installed"):
            pf.fit(frame, outputs=["y"], settings=["training.loggers=mlflow"], quiet=True)
    settings = ["preset=plain", "training.steps=1", "training.loggers=[]"]
    pf.fit(frame, outputs=["y"], to=tmp_path / "n", settings=settings, quiet=True)
    assert not list((tmp_path / "n.run").rglob("events*"))


def test_curves_of_several_networks_without_validation_are_drawn():
    one = {"steps": [1, 2, 3], "loss": [9.0, None, 0.1], "val_steps": [], "val_loss": [], "val_quality": []}
    svg = training([one, one])
    assert "loss, log scale" in svg
    assert "quality" not in svg
