"""The front door: fit, load and inspect, and the model that one evaluates, predicts with, embeds with and saves."""

from __future__ import annotations

import json
import time as clock
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from polyfuse import bundle as bundles
from polyfuse import inference, registry
from polyfuse.arguments import asked_for
from polyfuse.bundle import Bundle
from polyfuse.comparison.compare import best_fusion
from polyfuse.comparison.compare import compare as compare_fusions
from polyfuse.comparison.crossvalidation import cross_validate
from polyfuse.comparison.findings import Comparison
from polyfuse.data.batches import Rows
from polyfuse.data.inputs import overrides, parse_input
from polyfuse.data.modalities import infer, inspect_rows
from polyfuse.data.prepare import Prepared
from polyfuse.data.tables import Table, read_table
from polyfuse.data.written import FRAMES, place_for, write_frame, write_vectors
from polyfuse.digits.data import build as build_demo
from polyfuse.evaluation.card import card
from polyfuse.evaluation.evaluate import evaluate_rows
from polyfuse.evaluation.report import Report
from polyfuse.evaluation.robustness import SEVERITIES, robustness
from polyfuse.evaluation.robustness_report import RobustnessReport
from polyfuse.reading import prepare_all, reading_of, rows_of, summary
from polyfuse.recipe import Recipe, parse
from polyfuse.registry import Listing
from polyfuse.starter import State, states
from polyfuse.training.fit import Fitted
from polyfuse.training.fit import fit as fit_recipe


@dataclass(frozen=True)
class Inspection:
    """What ``inspect`` found: number of rows, a dictionary per column, and notes."""

    rows: int
    columns: list[dict[str, Any]]
    notes: list[str]


class Model:
    """A trained model: its recipe, network and fitted preprocessing.

    Example:
        >>> model = polyfuse.load("house-price")
        >>> model.predict(frame)["price"]
    """

    def __init__(self, bundle: Bundle, name: str = "model"):
        self.bundle, self.name = bundle, name
        self.notes: list[str] = []
        self.fit_report: Report | None = None

    @property
    def recipe(self) -> Recipe:
        """Complete: fitting it again on the same table gives this model."""
        return self.bundle.recipe

    @property
    def report(self) -> dict[str, Any]:
        """Facts of training and, where there was a test split, its evaluation; as JSON."""
        return self.bundle.report

    def _rows(self, table: Table, targets: bool) -> tuple[Rows, dict[str, Prepared]]:
        for item in self.recipe.inputs.values():
            for column in item.columns:
                table.require(column)
        prepared = prepare_all(
            self.recipe, self.bundle.transforms, table, reading_of(self.recipe, table), targets=targets
        )
        return rows_of(prepared, len(table), self.recipe), prepared

    def evaluate(
        self, table: Any, *, where: str | None = None, media_root: str | Path | None = None, unseen: str = "error"
    ) -> Report:
        """Judge the model on a table that holds its output columns.

        Args:
            table: whatever ``read_table`` reads.
            where: a pandas query that keeps rows, such as ``split == 'test'``.
            unseen: ``error``, or ``skip`` to leave rows out whose label training never saw, and say so.

        Raises:
            ValueError: a column is absent, or a label was not seen in training.
        """
        table, prepared = self._judgeable(table, where, media_root)
        return evaluate_rows(self.bundle, table, prepared, np.arange(len(table)), name=self.name, unseen=unseen)

    def robustness(
        self,
        table: Any,
        *,
        where: str | None = None,
        media_root: str | Path | None = None,
        inputs: Sequence[str] | None = None,
        severities: Sequence[float] = SEVERITIES,
        corruptions: Mapping[str, Sequence[str]] | None = None,
        metrics: Mapping[str, str] | None = None,
        seed: int = 0,
        unseen: str = "error",
    ) -> RobustnessReport:
        """How much noise in its inputs the model takes: each alone, and all together.

        Args:
            table, where, unseen: as for ``evaluate``.
            inputs: the inputs to noise; all by default.
            severities: degrees of noise from 0 to 1.
            corruptions: modality -> names of ``data.corrupt.CORRUPTIONS``; all by default.
            metrics: output -> the metric of its curves; its headline one by default.
            seed: of the noise.

        Raises:
            ValueError: no such input, corruption or metric, or as for ``evaluate``.
        """
        table, prepared = self._judgeable(table, where, media_root)
        options: dict[str, Any] = {"inputs": inputs, "severities": severities, "corruptions": corruptions}
        options |= {"metrics": metrics, "seed": seed, "name": self.name, "unseen": unseen}
        return robustness(self.bundle, table, prepared, np.arange(len(table)), **options)

    def _judgeable(
        self, table: Any, where: str | None, media_root: str | Path | None
    ) -> tuple[Table, dict[str, Prepared]]:
        """A table that holds the outputs' columns, and its cells."""
        table = read_table(table, media_root=media_root, where=where)
        for output in self.recipe.outputs.values():
            table.require(output.column)
        return table, self._rows(table, targets=True)[1]

    def predict(
        self, table: Any, *, where: str | None = None, media_root: str | Path | None = None, to: str | None = None
    ) -> pd.DataFrame:
        """One row of predictions per row of the table.

        Args:
            to: also write them to this .csv, .tsv, .jsonl or .parquet file; folders are made.

        Returns:
            The row's number in the table as ``row`` (``table_row`` where an output is called so), a column per output
            with its value, ``OUTPUT_confidence`` and, for categories, ``OUTPUT_p_CLASS``.
        """
        place = place_for(to, FRAMES) if to else None
        table = read_table(table, media_root=media_root, where=where)
        rows, prepared = self._rows(table, targets=False)
        self.notes = list(dict.fromkeys(note for cells in prepared.values() for note in summary(cells, table)))
        columns: dict[str, Any] = {"row" if "row" not in self.recipe.outputs else "table_row": table.rows_N}
        for name, prediction in inference.predict(self.bundle.network, rows).items():
            columns[name] = prediction.value
            if "confidence" in prediction.extra:
                columns[f"{name}_confidence"] = prediction.extra["confidence"]
            if "probabilities" in prediction.extra:
                classes = self.bundle.transforms[f"out:{name}"].facts()["classes"]
                columns |= {f"{name}_p_{c}": prediction.extra["probabilities"][:, k] for k, c in enumerate(classes)}
        frame = pd.DataFrame(columns)
        if place:
            write_frame(frame, place)
        return frame

    def embed(
        self,
        table: Any,
        *,
        of: str | None = None,
        where: str | None = None,
        media_root: str | Path | None = None,
        to: str | None = None,
    ) -> np.ndarray:
        """One vector per row, (rows, D) float32.

        Args:
            of: the input whose own representation is wanted; the fused one by default.
            to: also save it as this .npy file; folders are made.

        Raises:
            ValueError: no such input, or another ending of the file.
        """
        place = place_for(to, (".npy",)) if to else None
        if of is not None:
            registry.choose(self.recipe.inputs, of, "input")
        table = read_table(table, media_root=media_root, where=where)
        vectors = inference.embed(self.bundle.network, self._rows(table, targets=False)[0], of=of)
        if place:
            write_vectors(vectors, place)
        return vectors

    def save(self, folder: str | Path) -> Path:
        """Write the model as a folder; see ``bundle``."""
        return bundles.save(self.bundle, folder)


def load(folder: str | Path) -> Model:
    """Read a saved model.

    Raises:
        BundleError: no model there, a damaged file, or a newer format.
    """
    return Model(bundles.load(folder), Path(folder).name)


def parts(kind: str) -> list[Listing]:
    """Every part of ``encoders``, ``fusions``, ``heads``, ``objectives`` or ``learners``."""
    return registry.listings(kind)


def starter() -> list[State]:
    """Every pretrained part that comes as a package and works offline, and whether it is installed and as expected."""
    return states()


def inspect(
    table: Any, *, inputs: Sequence[str] = (), where: str | None = None, media_root: str | Path | None = None
) -> Inspection:
    """What each column of a table is taken for, and why.

    Args:
        inputs: ``COL=MODALITY`` overrides.
    """
    table = read_table(table, media_root=media_root, where=where)
    columns = infer(table, overrides(map(parse_input, inputs)))
    return Inspection(len(table), inspect_rows(columns), table.notes)


def fit(
    source: Any,
    *,
    table: Any = None,
    outputs: Sequence[str] = (),
    inputs: Sequence[str] = (),
    fusion: str | None = None,
    preset: str | None = None,
    split: str | None = None,
    group: str | None = None,
    order: str | None = None,
    folds: int | None = None,
    weights: str | None = None,
    weighted_metrics: bool = False,
    where: str | None = None,
    media_root: str | Path | None = None,
    to: str | Path | None = None,
    time: str | float | None = None,
    seed: int | None = None,
    settings: Sequence[str] = (),
    resume: bool = False,
    quiet: bool = False,
) -> Model:
    """Train a model, judge it on the test split where there is one, and save it where ``to`` says.

    Args:
        source: a table (anything ``read_table`` reads), a ``Recipe``, a recipe's ``.yaml``, or a saved model whose
            recipe is fitted again.
        table: the table for a recipe, instead of the one it names.
        outputs: columns to learn, each ``COL`` or ``COL=HEAD``.
        inputs: ``COL``, ``COL=MODALITY`` or ``NAME@COL1,COL2[=MODALITY[:ENCODER]]``; all usable columns by default.
        fusion: a name from ``parts("fusions")``.
        preset: ``plain``, ``scratch``, ``starter`` or ``best``: which encoders and members are taken where the recipe
            names none.
        split: column with the values train, val, test.
        group: column whose values stay on one side of a made split.
        order: column of dates or numbers: the oldest rows train, later ones validate, the latest test.
        folds: judge every row once, by a model that did not see it, and train the final model on all rows, instead of
            a split; the report then has the mean and spread of each metric over folds.
        weights: column of numbers, 0 and above: how much each row counts in training.
        weighted_metrics: rows count by their weights in metrics as well.
        where: a pandas query that keeps rows.
        media_root: folder that paths in cells start from.
        to: folder of the model; beside it ``TO.run`` holds TensorBoard event files and, while training, checkpoints.
        time: budget, such as ``5m`` or seconds.
        seed: fixes everything random.
        settings: ``FIELD=VALUE`` of the recipe, such as ``training.epochs=5``.
        resume: go on from the checkpoint in ``TO.run``.
        quiet: no progress bar.

    Raises:
        ValueError: what is asked cannot be; says what was found, expected, and how to mend it.
    """
    started = clock.monotonic()
    if to is not None:
        bundles.check_place(to)
    arguments: dict[str, Any] = {"outputs": outputs, "inputs": inputs, "fusion": fusion, "split": split, "group": group}
    arguments |= {"where": where, "media_root": media_root, "time": time, "seed": seed, "preset": preset}
    arguments |= {"order": order, "folds": folds, "weights": weights, "weighted_metrics": weighted_metrics}
    recipe, read = asked_for(source, table, settings=settings, **arguments)
    name, run = Path(to).name if to is not None else "model", Path(f"{to}.run") if to is not None else None
    if recipe.data.folds is not None:
        fitted, report = cross_validate(recipe, read, name=name, run=run, resume=resume, quiet=quiet, started=started)
        model = _reported(fitted, name, report)
        if to is not None:
            model.save(to)
        return model
    choice = []
    if recipe.fusion.name == "auto" and recipe.outputs:
        recipe, note = best_fusion(recipe, read, started=started)
        choice = [note]
    fitted = fit_recipe(recipe, read, run=run, resume=resume, quiet=quiet, started=started)
    fitted.notes[:0] = choice
    model = _judged(fitted, name)
    if to is not None:
        model.save(to)
    return model


def compare(
    source: Any,
    *,
    table: Any = None,
    outputs: Sequence[str] = (),
    inputs: Sequence[str] = (),
    fusions: str | Sequence[str] = "all",
    seeds: int = 5,
    budget: str | float | None = None,
    split: str | None = None,
    group: str | None = None,
    order: str | None = None,
    weights: str | None = None,
    weighted_metrics: bool = False,
    unit: str | None = None,
    where: str | None = None,
    media_root: str | Path | None = None,
    to: str | Path | None = None,
    seed: int | None = None,
    settings: Sequence[str] = (),
    say: Callable[[str], None] | None = None,
) -> Comparison:
    """Train every fusion and every single input on the same splits, and judge them on the same test rows.

    Args:
        source, table, outputs, inputs, split, group, order, weights, weighted_metrics, where, media_root, seed,
            settings: as for ``fit``; the first output is compared, and the fusion of a recipe is replaced by each of
            ``fusions``.
        fusions: ``all``, or names; ``concat`` is always among them.
        seeds: trainings of each.
        budget: such as ``10m`` or seconds, for everything; losers are then stopped early, by validation rows.
        unit: column whose values are resampled together for intervals and p-values, such as a sound that several rows
            share; ``group`` by default.
        to: folder that keeps every run, so that a stopped comparison goes on, and the findings as JSON and HTML.
        say: told of every run as it ends.

    Raises:
        ValueError: what is asked cannot be; says what was found, expected, and how to mend it.
    """
    arguments: dict[str, Any] = {"outputs": outputs, "inputs": inputs, "split": split, "group": group}
    arguments |= {"order": order, "weights": weights, "weighted_metrics": weighted_metrics}
    arguments |= {"where": where, "media_root": media_root, "seed": seed}
    recipe, read = asked_for(source, table, settings=settings, **arguments)
    limit = parse({"training": {"time": budget}}).training.time
    place = Path(to) if to is not None else None
    runs = place / "runs" if place else None
    found = compare_fusions(recipe, read, fusions=fusions, seeds=seeds, budget=limit, unit=unit, runs=runs, say=say)
    if place:
        found.to_html(place / "comparison.html")
        text = json.dumps(found.to_json(), indent=1, ensure_ascii=False, allow_nan=False)
        (place / "comparison.json").write_text(text + "\n", encoding="utf8")
    return found


def _judged(fitted: Fitted, name: str) -> Model:
    """The model with its report: on the test rows, or on validation rows where there is no test split."""
    report = None
    rows = fitted.splits.test if len(fitted.splits.test) else fitted.splits.val
    if len(rows) and fitted.bundle.recipe.outputs:
        notes = list(fitted.notes)
        if not len(fitted.splits.test):
            alone = fitted.bundle.network.ensemble is None
            how = "which also chose the weights" if alone else "on which nothing was trained or chosen"
            notes.append(f"no test split: these figures come from validation rows, {how}")
        report = evaluate_rows(
            fitted.bundle, fitted.table, fitted.prepared, rows, name=name, notes=notes, unseen="skip"
        )
    return _reported(fitted, name, report)


def _reported(fitted: Fitted, name: str, report: Report | None) -> Model:
    """The model with its report, where there is one."""
    model = Model(fitted.bundle, name)
    model.notes, model.fit_report = fitted.notes, report
    if report is not None:
        fitted.bundle.report["evaluation"] = report.to_json()
    fitted.bundle.card = card(fitted.bundle, name, fitted.notes)
    return model


def demo(to: str | Path = "demo-output", *, quiet: bool = False) -> Report:
    """Train on digits that are written, spoken and hinted at; save the model, its table and its report under ``to``."""
    place = Path(to)
    place.mkdir(parents=True, exist_ok=True)
    table = place / "table.parquet"
    build_demo().to_parquet(table, index=False)
    inputs = ("handwriting", "speech", "clue")
    settings = ("training.epochs=32",)  # more gain a point or two and take more than 90 seconds on two cores
    model = fit(
        table,
        outputs=["digit=category"],
        inputs=inputs,
        split="split",
        preset="plain",  # what fusion adds, and nothing beside it
        to=place / "model",
        settings=settings,
        quiet=quiet,
    )
    assert model.fit_report is not None
    model.fit_report.to_html(place / "report.html")
    return model.fit_report
