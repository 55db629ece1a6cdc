"""The trained model: evaluate, predict, embed, save."""

from __future__ import annotations

import time as clock
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from polyfuse import registry
from polyfuse.data import conll
from polyfuse.data.names import as_name_list
from polyfuse.data.output_files import FRAMES, check_output_path, write_frame, write_vectors
from polyfuse.data.output_paths import check_page_path
from polyfuse.data.tables import Table, TableError, did_you_mean
from polyfuse.evaluation.curves import SEVERITIES
from polyfuse.evaluation.rendering import as_html
from polyfuse.evaluation.report import Report
from polyfuse.evaluation.robustness_report import RobustnessReport
from polyfuse.model.predictions import join_columns, source_columns, source_index, tabulate, write_media
from polyfuse.recipe import Recipe
from polyfuse.recipe.build import Names
from polyfuse.system.lazy import LazyModule
from polyfuse.system.messages import log_notes, show_bars
from polyfuse.system.process import training_alone
from polyfuse.trust import Trust, trust_packages

if TYPE_CHECKING:
    from polyfuse.compress import chain, study
    from polyfuse.compress import run as compressing
    from polyfuse.compress.findings import Compression
    from polyfuse.data.batches import Rows
    from polyfuse.data.prepare import Prepared
    from polyfuse.evaluation import answers_page, evaluate
    from polyfuse.evaluation import attention_page as strips
    from polyfuse.evaluation import robustness as noising
    from polyfuse.evaluation import summary as summing
    from polyfuse.evaluation.summary import Summary
    from polyfuse.explain import table as explaining
    from polyfuse.explain.rows import Explanations
    from polyfuse.heads.text.word_attention import TextAttention
    from polyfuse.model import annotation_files, inference
    from polyfuse.model import bundle as bundles
    from polyfuse.model import prepare as reading
    from polyfuse.model import servant as servants
    from polyfuse.model.bundle import Bundle
    from polyfuse.recipe import outputs as beside
    from polyfuse.search import zero_shot as naming
else:  # what needs torch, and what needs Lightning, is imported by the verbs that use it
    annotation_files = LazyModule("polyfuse.model.annotation_files")
    bundles = LazyModule("polyfuse.model.bundle")
    inference = LazyModule("polyfuse.model.inference")
    reading = LazyModule("polyfuse.model.prepare")
    evaluate = LazyModule("polyfuse.evaluation.evaluate")
    summing = LazyModule("polyfuse.evaluation.summary")
    strips = LazyModule("polyfuse.evaluation.attention_page")
    answers_page = LazyModule("polyfuse.evaluation.answers_page")
    noising = LazyModule("polyfuse.evaluation.robustness")
    servants = LazyModule("polyfuse.model.servant")
    explaining = LazyModule("polyfuse.explain.table")
    naming = LazyModule("polyfuse.search.zero_shot")
    compressing = LazyModule("polyfuse.compress.run")
    chain = LazyModule("polyfuse.compress.chain")
    study = LazyModule("polyfuse.compress.study")
    beside = LazyModule("polyfuse.recipe.outputs")


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
        """Facts about its training and evaluation, as JSON; saved with the model."""
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
            self._require(read, heads=False)
        return summing.summarise(self.bundle, self.name, self.folder, read)

    def _require(self, table: Table, heads: bool) -> None:
        """Whether a table has the columns of all inputs, and those that heads read themselves."""
        for item in self.recipe.inputs.values():
            for column in item.columns:
                table.require(column)
        if heads:
            beside.check_head_columns(self.recipe, table)

    def _read(self, table: Any, where: str | None, media_root: str | Path | None) -> Table:
        """A table, read as that of training was."""
        return reading.reread_table(self.recipe, table, where=where, media_root=media_root)

    def _rows(
        self, table: Table, targets: bool, max_broken: float | None = None, heads: bool = True
    ) -> tuple[Rows, dict[str, Prepared]]:
        self._require(table, heads)
        how = reading.read_options(self.recipe, table, max_broken)
        prepared = reading.prepare_all(self.recipe, self.bundle.transforms, table, how, targets=targets, heads=heads)
        return reading.make_rows(prepared, len(table), self.recipe), prepared

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
        """Evaluate the model on a table that holds its output columns.

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
        rules = inference.decision_rules(self.bundle.network, costs, thresholds)
        decoding = inference.check_decoding(self.bundle.network, decode)
        began = clock.monotonic()
        with show_bars(verbose):
            table, prepared = self._prepare_for_evaluation(table, where, media_root, max_broken)
            seconds = {"reading": round(clock.monotonic() - began, 2)}
            rows = np.arange(len(table))
            notes = [*_rules_in_words(costs, thresholds), *table.notes]
            notes += [note for cells in prepared.values() for note in cells.notes]
            notes += [note for cells in prepared.values() for note in reading.note_unseen_values(cells, table)]
            notes += reading.note_blank_rows(prepared, table) + reading.note_missing_prompts(prepared, table)
            notes += reading.note_missing_targets(prepared, table, {"": rows})
            options: dict[str, Any] = {"name": self.name, "notes": list(dict.fromkeys(notes)), "unseen": unseen}
            options |= {"importance": importance, "rules": rules, "seconds": seconds}
            options["decoding"] = decoding
            report = evaluate.evaluate_rows(self.bundle, table, prepared, rows, **options)
        seconds["judging"] = round(clock.monotonic() - began - seconds["reading"], 2)
        broken = [note for cells in prepared.values() for note in reading.summary(cells, table)]
        log_notes([*report.meta["notes"], *broken], verbose)
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
        """Evaluate the model under growing noise in its inputs, each alone and all together.

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
        table, prepared = self._prepare_for_evaluation(table, where, media_root, max_broken)
        options: dict[str, Any] = {"metrics": metrics, "seed": seed, "name": self.name, "unseen": unseen}
        options["inputs"] = None if inputs is None else as_name_list(inputs)
        options["severities"] = [severities] if isinstance(severities, (int, float)) else severities
        options["corruptions"] = corruptions and {kind: as_name_list(names) for kind, names in corruptions.items()}
        report = noising.robustness(self.bundle, table, prepared, np.arange(len(table)), **options)
        log_notes(report.meta["notes"], verbose)
        return report

    def _prepare_for_evaluation(
        self, table: Any, where: str | None, media_root: str | Path | None, max_broken: float | None = None
    ) -> tuple[Table, dict[str, Prepared]]:
        """A table that holds the outputs' columns, and its cells."""
        table = self._read(table, where, media_root)
        for output in self.recipe.outputs.values():
            if output.column not in table.frame:
                what = "judging needs the columns of the outputs, and predict (polyfuse predict) answers without them"
                hint = did_you_mean(output.column, table.frame.columns)
                raise TableError(f"{table.name} has no column {output.column!r}{hint}; {what}")
        return table, self._rows(table, True, max_broken)[1]

    def predict(
        self,
        table: Any,
        *,
        where: str | None = None,
        media_root: str | Path | None = None,
        to: str | Path | None = None,
        html: str | Path | None = None,
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
                read is never written over; or tags to a .conll, .iob or .bio file, a word a line, and boxes to a file
                of COCO, ``NAME.coco.json``. Pictures and sounds go into files beside it, ``NAME_files/OUTPUT/ROW.png``,
                whose paths it holds.
            html: also write a page with the first 100 rows: their inputs, and the answers, with boxes and masks drawn
                on their pictures and words coloured.
            with_table: the table's own columns first, then the answers; an output whose column the table has is then
                called ``OUTPUT_predicted``.
            proba: a column per class with its probability. By default the result has them all, and the file leaves
                out those of outputs with more than 20 classes.
            max_broken: share of a column's cells that may be unreadable; the recipe's by default.
            costs: class -> what it costs to miss it, 1 for the others (``{"fraud": 10}``): the answer is the class with
                the least expected cost. With several outputs, output -> class -> cost.
            thresholds: class -> probability from which it is the answer, of two classes (``{"fraud": 0.2}``), or of
                any labels; in the same forms. Both win over ``cost`` and ``threshold`` of the recipe's heads.
            decode: how texts, pictures and sounds are made, over the recipe's own way: ``{"beams": 4}``, or output ->
                such options; see ``polyfuse.heads.text.decode`` and ``polyfuse.heads.flow``.
            verbose: log what is to be said of the table, such as cells that cannot be read.

        Returns:
            The row's number in the table from 0 on as ``row`` (``table_row`` where an output is called so), the table's
            column of identifiers where it has one, and per output its value, ``OUTPUT_confidence`` and, for
            categories and labels, ``OUTPUT_p_CLASS``; a name that is taken gets a number. The index is that of the
            frame that was given.

        Raises:
            ValueError: a column is absent, no such class, or the file cannot be written there.
        """
        annotated = annotation_files.format_of(self.bundle, to)
        endings = (*FRAMES, *conll.ENDINGS, *((".json",) if annotated else ()))
        place = check_output_path(to, endings, table) if to else None
        shown = check_page_path(html, table) if html else None
        rules = inference.decision_rules(self.bundle.network, costs, thresholds)
        decoding = inference.check_decoding(self.bundle.network, decode)
        source, table = table, self._read(table, where, media_root)
        with show_bars(verbose):
            rows, prepared = self._rows(table, False, max_broken)
            said = inference.predict(self.bundle.network, rows, decoding=decoding)
        self.notes = reading.prediction_notes(prepared, table)
        predictions = inference.apply_rules(self.bundle.network, said, rules)
        classes = {name: self.bundle.transforms[f"out:{name}"].facts().get("classes", []) for name in predictions}
        own = source_columns(source, table, as_written=False) if with_table else None
        beside = None if own is None else [str(name) for name in own.columns]
        made = tabulate(predictions, classes, table, source_index(source, table), beside)
        found = made.without(made.probabilities if proba is False else ())
        if shown:
            values = {name: list(one.value) for name, one in predictions.items()}
            shown.parent.mkdir(parents=True, exist_ok=True)
            facts = {"model": self.name, "table": table.name}
            shown.write_text(answers_page.page(self.bundle, table, values, facts), encoding="utf8")
        if place and annotated:
            answered = annotation_files.Answered(self.bundle, table, prepared, predictions)
            self.written_columns, said_of = annotated.write(answered, place, with_table)
            self.notes += said_of
        elif place:
            dropped = made.wide if proba is None else () if proba else list(made.probabilities)
            kept, filed = write_media(made.without(dropped), made, place)
            if with_table:
                kept = join_columns(source_columns(source, table, as_written=True), kept)
            columns, left_out = write_frame(kept, place)
            self.written_columns = columns
            self.notes += left_out + filed
            if proba is None and dropped:
                many = ", ".join(f"{len(made.probabilities[name])} classes of {name}" for name in dropped)
                self.notes.append(f"{place.name} has no columns for the probabilities of the {many}: ask with proba")
        log_notes(self.notes, verbose)
        return found if own is None else join_columns(own, found)

    def stream(
        self,
        table: Any,
        *,
        output: str | None = None,
        where: str | None = None,
        media_root: str | Path | None = None,
        max_broken: float | None = None,
        decode: Mapping[str, Any] | None = None,
    ) -> Iterator[str]:
        """The text of one row as it grows, after every further unit; the last is what ``predict`` says.

        Args:
            table: a dict, ``{"photo": "a.jpg"}``, or any table of one row.
            output: which one, where several outputs write.
            where: a pandas query that keeps the row.
            max_broken: 1 writes of the other inputs where a cell cannot be read; the recipe's share by default.
            decode: as for ``predict``; what is searched by beams comes at once.

        Raises:
            ValueError: no output writes, or the table has not one row.

        Example:
            >>> for text in model.stream({"photo": "a.jpg"}):
            ...     print(text)
        """
        network = self.bundle.network
        name, decoding = inference.streaming_output(network, output), inference.check_decoding(network, decode)
        read = self._read(table, where, media_root)
        if len(read) != 1:
            raise ValueError(f"{read.name} has {len(read):,} rows, and one is written at a time: keep one with where")
        rows, prepared = self._rows(read, False, max_broken)
        self.notes = reading.prediction_notes(prepared, read)
        return inference.stream(network, rows, name, decoding=decoding)

    def attend(
        self,
        table: Any,
        *,
        output: str | None = None,
        where: str | None = None,
        media_root: str | Path | None = None,
        to: str | Path | None = None,
        max_broken: float | None = None,
        decode: Mapping[str, Any] | None = None,
        verbose: bool = True,
    ) -> list[TextAttention]:
        """Attention of each word of a row's text to the inputs, for decoders with attention.

        Args:
            table: whatever ``read_table`` reads; one row may be a dict.
            output: which one, where several outputs write.
            to: also write it to this file: .jsonl with all shares, or .html with pictures under a map per word, sounds
                with the seconds that were looked at, and pieces of texts, of the first 100 rows.
            max_broken: share of a column's cells that may be unreadable; the recipe's by default.
            decode: how texts are written, as for ``predict``.
            verbose: log what is to be said of the table.

        Returns:
            Per row ``text``, ``words``, and ``by_input``: input -> its share of the attention of every word, with the
            grid and the spans of its tokens; see ``polyfuse.heads.text.word_attention``.

        Raises:
            ValueError: no output writes, or its decoder has no attention (``ctc``, ``lm``).
        """
        place = check_output_path(to, (".jsonl", ".html"), table) if to else None
        network = self.bundle.network
        name, decoding = inference.attention_output(network, output), inference.check_decoding(network, decode)
        read = self._read(table, where, media_root)
        with show_bars(verbose):
            rows, prepared = self._rows(read, False, max_broken)
            found = inference.attend(network, rows, name, decoding=decoding)
        self.notes = reading.prediction_notes(prepared, read)
        numbered = [replace(one, row=int(row)) for one, row in zip(found, read.rows_N, strict=True)]
        if place:
            facts = {"model": self.name, "table": read.name, "output": name}
            strips.write(self.bundle, read, numbered, place, facts)
        log_notes(self.notes, verbose)
        return numbered

    def explain(
        self,
        table: Any,
        rows: int | Sequence[int] = 0,
        *,
        method: str = "contribution",
        output: str | None = None,
        label: Any = None,
        options: Mapping[str, Any] | None = None,
        where: str | None = None,
        media_root: str | Path | None = None,
        to: str | Path | None = None,
        verbose: bool = True,
    ) -> Explanations:
        """Why the model says what it says of some rows.

        Args:
            table: whatever ``read_table`` reads; one row may be a dict.
            rows: numbers of rows in the table, from 0 on.
            method: ``contribution`` (what each input brings), ``occlusion`` (patches, words, stretches, columns), or
                another of ``polyfuse.parts("explainers")``.
            output: that one alone; all that have scores by default.
            label: the class whose probability is explained; by default that which is most probable.
            options: keywords of the method, such as ``{"patches": 12}``.
            where: a pandas query that keeps rows.
            to: also write them to this file: .json, or .html to look at.
            verbose: log what is to be said of the table, such as cells that cannot be read.

        Raises:
            ValueError: no such row, method, output or label, an output without scores, a row without any input, or a
                method that needs gradients where there are none.
        """
        place = check_output_path(to, explaining.ENDINGS, table) if to else None
        read = self._read(table, where, media_root)
        self._require(read, heads=True)
        servant = servants.BundleServant(self.bundle, self.name)
        asked: dict[str, Any] = {"method": method, "output": output, "label": label, "options": options}
        found, self.notes = explaining.explain_table(servant, read, [rows] if isinstance(rows, int) else rows, **asked)
        if place:
            explaining.write(found, place)
        log_notes(self.notes, verbose)
        return found

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
        place = check_output_path(to, (".npy",), table) if to else None
        if of is not None:
            registry.choose(self.recipe.inputs, of, "input")
        table = self._read(table, where, media_root)
        vectors = inference.embed(self.bundle.network, self._rows(table, False, max_broken, heads=False)[0], of=of)
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
        place = check_output_path(to, FRAMES, table) if to else None
        read = self._read(table, where, media_root)
        options: dict[str, Any] = {"of": of, "by": by, "max_broken": max_broken}
        found, self.notes = naming.zero_shot(
            self.bundle, read, as_name_list(labels), as_name_list(templates), **options
        )
        found.insert(0, "row", read.rows_N)
        if place:
            write_frame(found, place)
        log_notes(self.notes, verbose)
        index = source_index(table, read)
        return found if index is None else found.set_axis(index, axis=0)

    @training_alone()
    def compress(
        self,
        table: Any = None,
        *,
        method: str,
        to: str | Path,
        settings: Mapping[str, Any] | None = None,
        max_drop: float | None = None,
        where: str | None = None,
        media_root: str | Path | None = None,
        memory: bool = True,
        verbose: bool = True,
        **keywords: Any,
    ) -> Compression:
        """Make a smaller model, save it in a new folder, and measure both on rows that do not train.

        Args:
            table: whatever ``read_table`` reads, with the columns of inputs and outputs; that of training by default.
                Its rows train, validate and test as those of training did: by the same column, or split the same way.
            method: one of ``parts("compressors")``, or several with ``+`` between, ``distill+prune+quantize``, each
                of which begins with what the one before made.
            to: a new folder; nothing is written over.
            settings: method -> its keywords, ``{"prune": {"ratio": 0.5}}``.
            max_drop: what the headline metric may lose on validation rows, such as 0.01 of an accuracy (of a metric
                without bounds, such as RMSE, as a share of it): each method is then as strong as that allows.
            where: a pandas query that keeps rows.
            media_root: folder that paths in cells start from.
            memory: measure the peak of that too, for which each model is loaded in a process of its own.
            verbose: say what each method did, and show progress.
            **keywords: of the methods, for each that takes them: ``ratio=0.5``, ``inputs="sound"``.

        Returns:
            The table of before and after; ``folder`` is where the new model lies, for ``polyfuse.load``.

        Raises:
            ValueError: no such method or keyword, a folder that is in use, a table without the columns or without rows
                to judge by, or a student that reads what the model does not; nothing was written.

        Example:
            >>> found = model.compress("digits.parquet", method="distill+prune", to="small", inputs="sound")
            >>> print(found)
        """
        compressing.check_new(to)
        given = {**(settings or {}), **({"": keywords} if keywords else {})}
        chain.links(method, given)
        same = table is None
        if table is None:
            files = self.recipe.data.table
            if not files:
                raise ValueError("the model's own table was no file: give a table to learn from and to judge by")
            table, where = files if len(files) > 1 else files[0], where or self.recipe.data.where
            media_root = media_root or self.recipe.data.media_root
        read = self._read(table, where, media_root)
        self._require(read, heads=True)
        return compressing.compress(
            self.bundle,
            read,
            method,
            to,
            name=self.name,
            same=same or study.paths_of(table) == self.recipe.data.table,
            settings=given,
            max_drop=max_drop,
            memory=memory,
            source=self.folder,
            quiet=not verbose,
            say=(lambda line: log_notes([line], verbose)),
        )

    def export(self, folder: str | Path, *, format: str = "onnx", overwrite: bool = False, once: bool = False) -> Path:
        """Write the model as a folder that runs without torch; ``polyfuse.runtime.load`` answers from it.

        Args:
            folder: to write; it must not exist.
            format: ``onnx``.
            overwrite: take the place of an older export; nothing else is ever replaced.
            once: accept one look at every row where the model averages augmented ones (``training.views``).

        Raises:
            ValueError: no such format, a part that cannot be exported, by name, or a folder that is in the way.

        Example:
            >>> polyfuse.load("house-price").export("house-price-onnx")
        """
        write = registry.resolve(registry.choose(registry.EXPORTERS, format, "format"))
        return write(self, folder, overwrite=overwrite, once=once)

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
    with trust_packages(trust):
        model = Model(bundles.load(folder, device), Path(folder).name)
    model.folder = Path(folder)
    return model


def _rules_in_words(costs: Any, thresholds: Any) -> list[str]:
    given = {"costs": costs, "thresholds": thresholds}
    return [f"classes are answered by {what} {values}" for what, values in given.items() if values is not None]
