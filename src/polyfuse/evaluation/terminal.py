"""A report in the terminal: the same findings as the page, in a screen or two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from polyfuse.errors import format_count
from polyfuse.evaluation import glossary
from polyfuse.evaluation.outcome import OutputReport
from polyfuse.evaluation.passages import clip_text

if TYPE_CHECKING:
    from polyfuse.evaluation.curves import Curve, Headline
    from polyfuse.evaluation.folds import Folds
    from polyfuse.evaluation.report import Report
    from polyfuse.evaluation.robustness_report import RobustnessReport
    from polyfuse.evaluation.summary import Summary

CLASSES = 15  # shown at most, the weakest
FOLDS = 5  # folds up to which each has a column
COLUMNS = 20  # shown at most, those worth most
TEXTS = 2  # rows shown of those that are worst, best and drawn by chance
BROKEN = 5  # broken cells shown per column


def render(report: Report) -> RenderableType:
    """Headline metrics with intervals and baseline, classes, the missing-modality table, broken cells, notes."""
    parts: list[RenderableType] = []
    for name, output in report.outputs.items():
        parts += _metrics(name, output)
        if output.per_class:
            parts += _classes(name, output)
        parts += [f"[dim]{escape(note)}[/dim]" for note in output.notes]
        if output.task == "text":
            parts += _texts(name, report)
    if report.folds is not None:
        parts += _folds(report.folds)
    if report.missing_modality:
        parts += _missing(report)
    if report.importance:
        parts += _importance(report)
    if report.alignment:
        parts += _alignment(report)
    if report.broken:
        parts += _broken(report.broken)
    if report.seconds:
        parts += [f"\n[dim]time: {escape(glossary.format_seconds(report.seconds))}[/dim]"]
    parts += [f"[yellow]note:[/yellow] {escape(str(note))}" for note in report.meta.get("notes", [])]
    return Group(*parts)


def _heading(text: str, facts: str = "") -> str:
    return f"\n[bold]{escape(text)}[/bold]" + (f" [dim]({escape(facts)})[/dim]" if facts else "")


def _table(*columns: str, text: int = 1) -> Table:
    """A plain table whose columns after the first ``text`` hold numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for position, column in enumerate(columns):
        table.add_column(escape(column), justify="left" if position < text else "right", header_style="dim")
    return table


def _metrics(name: str, output: OutputReport) -> list[RenderableType]:
    table = _table("metric", "value", "95 % interval", "baseline")
    for metric, value in output.metrics.items():
        interval = glossary.format_interval(metric, output.intervals.get(metric))
        baseline = output.baseline.metrics.get(metric)
        table.add_row(
            glossary.term(metric).title,
            glossary.format_value(metric, value),
            interval,
            "" if baseline is None else glossary.format_value(metric, baseline),
            style="bold" if metric in output.headline else "",
        )
    judged = format_count(output.rows, "row")
    decoding = f"; answers made with {glossary.format_settings(output.decoding)}" if output.decoding else ""
    return [_heading(name, f"{output.task}, {judged}; baseline: {output.baseline.name}{decoding}"), table]


def _texts(name: str, report: Report) -> list[RenderableType]:
    """What was written about some rows, worst, best and by chance, beside the first reference of each."""
    metric = report.outputs[name].headline[0]
    kinds = {"worst": (True, False), "best": (False, True), "by chance": (False, False)}
    table = _table("row", "shown as", glossary.term(metric).title, "written", "reference", text=2)
    for column in table.columns[3:]:
        column.justify, column.overflow = "left", "ellipsis"
    for title, kind in kinds.items():
        own = [s for s in report.samples if s.output == name and (s.worst, s.best) == kind]
        for sample in own[:TEXTS]:
            marks = {True: "right", False: "wrong", None: glossary.NOTHING}
            score = marks[sample.right] if sample.score is None else glossary.format_value(metric, sample.score)
            target = sample.target if isinstance(sample.target, str) else "".join(sample.target[:1])
            said = (clip_text("" if sample.prediction is None else str(sample.prediction)), clip_text(target))
            table.add_row(str(sample.row), title, score, *(escape(text) or "[dim]empty[/dim]" for text in said))
    return [_heading(f"{name} in some rows", "the first reference of each"), table] if table.rows else []


def _classes(name: str, output: OutputReport) -> list[RenderableType]:
    return _by_class(f"{name} by class", output.per_class) + _by_class(f"{name} by tag of a word", output.per_token)


def _by_class(title: str, rows: list[dict[str, Any]]) -> list[RenderableType]:
    """Precision, recall and F1 of each class, or of the weakest where there are many."""
    facts = ""
    if not rows:
        return []
    if len(rows) > CLASSES:
        weakest = sorted((r for r in rows if r["support"]), key=lambda r: r["f1"] or 0)
        rows, facts = weakest[:CLASSES], f"the weakest of {len(rows):,}"
    table = _table("class", "rows", "precision", "recall", "F1")
    for row in rows:
        shares = (glossary.format_value("macro_f1", row[key]) for key in ("precision", "recall", "f1"))
        table.add_row(escape(str(row["class"])), f"{row['support']:,}", *shares)
    return [_heading(title, facts), table]


def _folds(folds: Folds) -> list[RenderableType]:
    """Mean and spread over folds, and the value in each where there are few."""
    few = len(folds.rows) if len(folds.rows) <= FOLDS else 0
    parts: list[RenderableType] = []
    for output, metrics in folds.metrics.items():
        table = _table("metric", "mean", "spread", *(f"fold {k + 1}" for k in range(few)))
        for metric, values in metrics.items():
            found = (folds.mean(output, metric), folds.spread(output, metric), *values[:few])
            table.add_row(glossary.term(metric).title, *(glossary.format_value(metric, value) for value in found))
        parts += [_heading(f"{output} in {len(folds.rows)} folds", "spread: standard deviation"), table]
    return parts


def _alignment(report: Report) -> list[RenderableType]:
    names = list(report.alignment[0]["metrics"])
    table = _table("query", "finds", "queries", "gallery", *(glossary.term(n).title for n in names), text=2)
    for row in report.alignment:
        shown = (glossary.format_value(name, row["metrics"][name]) for name in names)
        table.add_row(escape(row["query"]), escape(row["gallery"]), f"{row['queries']:,}", f"{row['size']:,}", *shown)
    return [_heading("alignment", "each cell against the whole gallery"), table]


def _missing(report: Report) -> list[RenderableType]:
    metrics = {name: output.headline[0] for name, output in report.outputs.items()}
    alone = len(metrics) == 1  # intervals of several outputs side by side would not fit
    headings = [f"{name}: {glossary.term(metric).title}" for name, metric in metrics.items()]
    table = _table("inputs", *headings, *(["95 % interval"] if alone else []))
    for row in report.missing_modality:
        cells = [glossary.format_value(metric, row[name][metric]) for name, metric in metrics.items()]
        intervals = [glossary.format_interval(m, row[n].get(f"{m}_ci")) for n, m in metrics.items()]
        table.add_row(escape(" + ".join(row["inputs"])), *cells, *(intervals if alone else []))
    return [_heading("with only some inputs present"), table]


def _importance(report: Report) -> list[RenderableType]:
    titles = [f"{name}: {glossary.term(output.headline[0]).title}" for name, output in report.outputs.items()]
    table = _table("column", "input", *titles, text=2)
    for row in report.importance[:COLUMNS]:
        table.add_row(
            escape(row["column"]),
            escape(", ".join(row["inputs"])),
            *(glossary.format_loss(row[name]["metric"], row[name]["drop"]) for name in report.outputs),
        )
    rows, count = report.importance[0]["rows"], len(report.importance)
    most = f"the first {COLUMNS} of {count:,}, " if count > COLUMNS else ""
    return [_heading("what is lost when one column is shuffled", f"{most}{format_count(rows, 'row')}"), table]


def _broken(broken: Mapping[str, Any]) -> list[RenderableType]:
    table = _table("column", "row", "file", "reason", text=4)
    for column, cells in broken.items():
        listed = [] if isinstance(cells, int) else cells[:BROKEN]
        count = cells if isinstance(cells, int) else len(cells)
        for cell in listed:
            texts = (column, cell["row"], cell.get("file") or "", cell["reason"])
            table.add_row(*(escape(str(text)) for text in texts))
        if count > len(listed):
            total = format_count(count, "cell") + (" in all" if listed else "")
            table.add_row(escape(column), "", "", f"[dim]{total}[/dim]")
    return [_heading("cells that could not be read, counted as missing"), table]


def render_robustness(report: RobustnessReport) -> RenderableType:
    """One table per output: each input's mean curve, its corruptions below it, then all inputs together."""
    parts: list[RenderableType] = []
    for name, headline in report.headlines.items():
        direction = "higher" if headline.higher else "lower"
        baseline = f"{headline.baseline_name} reaches {glossary.format_value(headline.metric, headline.baseline)}"
        facts = f"{format_count(report.rows, 'row')}, {direction} is better; {baseline}"
        unit = " (%)" if glossary.term(headline.metric).percent else ""
        parts += [_heading(f"{name}: {glossary.term(headline.metric).title} under noise{unit}", facts)]
        parts += [_severity_table(report, name, headline)]
    parts += ["[dim]area: mean height of the curve; kept: share left of the advantage over the baseline[/dim]"]
    parts += [f"[yellow]note:[/yellow] {escape(str(note))}" for note in report.meta.get("notes", [])]
    return Group(*parts)


def _severity_table(report: RobustnessReport, output: str, headline: Headline) -> Table:
    points = report.together.curves[output].points
    table = _table("noise in", *(f"{p.severity:g}" for p in points), "area", "kept")

    def add(label: str, curve: Curve, style: str) -> None:
        values = [glossary.format_value(headline.metric, v) for v in (*(p.value for p in curve.points), curve.area)]
        values = [value.removesuffix(" %") for value in values]  # the heading says it, and names need the room
        table.add_row(escape(label), *values, glossary.format_value("accuracy", curve.retention), style=style)

    for name, found in report.inputs.items():
        add(name, found.curves[output], "bold")
        for corruption, curves in found.by_corruption.items():
            add(f"  {corruption}", curves[output], "")
    add("all together", report.together.curves[output], "bold")
    return table


def render_columns(rows: int, columns: Sequence[Mapping[str, Any]], notes: Sequence[str] = ()) -> RenderableType:
    """What ``inspect`` found of each column, the cells that cannot be read, then notes."""
    shown = Table(box=box.SIMPLE, title=f"{rows:,} rows", title_justify="left")
    for header in ("column", "modality", "role", "missing", "broken", "distinct", "reason"):
        shown.add_column(header, overflow="fold", justify="right" if header in ("missing", "broken") else "left")
    for row in columns:
        facts = [str(row[key]) for key in ("column", "modality", "role", "missing", "broken", "distinct")]
        shown.add_row(*map(escape, [*facts, f"{row['reason']}; such as: {row['example']}"]))
    broken = [_unreadable(columns)] if any(row["broken_cells"] for row in columns) else []
    return Group(shown, *broken, *(f"[yellow]note:[/yellow] {escape(str(note))}" for note in notes))


def _unreadable(columns: Sequence[Mapping[str, Any]]) -> Table:
    """The first cells of each column that cannot be read."""
    shown = Table(box=box.SIMPLE, title="cells that cannot be read, and count as missing", title_justify="left")
    for header in ("column", "row", "cell", "reason"):
        shown.add_column(header, overflow="fold")
    for row in columns:
        cells = row["broken_cells"]
        for cell in cells[:BROKEN]:
            shown.add_row(*(escape(str(text)) for text in (row["column"], cell["row"], cell["file"], cell["reason"])))
        if len(cells) > BROKEN:
            shown.add_row(escape(row["column"]), "", "", f"and {len(cells) - BROKEN:,} more; --json has all")
    return shown


def render_summary(summary: Summary) -> RenderableType:
    """A line per part with its parameters, its size and, where measured, its milliseconds per row."""
    timed = any(part.milliseconds is not None for part in summary.parts)
    table = _table("part", "name", "what", "trained", "parameters", "size", *(["ms a row"] if timed else []), text=4)
    for part in summary.parts:
        cost = "" if part.milliseconds is None else f"{part.milliseconds:.2f}"
        cells = (
            part.kind,
            part.name,
            part.what,
            part.trained,
            f"{part.parameters:,}",
            glossary.format_bytes(part.size),
        )
        table.add_row(*map(escape, cells), *([cost] if timed else []))
    place = f" in {summary.folder}" if summary.folder else ""
    facts = f"{summary.parameters:,} parameters, {glossary.format_bytes(summary.size)}{place}"
    rows, steps = summary.facts.get("rows", {}), summary.facts.get("steps")
    trained = f"trained on {format_count(rows['train'], 'row')} in {steps:,} steps" if rows and steps else ""
    return Group(_heading(summary.name, facts), table, *([f"[dim]{trained}[/dim]"] if trained else []))
