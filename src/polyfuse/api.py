"""The front door: fit, load and inspect, and the model that one evaluates, predicts with, embeds with and saves."""

from __future__ import annotations

import json
import time as clock
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from polyfuse import registry
from polyfuse.arguments import asked_for
from polyfuse.data.inputs import overrides, parse_input
from polyfuse.data.modalities import infer, inspect_rows
from polyfuse.data.tables import Table, read_table
from polyfuse.data.written import FRAMES, place_for, write_frame, write_vectors
from polyfuse.digits.data import build as build_demo
from polyfuse.evaluation.curves import SEVERITIES
from polyfuse.evaluation.report import Report
from polyfuse.evaluation.robustness_report import RobustnessReport
from polyfuse.later import Later
from polyfuse.process import training_alone
from polyfuse.recipe import Recipe, parse
from polyfuse.registry import Listing
from polyfuse.starter import State, states

if TYPE_CHECKING:
    from polyfuse import bundle as bundles
    from polyfuse import inference, reading
    from polyfuse.bundle import Bundle
    from polyfuse.comparison import compare as comparing
    from polyfuse.comparison.findings import Comparison
    from polyfuse.data.batches import Rows
    from polyfuse.data.prepare import Prepared
    from polyfuse.evaluation import card, evaluate
    from polyfuse.evaluation import robustness as noising
    from polyfuse.search import index as indexing
    from polyfuse.search import zero_shot as naming
    from polyfuse.search.index import Index
    from polyfuse.training import fit as training
    from polyfuse.training.fit import Fitted
else:  # what needs torch, and what needs Lightning, is imported by the verbs that use it
    bundles, inference, reading = Later("polyfuse.bundle"), Later("polyfuse.inference"), Later("polyfuse.reading")
    card, evaluate = Later("polyfuse.evaluation.card"), Later("polyfuse.evaluation.evaluate")
    noising, comparing = Later("polyfuse.evaluation.robustness"), Later("polyfuse.comparison.compare")
    training = Later("polyfuse.training.fit")
    indexing, naming = Later("polyfuse.search.index"), Later("polyfuse.search.zero_shot")


@dataclass(frozen=True)
class Inspection:
    """What ``inspect`` found: number of rows, a dictionary per column, its broken cells among it, and notes."""

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

    def _read(self, table: Any, where: str | None, media_root: str | Path | None) -> Table:
        """A table, read as that of training was: its numbers and dates, and a row per entry of columns of lists."""
        formats = self.recipe.data.formats
        read = read_table(table, media_root=media_root, where=where, formats=formats, decide=False)
        return read.exploded([name for name in self.recipe.data.explode if name in read.frame])

    def _rows(self, table: Table, targets: bool, max_broken: float | None = None) -> tuple[Rows, dict[str, Prepared]]:
        for item in self.recipe.inputs.values():
            for column in item.columns:
                table.require(column)
        how = reading.reading_of(self.recipe, table, max_broken)
        prepared = reading.prepare_all(self.recipe, self.bundle.transforms, table, how, targets=targets)
        return reading.rows_of(prepared, len(table), self.recipe), prepared

    def evaluate(
        self,
        table: Any,
        *,
        where: str | None = None,
        media_root: str | Path | None = None,
        unseen: str = "error",
        importance: int = 0,
        max_broken: float | None = None,
    ) -> Report:
        """Judge the model on a table that holds its output columns.

        Args:
            table: whatever ``read_table`` reads.
            where: a pandas query that keeps rows, such as ``split == 'test'``.
            unseen: ``error``, or ``skip`` to leave rows out whose label training never saw, and say so.
            importance: rows, such as 500, on which it is measured what shuffling each single column costs; 0 for none.
            max_broken: share of a column's cells that may be unreadable; the recipe's by default.

        Raises:
            ValueError: a column is absent, or a label was not seen in training.
        """
        began = clock.monotonic()
        table, prepared = self._judgeable(table, where, media_root, max_broken)
        seconds = {"reading": round(clock.monotonic() - began, 2)}
        rows = np.arange(len(table))
        notes = [*table.notes, *(note for cells in prepared.values() for note in cells.notes)]
        notes += [note for cells in prepared.values() for note in reading.unseen_values(cells, table)]
        notes += reading.blank_rows(prepared, table) + reading.without_target(prepared, table, {"": rows})
        options: dict[str, Any] = {"name": self.name, "notes": list(dict.fromkeys(notes)), "unseen": unseen}
        options |= {"importance": importance}
        report = evaluate.evaluate_rows(self.bundle, table, prepared, rows, seconds=seconds, **options)
        seconds["judging"] = round(clock.monotonic() - began - seconds["reading"], 2)
        return report

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
        return noising.robustness(self.bundle, table, prepared, np.arange(len(table)), **options)

    def _judgeable(
        self, table: Any, where: str | None, media_root: str | Path | None, max_broken: float | None = None
    ) -> tuple[Table, dict[str, Prepared]]:
        """A table that holds the outputs' columns, and its cells."""
        table = self._read(table, where, media_root)
        for output in self.recipe.outputs.values():
            table.require(output.column)
        return table, self._rows(table, True, max_broken)[1]

    def predict(
        self,
        table: Any,
        *,
        where: str | None = None,
        media_root: str | Path | None = None,
        to: str | None = None,
        max_broken: float | None = None,
    ) -> pd.DataFrame:
        """One row of predictions per row of the table.

        Args:
            to: also write them to this .csv, .tsv, .jsonl or .parquet file; folders are made.
            max_broken: share of a column's cells that may be unreadable; the recipe's by default.

        Returns:
            The row's number in the table as ``row`` (``table_row`` where an output is called so), a column per output
            with its value, ``OUTPUT_confidence`` and, for categories, ``OUTPUT_p_CLASS``.
        """
        place = place_for(to, FRAMES) if to else None
        table = self._read(table, where, media_root)
        rows, prepared = self._rows(table, False, max_broken)
        self.notes = reading.said_of_rows(prepared, table)
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
        table = self._read(table, where, media_root)
        vectors = inference.embed(self.bundle.network, self._rows(table, targets=False)[0], of=of)
        if place:
            write_vectors(vectors, place)
        return vectors

    def zero_shot(
        self,
        table: Any,
        labels: Sequence[str],
        templates: Sequence[str] = ("{}",),
        *,
        of: str | None = None,
        by: str | None = None,
        where: str | None = None,
        media_root: str | Path | None = None,
        to: str | None = None,
    ) -> pd.DataFrame:
        """The most likely of some labels for every row by their names alone, where the model aligns inputs.

        Args:
            labels: names that need not have been seen, two at least.
            templates: sentences with ``{}`` where a label goes; their vectors are averaged.
            of: aligned input that is classified; by default the first that is no text.
            by: aligned input that reads the labels.
            to: also write them to this .csv, .tsv, .jsonl or .parquet file; folders are made.

        Returns:
            ``row``, ``label``, ``confidence`` and ``p_LABEL``.

        Raises:
            ValueError: the model aligns nothing, or what is asked cannot be.
        """
        place = place_for(to, FRAMES) if to else None
        read = self._read(table, where, media_root)
        found, self.notes = naming.zero_shot(self.bundle, read, labels, templates, of=of, by=by)
        found.insert(0, "row", read.rows_N)
        if place:
            write_frame(found, place)
        return found

    def save(self, folder: str | Path) -> Path:
        """Write the model as a folder; see ``bundle``."""
        return bundles.save(self.bundle, folder)


def load(folder: str | Path, *, device: str = "auto") -> Model:
    """Read a saved model.

    Args:
        device: where it predicts: ``auto`` (a GPU where there is one), ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Raises:
        BundleError: no model there, a damaged file, or a newer format.
        ValueError: no such device here.
    """
    return Model(bundles.load(folder, device), Path(folder).name)


def index(model: Model | str | Path, table: Any, *, to: str | Path, media_root: str | Path | None = None) -> Index:
    """Make an index of a table's rows that can be searched by every input the model aligns.

    Args:
        model: one fitted with ``align``, or the folder of one; it is kept in the index.
        to: a new folder.

    Raises:
        ValueError: the model aligns nothing, the folder holds something, or the table lacks a column.
    """
    made = model if isinstance(model, Model) else load(model)
    return indexing.Index.create(made.bundle, table, to, media_root=media_root)


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
    return Inspection(len(table), inspect_rows(columns, table.origin), table.notes)


@training_alone()
def fit(
    source: Any,
    *,
    table: Any = None,
    outputs: Sequence[str] = (),
    inputs: Sequence[str] = (),
    fusion: str | None = None,
    preset: str | None = None,
    align: Sequence[str] = (),
    split: str | None = None,
    group: str | None = None,
    where: str | None = None,
    media_root: str | Path | None = None,
    to: str | Path | None = None,
    time: str | float | None = None,
    seed: int | None = None,
    settings: Sequence[str] = (),
    resume: bool = False,
    quiet: bool = False,
    device: str = "auto",
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
        align: inputs to align with each other in one space (``clip``), so that each finds the others; ``outputs`` may
            then be empty.
        split: column with the values train, val, test.
        group: column whose values stay on one side of a made split.
        where: a pandas query that keeps rows.
        media_root: folder that paths in cells start from.
        to: folder of the model; beside it ``TO.run`` holds TensorBoard event files and, while training, checkpoints.
        time: budget for reading, training and judging, such as ``5m`` or seconds; what does not fit is said.
        seed: fixes everything random.
        settings: ``FIELD=VALUE`` of the recipe, such as ``training.epochs=5``.
        resume: go on from the checkpoint in ``TO.run``.
        quiet: no progress bar.
        device: where it trains and predicts: ``auto`` (a GPU where there is one), ``cpu``, ``cuda``, ``cuda:N`` or
            ``mps``; one device, of several GPUs the first.

    Raises:
        ValueError: what is asked cannot be; says what was found, expected, and how to mend it.
    """
    started = clock.monotonic()
    if to is not None:
        bundles.check_place(to)
    arguments: dict[str, Any] = {"outputs": outputs, "inputs": inputs, "fusion": fusion, "split": split, "group": group}
    arguments |= {"where": where, "media_root": media_root, "time": time, "seed": seed, "preset": preset}
    arguments["align"] = align
    recipe, read = asked_for(source, table, settings=settings, **arguments)
    choice = []
    if recipe.fusion.name == "auto" and recipe.outputs:
        recipe, note = comparing.best_fusion(recipe, read, started=started, device=device)
        choice = [note]
    run = Path(f"{to}.run") if to is not None else None
    options: dict[str, Any] = {"run": run, "resume": resume, "quiet": quiet, "started": started, "device": device}
    fitted = training.fit(recipe, read, judging=evaluate.judging_seconds, **options)
    fitted.notes[:0] = choice
    model = _judged(fitted, Path(to).name if to is not None else "model")
    if to is not None:
        model.save(to)
    return model


@training_alone()
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
    unit: str | None = None,
    where: str | None = None,
    media_root: str | Path | None = None,
    to: str | Path | None = None,
    seed: int | None = None,
    settings: Sequence[str] = (),
    say: Callable[[str], None] | None = None,
    device: str = "auto",
) -> Comparison:
    """Train every fusion and every single input on the same splits, and judge them on the same test rows.

    Args:
        source, table, outputs, inputs, split, group, where, media_root, seed, settings: as for ``fit``; the first
            output is compared, and the fusion of a recipe is replaced by each of ``fusions``.
        fusions: ``all``, or names; ``concat`` is always among them.
        seeds: trainings of each.
        budget: such as ``10m`` or seconds, for everything; losers are then stopped early, by validation rows.
        unit: column whose values are resampled together for intervals and p-values, such as a sound that several rows
            share; ``group`` by default.
        to: folder that keeps every run, so that a stopped comparison goes on, and the findings as JSON and HTML.
        say: told of every run as it ends.
        device: as for ``fit``.

    Raises:
        ValueError: what is asked cannot be; says what was found, expected, and how to mend it.
    """
    arguments: dict[str, Any] = {"outputs": outputs, "inputs": inputs, "split": split, "group": group}
    arguments |= {"where": where, "media_root": media_root, "seed": seed}
    recipe, read = asked_for(source, table, settings=settings, **arguments)
    limit = parse({"training": {"time": budget}}).training.time
    place = Path(to) if to is not None else None
    runs = place / "runs" if place else None
    options: dict[str, Any] = {"fusions": fusions, "seeds": seeds, "budget": limit, "unit": unit}
    found = comparing.compare(recipe, read, **options, runs=runs, say=say, device=device)
    if place:
        found.to_html(place / "comparison.html")
        text = json.dumps(found.to_json(), indent=1, ensure_ascii=False, allow_nan=False)
        (place / "comparison.json").write_text(text + "\n", encoding="utf8")
    return found


def _judged(fitted: Fitted, name: str) -> Model:
    """The model with its report: on the test rows, or on validation rows where there is no test split."""
    model = Model(fitted.bundle, name)
    model.notes = fitted.notes
    rows = training.judged_rows(fitted.splits)
    if len(rows) and (fitted.bundle.recipe.outputs or fitted.bundle.network.aligned):
        notes = list(fitted.notes)
        if not len(fitted.splits.test):
            alone = fitted.bundle.network.ensemble is None
            how = "which also chose the weights" if alone else "on which nothing was trained or chosen"
            notes.append(f"no test split: these figures come from validation rows, {how}")
        began, spent = clock.monotonic(), fitted.bundle.report["seconds"]
        options: dict[str, Any] = {"name": name, "notes": notes, "unseen": "skip", "seconds": spent}
        try:
            model.fit_report = evaluate.evaluate_rows(fitted.bundle, fitted.table, fitted.prepared, rows, **options)
            spent["judging"] = round(clock.monotonic() - began, 2)
            fitted.bundle.report["evaluation"] = model.fit_report.to_json()
        except KeyboardInterrupt:  # what was learned is not lost with what it is worth
            fitted.bundle.report["training"]["interrupted"] = True
            model.notes.append("interrupted while it was judged: the model is whole, its figures are not there")
    fitted.bundle.card = card.card(fitted.bundle, name, fitted.notes)
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
