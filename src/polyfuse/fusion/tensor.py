"""Tensor fusion: the outer product of all inputs, all interactions of all orders at once. Zadeh et al., EMNLP 2017."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from polyfuse.layers.inputs import NormedMeans, linear, one_token
from polyfuse.records import Fused, Tokens

AUTO_SIZE, AUTO_PARAMETERS = 32, 4_000_000  # what "auto" stays within
MOST_PARAMETERS = 64_000_000  # 256 MB in single precision, three times that again for the optimiser


class TensorProduct(nn.Module):
    """W vec([1; h_1] x .. x [1; h_N]), the outer product of projected inputs h_i = P_i x_i, through one linear layer.

    The ones keep the interactions of every smaller set of inputs, down to each alone. An absent input is [1; 0], which
    leaves exactly those without it. Parameters grow as ``(size + 1) ** N``.

    Args:
        inputs: names of the inputs.
        width: D of every input and of the result.
        size: of each projected input; ``auto`` is the largest up to 32 (and ``width``) that stays within 4 million
            parameters.
        dropout: of the outer product, in training.

    Shapes: each input (B, T_m, D) -> joint (B, 1, D).

    Raises:
        ValueError: the outer product would take more than 64 million parameters.

    See also: ``low_rank_tensor``, the same function class at a rank, whose parameters grow linearly with the inputs.
    """

    paper = "Zadeh et al.: Tensor fusion network, EMNLP 2017"

    def __init__(
        self, inputs: Sequence[str], width: int, *, size: int | Literal["auto"] = "auto", dropout: float = 0.1
    ):
        super().__init__()
        self.inputs = tuple(inputs)
        self.size = _largest_size(len(self.inputs), width) if size == "auto" else int(size)
        needed = _count_parameters(self.size, len(self.inputs), width)
        if needed > MOST_PARAMETERS:
            raise ValueError(
                f"tensor: size {self.size} with {len(self.inputs)} inputs of width {width} needs {needed:,} parameters "
                f"and may have {MOST_PARAMETERS:,}; use a smaller size, or low_rank_tensor"
            )
        self.pool, self.drop = NormedMeans(self.inputs, width), nn.Dropout(dropout)
        self.project = nn.ModuleList(linear(width, self.size, bias=False) for _ in self.inputs)
        # the product of all the ones is the bias
        self.out = linear((self.size + 1) ** len(self.inputs), width, bias=False)

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        """{input: Tokens} -> Fused."""
        pooled_BMD, present_BM = self.pool(tokens)
        product_BX = torch.ones_like(pooled_BMD[:, 0, :1])
        for layer, x_BD in zip(self.project, pooled_BMD.unbind(1), strict=True):
            product_BX = _outer_product(product_BX, layer(x_BD))
        return one_token(self.out(self.drop(product_BX)), present_BM, tokens)


def _outer_product(product_BX: Tensor, h_BS: Tensor) -> Tensor:
    """Outer product with [1; h], flattened: (B, X), (B, S) -> (B, X * (S + 1))."""
    h_BS = nn.functional.pad(h_BS, (1, 0), value=1.0)
    return (product_BX[:, :, None] * h_BS[:, None, :]).flatten(1)


def _count_parameters(size: int, inputs: int, width: int) -> int:
    return (size + 1) ** inputs * width


def _largest_size(inputs: int, width: int) -> int:
    fits = [s for s in range(1, min(AUTO_SIZE, width) + 1) if _count_parameters(s, inputs, width) <= AUTO_PARAMETERS]
    return max(fits, default=1)
