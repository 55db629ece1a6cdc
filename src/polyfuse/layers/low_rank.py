"""Linear maps and convolutions as the product of two smaller ones, as a truncated singular value decomposition gives.

Denton et al., Exploiting linear structure within convolutional networks for efficient evaluation, NeurIPS 2014.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class LowRankLinear(nn.Module):
    """A linear map of a rank: (..., I) -> (..., R) -> (..., O).

    Args:
        size, out, rank: I, O and R.
        bias: whether it adds one.
    """

    def __init__(self, size: int, out: int, rank: int, *, bias: bool = True):
        super().__init__()
        self.in_features, self.out_features = size, out
        self.down, self.up = nn.Linear(size, rank, bias=False), nn.Linear(rank, out, bias=bias)

    @property
    def weight(self) -> Tensor:
        """The matrix that the two make together (O, I)."""
        return self.up.weight @ self.down.weight

    @property
    def bias(self) -> Tensor | None:
        """What is added (O,), if anything."""
        return self.up.bias

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: (..., I) -> (..., O)."""
        return self.up(self.down(x))


class LowRankConv(nn.Module):
    """A convolution to R channels, and a 1 x 1 convolution from these to all: (B, I, H, W) -> (B, O, H', W').

    Args:
        like: the convolution that it stands for.
        rank: R.
    """

    def __init__(self, like: nn.Conv2d, rank: int):
        super().__init__()
        shape: dict[str, Any] = {"stride": like.stride, "padding": like.padding, "dilation": like.dilation}
        self.down = nn.Conv2d(like.in_channels, rank, like.kernel_size, **shape, bias=False)  # type: ignore[arg-type]
        self.up = nn.Conv2d(rank, like.out_channels, 1, bias=like.bias is not None)

    @property
    def weight(self) -> Tensor:
        """The kernel that the two make together (O, I, h, w)."""
        return torch.einsum("or,rihw->oihw", self.up.weight[:, :, 0, 0], self.down.weight)

    @property
    def bias(self) -> Tensor | None:
        """What is added (O,), if anything."""
        return self.up.bias

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: (B, I, H, W) -> (B, O, H', W')."""
        return self.up(self.down(x))


Factored = LowRankLinear | LowRankConv


def kernel(module: nn.Module) -> Tensor | None:
    """The weight of a module that can be factored, as it acts; None of any other.

    Linear maps, plain convolutions, and those that say themselves what their ``kernel`` is.
    """
    if type(module) is nn.Linear or type(module) is nn.Conv2d:
        plain = isinstance(module, nn.Linear) or (module.groups == 1 and module.padding_mode == "zeros")
        return module.weight.detach() if plain else None
    own = getattr(module, "kernel", None)
    return own.detach() if isinstance(module, nn.Conv2d) and isinstance(own, Tensor) else None


def empty(module: nn.Module, rank: int) -> Factored:
    """A factored module in place of another, its weights still to be filled."""
    if isinstance(module, nn.Conv2d):
        made: Factored = LowRankConv(module, rank)
    else:
        assert isinstance(module, nn.Linear)
        made = LowRankLinear(module.in_features, module.out_features, rank, bias=module.bias is not None)
    weight: Any = module.weight
    return made.to(weight.device, weight.dtype)


def factored(module: nn.Module, rank: int) -> Factored:
    """The best approximation of that rank (Eckart and Young, 1936); of full rank it is the module itself."""
    made, weight = empty(module, rank), kernel(module)
    assert weight is not None
    left_OR, scale_R, right_RI = torch.linalg.svd(weight.flatten(1).double(), full_matrices=False)
    root_R = scale_R[:rank].sqrt()
    up, down = left_OR[:, :rank] * root_R, root_R[:, None] * right_RI[:rank]
    with torch.no_grad():
        made.up.weight.copy_(up.view_as(made.up.weight))
        made.down.weight.copy_(down.view_as(made.down.weight))
        if made.up.bias is not None:
            made.up.bias.copy_(module.bias)  # type: ignore[arg-type]
    return made


def change(network: nn.Module, record: Mapping[str, Any]) -> None:
    """Put factored modules where a saved model has them.

    Args:
        record: ``ranks``, path of a module -> its rank.
    """
    for path, rank in record["ranks"].items():
        network.set_submodule(path, empty(network.get_submodule(path), int(rank)))
