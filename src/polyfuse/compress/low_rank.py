"""Large matrices and kernels become products of two small ones, which learn again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from polyfuse.compress.parts import NothingToDo, copied, parameters
from polyfuse.compress.study import Study
from polyfuse.compress.tune import tune
from polyfuse.layers.low_rank import factored, kernel
from polyfuse.model.bundle import Bundle


class LowRank:
    """Replaces linear layers and convolutions by two smaller ones, where that takes fewer numbers.

    Args:
        energy: share of a matrix's squared singular values that its rank keeps.
        rank: of every matrix, instead; one that has no more stays as it is.
        epochs: of training afterwards; a share of the recipe's own by default, and 0 for none.
    """

    paper = "Denton et al., Exploiting Linear Structure Within Convolutional Networks, NeurIPS 2014"
    strengths: Sequence[Mapping[str, Any]] = tuple({"energy": e} for e in (0.99, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4))

    def __init__(self, *, energy: float = 0.9, rank: int | None = None, epochs: float | None = None):
        if not 0 < energy <= 1:
            raise ValueError(f"low_rank: energy: expected a share above 0, up to 1, found {energy}")
        if rank is not None and rank < 1:
            raise ValueError(f"low_rank: rank: expected 1 or more, found {rank}")
        self.energy, self.rank, self.epochs = energy, rank, epochs

    def compress(self, bundle: Bundle, study: Study) -> tuple[Bundle, str]:
        """The model with factored layers, and what was done in words."""
        made = copied(bundle)
        network, before, ranks = made.network, parameters(made.network), dict[str, int]()
        for path, module in list(network.named_modules()):
            weight = kernel(module)
            if weight is not None and min(weight.flatten(1).shape) > 1 and (rank := self._rank(weight)) is not None:
                new = factored(module, rank)
                new.requires_grad_(any(p.requires_grad for p in module.parameters()))
                network.set_submodule(path, new)
                ranks[path] = rank
        if not ranks:
            raise NothingToDo("low_rank: no layer is smaller as a product of two; take less energy, or another method")
        made = replace(made, changes=[*made.changes, {"kind": "low_rank", "ranks": ranks}])
        said = tune(made, study, epochs=self.epochs)
        return made, f"{len(ranks)} layers factored, {parameters(network) / before:.0%} of the parameters stay, {said}"

    def _rank(self, weight: Tensor) -> int | None:
        """The rank of a matrix's factors; None where these hold no fewer numbers."""
        matrix = weight.flatten(1).float()
        if self.rank is None:
            share_R = torch.linalg.svdvals(matrix).square().cumsum(0)
            rank = int((share_R < self.energy * share_R[-1] * (1 - 1e-6)).sum()) + 1
        else:
            rank = min(self.rank, *matrix.shape)
        return rank if rank * sum(matrix.shape) < matrix.numel() else None
