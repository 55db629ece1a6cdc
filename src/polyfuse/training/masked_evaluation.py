"""Evaluates masked modelling: loss on hidden units, beside a baseline of means and frequencies."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from polyfuse.contracts import Masks, offers
from polyfuse.data.batches import Rows
from polyfuse.model.inference import BATCH
from polyfuse.model.network import Network
from polyfuse.system.device import device_of

SEEN = 1024  # rows that are looked at, at most
NEAR = 0.97  # share of the loss of means and frequencies from which nothing else has been learnt


def evaluate_guesses(network: Network, rows: Rows, numbers: np.ndarray, what: str) -> tuple[list[str], dict[str, Any]]:
    """Notes on every input that an objective masks, and the same as JSON.

    Args:
        rows: without augmentation.
        numbers: rows to look at, of which some are taken.
        what: these rows are called in the notes.

    Returns:
        Notes; and input -> ``loss`` and ``trivial``, where there is such an objective.
    """
    notes, found = [], {}
    some = np.sort(np.random.default_rng(0).permutation(numbers)[:SEEN])
    network.eval()
    for objective in network.objectives:
        names: Any = objective.hides if offers(objective, Masks) and len(some) else []
        for at, name in enumerate(names):
            loss, trivial = _measure(network, objective, at, rows, some)
            if not np.isfinite(loss):
                continue
            found[name] = {"loss": loss, "trivial": trivial}
            said = f"what is hidden of {name!r} is guessed at a loss of {loss:.3g} on {what} rows"
            beside = f"means and frequencies alone reach {trivial:.3g}"
            near = ", and hardly anything was learnt beyond: train longer, or hide less (share)"
            notes.append(f"{said}; {beside}{near if loss > NEAR * trivial else ''}")
    return notes, found


@torch.inference_mode()
def _measure(network: Network, objective: Any, at: int, rows: Rows, some: np.ndarray) -> tuple[float, float]:
    """Mean loss over what is hidden of some rows, and the least loss of a guess that knows nothing of the row."""
    parts = []
    for start in range(0, len(some), BATCH):
        batch = rows[0, some[start : start + BATCH]].to(device_of(network))
        parts.append(objective.guesses(at, network(batch), batch, network))
    loss_H = torch.cat([part.loss_H for part in parts]).cpu().numpy()
    if not len(loss_H):
        return float("nan"), float("nan")
    unit_H = np.zeros(len(loss_H), int) if parts[0].alike else _concat_guesses([part.unit_H for part in parts])
    assert unit_H is not None
    values_HP, known_HP, ids_H = (
        _concat_guesses([getattr(part, name) for part in parts]) for name in ("values_HP", "known_HP", "ids_H")
    )
    trivial_H = np.zeros(len(loss_H))
    for unit in np.unique(unit_H):
        of_h = unit_H == unit
        if values_HP is not None and (known_HP is None or known_HP[of_h].any()):
            columns = slice(None) if known_HP is None else known_HP[of_h].any(0)
            trivial_H[of_h] = values_HP[of_h].astype(float).var(0)[columns].mean()
        elif ids_H is not None:
            share = np.unique(ids_H[of_h], return_counts=True)[1] / of_h.sum()
            trivial_H[of_h] = -(share * np.log(share)).sum()
    return float(loss_H.mean()), float(trivial_H.mean())


def _concat_guesses(parts: list[Any]) -> np.ndarray | None:
    return None if parts[0] is None else torch.cat(parts).cpu().numpy()
