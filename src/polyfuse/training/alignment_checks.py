"""Checks of a trained alignment: loss at chance level, collapsed vectors, temperature at its bound.

Told from the trained network itself, without dropout and augmentation, on some batches as training drew them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polyfuse.contracts import Bounded, KnowsChance, offers, says
from polyfuse.data.batches import Order, Rows, most_shared_cell
from polyfuse.layers.shared_space import normalize
from polyfuse.metrics.spectrum import Spectrum, spectrum
from polyfuse.model.inference import BATCH
from polyfuse.model.network import Network
from polyfuse.recipe import Recipe
from polyfuse.records import Batch, State, Tokens
from polyfuse.system.device import device_of
from polyfuse.training.chunks import select_rows

SEEN = 1024  # rows that are looked at, and one batch at least
NEAR = 0.9  # share of the loss of pure chance from which a training has learnt next to nothing
SAME = 0.95  # share that vectors have in common from which they are the same
FIRST = 0.9  # share of the variance in one direction from which there is hardly another
LEAST = 0.02  # effective dimensions, as a share of those that there could be, below which a space has collapsed
FEW = 8  # dimensions that there could be, below which few are no alarm


def check_alignments(
    network: Network, recipe: Recipe, rows: Rows, numbers: np.ndarray
) -> tuple[list[str], dict[str, Any]]:
    """Notes on the alignments of a trained network, and what they go by.

    Args:
        rows: without augmentation.
        numbers: training rows.

    Returns:
        Notes, none where nothing is wrong; and as JSON ``losses`` (objective -> ``loss`` and ``chance``) and
        ``spectrum`` (input -> see ``Spectrum``), or nothing where no inputs are aligned.
    """
    if not network.aligned or not len(numbers):
        return [], {}
    return check_batches(network, _batches(recipe, rows, numbers))


def check_batches(network: Network, batches: Iterable[Batch]) -> tuple[list[str], dict[str, Any]]:
    """The same over given batches."""
    network.eval()
    seen: list[tuple[Batch, State]] = [(batch, _state(network, batch)) for batch in batches]
    notes, losses = [], {}
    for at, objective in enumerate(network.objectives):
        name = type(objective).__name__.lower()
        if offers(objective, KnowsChance):
            loss, chance = _loss(objective, seen)
            losses[f"{at}:{name}"] = {"loss": loss, "chance": chance}
            notes += _note_chance(name, loss, chance)
        if offers(objective, Bounded) and (bound := objective.at_bound()):
            notes.append(f"alignment {name}: {bound}")
    spectra = {}
    for name in network.aligned:
        found, possible = _spectrum(network, name, seen)
        if found is not None:
            spectra[name] = {**asdict(found), "possible": possible}
            notes += note_collapse(name, found, possible)
    return notes, {"losses": losses, "spectrum": spectra}


def _batches(recipe: Recipe, rows: Rows, numbers: np.ndarray) -> Iterator[Batch]:
    size = int(recipe.training.batch_size)
    share = most_shared_cell(rows.inputs, numbers)
    order = Order(numbers, size, shuffle=True, seed=recipe.training.seed, share=share, origin=rows.origin_R)
    left = SEEN
    for request in order:
        yield rows[request]
        left -= len(request[1])
        if left <= 0:
            return


@torch.inference_mode()
def _state(network: Network, batch: Batch) -> State:
    """Of the aligned inputs, what alignments read, at most ``BATCH`` rows passing at once."""
    shared: dict[str, list[Tensor]] = {name: [] for name in network.aligned}
    masks: dict[str, list[Tensor]] = {name: [] for name in network.aligned}
    for at_b in torch.arange(len(batch)).split(BATCH):
        encoded = network.encode(select_rows(batch, at_b).to(device_of(network)))
        for name, vectors_bE in network.shared(encoded).items():
            shared[name].append(vectors_bE.cpu())
            masks[name].append(encoded[name].present_B[:, None].cpu())
    whole = {name: torch.cat(parts) for name, parts in shared.items()}
    return State({n: Tokens(whole[n][:, None], torch.cat(parts)) for n, parts in masks.items()}, shared=whole)


@torch.inference_mode()
def _loss(objective: Any, seen: list[tuple[Batch, State]]) -> tuple[float, float]:
    """Mean over batches of the loss, and of what it would be if nothing were told apart."""
    where = next(objective.parameters(), torch.zeros(())).device
    found = []
    for batch, state in seen:
        batch, judged = batch.to(where), objective.represent(state.to(where))
        found.append((float(objective.loss(judged, batch, {})), float(objective.chance(judged, batch))))
    return tuple(float(np.mean(side)) for side in zip(*found, strict=True))  # type: ignore[return-value]


def _note_chance(name: str, loss: float, chance: float) -> list[str]:
    if chance <= 0 or loss <= NEAR * chance:
        return []
    return [
        f"alignment {name}: after training its loss on training rows is {loss:.3g}, and {chance:.3g} is chance: inputs "
        "hardly find each other; train longer or at another rate, and check that rows hold what belongs together"
    ]


def _spectrum(network: Network, name: str, seen: list[tuple[Batch, State]]) -> tuple[Spectrum | None, int]:
    """Of the vectors of an input, each different cell once; and how many dimensions these could fill."""
    vectors, things = [], []
    reader, key = network.reads[name][0], _key(network, name)
    for at, (batch, state) in enumerate(seen):
        index_BK = batch.inputs[reader].index_BK.cpu().numpy()
        there = np.flatnonzero(state.encoded[name].present_B.numpy())
        _, first = np.unique(index_BK[there], axis=0, return_index=True)
        vectors.append(normalize(state.shared[name]).numpy()[there[first]])
        if key is None:
            things += [(at, n) for n in range(len(first))]
        else:
            things += [(code, 0) for code in batch.keys[key].tolist()]
    found = np.concatenate(vectors) if vectors else np.zeros((0, 1))
    if len(found) < 2:
        return None, 0
    return spectrum(found), min(found.shape[1], len(set(things)) - 1)


def _key(network: Network, name: str) -> str | None:
    """The column that makes rows the same thing to what aligns an input; vectors of one thing may be the same."""
    keys = [getattr(o, "key", None) for o in network.objectives if name in says(o, "aligns")]
    return next((key for key in keys if key), None)


def note_collapse(name: str, found: Spectrum, possible: int) -> list[str]:
    """A note where the vectors of an input lie in a point, or in few directions of the many that there could be.

    Args:
        possible: dimensions that as many different things could fill.
    """
    way = (
        "more rows in a batch or a lower rate may help, or an objective that keeps the spread (vicreg); where rows are "
        "of few kinds, name the column of kinds as key"
    )
    if possible >= 1 and found.common > SAME:
        return [f"the shared space has collapsed: all vectors of {name!r} are nearly the same; {way}"]
    if possible >= FEW and (found.effective_rank < 1 + LEAST * possible or found.first_share > FIRST):
        return [
            f"the shared space has collapsed: vectors of {name!r} have an effective rank (RankMe) of "
            f"{found.effective_rank:.1f} where {possible} could be, and {found.first_share:.0%} of their variance lies "
            f"in one direction; {way}"
        ]
    return []
