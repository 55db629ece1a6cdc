"""What every method works on: a trained model and a table, whose rows train, validate and judge as they did before."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from polyfuse.compress.footprint import save_batch
from polyfuse.compress.fresh import peak_memory
from polyfuse.compress.parts import tensors
from polyfuse.data.batches import Rows
from polyfuse.data.prepare import Prepared
from polyfuse.data.splits import Splits
from polyfuse.data.tables import Table
from polyfuse.evaluation.judges import judge
from polyfuse.evaluation.outcome import OutputReport
from polyfuse.evaluation.targets import make_outcomes, metric_weights
from polyfuse.model.bundle import Bundle
from polyfuse.model.inference import predict
from polyfuse.model.prepare import make_rows, prepare_all, read_options
from polyfuse.model.token_cache import encode_once
from polyfuse.recipe import Recipe
from polyfuse.recipe.resolve import split_table
from polyfuse.records import Batch
from polyfuse.system.device import device_of
from polyfuse.system.messages import show_bars
from polyfuse.training.fit import has_target, labelled_rows, rows_for_training
from polyfuse.training.train import Split


@dataclass
class Cells:
    """A table's cells, as one model reads them.

    Args:
        bundle: the model.
        prepared: ``in:NAME``, ``out:NAME`` and ``own:NAME`` -> cells of the whole table.
    """

    bundle: Bundle
    table: Table
    splits: Splits
    prepared: dict[str, Prepared]

    @cached_property
    def kept(self) -> dict[str, Prepared]:
        """The same, with tokens in place of cells that frozen encoders read."""
        return encode_once(self.bundle.network, self.bundle.recipe, self.prepared)[0]

    @property
    def plain(self) -> Rows:
        """As rows to be answered."""
        return make_rows(self.kept, len(self.table), self.bundle.recipe)

    def learnt(self, recipe: Recipe) -> Rows:
        """As rows to learn from, augmented as a recipe says but for what is encoded once."""
        made = rows_for_training(recipe, self.prepared, self.table, self.splits)
        inputs = self.plain.inputs
        augment = {name: change for name, change in made.augment.items() if inputs[name].assemble is None}
        return replace(made, inputs=inputs, augment=augment)

    @cached_property
    def split(self) -> Split:
        """Rows that train and validate, those with something to learn from."""
        return labelled_rows(make_rows(self.prepared, len(self.table)), self.splits)

    def judge(self, rows: np.ndarray, *, bootstrap: int = 1000) -> dict[str, OutputReport]:
        """Output -> how good the model is on some rows.

        Args:
            bootstrap: resamples for intervals; 0 for none.
        """
        bundle = self.bundle
        found = predict(bundle.network, self.plain, numbers=rows)
        outcomes = make_outcomes(bundle, self.prepared, rows, found, metric_weights(bundle.recipe, self.table, rows))
        return {name: judge(outcome, bootstrap=bootstrap) for name, outcome in outcomes.items()}

    def answering(self, rows: np.ndarray) -> Callable[[], Any]:
        """A call that answers some rows, whose cells are ready and not yet encoded."""
        network = self.bundle.network.eval()
        device = device_of(network)
        batch = self._batch(rows).to(device)

        def answer() -> None:
            with torch.inference_mode():
                network.predict(batch)
            if device.type == "cuda":
                torch.cuda.synchronize()

        return answer

    def numbers(self) -> tuple[int, int]:
        """How many numbers the model holds, and how many of them are not 0."""
        found = tensors(self.bundle.network)
        return sum(t.numel() for t in found), sum(int(t.count_nonzero()) for t in found)

    def peak(self, folder: Path, rows: np.ndarray) -> int:
        """Bytes that a process of its own holds at most which loads the model and answers some rows.

        Raises:
            RuntimeError: that process failed.
        """
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / "rows.safetensors"
            save_batch(self._batch(rows), path)
            return peak_memory("polyfuse.compress.footprint", folder, path)

    def _batch(self, rows: np.ndarray) -> Batch:
        made = make_rows(self.prepared, len(self.table))
        made.outputs = {}
        return made[0, rows]


@dataclass
class Study:
    """A model that is to be made smaller, and the rows for that.

    Args:
        cells: of the table, as the model reads them.
        judged: row numbers that the figures come from; none of them trains.
        judged_as: what these are, in words.
        notes: what the reader of the figures must know.
        quiet: no progress bar.
    """

    cells: Cells
    judged: np.ndarray
    judged_as: str
    notes: list[str] = field(default_factory=list)
    quiet: bool = True

    @property
    def bundle(self) -> Bundle:
        """The model as it is."""
        return self.cells.bundle

    @property
    def table(self) -> Table:
        """Its inputs and outputs."""
        return self.cells.table

    @property
    def splits(self) -> Splits:
        """Which rows a smaller model may learn from, and which settings are chosen on."""
        return self.cells.splits

    def read(self, bundle: Bundle) -> Cells:
        """The table's cells, as another model reads them."""
        if bundle is self.bundle:
            return self.cells
        if bundle.transforms == self.bundle.transforms:
            return replace(self.cells, bundle=bundle)
        reading = read_options(bundle.recipe, self.table)
        prepared = prepare_all(bundle.recipe, bundle.transforms, self.table, reading)
        return Cells(bundle, self.table, self.splits, prepared)


def begin(bundle: Bundle, table: Table, *, same: bool, quiet: bool = True) -> Study:
    """The rows of a table for making a model smaller.

    Args:
        table: read as that of training was.
        same: it is the table that the model was trained on, as far as names tell.

    Raises:
        TableError: the table lacks a column.
        ValueError: the model answers nothing, or no row trains, or none is left to judge by.
    """
    recipe = bundle.recipe
    if not recipe.outputs:
        raise ValueError("the model has no outputs, so that nothing tells what a smaller one loses")
    for output in recipe.outputs.values():
        table.require(output.column)
    splits = split_table(recipe, table)
    with show_bars(not quiet):
        prepared = prepare_all(recipe, bundle.transforms, table, read_options(recipe, table))
    has_R = has_target(make_rows(prepared, len(table)))
    tested = bool(has_R[splits.test].any())
    judged, judged_as = (splits.test, "test rows") if tested else (splits.val, "validation rows")
    if not has_R[judged].any():
        raise ValueError(
            f"{table.name}: no row is left to judge by that does not train; give a table with test or validation rows"
        )
    if not has_R[splits.train].any():
        raise ValueError(f"{table.name}: no training row has a value of an output, so that nothing can be learnt")
    notes = [_origin(recipe, same)]
    if not tested:
        notes.append("no test row can be judged: the figures come from validation rows, on which settings are chosen")
    if recipe.data.folds is not None:
        notes.append("the model was made of all rows, in folds: its own figures here are of rows that it has seen")
    return Study(Cells(bundle, table, splits, prepared), judged, judged_as, notes, quiet)


def _origin(recipe: Recipe, same: bool) -> str:
    how = f"column {recipe.data.split!r}" if recipe.data.split else "the model's own way of splitting, and its seed"
    if same:
        return f"rows train, validate and test as they did for the model, by {how}"
    return f"the table is not the one that the model was trained on, or lies elsewhere; rows are split by {how}"


def paths_of(source: Any) -> list[str]:
    """Where the files of a table lie; none of a frame."""
    files = list(source) if isinstance(source, (list, tuple)) else [source]
    return [str(Path(f).resolve()) for f in files] if all(isinstance(f, (str, Path)) for f in files) else []
