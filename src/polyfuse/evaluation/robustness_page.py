"""The robustness report as one HTML page: this file prepares what ``robustness.html`` shows, in the report's style."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from polyfuse.data.corrupt import corruptions_for
from polyfuse.evaluation import figures, glossary
from polyfuse.evaluation.curves import Curve, Headline
from polyfuse.evaluation.figures import Line
from polyfuse.evaluation.html import environment, format_fact, markup

if TYPE_CHECKING:
    from polyfuse.evaluation.robustness_report import Noised, RobustnessReport

TOGETHER = "all together"


def page(report: RobustnessReport) -> str:
    """The whole page."""
    return environment().get_template("robustness.html").render(_view(report))


def _view(report: RobustnessReport) -> dict[str, Any]:
    meta = dict(report.meta)
    return {
        "report": report,
        "meta": report.meta,
        "title": str(meta.pop("model", "model")),
        "notes": meta.pop("notes", []),
        "facts": {key: format_fact(value) for key, value in meta.items()} | {"seed of the noise": str(report.seed)},
        "severities": [f"{p.severity:g}" for p in next(iter(report.together.curves.values())).points],
        "outputs": [_output(report, name, headline) for name, headline in report.headlines.items()],
        "corruptions": _corruptions(report),
        "terms": [glossary.term(h.metric) for h in {h.metric: h for h in report.headlines.values()}.values()],
        "nothing": glossary.NOTHING,
    }


def _output(report: RobustnessReport, name: str, headline: Headline) -> dict[str, Any]:
    means = {input_: found.curves[name] for input_, found in report.inputs.items()}
    together = report.together.curves[name]
    lines = [Line(input_, curve) for input_, curve in means.items()] + [Line(TOGETHER, together, "main")]
    return {
        "name": name,
        "metric": glossary.term(headline.metric).title,
        "clean": glossary.format_value(headline.metric, headline.clean),
        "interval": glossary.format_interval(headline.metric, headline.interval),
        "baseline": glossary.format_value(headline.metric, headline.baseline),
        "baseline_name": headline.baseline_name,
        "higher": headline.higher,
        "plot": _plot(lines, headline, f"{name} under noise in each input"),
        "rows": [_row(label, curve, headline) for label, curve in [*means.items(), (TOGETHER, together)]],
        "inputs": [_input(input_, found, name, headline) for input_, found in report.inputs.items()],
    }


def _input(name: str, found: Noised, output: str, headline: Headline) -> dict[str, Any]:
    each = {corruption: curves[output] for corruption, curves in found.by_corruption.items()}
    lines = [Line(corruption, curve) for corruption, curve in each.items()]
    lines += [Line("mean", found.curves[output], "main")] if len(lines) > 1 else []
    return {
        "name": name,
        "modality": found.modality,
        "present": found.rows,
        "plot": _plot(lines, headline, f"{output} under noise in {name}"),
        "rows": [_row(corruption, curve, headline) for corruption, curve in each.items()],
    }


def _plot(lines: list[Line], headline: Headline, title: str) -> Any:
    return markup(figures.curves(lines, headline.metric, headline.baseline, title))


def _row(label: str, curve: Curve, headline: Headline) -> dict[str, Any]:
    """One line of a table; the bar shows what is kept, from nothing to all."""
    kept = curve.retention
    return {
        "label": label,
        "values": [glossary.format_value(headline.metric, p.value) for p in curve.points],
        "intervals": [glossary.format_interval(headline.metric, p.interval) for p in curve.points],
        "area": glossary.format_value(headline.metric, curve.area),
        "kept": glossary.format_value("accuracy", kept),
        "at": None if kept is None else round(100 * min(1.0, max(0.0, kept)), 2),
    }


def _corruptions(report: RobustnessReport) -> list[dict[str, str]]:
    """What each kind of noise in the report does."""
    found = {
        (str(noised.modality), name): corruptions_for(str(noised.modality))[name]
        for noised in report.inputs.values()
        for name in noised.by_corruption
    }
    return [
        {"modality": modality, "name": name, "summary": corruption.summary, "paper": corruption.paper}
        for (modality, name), corruption in found.items()
    ]
