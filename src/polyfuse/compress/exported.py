"""A model that was exported to ONNX and made smaller there, over the rows of a table."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polyfuse.compress import graphs
from polyfuse.compress.fresh import peak_memory
from polyfuse.compress.study import Cells, Study
from polyfuse.data.cells.source import is_missing
from polyfuse.evaluation.judges import judge
from polyfuse.evaluation.outcome import OutputReport
from polyfuse.evaluation.targets import make_outcomes, metric_weights
from polyfuse.export import to_onnx
from polyfuse.model.bundle import Bundle
from polyfuse.recipe.outputs import head_columns
from polyfuse.records import Prediction
from polyfuse.runtime import Runtime, load
from polyfuse.runtime.folder import MANIFEST, write_manifest


@dataclass(frozen=True)
class Exported:
    """An exported folder.

    Args:
        bundle: the model that was exported.
        place: of the folder, which goes when nobody holds it any more.
    """

    bundle: Bundle
    place: tempfile.TemporaryDirectory

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return Path(self.place.name) / "model"


class FolderRows:
    """What an exported folder says of the rows of a table.

    Args:
        folder: that answers.
        cells: the table, as the model reads it that was exported.
    """

    def __init__(self, folder: Path, cells: Cells):
        self.folder, self.cells = folder, cells
        self.runtime: Runtime = load(folder, media_root=cells.table.root)

    def records(self, rows: np.ndarray) -> list[dict[str, Any]]:
        """Rows as plain Python, with what the model reads."""
        recipe = self.cells.bundle.recipe
        wanted = [c for item in recipe.inputs.values() for c in item.columns]
        wanted += [c for own in head_columns(recipe).values() for c in own]
        frame = self.cells.table.frame[list(dict.fromkeys(wanted))].iloc[rows]
        return [
            {c: None if is_missing(v) else v.item() if isinstance(v, np.generic) else v for c, v in record.items()}
            for record in frame.to_dict("records")
        ]

    def judge(self, rows: np.ndarray, *, bootstrap: int = 1000) -> dict[str, OutputReport]:
        """Output -> how good it is on some rows."""
        bundle, records = self.cells.bundle, self.records(rows)
        answers, _ = self.runtime.predict(records)
        scores = self.runtime.scores(records, [list(self.runtime.inputs)])
        found = {}
        for name, facts in self.runtime.outputs.items():
            extra = {"probabilities": scores[name][0]} if facts.labels and name in scores else {}
            if facts.labels and name in scores:
                extra["confidence"] = np.array([answer[name].confidence or 0.0 for answer in answers])
            found[name] = Prediction([answer[name].value for answer in answers], None, extra)
        weights = metric_weights(bundle.recipe, self.cells.table, rows)
        outcomes = make_outcomes(bundle, self.cells.prepared, rows, found, weights)
        return {name: judge(outcome, bootstrap=bootstrap) for name, outcome in outcomes.items()}

    def answering(self, rows: np.ndarray) -> Callable[[], Any]:
        """A call that answers some rows, whose cells are ready and not yet encoded."""
        feeds = self.runtime.feeds(self.records(rows))
        return lambda: self.runtime.answer(feeds)

    def numbers(self) -> tuple[int, int]:
        """How many numbers the graphs hold, and how many of them are not 0."""
        found = [graphs.numbers(path) for path in self.folder.glob("*.onnx")]
        return sum(a for a, _ in found), sum(b for _, b in found)

    def peak(self, folder: Path, rows: np.ndarray) -> int:
        """Bytes that a process of its own holds at most which loads the folder and answers some rows.

        Raises:
            RuntimeError: that process failed.
        """
        with tempfile.TemporaryDirectory() as place:
            path, root = Path(place) / "rows.json", self.cells.table.root
            text = json.dumps(self.records(rows), default=_as_text, ensure_ascii=False)
            path.write_text(text, encoding="utf8")
            return peak_memory("polyfuse.compress.fresh", folder, path, root or "")


def _as_text(cell: Any) -> Any:
    """A cell that JSON does not know."""
    if isinstance(cell, bytes):
        return f"data:application/octet-stream;base64,{base64.b64encode(cell).decode()}"
    return cell.tolist() if isinstance(cell, np.ndarray) else str(cell)


def exported(bundle: Bundle, cells: Cells, calibration: np.ndarray | None) -> Exported:
    """A model as ONNX graphs in 8 bits.

    Args:
        cells: the table, as the model reads it.
        calibration: rows that show the ranges of activations; None where these are rounded as they come.

    Raises:
        ValueError: the model cannot be exported, or no row of these has anything in one of its inputs.
    """
    made = Exported(bundle, tempfile.TemporaryDirectory())
    whole = to_onnx(bundle, Path(made.place.name) / "whole", name="model")
    feeds = _feeds(FolderRows(whole, cells), calibration) if calibration is not None else {}
    network = bundle.network
    fixed = [name.split(".", 2)[-1] for name, _ in network.named_buffers()]
    made.folder.mkdir()
    for path in sorted(whole.rglob("*")):
        target = made.folder / path.relative_to(whole)
        if path.is_dir():
            target.mkdir(exist_ok=True)
        elif path.suffix == ".onnx":
            graphs.quantised(path, target, fixed=fixed, feeds=feeds.get(path.name))
        elif path.name != MANIFEST:
            target.write_bytes(path.read_bytes())
    facts = json.loads((whole / MANIFEST).read_text(encoding="utf8"))
    facts = {key: value for key, value in facts.items() if key != "sha256"}
    write_manifest(made.folder, {**facts, "calibrated": calibration is not None})
    return made


def over(made: Bundle | Exported, study: Study) -> Cells | FolderRows:
    """What was made, over the rows of a study."""
    if isinstance(made, Exported):
        return FolderRows(made.folder, study.read(made.bundle))
    return study.read(made)


def _feeds(rows: FolderRows, calibration: np.ndarray) -> dict[str, list[dict[str, np.ndarray]]]:
    """Graph -> what it takes of each calibration row."""
    records = rows.records(calibration)
    for name, facts in rows.runtime.inputs.items():
        if all(record.get(column) is None for record in records for column in facts.columns):
            raise ValueError(
                f"quantize: none of the {len(records)} calibration rows has anything in input {name!r} "
                f"({', '.join(facts.columns)}); take more rows (rows), or form dynamic"
            )
    found: dict[str, list[dict[str, np.ndarray]]] = {}
    for record in records:
        for file, feed in rows.runtime.feeds([record]).items():
            found.setdefault(file, []).append(feed)
    return found
