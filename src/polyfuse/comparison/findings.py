"""What a comparison found: one row per fusion and per single input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from polyfuse.comparison.context import Context, Run
from polyfuse.comparison.plan import Trial
from polyfuse.comparison.statistics import MethodMetric, holm, measure_method, p_value
from polyfuse.evaluation.outcome import to_plain_json
from polyfuse.evaluation.rendering import RenderedPage

TESTED_FROM = 0.25  # share of the schedule from which on a comparison under a budget has p-values


@dataclass(frozen=True, repr=False)
class Line:
    """One row: a fusion of all inputs, or one input alone.

    Args:
        name: of the fusion or input.
        runs: complete runs, one per seed; of a fusion that was stopped early, its last short run.
        found: the metric over the seeds; None for a fusion that was refused.
        completed: False where it was stopped early or refused.
        refused: why it cannot be built for these inputs.
        p_single, p_concat: adjusted p-values against the best single input and against ``concat``, or the base.
    """

    name: str
    runs: tuple[Run, ...]
    found: MethodMetric | None
    completed: bool
    refused: str | None = None
    p_single: float | None = None
    p_concat: float | None = None

    def __repr__(self) -> str:
        value = "refused" if self.found is None else f"{self.found.value:.4g}"
        return f"Line({self.name}: {value}, {len(self.runs)} runs{'' if self.completed else ', not complete'})"

    def mean(self, name: str) -> float | None:
        """Mean of a fact over the runs, None where a run has none."""
        values = [getattr(run, name) for run in self.runs]
        return None if not values or any(value is None for value in values) else float(np.mean(values))

    @property
    def without(self) -> dict[str, float | None]:
        """Input -> the metric when it is missing in every row, mean over seeds."""
        names = self.runs[0].without if self.runs else {}
        each = {name: [run.without[name] for run in self.runs] for name in names}
        return {n: None if any(v is None for v in values) else float(np.mean(values)) for n, values in each.items()}  # type: ignore[arg-type]


@dataclass(frozen=True, repr=False)
class Comparison(RenderedPage):
    """Fusions and single inputs on the same rows. ``rich.print(comparison)`` shows it in the terminal.

    Args:
        output, metric, higher: what is compared, and whether more is better.
        fusions: in the order of the metric, the best first; stopped and refused ones last.
        single: one line per input.
        best: the fusion that was best on validation rows, None without any.
        meta: ``table``, ``rows``, ``seeds``, ``machine``, ``notes`` and more.
        kind, base: ``fusion`` or ``alignment``, and the one of them that the others are compared with.
    """

    output: str
    metric: str
    higher: bool
    fusions: list[Line]
    single: list[Line]
    best: str | None
    meta: dict[str, Any] = field(default_factory=dict)
    kind: str = "fusion"
    base: str = "concat"

    def __repr__(self) -> str:
        lines = ", ".join(f"{line.name} {line.found.value:.4g}" for line in self.fusions if line.found)
        return f"Comparison({self.output} by {self.metric}: {lines}; best on validation: {self.best})"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values.

        Shape::

            {"output": "digit", "metric": "accuracy", "higher_is_better": true, "best": "late", "fusions": [
               {"fusion": "late", "completed": true, "seeds": 5, "accuracy": 0.81, "accuracy_ci": [0.78, 0.84],
                "accuracy_sd": 0.01, "p_vs_single": 0.002, "p_vs_concat": 1.0, "validation": 0.8, "parameters": 66000,
                "train_seconds": 12.5, "predict_ms": 1.9, "without": {"image": 0.6}, "noise": 0.5,
                "noise_retention": 0.6}, ...],
             "single": [{"input": "image", "accuracy": 0.7, ...}], "meta": {...}}

        ``accuracy`` is whatever ``metric`` says. Rows with ``"completed": false`` carry no p-value. Of alignments the
        lists are ``alignments`` and an empty ``single``, and ``p_vs_base`` is against the alignment called ``base``.
        """
        return to_plain_json(
            {
                "output": self.output,
                "metric": self.metric,
                "higher_is_better": self.higher,
                "best": self.best,
                **({} if self.kind == "fusion" else {"base": self.base}),
                f"{self.kind}s": [{self.kind: line.name, **self._row(line)} for line in self.fusions],
                "single": [{"input": line.name, **self._row(line)} for line in self.single],
                "meta": self.meta,
            }
        )

    def _row(self, line: Line) -> dict[str, Any]:
        if line.refused:
            return {"completed": False, "refused": line.refused, self.metric: None}
        assert line.found
        row: dict[str, Any] = {"completed": line.completed, "seeds": len(line.runs), self.metric: line.found.value}
        row |= {f"{self.metric}_ci": line.found.interval, f"{self.metric}_sd": line.found.deviation}
        if line.completed:
            row |= {"p_vs_single": line.p_single} if self.single else {}
            row["p_vs_concat" if self.kind == "fusion" else "p_vs_base"] = line.p_concat
        row |= {name: line.mean(name) for name in ("validation", "parameters", "steps", "train_seconds", "predict_ms")}
        row["parameters"], row["steps"] = int(row["parameters"]), int(row["steps"])
        query = {"query": line.runs[0].query} if line.runs[0].query else {}
        if self.kind != "fusion":
            return row
        return {
            **row,
            **query,
            "without": line.without,
            "noise": line.mean("noise"),
            "noise_retention": line.mean("retention"),
        }


def build_comparison(context: Context, tried: Sequence[Trial], meta: Mapping[str, Any]) -> Comparison:
    """Metrics, intervals and p-values of all that was tried."""
    found = {one.variant: _measured(context, one) for one in tried}
    single = [one for one in tried if one.variant.kind == "single"]
    fusions = [one for one in tried if one.variant.kind == context.kind]
    notes = list(meta.get("notes", []))
    against = _best_single(context, single, found, notes) if single else None
    told = _trained_far_enough(context, fusions, meta, notes)
    base = next((one for one in fusions if one.variant == context.base and one.completed), None)
    done = [one for one in fusions if one.completed]
    tested = done if told else []
    p_single = holm(
        {one.variant.name: p_value(found[one.variant], found[against.variant]) for one in tested}  # type: ignore[arg-type]
        if against
        else {}
    )
    p_concat = holm(
        {one.variant.name: p_value(found[one.variant], found[base.variant]) for one in tested if one is not base}  # type: ignore[arg-type]
        if base
        else {}
    )
    lines = [_line(one, found[one.variant], p_single, p_concat) for one in fusions]
    return Comparison(
        output=context.output,
        metric=context.metric,
        higher=context.higher,
        fusions=sorted(lines, key=lambda line: _order(line, context.higher)),
        single=[_line(one, found[one.variant], {}, {}) for one in single],
        best=best_on_validation(context, done),
        meta={**meta, **({"against": against.variant.name} if against else {}), "notes": notes},
        kind=context.kind,
        base=context.base.name,
    )


def _trained_far_enough(context: Context, fusions: Sequence[Trial], meta: Mapping[str, Any], notes: list[str]) -> bool:
    """Whether trainings went far enough for p-values to say something of the fusions, and a note where not."""
    steps = max((run.steps for one in fusions for run in one.runs), default=0)
    if not meta.get("budget") or steps >= TESTED_FROM * context.steps:
        return True
    notes.append(
        f"no p-values: trainings took {steps:,} of {context.steps:,} steps, less than {TESTED_FROM:.0%} of the "
        "schedule, and what has hardly begun to learn cannot be told apart by them; give a larger budget"
    )
    return False


def _measured(context: Context, one: Trial) -> MethodMetric | None:
    runs = one.runs or ([one.partial] if one.partial else [])
    return measure_method([run.outcome for run in runs], context.metric, groups=context.groups) if runs else None


def _line(one: Trial, found: MethodMetric | None, p_single: Mapping, p_concat: Mapping) -> Line:
    name = one.variant.name
    runs = tuple(one.runs or ([one.partial] if one.partial else []))
    return Line(name, runs, found, one.completed, one.refused, p_single.get(name), p_concat.get(name))


def _order(line: Line, higher: bool) -> tuple[int, float]:
    if line.found is None:
        return 2, 0.0
    return int(not line.completed), -line.found.value if higher else line.found.value


def _best_single(context: Context, single: Sequence[Trial], found: Mapping, notes: list[str]) -> Trial:
    """By validation; without it by test, which makes it harder for the fusions."""
    if any(run.validation is None for one in single for run in one.runs):
        notes.append("no validation rows: the best single input is the best on test rows, which favours it")
        best = max if context.higher else min
        return best(single, key=lambda one: found[one.variant].value)
    return max(single, key=lambda one: _validation(context, one))


def best_on_validation(context: Context, done: Sequence[Trial]) -> str | None:
    """The fusion to take, chosen without looking at test rows."""
    known = [one for one in done if all(run.validation is not None for run in one.runs)]
    return max(known, key=lambda one: _validation(context, one)).variant.name if known else None


def _validation(context: Context, one: Trial) -> float:
    mean = float(np.mean([run.validation for run in one.runs]))  # type: ignore[arg-type]
    return mean if context.higher else -mean
