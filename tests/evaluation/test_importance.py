"""What each column is worth: one that decides the answer much, noise nothing, whatever input it stands in."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import polyfuse as pf

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 160)
    words = np.where(label == 1, "a warm bright morning out there", "one cold dark evening in here")
    return pd.DataFrame(
        {
            "said": words,
            "other": rng.permutation(words),
            "x": label + rng.normal(0, 0.01, 160),
            "noise": rng.normal(size=160),
            "y": np.where(label == 1, "day", "night"),
            "much": 10.0 * label + rng.normal(0, 0.1, 160),
        }
    )


def fitted(frame, inputs):
    settings = ["preset=plain", "width=16", "training.epochs=12", "training.batch_size=16"]
    return pf.fit(frame, outputs=["y", "much"], inputs=inputs, settings=settings, quiet=True)


def test_what_decides_is_worth_most_and_noise_nothing(frame, tmp_path):
    model = fitted(frame, ["x", "noise"])
    report = model.evaluate(frame, importance=80)
    first, last = report.importance
    assert (first["column"], first["inputs"], first["rows"]) == ("x", ["columns"], 80)
    assert first["y"]["drop"] > 0.2
    assert first["much"]["metric"] == report.outputs["much"].headline[0]
    assert first["much"]["drop"] > abs(last["much"]["drop"])  # positive is a loss, whichever way the metric counts
    assert abs(last["y"]["drop"]) < 0.1
    assert json.loads(json.dumps(report.to_json()["importance"], allow_nan=False))[0]["column"] == "x"
    assert "What each column contributes" in report.to_html(tmp_path / "r.html").read_text()
    console = Console(file=io.StringIO(), width=100)
    console.print(report)
    assert "what is lost when one column is shuffled (80 rows)" in console.file.getvalue()
    assert model.evaluate(frame, importance=80).importance == report.importance
    assert model.evaluate(frame).importance == []


def test_columns_that_share_an_encoder_are_told_apart(frame):
    model = fitted(frame, ["words@other,said=text"])
    first, last = model.evaluate(frame, importance=100).importance
    assert (first["column"], last["column"]) == ("said", "other")
    assert first["y"]["drop"] > 0.2 > abs(last["y"]["drop"])
