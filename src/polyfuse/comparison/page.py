"""A comparison as one HTML page: this file prepares what ``compare.html`` shows, in the report's style."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from polyfuse.comparison.plot import cost
from polyfuse.comparison.terminal import p_text
from polyfuse.evaluation import glossary
from polyfuse.evaluation.html import environment, format_fact, markup

if TYPE_CHECKING:
    from polyfuse.comparison.findings import Comparison, Line


def page(comparison: Comparison) -> str:
    """The whole page."""
    return environment().get_template("compare.html").render(_view(comparison))


def _view(comparison: Comparison) -> dict[str, Any]:
    meta = dict(comparison.meta)
    notes, rows = meta.pop("notes", []), meta["rows"]
    inputs = [line.name for line in comparison.single]
    return {
        "output": comparison.output,
        "metric": glossary.term(comparison.metric),
        "meta": comparison.meta,
        "rows": rows,
        "notes": notes,
        "best": comparison.best,
        "against": comparison.meta.get("against"),
        "kind": comparison.kind,
        "base": comparison.base,
        "inputs": inputs,
        "plot": markup(cost(comparison)),
        "fusions": [_row(line, comparison.metric, inputs) for line in comparison.fusions],
        "single": [_row(line, comparison.metric, inputs) for line in comparison.single],
        "facts": {key: format_fact(value) for key, value in meta.items()},
        "nothing": glossary.NOTHING,
    }


def _row(line: Line, metric: str, inputs: list[str]) -> dict[str, Any]:
    if line.found is None:
        return {"name": line.name, "refused": line.refused}
    return {
        "name": line.name,
        "refused": None,
        "completed": line.completed,
        "value": glossary.format_value(metric, line.found.value),
        "interval": glossary.format_interval(metric, line.found.interval),
        "seeds": len(line.runs),
        "deviation": glossary.NOTHING if line.found.deviation is None else glossary.format_number(line.found.deviation),
        "p_single": p_text(line.p_single),
        "p_concat": p_text(line.p_concat),
        "without": [glossary.format_value(metric, line.without.get(name)) for name in inputs],
        "noise": glossary.format_value(metric, line.mean("noise")),
        "kept": glossary.format_value("accuracy", line.mean("retention")),
        "parameters": f"{line.mean('parameters') or 0:,.0f}",
        "seconds": f"{line.mean('train_seconds') or 0:.1f}",
        "latency": f"{line.mean('predict_ms') or 0:.2f}",
        "query": line.runs[0].query,
    }
