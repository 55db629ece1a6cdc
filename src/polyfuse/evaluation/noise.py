"""What a model predicts when its inputs are noised by degrees: each input and corruption alone, and all together.

Of a batch the clean inputs are encoded once; each step of noise encodes the noised input again and nothing else. The
predictions of every step stay in memory until they are judged: of a table of millions of rows, judge a part.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from polyfuse.data.batches import Rows
from polyfuse.data.corrupt import Corruption
from polyfuse.data.corrupt.apply import Source, noised
from polyfuse.inference import joined, states
from polyfuse.model import Network
from polyfuse.records import Batch, Cells, Prediction, State, Tokens

Tables = dict[str, dict[str, Corruption]]  # input -> its corruptions by name


Heard = dict[Hashable, Cells]
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
    heard: Heard | None = None,
) -> dict[Case, dict[str, Prediction]]:
    """What every head says in every case, ``CLEAN`` among them.

    Args:
        rows: the whole table.
        sources: input -> its cells.
        tables: input -> the corruptions it suffers.
        severities: above 0.
        seed: of the noise.
        numbers: row numbers to visit.
        heard: filled and read; only for networks with the very same frozen encoders, asked the very same way.
    """
    parts: dict[Case, dict[str, list[Prediction]]] = defaultdict(lambda: {name: [] for name in network.outputs})
    for batch, (state,) in states(network, rows, numbers=numbers):
        with torch.inference_mode():
            for case, encoded in _cases(network, batch, state, sources, tables, severities, seed, heard):
                made = state if case == CLEAN else network.joined(encoded, batch)
                for name in network.outputs:
                    parts[case][name].append(network.decoded(name, made, batch))
    return {case: {name: joined(pieces) for name, pieces in part.items()} for case, part in parts.items()}


def _cases(
    network: Network,
    batch: Batch,
    state: State,
    sources: Mapping[str, Source],
    tables: Tables,
    severities: Sequence[float],
    seed: int,
    heard: Heard | None,
) -> Iterator[tuple[Case, dict[str, Tokens]]]:
    """Each case with its inputs' tokens. In "together", each cell suffers one corruption of its input, by chance."""
    rows = batch.rows_B.cpu().numpy()

    def encoded(name: str, table: dict[str, Corruption], severity: float) -> Tokens:
        key = (name, *table, severity, rows.tobytes())
        if heard is not None and key in heard:
            return network.encode_one(name, heard[key])
        cells = network.read(name, noised(sources[name], rows, table, severity, seed).to(batch.rows_B.device))
        if heard is not None and name in network.frozen:
            heard[key] = cells
        return network.encode_one(name, cells)

    yield CLEAN, state.encoded
    for severity in severities:
        together = dict(state.encoded)
        for name, table in tables.items():
            for corruption, change in table.items():
                tokens = encoded(name, {corruption: change}, severity)
                yield Case(name, corruption, severity), {**state.encoded, name: tokens}
            together[name] = tokens if len(table) == 1 else encoded(name, table, severity)
        yield Case(None, None, severity), together
