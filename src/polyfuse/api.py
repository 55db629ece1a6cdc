"""The front door: fit, load and inspect, and the model that one evaluates, predicts with, embeds with and saves."""

from __future__ import annotations

import json
import sys
import time as clock
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from polyfuse import registry
from polyfuse.answers import answers, index_of, own_columns, side_by_side
from polyfuse.arguments import Names, Settings, asked_for
from polyfuse.data.inputs import overrides, parse_input
from polyfuse.data.modalities import infer, inspect_rows
from polyfuse.data.names import listed
from polyfuse.data.places import refuse_source
from polyfuse.data.tables import Table, TableError, nearest, read_table
from polyfuse.data.written import FRAMES, place_for, write_frame, write_vectors
from polyfuse.digits.data import build as build_demo
from polyfuse.evaluation import terminal
from polyfuse.evaluation.curves import SEVERITIES
from polyfuse.evaluation.rendering import as_html
from polyfuse.evaluation.report import Report
from polyfuse.evaluation.robustness_report import RobustnessReport
from polyfuse.later import Later
from polyfuse.messages import bars, tell
from polyfuse.process import training_alone
from polyfuse.recipe import Recipe, parse
from polyfuse.registry import Listing
from polyfuse.starter import State, states
from polyfuse.trust import Trust, trusted, trusting

if TYPE_CHECKING:
    from rich.console import RenderableType

    from polyfuse import bundle as bundles
    from polyfuse import inference, reading
    from polyfuse.bundle import Bundle
    from polyfuse.comparison import compare as comparing
    from polyfuse.comparison import crossvalidation as validating
    from polyfuse.comparison.findings import Comparison
    from polyfuse.data.batches import Rows
    from polyfuse.data.prepare import Prepared
    from polyfuse.evaluation import card, evaluate
    from polyfuse.evaluation import robustness as noising
    from polyfuse.evaluation import summary as summing
    from polyfuse.evaluation.summary import Summary
    from polyfuse.search import index as indexing
    from polyfuse.search import zero_shot as naming
    from polyfuse.search.index import Index
    from polyfuse.training import fit as training
    from polyfuse.training.fit import Fitted
else:  # what needs torch, and what needs Lightning, is imported by the verbs that use it
    bundles, inference, reading = Later("polyfuse.bundle"), Later("polyfuse.inference"), Later("polyfuse.reading")
    card, evaluate = Later("polyfuse.evaluation.card"), Later("polyfuse.evaluation.evaluate")
    summing = Later("polyfuse.evaluation.summary")
    noising, comparing = Later("polyfuse.evaluation.robustness"), Later("polyfuse.comparison.compare")
    training, validating = Later("polyfuse.training.fit"), Later("polyfuse.comparison.crossvalidation")
    indexing, naming = Later("polyfuse.search.index"), Later("polyfuse.search.zero_shot")


@dataclass(frozen=True, repr=False)
class Inspection:
    """What ``inspect`` found: number of rows, a dictionary per column, its broken cells among it, and notes."""

    rows: int
    columns: list[dict[str, Any]]
    notes: list[str]

    def __repr__(self) -> str:
        shown = ", ".join(f"{column['column']}: {column['modality']}" for column in self.columns[:SHOWN])
        more = f" and {len(self.columns) - SHOWN} more" if len(self.columns) > SHOWN else ""
        return f"Inspection({self.rows:,} rows; {shown}{more}; {len(self.notes)} notes)"

    def __rich__(self) -> RenderableType:
        return terminal.render_columns(self.rows, self.columns, self.notes)

    def _repr_html_(self) -> str:
        return as_html(self)


SHOWN = 12  # columns that the short form of an inspection names


class Model:
    """A trained model: its recipe, network and fitted preprocessing.

    Attributes:
        evaluation: how good it was found to be after training; of a loaded model without single rows. ``facts`` holds
            the same as JSON, beside the facts of training.
        notes: what its last training or prediction had to say.
        folder: where it was saved or loaded.
        written_columns: of the file that its last prediction wrote.

    Example:
        >>> model = polyfuse.load("house-price")
        >>> model.predict(frame)["price"]
    """

    def __init__(self, bundle: Bundle, name: str = "model"):
        self.bundle, self.name = bundle, name
        self.notes: list[str] = []
        saved = bundle.report.get("evaluation")
        history = bundle.report.get("training", {}).get("history", [])
        self.evaluation: Report | None = replace(Report.from_json(saved), history=history) if saved else None
        self.folder: Path | None = None
        self.written_columns: list[str] = []

    @property
    def recipe(self) -> Recipe:
        """Complete: fitting it again on the same table gives this model."""
        return self.bundle.recipe

    @property
    def facts(self) -> dict[str, Any]:
        """What is known of its training, and of its evaluation then, as JSON; saved with the model."""
        return self.bundle.report

    @property
    def report(self) -> dict[str, Any]:
        """Another name of ``facts``."""
        return self.facts

    @property
    def fit_report(self) -> Report | None:
        """Another name of ``evaluation``."""
        return self.evaluation

    def __repr__(self) -> str:
        inputs = ", ".join(f"{name} ({item.named})" for name, item in self.recipe.inputs.items())
        outputs = ", ".join(f"{name} ({item.head.name})" for name, item in self.recipe.outputs.items())
        return f"Model({self.name!r}: {inputs} -> {self.recipe.fusion.name} -> {outputs or 'no output'})"

    def _repr_html_(self) -> str:
        return as_html(self.summary())

    def summary(self, table: Any = None, *, where: str | None = None, media_root: str | Path | None = None) -> Summary:
        """Its parts, their parameters, their size on disk, and what each input costs; printed, it is a table.

        Args:
            table: some of its rows are read and encoded, to measure the milliseconds that each input takes per row.
        """
        read = None if table is None else self._read(table, where, media_root)
        if read is not None:
            self._require_inputs(read)
        return summing.summarise(self.bundle, self.name, self.folder, read)

    def _require_inputs(self, table: Table) -> None:
        for item in self.recipe.inputs.values():
            for column in item.columns:
                table.require(column)

    def _read(self, table: Any, where: str | None, media_root: str | Path | None) -> Table:
        """A table, read as that of training was."""
        return reading.read_again(self.recipe, table, where=where, media_root=media_root)

    def _rows(self, table: Table, targets: bool, max_broken: float | None = None) -> tuple[Rows, dict[str, Prepared]]:
        self._require_inputs(table)
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
        costs: Mapping[Any, Any] | None = None,
        thresholds: Any = None,
        decode: Mapping[str, Any] | None = None,
        verbose: bool = True,
    ) -> Report:
        """Judge the model on a table that holds its output columns.

        Args:
            table: whatever ``read_table`` reads.
            where: a pandas query that keeps rows, such as ``split == 'test'``.
            unseen: ``error``, or ``skip`` to leave rows out whose label training never saw, and say so.
            importance: rows, such as 500, on which it is measured what shuffling each single column costs; 0 for none.
            max_broken: share of a column's cells that may be unreadable; the recipe's by default.
            costs, thresholds, decode: as for ``predict``.
            verbose: log what the reader of the report must know, such as cells that cannot be read.

        Raises:
            ValueError: a column is absent, no row has a value to judge by, or a label was not seen in training.
        """
        rules = inference.rules_of(self.bundle.network, costs, thresholds)
        decoding = inference.decoding_of(self.bundle.network, decode)
        began = clock.monotonic()
        with bars(verbose):
            table, prepared = self._judgeable(table, where, media_root, max_broken)
            seconds = {"reading": round(clock.monotonic() - began, 2)}
            rows = np.arange(len(table))
            notes = [*_rules_in_words(costs, thresholds), *table.notes]
            notes += [note for cells in prepared.values() for note in cells.notes]
            notes += [note for cells in prepared.values() for note in reading.unseen_values(cells, table)]
            notes += reading.blank_rows(prepared, table) + reading.without_target(prepared, table, {"": rows})
            options: dict[str, Any] = {"name": self.name, "notes": list(dict.fromkeys(notes)), "unseen": unseen}
            options |= {"importance": importance, "rules": rules, "seconds": seconds}
            options["decoding"] = decoding
            report = evaluate.evaluate_rows(self.bundle, table, prepared, rows, **options)
        seconds["judging"] = round(clock.monotonic() - began - seconds["reading"], 2)
        broken = [note for cells in prepared.values() for note in reading.summary(cells, table)]
        tell([*report.meta["notes"], *broken], verbose)
        return report

    def robustness(
        self,
        table: Any,
        *,
        where: str | None = None,
        media_root: str | Path | None = None,
        inputs: Names | None = None,
        severities: float | Sequence[float] = SEVERITIES,
        corruptions: Mapping[str, Names] | None = None,
        metrics: Mapping[str, str] | None = None,
        seed: int = 0,
        unseen: str = "error",
        max_broken: float | None = None,
        verbose: bool = True,
    ) -> RobustnessReport:
        """How much noise in its inputs the model takes: each alone, and all together.

        Args:
            table, where, unseen: as for ``evaluate``.
            inputs: the inputs to noise; all by default.
            severities: degrees of noise from 0 to 1.
            corruptions: modality -> names of ``data.corrupt.CORRUPTIONS``; all by default.
            metrics: output -> the metric of its curves; its headline one by default.
            seed: of the noise.
            max_broken: share of a column's cells that may be unreadable; the recipe's by default.
            verbose: as for ``evaluate``.

        Raises:
            ValueError: no such input, corruption or metric, or as for ``evaluate``.
        """
        table, prepared = self._judgeable(table, where, media_root, max_broken)
        options: dict[str, Any] = {"metrics": metrics, "seed": seed, "name": self.name, "unseen": unseen}
        options["inputs"] = None if inputs is None else listed(inputs)
        options["severities"] = [severities] if isinstance(severities, (int, float)) else severities
        options["corruptions"] = corruptions and {kind: listed(names) for kind, names in corruptions.items()}
        report = noising.robustness(self.bundle, table, prepared, np.arange(len(table)), **options)
        tell(report.meta["notes"], verbose)
        return report

    def _judgeable(
        self, table: Any, where: str | None, media_root: str | Path | None, max_broken: float | None = None
    ) -> tuple[Table, dict[str, Prepared]]:
        """A table that holds the outputs' columns, and its cells."""
        table = self._read(table, where, media_root)
        for output in self.recipe.outputs.values():
            if output.column not in table.frame:
                what = "judging needs the columns of the outputs, and predict (polyfuse predict) answers without them"
                hint = nearest(output.column, table.frame.columns)
                raise TableError(f"{table.name} has no column {output.column!r}{hint}; {what}")
        return table, self._rows(table, True, max_broken)[1]

    def predict(
        self,
        table: Any,
        *,
        where: str | None = None,
        media_root: str | Path | None = None,
        to: str | Path | None = None,
        with_table: bool = False,
        proba: bool | None = None,
        max_broken: float | None = None,
        costs: Mapping[Any, Any] | None = None,
        thresholds: Any = None,
        decode: Mapping[str, Any] | None = None,
        verbose: bool = True,
    ) -> pd.DataFrame:
        """One row of predictions per row of the table.

        Args:
            table: whatever ``read_table`` reads; one row may be a dict, ``{"text": "good"}``.
            to: also write them to this .csv, .tsv, .jsonl or .parquet file; folders are made, and the table that is
                read is never written over.
            with_table: the table's own columns first, then the answers; an output whose column the table has is then
                called ``OUTPUT_predicted``.
            proba: a column per class with its probability. By default the result has them all, and the file leaves
                out those of outputs with more than 20 classes.
            max_broken: share of a column's cells that may be unreadable; the recipe's by default.
            costs: class -> what it costs to miss it, 1 for the others (``{"fraud": 10}``): the answer is the class with
                the least expected cost. With several outputs, output -> class -> cost.
            thresholds: class -> probability from which it is the answer, of two classes (``{"fraud": 0.2}``), or of
                any labels; in the same forms. Both win over ``cost`` and ``threshold`` of the recipe's heads.
            decode: how texts are written, over the recipe's own way: ``{"beams": 4}``, or output -> such options; see
                ``polyfuse.heads.text.decode``.
            verbose: log what is to be said of the table, such as cells that cannot be read.

        Returns:
            The row's number in the table from 0 on as ``row`` (``table_row`` where an output is called so), the table's
            column of identifiers where it has one, and per output its value, ``OUTPUT_confidence`` and, for
            categories and labels, ``OUTPUT_p_CLASS``; a name that is taken gets a number. The index is that of the
            frame that was given.

        Raises:
            ValueError: a column is absent, no such class, or the file cannot be written there.
        """
        place = place_for(to, FRAMES, table) if to else None
        rules = inference.rules_of(self.bundle.network, costs, thresholds)
        decoding = inference.decoding_of(self.bundle.network, decode)
        source, table = table, self._read(table, where, media_root)
        with bars(verbose):
            rows, prepared = self._rows(table, False, max_broken)
            said = inference.predict(self.bundle.network, rows, decoding=decoding)
        self.notes = reading.said_of_rows(prepared, table)
        predictions = inference.decided(self.bundle.network, said, rules)
        classes = {name: self.bundle.transforms[f"out:{name}"].facts().get("classes", []) for name in predictions}
        own = own_columns(source, table, as_written=False) if with_table else None
        beside = None if own is None else [str(name) for name in own.columns]
        made = answers(predictions, classes, table, index_of(source, table), beside)
        found = made.without(made.probabilities if proba is False else ())
        if place:
            dropped = made.wide if proba is None else () if proba else list(made.probabilities)
            kept = made.without(dropped)
            if with_table:
                kept = side_by_side(own_columns(source, table, as_written=True), kept)
            columns, left_out = write_frame(kept, place)
            self.written_columns = columns
            self.notes += left_out
            if proba is None and dropped:
                many = ", ".join(f"{len(made.probabilities[name])} classes of {name}" for name in dropped)
                self.notes.append(f"{place.name} has no columns for the probabilities of the {many}: ask with proba")
        tell(self.notes, verbose)
        return found if own is None else side_by_side(own, found)

    def embed(
        self,
        table: Any,
        *,
        of: str | None = None,
        where: str | None = None,
        media_root: str | Path | None = None,
        to: str | Path | None = None,
        max_broken: float | None = None,
    ) -> np.ndarray:
        """One vector per row, (rows, D) float32.

        Args:
            of: the input whose own representation is wanted; the fused one by default.
            to: also save it as this .npy file; folders are made.
            max_broken: share of a column's cells that may be unreadable; the recipe's by default.

        Raises:
            ValueError: no such input, or another ending of the file.
        """
        place = place_for(to, (".npy",), table) if to else None
        if of is not None:
            registry.choose(self.recipe.inputs, of, "input")
        table = self._read(table, where, media_root)
        vectors = inference.embed(self.bundle.network, self._rows(table, False, max_broken)[0], of=of)
        if place:
            write_vectors(vectors, place)
        return vectors

    def zero_shot(
        self,
        table: Any,
        labels: Names,
        templates: Names = "{}",
        *,
        of: str | None = None,
        by: str | None = None,
        where: str | None = None,
        media_root: str | Path | None = None,
        to: str | Path | None = None,
        max_broken: float | None = None,
        verbose: bool = True,
    ) -> pd.DataFrame:
        """The most likely of some labels for every row by their names alone, where the model aligns inputs.

        Args:
            labels: names that need not have been seen, two at least.
            templates: sentences with ``{}`` where a label goes; their vectors are averaged.
            of: aligned input that is classified; by default the first that is no text.
            by: aligned input that reads the labels.
            to: also write them to this .csv, .tsv, .jsonl or .parquet file; folders are made, and the table that is
                read is never written over.
            max_broken: share of a column's cells that may be unreadable; the recipe's by default.
            verbose: log what is to be said of the table.

        Returns:
            ``row``, ``label``, ``confidence`` and ``p_LABEL``; the index is that of the frame that was given.

        Raises:
            ValueError: the model aligns nothing, or what is asked cannot be.
        """
        place = place_for(to, FRAMES, table) if to else None
        read = self._read(table, where, media_root)
        options: dict[str, Any] = {"of": of, "by": by, "max_broken": max_broken}
        found, self.notes = naming.zero_shot(self.bundle, read, listed(labels), listed(templates), **options)
        found.insert(0, "row", read.rows_N)
        if place:
            write_frame(found, place)
        tell(self.notes, verbose)
        index = index_of(table, read)
        return found if index is None else found.set_axis(index, axis=0)

    def save(self, folder: str | Path) -> Path:
        """Write the model as a folder; see ``bundle``."""
        self.folder = bundles.save(self.bundle, folder)
        return self.folder


def load(folder: str | Path, *, device: str = "auto", trust: Trust = ()) -> Model:
    """Read a saved model.

    Args:
        device: where it predicts: ``auto`` (a GPU where there is one), ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        trust: packages, modules or ``package.module:Class`` whose code the model may run, where it is made of parts
            that do not come with polyfuse.

    Raises:
        BundleError: no model there, a damaged file, or a newer format.
        TrustError: it names code that is not in ``trust``; none of it was run.
        ValueError: no such device here.
    """
    with trusting(trust):
        model = Model(bundles.load(folder, device), Path(folder).name)
    model.folder = Path(folder)
    return model


def index(
    model: Model | str | Path,
    table: Any,
    *,
    to: str | Path,
    media_root: str | Path | None = None,
    max_broken: float | None = None,
    device: str | None = None,
    trust: Trust = (),
) -> Index:
    """Make an index of a table's rows that can be searched by every input the model aligns.

    Args:
        model: one fitted with ``align``, or the folder of one; it is kept in the index.
        to: a new folder.
        max_broken: share of a column's cells that may be unreadable; the recipe's by default.
        device: where the model of a folder computes, ``auto`` by default; a model given as such computes where it is.
        trust: as for ``load``.

    Raises:
        ValueError: the model aligns nothing, the folder holds something, or the table lacks a column.
    """
    if isinstance(model, Model) and device is not None:
        raise ValueError("device: is for the folder of a model; this one is loaded, polyfuse.load(folder, device=...)")
    made = model if isinstance(model, Model) else load(model, device=device or "auto", trust=trust)
    return indexing.Index.create(made.bundle, table, to, media_root=media_root, max_broken=max_broken)


def parts(kind: str) -> list[Listing]:
    """Every part of ``encoders``, ``fusions``, ``heads``, ``objectives`` or ``learners``."""
    return registry.listings(kind)


def starter() -> list[State]:
    """Every pretrained part that comes as a package and works offline, and whether it is installed and as expected."""
    return states()


def inspect(
    table: Any, *, inputs: Names = (), where: str | None = None, media_root: str | Path | None = None
) -> Inspection:
    """What each column of a table is taken for, and why.

    Args:
        inputs: ``COL=MODALITY`` overrides.
    """
    table = read_table(table, media_root=media_root, where=where)
    columns = infer(table, overrides(map(parse_input, listed(inputs))))
    return Inspection(len(table), inspect_rows(columns, table.origin), table.notes)


@trusted
@training_alone()
def fit(
    source: Any,
    *,
    table: Any = None,
    outputs: Names = (),
    inputs: Names = (),
    fusion: str | None = None,
    preset: str | None = None,
    align: Names = (),
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
    settings: Settings = (),
    resume: bool = False,
    quiet: bool = False,
    verbose: bool | None = None,
    device: str = "auto",
    trust: Trust = (),  # noqa: ARG001 - taken by the decorator
) -> Model:
    """Train a model, judge it on the test split where there is one, and save it where ``to`` says.

    Args:
        source: a table (anything ``read_table`` reads), a ``Recipe``, a recipe's ``.yaml``, or a saved model whose
            recipe is fitted again.
        table: the table for a recipe, instead of the one it names.
        outputs: the column to learn, or several, each ``COL`` or ``COL=HEAD``.
        inputs: ``COL``, ``COL=MODALITY`` or ``NAME@COL1,COL2[=MODALITY[:ENCODER]]``; all usable columns by default.
        fusion: a name from ``parts("fusions")``.
        preset: ``plain``, ``scratch``, ``starter`` or ``best``: which encoders and members are taken where the recipe
            names none.
        align: inputs to align with each other in one space (``clip``), so that each finds the others; ``outputs`` may
            then be empty.
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
        time: budget for reading, training and judging, such as ``5m`` or seconds; what does not fit is said.
        seed: fixes everything random.
        settings: ``FIELD=VALUE`` of the recipe, such as ``training.epochs=5``, or several; or a dict of fields, such as
            ``{"training": {"epochs": 5}}``.
        resume: go on from the checkpoint in ``TO.run``.
        quiet: no progress bar, and no notes.
        verbose: log the notes on the table, the splits and the training (logger ``polyfuse``), which also stand in
            ``Model.notes``; the opposite of ``quiet`` by default.
        device: where it trains and predicts: ``auto`` (a GPU where there is one), ``cpu``, ``cuda``, ``cuda:N`` or
            ``mps``; one device, of several GPUs the first.
        trust: as for ``load``, of a saved model that is fitted again or that an input starts from; parts that your own
            recipe names as ``package.module:Class`` need none.

    Raises:
        ValueError: what is asked cannot be; says what was found, expected, and how to mend it.
    """
    started = clock.monotonic()
    if to is not None:
        bundles.check_place(to)
    arguments: dict[str, Any] = {"outputs": outputs, "inputs": inputs, "fusion": fusion, "split": split, "group": group}
    arguments |= {"where": where, "media_root": media_root, "time": time, "seed": seed, "preset": preset}
    arguments |= {"order": order, "folds": folds, "weights": weights, "weighted_metrics": weighted_metrics}
    arguments["align"] = align
    recipe, read = asked_for(source, table, settings=settings, **arguments)
    name, run = Path(to).name if to is not None else "model", Path(f"{to}.run") if to is not None else None
    choice = []
    if recipe.fusion.name == "auto" and recipe.outputs and recipe.data.folds is None:
        recipe, note = comparing.best_fusion(recipe, read, started=started, device=device)
        choice = [note]
    options: dict[str, Any] = {"run": run, "resume": resume, "quiet": quiet, "started": started, "device": device}
    options["judging"] = evaluate.judging_seconds
    if recipe.data.folds is not None:
        fitted, report = validating.cross_validate(recipe, read, name=name, **options)
        model = _reported(fitted, name, report)
    else:
        fitted = training.fit(recipe, read, **options)
        fitted.notes[:0] = choice
        with bars(not quiet):
            model = _judged(fitted, name)
    if to is not None:
        model.save(to)
    tell(model.notes, not quiet if verbose is None else verbose)
    return model


@trusted
@training_alone()
def compare(
    source: Any,
    *,
    table: Any = None,
    outputs: Names = (),
    inputs: Names = (),
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
    settings: Settings = (),
    say: Callable[[str], None] | None = None,
    verbose: bool = True,
    device: str = "auto",
    trust: Trust = (),  # noqa: ARG001 - taken by the decorator
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
        say: told of every run as it ends; by default each is written to standard error.
        verbose: log the notes as well; without, nothing is said but to ``say``.
        device, trust: as for ``fit``.

    Raises:
        ValueError: what is asked cannot be; says what was found, expected, and how to mend it.
    """
    arguments: dict[str, Any] = {"outputs": outputs, "inputs": inputs, "split": split, "group": group}
    arguments |= {"order": order, "weights": weights, "weighted_metrics": weighted_metrics}
    arguments |= {"where": where, "media_root": media_root, "seed": seed}
    recipe, read = asked_for(source, table, settings=settings, **arguments)
    limit = parse({"training": {"time": budget}}).training.time
    place = Path(to) if to is not None else None
    runs, pages = (place / "runs", (place / "comparison.html", place / "comparison.json")) if place else (None, ())
    for page in pages:
        refuse_source(page, recipe.data.table)
    say = say or (_to_standard_error if verbose else None)
    options: dict[str, Any] = {"fusions": fusions, "seeds": seeds, "budget": limit, "unit": unit}
    found = comparing.compare(recipe, read, **options, runs=runs, say=say, device=device)
    if place:
        found.to_html(place / "comparison.html")
        text = json.dumps(found.to_json(), indent=1, ensure_ascii=False, allow_nan=False)
        (place / "comparison.json").write_text(text + "\n", encoding="utf8")
    tell(found.meta["notes"], verbose)
    return found


def _to_standard_error(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _rules_in_words(costs: Any, thresholds: Any) -> list[str]:
    given = {"costs": costs, "thresholds": thresholds}
    return [f"classes are answered by {what} {values}" for what, values in given.items() if values is not None]


def _judged(fitted: Fitted, name: str) -> Model:
    """The model with its evaluation: on the test rows, or on validation rows where no test row can be judged."""
    report = None
    if len(fitted.judged) and (fitted.bundle.recipe.outputs or fitted.bundle.network.aligned):
        if not np.isin(fitted.judged, fitted.splits.test).all():
            alone = fitted.bundle.network.ensemble is None
            how = "which also chose the weights" if alone else "on which nothing was trained or chosen"
            what = "no test row can be judged" if len(fitted.splits.test) else "no test split"
            fitted.notes.append(f"{what}: these figures come from validation rows, {how}")
        began, spent = clock.monotonic(), fitted.bundle.report["seconds"]
        options: dict[str, Any] = {"name": name, "notes": fitted.notes, "unseen": "skip", "seconds": spent}
        try:
            report = evaluate.evaluate_rows(fitted.bundle, fitted.table, fitted.prepared, fitted.judged, **options)
            spent["judging"] = round(clock.monotonic() - began, 2)
        except KeyboardInterrupt:  # what was learned is not lost with what it is worth
            fitted.bundle.report["training"]["interrupted"] = True
            fitted.notes.append("interrupted while it was judged: the model is whole, its figures are not there")
    return _reported(fitted, name, report)


def _reported(fitted: Fitted, name: str, report: Report | None) -> Model:
    """The model with its evaluation, where there is one."""
    model = Model(fitted.bundle, name)
    model.notes, model.evaluation = fitted.notes, report
    if report is not None:
        fitted.bundle.report["evaluation"] = report.to_json()
    fitted.bundle.card = card.card(fitted.bundle, name, fitted.notes)
    return model


def demo(to: str | Path = "demo-output", *, quiet: bool = False) -> Report:
    """Train on digits that are written, spoken and hinted at; save the model, its table and its report under ``to``.

    Raises:
        ValueError: another table lies where the demo's would go.
    """
    place = Path(to)
    place.mkdir(parents=True, exist_ok=True)
    table, made = place / "table.parquet", build_demo()
    if table.exists() and list(read_table(table).frame.columns) != list(made.columns):
        raise ValueError(f"{table} is another table, and the demo would write over it: name another folder")
    made.to_parquet(table, index=False)
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
        verbose=False,  # the report says it
    )
    assert model.evaluation is not None
    model.evaluation.to_html(place / "report.html")
    return model.evaluation
