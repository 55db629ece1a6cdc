"""Ways to read the pictures of a video in their order: by attention, by a recurrent net, by shifting along time."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.layers.attention import Block
from polyfuse.layers.positions import sinusoidal
from polyfuse.layers.recurrent import Bidirectional


class Attention(nn.Module):
    """Self-attention over time with a code of each place. Vaswani et al., NeurIPS 2017.

    Args:
        width: D, a multiple of four.
        dropout: in training.
    """

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.block = Block(width, heads=4, dropout=dropout)

    def forward(self, x_UND: Tensor, mask_UN: Tensor) -> Tensor:
        """(U, N, D), real (U, N) -> (U, N, D)."""
        return self.block(x_UND + sinusoidal(x_UND.shape[1], x_UND.shape[2], like=x_UND), mask_UN)


class Recurrent(nn.Module):
    """A gated recurrent net in both directions. Cho et al., EMNLP 2014.

    Args:
        width: D, even.
        dropout: in training.
    """

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.read, self.drop = Bidirectional(width, width // 2, kind="gru"), nn.Dropout(dropout)

    def forward(self, x_UND: Tensor, mask_UN: Tensor) -> Tensor:
        """(U, N, D), real (U, N), the real ones first -> (U, N, D)."""
        return self.drop(self.read(x_UND, mask_UN))


class Shift(nn.Module):
    """A part of what each picture says moves one picture on, as much one back; then a residual layer.

    Lin et al., Temporal shift module, ICCV 2019, on what a picture encoder says of each picture.

    Args:
        width: D.
        dropout: in training.
        share: of the numbers that move in each direction.
        depth: of such layers; each hears one picture further.
    """

    def __init__(self, width: int, dropout: float, share: float = 0.125, depth: int = 2):
        super().__init__()
        self.moved = max(1, int(width * share))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, width))
            for _ in range(depth)
        )

    def forward(self, x_UND: Tensor, mask_UN: Tensor) -> Tensor:
        """(U, N, D), real (U, N) -> (U, N, D)."""
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x_UND = x_UND + layer(self.shifted(norm(x_UND) * mask_UN[..., None]))
        return x_UND

    def shifted(self, x_UND: Tensor) -> Tensor:
        """The first part one place on, the second one place back; zeros come in at the ends."""
        on, back, still = x_UND.split([self.moved, self.moved, x_UND.shape[-1] - 2 * self.moved], -1)
        return torch.cat([F.pad(on, (0, 0, 1, 0))[:, :-1], F.pad(back, (0, 0, 0, 1))[:, 1:], still], -1)


WAYS: dict[str, type[nn.Module]] = {"attention": Attention, "gru": Recurrent, "shift": Shift}
"""Name -> module ``(width, dropout)``, beside ``mean``, which needs none."""
