"""A batch larger than memory, with the gradient of the whole: Gao et al., Scaling deep contrastive learning, 2021.

Every chunk passes without gradients, and what objectives need of it is kept; the loss over all of that gives the
gradient at each row, with which every chunk passes once more, its random draws repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as tree

from polyfuse.model.network import Network
from polyfuse.records import Batch, Cells, State, Tokens


class Chunks:
    """One step on one batch: ``losses()``, ``backward()`` of their sum by the caller, then ``backward()`` here.

    Args:
        rows: of a chunk.
    """

    def __init__(self, network: Network, batch: Batch, rows: int):
        self.network, self.batch = network, batch
        self.parts = [select_rows(batch, at_b) for at_b in torch.arange(len(batch)).split(rows)]
        self.states: list[Any] = []
        self.leaves: list[Tensor] = []

    def losses(self) -> dict[str, Tensor]:
        """Of every objective over the whole batch. Losses of outputs are added by ``backward``, chunk by chunk."""
        found = []
        for chunk in self.parts:
            self.states.append(_random_state())
            with torch.no_grad():
                found.append(tree.tree_flatten(self.network.represent(self.network(chunk), chunk)))
        whole = [torch.cat(tensors) for tensors in zip(*(leaves for leaves, _ in found), strict=True)]
        self.leaves = [leaf.detach().requires_grad_(leaf.is_floating_point()) for leaf in whole]
        losses = self.network.objective_losses(tree.tree_unflatten(self.leaves, found[0][1]), self.batch)
        if any(loss.requires_grad for loss in losses.values()):
            return losses
        # outputs alone learn: something must be there to begin the backward pass with
        return losses | {"chunks": 0 * next(p for p in self.network.parameters() if p.requires_grad).sum()}

    def backward(self) -> None:
        """The second pass: the gradient of everything, into the network's parameters."""
        after, start = _random_state(), 0
        for chunk, draws in zip(self.parts, self.states, strict=True):
            _restore_random_state(draws)
            state, stop = self.network(chunk), start + len(chunk)
            surrogate = self._outputs(state, chunk)
            leaves = tree.tree_flatten(self.network.represent(state, chunk))[0]
            for leaf, whole in zip(leaves, self.leaves, strict=True):
                if whole.grad is not None and leaf.requires_grad:
                    surrogate = surrogate + (leaf * whole.grad[start:stop].to(leaf.dtype)).sum()
            if surrogate.requires_grad:
                surrogate.backward()
            start = stop
        _restore_random_state(after)

    def _outputs(self, state: State, chunk: Batch) -> Tensor:
        """The chunk's share in the mean losses of the outputs."""
        total = chunk.weights_B.new_zeros(())
        for name, loss in self.network.output_losses(state, chunk).items():
            output = name.removeprefix("out:")
            own, all_ = (_count_targets(one, output).clamp_min(1) for one in (chunk, self.batch))
            total = total + loss * own / all_
        return total


def _count_targets(batch: Batch, output: str) -> Tensor:
    """How many rows have the target and a weight."""
    return (batch.weights_B * batch.outputs[output].present_B > 0).sum()


def step_losses(network: Network, batch: Batch, chunk: int | None) -> tuple[dict[str, Tensor], Chunks | None]:
    """Losses of a step by name, and what must pass once more after their backward pass where the batch is in chunks."""
    if chunk is None or len(batch) <= chunk:
        return network.losses(network(batch), batch), None
    chunks = Chunks(network, batch, chunk)
    return chunks.losses(), chunks


def select_rows(batch: Batch, at_b: Tensor) -> Batch:
    """Select rows of a batch, with the cells that they use."""
    at_b = at_b.to(batch.weights_B.device)
    return Batch(
        {name: _select_cells(cells, at_b) for name, cells in batch.inputs.items()},
        {name: _select_cells(cells, at_b) for name, cells in batch.outputs.items()},
        batch.rows_B[at_b],
        batch.weights_B[at_b],
        {name: code_B[at_b] for name, code_B in batch.keys.items()},
        {name: _select_cells(cells, at_b) for name, cells in batch.own.items()},
    )


def _select_cells(cells: Cells, at_b: Tensor) -> Cells:
    index_bK = cells.index_BK[at_b]
    used_U = index_bK[index_bK >= 0].unique()
    if not len(used_U):  # one blank cell stands where all are missing
        used_U = index_bK.new_zeros(1)
    place_U = index_bK.new_full((int(cells.index_BK.max().clamp_min(int(used_U.max()))) + 2,), -1)
    place_U[used_U] = torch.arange(len(used_U), device=used_U.device)
    digests = tuple(cells.digests[at] for at in used_U.tolist()) if cells.digests else ()
    return Cells(_select_fields(cells.fields, used_U), torch.where(index_bK >= 0, place_U[index_bK], -1), digests)


def _select_fields(fields: dict[str, Tensor] | Tokens, at_U: Tensor) -> dict[str, Tensor] | Tokens:
    if isinstance(fields, dict):
        return {name: value[at_U] for name, value in fields.items()}
    span = None if fields.span_BT2 is None else fields.span_BT2[at_U]
    return replace(fields, x_BTD=fields.x_BTD[at_U], mask_BT=fields.mask_BT[at_U], span_BT2=span)


def _random_state() -> Any:
    """The state of all random numbers."""
    devices: Iterator[int] = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else range(0)  # type: ignore[assignment]
    return torch.get_rng_state(), [(device, torch.cuda.get_rng_state(device)) for device in devices]


def _restore_random_state(draws: Any) -> None:
    torch.set_rng_state(draws[0])
    for device, state in draws[1]:
        torch.cuda.set_rng_state(state, device)
