"""The report as JSON and in the terminal."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

from polyfuse.evaluation.judges import judge
from polyfuse.evaluation.missing import missing_table
from polyfuse.evaluation.outcome import Outcome
from polyfuse.evaluation.report import Report


def digits(rows: int = 100) -> Outcome:
    rng = np.random.default_rng(0)
    codes = rng.integers(10, size=rows)
    p = rng.dirichlet(np.ones(10), rows) * 0.6 + 0.4 * np.eye(10)[codes]
    return Outcome("category", list(codes), list(p.argmax(1)), p, list(range(10)))


def report(**more) -> Report:
    outcome = digits()
    return Report(
        rows=100,
        outputs={"digit": judge(outcome)},
        broken={"image": [{"row": 7, "file": "a.png", "reason": "no [bold]picture"}], "sound": 3},
        missing_modality=missing_table(lambda keep: {"digit": outcome}, ["image", "sound"]),
        meta={"model": "m", "seed": np.int64(0), "loss": float("nan"), "notes": ["read [this] first"]},
        **more,
    )


def shown(found: Report, width: int = 100) -> str:
    file = io.StringIO()
    Console(file=file, width=width, color_system=None).print(found)
    return file.getvalue()


def test_json_has_the_promised_shape():
    document = json.loads(json.dumps(report().to_json(), allow_nan=False))
    assert document["rows"] == 100
    digit = document["outputs"]["digit"]
    assert digit["accuracy_ci"][0] <= digit["accuracy"] <= digit["accuracy_ci"][1]
    assert [row["inputs"] for row in document["missing_modality"]] == [["image", "sound"], ["image"], ["sound"]]
    assert document["missing_modality"][1]["digit"]["accuracy"] == digit["accuracy"]
    assert document["broken"] == {"image": [{"row": 7, "file": "a.png", "reason": "no [bold]picture"}], "sound": 3}
    assert document["meta"]["loss"] is None


def test_numbers_come_under_the_promised_names():
    found = judge(Outcome("number", [1.0, 2.0, 3.0], [1.0, 2.5, 3.0])).to_json()
    assert {"rmse", "mae", "r2", "rmsle", "r2_log", "rmse_ci"} <= found.keys()
    assert all(isinstance(found[name], float) for name in ("rmse", "mae", "r2", "rmsle"))


def test_terminal_shows_metrics_intervals_classes_subsets_broken_cells_and_notes():
    text = shown(report())
    accuracy = report().outputs["digit"].metrics["accuracy"]
    assert f"{100 * accuracy:.1f} %" in text
    for words in ("95 % interval", "digit by class", "image + sound", "a.png", "3 cells", "always"):
        assert words in text
    assert "no [bold]picture" in text  # brackets in a table are no markup
    assert "read [this] first" in text


@pytest.mark.parametrize("width", [40, 80])
def test_terminal_fits_its_width(width):
    assert max(map(len, shown(report(), width).splitlines())) <= width


def test_many_classes_show_the_weakest():
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(40), 5)
    p = rng.dirichlet(np.ones(40), 200) + 0.05 * np.eye(40)[codes]
    names = [f"class{i}" for i in range(40)]
    found = judge(Outcome("category", [names[c] for c in codes], [names[c] for c in p.argmax(1)], p, names))
    lines = shown(Report(200, {"o": found})).splitlines()
    listed = [line for line in lines if line.startswith("class") and "%" in line]
    assert len(listed) == 15
    weakest = min(found.per_class, key=lambda row: row["f1"])["class"]
    assert listed[0].split()[0] == weakest


def test_judging_imports_neither_torch_nor_plots():
    heavy = "{'torch', 'pandas', 'matplotlib', 'jinja2', 'scipy', 'torchmetrics'}"
    judges = ", ".join(f"polyfuse.evaluation.judges.{task}" for task in ("category", "labels", "number"))
    code = f"import sys, polyfuse.evaluation.report, {judges}; print({heavy} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
