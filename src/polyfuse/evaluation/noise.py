"""What a model predicts when its inputs are noised by degrees: each input and corruption alone, and all together.

Of a batch the clean inputs are encoded once; each step of noise encodes the noised input again and nothing else. The
predictions of every step stay in memory until they are judged: of a table of millions of rows, judge a part.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch

from polyfuse.data.batches import Rows
from polyfuse.data.cells.word_lists import listed_words
from polyfuse.data.corrupt import Corruption
from polyfuse.data.corrupt.apply import Source, corrupt_cells
from polyfuse.data.corrupt.table import Change
from polyfuse.model.ensemble import MemberInputs
from polyfuse.model.inference import concatenate, iter_states
from polyfuse.model.network import Network
from polyfuse.records import Batch, Cells, Prediction, State

Tables = dict[str, dict[str, Corruption]]  # input -> its corruptions by name


Noises = dict[Hashable, Cells]
"""Noised cells as frozen encoders read them: networks that share those encoders hear the same noise once."""


class Case(NamedTuple):
    """One prediction over all rows: which input is noised (None for all together), how, and how much."""

    input: str | None
    corruption: str | None
    severity: float


CLEAN = Case(None, None, 0.0)


def predict_cases(
    network: Network,
    rows: Rows,
    sources: Mapping[str, Source],
    tables: Tables,
    severities: Sequence[float],
    *,
    seed: int,
    numbers: np.ndarray,
    heard: Noises | None = None,
    words: Mapping[str, Mapping[str, Source]] = MappingProxyType({}),
) -> dict[Case, dict[str, Prediction]]:
    """What every head says in every case, ``CLEAN`` among them.

    Args:
        rows: the whole table.
        sources: reader -> its cells.
        tables: input -> the corruptions it suffers.
        severities: above 0.
        seed: of the noise.
        numbers: row numbers to visit.
        heard: filled and read; only for networks with the very same frozen encoders, asked the very same way.
        words: input -> outputs whose head reads the same column of words, with these: they suffer the same noise.
    """
    parts: dict[Case, dict[str, list[Prediction]]] = defaultdict(lambda: {name: [] for name in network.outputs})
    for batch, (state,) in iter_states(network, rows, numbers=numbers):
        with torch.inference_mode():
            hearing = network.member_inputs(batch)
            for case, noisy in _cases(network, batch, sources, tables, severities, seed, heard, words):
                made = state if case == CLEAN else _answered(network, state, hearing, noisy, _noised(case, tables))
                for name in network.outputs:
                    parts[case][name].append(network.predict_output(name, made, batch))
    return {case: {name: concatenate(pieces) for name, pieces in part.items()} for case, part in parts.items()}


def _noised(case: Case, tables: Tables) -> list[str]:
    """The inputs that a case changes."""
    return list(tables) if case.input is None else [case.input]


def _answered(
    network: Network, clean: State, heard: MemberInputs | None, batch: Batch, changed: Sequence[str]
) -> State:
    """The state of a batch of which some inputs changed; the others keep their tokens."""
    encoded = {**clean.encoded, **{name: network.encode_input(name, batch) for name in changed}}
    if network.ensemble is not None:
        heard = network.ensemble.member_inputs(network, batch, heard, changed)
    return network.fuse_and_score(encoded, batch, heard)


def _cases(
    network: Network,
    batch: Batch,
    sources: Mapping[str, Source],
    tables: Tables,
    severities: Sequence[float],
    seed: int,
    heard: Noises | None,
    words: Mapping[str, Mapping[str, Source]],
) -> Iterator[tuple[Case, Batch]]:
    """Each case with its cells. In "together", each cell suffers one corruption of its input, by chance."""
    rows = batch.rows_B.cpu().numpy()

    def read(reader: str, table: dict[str, Corruption], severity: float) -> Cells:
        key = (reader, *table, severity, rows.tobytes())
        if heard is not None and key in heard:
            return heard[key]
        cells = corrupt_cells(sources[reader], rows, table, severity, seed).to(batch.rows_B.device)
        cells = network.read(reader, cells) if reader in network.frozen else cells
        if heard is not None and reader in network.frozen:
            heard[key] = cells
        return cells

    def changed(name: str, table: dict[str, Corruption], severity: float) -> dict[str, Cells]:
        return {reader: read(reader, table, severity) for reader in network.reads[name]}

    def moved(name: str, table: dict[str, Corruption], severity: float) -> dict[str, Cells]:
        """Where the words of an input's noised cells lie."""
        kept = {n: replace(change, change=_places_of(change.change)) for n, change in table.items()}
        places = {output: corrupt_cells(one, rows, kept, severity, seed) for output, one in words.get(name, {}).items()}
        return {output: cells.to(batch.rows_B.device) for output, cells in places.items()}

    yield CLEAN, batch
    for severity in severities:
        together, own = dict(batch.inputs), dict(batch.own)
        for name, table in tables.items():
            for corruption, change in table.items():
                cells = changed(name, {corruption: change}, severity)
                there = {**batch.own, **moved(name, {corruption: change}, severity)}
                yield Case(name, corruption, severity), replace(batch, inputs={**batch.inputs, **cells}, own=there)
            together.update(cells if len(table) == 1 else changed(name, table, severity))
            own.update(moved(name, table, severity))
        yield Case(None, None, severity), replace(batch, inputs=together, own=own)


def _places_of(change: Change) -> Change:
    """A change after which there are as many words as before: of cells that go missing or are no lists, none."""

    def changed(cell: Any, severity: float, rng: np.random.Generator, transform: Any) -> Any:
        found = cell if listed_words(cell) is None else change(cell, severity, rng, transform)
        return cell if listed_words(found) is None else found

    return changed
