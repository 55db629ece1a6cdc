"""A loaded bundle as what a service and the explainers ask of any model: rows of plain Python in, plain answers out.

What is asked with is kept nowhere: cells are read in memory, past the stores that training and prediction share.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from polyfuse import registry
from polyfuse.contracts import Scores, Streams, offers
from polyfuse.data.cells.media_files import encode_media
from polyfuse.data.prepare import Prepared
from polyfuse.data.tables import Table, read_table
from polyfuse.layers.pooling import masked_mean
from polyfuse.model import bundle as bundles
from polyfuse.model import inference, prepare
from polyfuse.model.bundle import Bundle
from polyfuse.recipe.outputs import head_columns
from polyfuse.records import Batch, Prediction
from polyfuse.runtime.servant import Answer, InputFacts, OutputFacts, Record
from polyfuse.system.device import device_of
from polyfuse.trust import Trust, trust_packages

FEW = 50  # values of a category that a person can choose from


class BundleServant:
    """A model with torch behind the protocol ``runtime.servant.Servant``.

    Args:
        bundle: loaded.
        name: what clients call it.
    """

    def __init__(self, bundle: Bundle, name: str):
        self.bundle, self.name = bundle, name
        self._own = head_columns(bundle.recipe)
        columns = [c for item in bundle.recipe.inputs.values() for c in item.columns]
        self._columns = list(dict.fromkeys([*columns, *(c for own in self._own.values() for c in own)]))
        self.inputs: Mapping[str, InputFacts] = {name: self._input(name) for name in bundle.recipe.inputs}
        self.outputs: Mapping[str, OutputFacts] = {name: self._output(name) for name in bundle.recipe.outputs}

    def _input(self, name: str) -> InputFacts:
        item, known = self.bundle.recipe.inputs[name], self.bundle.recipe.data.modalities
        kinds = {column: _kind(str(known[column])) for column in item.columns}
        state = self.bundle.transforms[f"in:{self.bundle.recipe.reads[name][0]}"].state()
        fitted = state.get("columns", {}) if "category" in kinds.values() else {}
        seen = {c: fitted[c].get("known", []) for c, kind in kinds.items() if kind == "category" and c in fitted}
        choices = {column: values for column, values in seen.items() if 0 < len(values) <= FEW}
        return InputFacts(name, str(item.modality), tuple(item.columns), kinds, choices)

    def _output(self, name: str) -> OutputFacts:
        head = self.bundle.recipe.outputs[name].head
        labels = self.bundle.transforms[f"out:{name}"].facts().get("classes", [])
        writes = offers(registry.head(head.name), Streams)
        return OutputFacts(name, head.name, tuple(labels), writes, tuple(self._own.get(name, ())))

    def predict(
        self, records: Sequence[Record], *, without: Collection[str] = ()
    ) -> tuple[list[dict[str, Answer]], list[str]]:
        """For each row, output -> answer; and what is to be said of cells that could not be read."""
        if not records:
            return [], []
        table, prepared = self._read(records)
        rows = prepare.make_rows(prepared, len(table), self.bundle.recipe)
        keep = None if not without else [name for name in self.bundle.network.inputs if name not in without]
        (found,) = inference.predict_subsets(self.bundle.network, rows, [keep])
        columns = {name: self._answers(name, said) for name, said in found.items()}
        answers = [{name: column[n] for name, column in columns.items()} for n in range(len(records))]
        return answers, prepare.prediction_notes(prepared, table)

    def _answers(self, name: str, said: Prediction) -> list[Answer]:
        labels, p_NC, sure = self.outputs[name].labels, said.extra.get("probabilities"), said.extra.get("confidence")
        found = []
        for n, value in enumerate(said.value):
            file = encode_media(value)
            p = None if p_NC is None else dict(zip(labels, map(float, p_NC[n]), strict=True))
            found.append(Answer(file[1] if file else _plain(value), p, None if sure is None else float(sure[n])))
        return found

    def scores(self, records: Sequence[Record], subsets: Sequence[Collection[str]]) -> dict[str, np.ndarray]:
        """Output -> (S, N, C) float32 for each subset of inputs that stay; encoders run once."""
        if not records or not subsets:
            return {}
        table, prepared = self._read(records)
        rows = prepare.make_rows(prepared, len(table), self.bundle.recipe)
        scored = [name for name in self.outputs if self._scored(name)]
        found = inference.predict_subsets(self.bundle.network, rows, list(subsets), outputs=scored)
        return {name: np.stack([_scores(said[name]) for said in found]) for name in scored}

    def _scored(self, name: str) -> bool:
        return offers(self.bundle.network.head(name), Scores)

    def embed(self, records: Sequence[Record], *, input: str | None = None) -> np.ndarray:
        """(N, D) float32 vectors of one input, or of all together; NaN where a row has nothing to embed.

        Raises:
            ValueError: no such input, or all together where the model has no outputs, hence no fusion.
        """
        network = self.bundle.network
        if input is not None:
            registry.choose(self.bundle.recipe.inputs, input, "input")
        table, prepared = self._read(records, heads=False)
        rows = prepare.make_rows(prepared, len(table), self.bundle.recipe)
        if input in network.aligned:
            vectors_ND, present_N = inference.shared_vectors(network, rows)[input]
            return np.where(present_N[:, None], vectors_ND, np.nan).astype(np.float32)
        parts = []
        for _, (state,) in inference.iter_states(network, rows):
            if input is None and state.fused is None:
                raise ValueError(f"model {self.name!r} has no outputs, hence no fusion: name one input to embed")
            tokens = state.encoded[input] if input is not None else state.fused.tokens  # type: ignore[union-attr]
            own = [tokens] if input is not None else list(state.encoded.values())
            present_B = np.any([t.present_B.cpu().numpy() for t in own], axis=0)
            vectors_BD = masked_mean(tokens.x_BTD, tokens.mask_BT).float().cpu().numpy()
            parts.append(np.where(present_B[:, None], vectors_BD, np.nan))
        return np.concatenate(parts).astype(np.float32)

    def stream(self, record: Record, output: str) -> Iterator[str]:
        """The text of one output, piece by piece: joined, the pieces are the text.

        Raises:
            ValueError: the output does not write.
        """
        name = inference.streaming_output(self.bundle.network, output)
        table, prepared = self._read([record])
        rows = prepare.make_rows(prepared, len(table), self.bundle.recipe)
        return _pieces(inference.stream(self.bundle.network, rows, name))

    def batch(self, records: Sequence[Record]) -> Batch:
        """Rows as the network reads them, on its device."""
        table, prepared = self._read(records)
        rows = prepare.make_rows(prepared, len(table), self.bundle.recipe)
        return rows[0, np.arange(len(table))].to(device_of(self.bundle.network))

    def _read(self, records: Sequence[Record], heads: bool = True) -> tuple[Table, dict[str, Prepared]]:
        """Rows as a table that has every column, and its cells, which no store keeps."""
        recipe = self.bundle.recipe
        rows = [{column: record.get(column) for column in self._columns} for record in records]
        table = read_table(rows, formats=recipe.data.formats, decide=False)
        how = replace(prepare.read_options(recipe, table, 1.0), cache=None)
        return table, prepare.prepare_all(recipe, self.bundle.transforms, table, how, targets=False, heads=heads)


def open_bundle(folder: str | Path, name: str, *, device: str = "auto", trust: Trust = ()) -> BundleServant:
    """The model of a folder, ready to answer; errors as of ``model.bundle.load``."""
    with trust_packages(trust):
        return BundleServant(bundles.load(folder, device), name)


def _kind(modality: str) -> str:
    return "vector" if modality == "feature" else modality


def _plain(value: Any) -> Any:
    """A value of plain Python: NumPy's numbers and arrays as numbers and lists."""
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def _scores(said: Prediction) -> np.ndarray:
    """(N, C) float32: probabilities, or the number itself."""
    p_NC = said.extra.get("probabilities")
    return np.asarray(said.value if p_NC is None else p_NC, np.float32).reshape(len(said.value), -1)


def _pieces(texts: Iterator[str]) -> Iterator[str]:
    """What each text says more than those before it; a word that is spelt otherwise later waits until it is settled."""
    said = ""
    for text in texts:
        if text.startswith(said) and text != said:
            yield text[len(said) :]
            said = text
