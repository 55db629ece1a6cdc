"""The rows of ``deploy.py``: what was measured is shown as it is."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import deploy

FACTS = {"seconds": 1.0, "machine": "a machine", "date": "2026-01-01"}


def _side(size: int, milliseconds: float, accuracy: float) -> dict:
    quality = {"metric": "accuracy", "value": accuracy, "interval": [accuracy - 0.01, accuracy + 0.01]}
    spent = {"1": milliseconds, "16": 8 * milliseconds}
    return {"outputs": {"digit": quality}, "size": size, "milliseconds": spent, "memory": 2**28}


def test_the_page_shows_ratios_of_before_and_after(tmp_path):
    kept = {"students/0": {"teacher": 0.97, "students": dict.fromkeys(deploy.deploy_models.STUDENTS, 0.7), **FACTS}}
    for seed, faster in ((0, 2.0), (1, 4.0)):
        kept[f"digits/digits/8 bits in ONNX, as they come/{seed}"] = {
            "before": _side(4_000_000, 2.0, 0.97),
            "after": _side(1_000_000, 2.0 / faster, 0.965),
            **FACTS,
        }
    (tmp_path / "deploy.json").write_text(json.dumps(kept))
    assert deploy.main(["--page", "--to", str(tmp_path)]) == 0
    text = (tmp_path / "deploy.md").read_text()
    shown = "accuracy 0.97 (0.96 to 0.98) | 0.965 (0.955 to 0.975) | 4.0 ± 0.0 | 3.0 ± 1.4 | 3.0 ± 1.4 | 256 → 256"
    assert shown in text
    assert "| (the teacher) | 97.0 |" in text
    assert "Not measured yet: houses made small" in text


@pytest.mark.slow
def test_rows_on_models_run_at_tiny_size(tmp_path):
    places = ["--to", str(tmp_path / "to"), "--work", str(tmp_path / "work")]
    assert deploy.main(["digits", "--quick", *places]) == 0
    kept = json.loads((tmp_path / "to" / "deploy.json").read_text())
    assert len(kept) == len(deploy.deploy_models.METHODS)
