"""A report as one HTML page: this file prepares what ``report.html`` shows, ``report.css`` says how it looks.

Whatever comes from a table is text to the template and is escaped there; media become data URIs of known types. The
page's own content policy forbids scripts and requests all the same.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from polyfuse.errors import format_count
from polyfuse.evaluation import figures, glossary
from polyfuse.evaluation.marked_words import Piece
from polyfuse.evaluation.outcome import Confusion, OutputReport
from polyfuse.evaluation.passages import REFERENCES, Passage, fold_text
from polyfuse.evaluation.previews import CellPreview, preview_media

if TYPE_CHECKING:
    from polyfuse.evaluation.attention_view import AttentionView
    from polyfuse.evaluation.folds import Folds
    from polyfuse.evaluation.report import Report
    from polyfuse.evaluation.samples import Sample

MATRIX = 20  # classes up to which a confusion matrix is readable
TABLE = 30  # classes listed at most, the weakest ones
BROKEN = 20  # broken cells listed per column
MEANING = (
    "Warm is where the decoder looked while it wrote the word, more than on the average. It says where it looked, not "
    "why it wrote the word; a region may know of its neighbours too, through the encoder and the fusion."
)
KINDS = {  # of samples: among the worst, among the best -> heading, and heading where rows have scores
    (True, False): ("Largest mistakes", "Worst rows by {}"),
    (False, True): ("Best rows", "Best rows by {}"),
    (False, False): ("Rows drawn by chance", "Rows drawn by chance"),
}
MIME = ((b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"), (b"RIFF", "audio/wav"))


def page(report: Report) -> str:
    """The whole page."""
    return environment().get_template("report.html").render(_view(report))


def environment() -> Any:
    """Jinja with the pages' folder and filters; whatever it writes is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        written=_format_value,
        number=glossary.format_number,
        counted=format_count,
        label=write_label,
        term=glossary.term,
    )
    return made


def _view(report: Report) -> dict[str, Any]:
    meta = dict(report.meta)
    rows = [(title, shown) for title, shown in _samples(report) if shown]
    return {
        "report": report,
        "title": str(meta.pop("model", "model")),
        "notes": meta.pop("notes", []),
        "members": meta.pop("members", {}),
        "facts": {key: format_fact(value) for key, value in meta.items()}
        | ({"time": glossary.format_seconds(report.seconds)} if report.seconds else {}),
        "training": markup(figures.training(report.history)) if any(h["steps"] for h in report.history) else "",
        "networks": len(report.history),
        "validated": any(h["val_steps"] for h in report.history),
        "meta": report.meta,
        "outputs": [_output(name, output) for name, output in report.outputs.items()],
        "folds": _folds(report.folds) if report.folds is not None else [],
        "missing": _missing(report),
        "inputs": report.missing_modality[0]["inputs"] if report.missing_modality else [],
        "importance": [_importance(report, row) for row in report.importance],
        "samples": rows,
        "looked": [sample for _, shown in rows for sample in shown if sample["looked"]],
        "broken": [_broken(column, cells) for column, cells in report.broken.items()],
        "terms": _terms(report),
        "nothing": glossary.NOTHING,
        "few": REFERENCES,
        "meaning": MEANING,
        "brought": any(sample.contributions for sample in report.samples),
    }


def _output(name: str, output: OutputReport) -> dict[str, Any]:
    main = output.headline[0]
    return {
        "name": name,
        "output": output,
        "main": {**_metric(output, main), **_bar(output, main)},
        "others": [_metric(output, m) for m in output.headline[1:] if output.metrics[m] is not None],
        "metrics": [_metric(output, metric) for metric in output.metrics],
        "classes": _weakest_classes(output.per_class),
        "tokens": _weakest_classes(output.per_token),
        "matrix": _matrix(output.confusion) if output.confusion else None,
        "confusions": output.confusion.top() if output.confusion else [],
        "reliability": markup(figures.reliability(output.reliability)) if output.reliability else "",
        "scatter": _scatter(output, name),
        "decoding": glossary.format_settings(output.decoding),
        "points": min(output.rows, figures.MOST_POINTS),
    }


def _scatter(output: OutputReport, name: str) -> Any:
    if output.scatter is None or not np.isfinite(output.scatter[1]).any():
        return ""
    return markup(figures.scatter(*output.scatter, name))


def markup(text: str) -> Any:
    """A figure as it is."""
    from markupsafe import Markup

    return Markup(text)  # matplotlib has escaped the names in it


def _metric(output: OutputReport, name: str) -> dict[str, Any]:
    value = output.metrics[name]
    return {
        "name": name,
        "title": glossary.term(name).title,
        "meaning": glossary.term(name).meaning,
        "value": glossary.format_value(name, value),
        "interval": glossary.format_interval(name, output.intervals.get(name)),
        "baseline": _format_value(output.baseline.metrics.get(name), name),
    }


def _bar(output: OutputReport, name: str) -> dict[str, float | None]:
    low, high = output.intervals.get(name, (None, None))
    return _bar_positions(output.metrics[name], low, high, output.baseline.metrics.get(name))


def _bar_positions(*values: float | None) -> dict[str, float | None]:
    """Where a value, its interval and its baseline lie on a bar, in percent of its length."""
    placed = (None if v is None else round(100 * min(1.0, max(0.0, v)), 2) for v in values)
    return dict(zip(("at", "low", "high", "chance"), placed, strict=True))


def _weakest_classes(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every class in its own order, or the weakest ones when there are many."""
    if len(rows) <= TABLE:
        return rows
    present = [row for row in rows if row["support"]]
    return sorted(present, key=lambda row: row["f1"] or 0)[:TABLE]


def _matrix(confusion: Confusion) -> dict[str, Any] | None:
    """Counts with their share of the true class, which gives the shade; None when there are too many classes."""
    if not 1 < len(confusion.classes) <= MATRIX:
        return None
    shares = confusion.counts / np.maximum(confusion.counts.sum(1, keepdims=True), 1)
    rows = [
        (name, [(int(count), round(float(share), 3)) for count, share in zip(counts, row, strict=True)])
        for name, counts, row in zip(confusion.classes, confusion.counts, shares, strict=True)
    ]
    return {"classes": confusion.classes, "rows": rows, "long": max(len(str(c)) for c in confusion.classes) > 4}


def _folds(folds: Folds) -> list[dict[str, Any]]:
    """One table per output: each metric's mean and spread over folds, and its value in each."""
    return [
        {
            "output": output,
            "count": len(folds.rows),
            "metrics": [
                {
                    "title": glossary.term(metric).title,
                    "mean": glossary.format_value(metric, folds.mean(output, metric)),
                    "spread": glossary.format_value(metric, folds.spread(output, metric)),
                    "values": [glossary.format_value(metric, value) for value in values],
                }
                for metric, values in metrics.items()
            ],
        }
        for output, metrics in folds.metrics.items()
    ]


def _missing(report: Report) -> list[dict[str, Any]]:
    """One line per subset of inputs: the main metric of each output and its distance from having all inputs."""
    return [
        {"keep": row["inputs"], "cells": [_cell(report, row, name) for name in report.outputs if name in row]}
        for row in report.missing_modality
    ]


def _cell(report: Report, row: dict[str, Any], name: str) -> dict[str, Any]:
    output = report.outputs[name]
    metric = output.headline[0]
    value, full = row[name][metric], report.missing_modality[0][name][metric]
    low, high = row[name].get(f"{metric}_ci", (None, None))
    lost = None if value is None or full is None or row is report.missing_modality[0] else value - full
    return {
        "output": name,
        "title": glossary.term(metric).title,
        "value": glossary.format_value(metric, value),
        "interval": glossary.format_interval(metric, None if low is None else (low, high)),
        "lost": "" if lost is None else glossary.format_difference(metric, lost),
        **_bar_positions(value, low, high, output.baseline.metrics.get(metric)),
    }


def _importance(report: Report, row: dict[str, Any]) -> dict[str, Any]:
    """What shuffling one column costs each output, with its length of a bar: the share of the greatest loss."""
    cells = []
    for name in report.outputs:
        most = max([1e-12, *(other[name]["drop"] or 0 for other in report.importance)])
        drop = row[name]["drop"]
        share = 100 * max(0.0, drop or 0.0) / most
        cells.append({"lost": glossary.format_loss(row[name]["metric"], drop), "at": round(share, 1)})
    return {"column": row["column"], "inputs": ", ".join(row["inputs"]), "rows": row["rows"], "cells": cells}


def _samples(report: Report) -> list[tuple[str, list[dict[str, Any]]]]:
    several = len(report.outputs) > 1
    found = []
    for name, output in report.outputs.items():
        own = [sample for sample in report.samples if sample.output == name]
        title = glossary.term(output.headline[0]).title
        for kind, headings in KINDS.items():
            heading = headings[output.score is not None].format(title) + (f": {name}" if several else "")
            found.append((heading, [_sample(s, output.task) for s in own if (s.worst, s.best) == kind]))
    return found


def _sample(sample: Sample, task: str) -> dict[str, Any]:
    text = task == "text"
    numeric = sample.right is None and sample.score is None and not text and sample.marked is None
    numeric = numeric and sample.timeline is None
    write = glossary.format_number if numeric else write_label
    references = sample.target if isinstance(sample.target, (list, tuple)) else [sample.target]
    made = _made_media(sample)
    return {
        "sample": sample,
        "target": "" if made else write(sample.target),
        "prediction": "" if made else write(sample.prediction),
        "made": made,
        "marked": _marked(sample),
        "timeline": sample.timeline,
        "references": [fold_text(str(one)) for one in references or [""]] if text else [],
        "said": fold_text(write_label(sample.prediction) if sample.prediction is not None else "") if text else None,
        "score": None if sample.metric is None else glossary.format_value(sample.metric, _finite(sample.score)),
        "by": None if sample.metric is None else glossary.term(sample.metric).title,
        "error": glossary.format_signed(sample.prediction - sample.target) if numeric else None,
        "looked": None if sample.looked is None else attention_rows(sample.looked),
        "brought": _brought(sample),
        "cells": [
            (column, cell, data_uri(cell.kind, cell.data), _passage(cell)) for column, cell in sample.cells.items()
        ],
        "pictures": sum(cell.kind == "image" for cell in sample.cells.values()),
    }


def _brought(sample: Sample) -> list[tuple[str, str, float, bool]]:
    """Input, what it brought to the answer, its share of the greatest in percent, and whether it speaks for it."""
    found = sample.contributions or {}
    most = max((abs(score) for score in found.values()), default=0.0) or 1.0
    return [(name, glossary.format_signed(score), 50 * abs(score) / most, score > 0) for name, score in found.items()]


def _marked(sample: Sample) -> list[tuple[str, list[Piece]]]:
    """The words of a row with their tags in colour, true and predicted."""
    if sample.marked is None:
        return []
    sides = [("True", sample.marked.true), ("Predicted", sample.marked.predicted)]
    return [(title, pieces) for title, pieces in sides if pieces is not None]


def _made_media(sample: Sample) -> list[tuple[str, str, str | None]]:
    """Kind and data URI of the reference and of what was made, where they are pictures or sounds."""
    sides = [("True", preview_media(sample.target)), ("Made", preview_media(sample.prediction))]
    if sample.drawn is not None:
        sides = [("True", sample.drawn.true), ("Predicted", sample.drawn.predicted)]
    return [(title, shown.kind, data_uri(shown.kind, shown.data)) for title, shown in sides if shown is not None]


def _passage(cell: CellPreview) -> Passage | None:
    """A cell's text; None of anything else."""
    return fold_text(str(cell.data)) if cell.kind == "text" else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None


def attention_rows(looked: AttentionView) -> dict[str, Any]:
    """What a text was written about, as ``looks.html`` shows it."""
    return {
        "text": looked.text,
        "shares": [(name or "no single input", share) for name, share in looked.shares.items() if name or share],
        "strips": [
            replace(s, words=[replace(w, picture=data_uri("image", w.picture)) for w in s.words]) for s in looked.strips
        ],
    }


def data_uri(kind: str, data: Any) -> str | None:
    """The data URI of an image or sound; None for other cells, and for bytes of no known type."""
    if not isinstance(data, bytes):
        return None
    mime = next((mime for head, mime in MIME if data.startswith(head)), None)
    if mime is None or not mime.startswith("image" if kind == "film" else kind):
        return None
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def _broken(column: str, cells: Sequence[dict[str, Any]] | int) -> dict[str, Any]:
    listed = [] if isinstance(cells, int) else cells
    return {"column": column, "count": cells if isinstance(cells, int) else len(cells), "cells": listed[:BROKEN]}


def _terms(report: Report) -> list[glossary.Term]:
    names = dict.fromkeys(name for output in report.outputs.values() for name in output.metrics)
    return [glossary.term(name) for name in names if glossary.term(name).meaning]


def _format_value(value: float | None, name: str) -> str:
    return glossary.format_value(name, value)


def format_fact(value: Any) -> str:
    """A fact of ``meta`` for people."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {format_fact(item)}" for key, item in value.items())
    if isinstance(value, float) or (isinstance(value, int) and abs(value) >= 100_000):
        return glossary.format_number(value)
    return write_label(value)


def write_label(value: Any) -> str:
    """A label, or a list of labels, as the table has it."""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(write_label, value)) or "none"
    if isinstance(value, np.generic):
        return write_label(value.item())
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # a whole number beside missing cells
    return glossary.NOTHING if value is None else str(value)
