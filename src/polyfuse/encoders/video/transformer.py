"""Clips as small boxes of pixels and moments that attend to each other, over space and then over time, from scratch.

Bertasius et al., Is space-time attention all you need for video understanding?, ICML 2021; boxes of several pictures as
in Arnab et al., ViViT, ICCV 2021.
"""

# ruff: noqa: ARG002 - some keywords are for wants() alone

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.contracts import spec_of
from polyfuse.layers.attention import Attention, FeedForward
from polyfuse.layers.clips import SPARE, spans_of_times
from polyfuse.layers.patches import grid_positions
from polyfuse.layers.positions import length_mask, sinusoidal
from polyfuse.records import Spec, Tokens

ACROSS = 8  # boxes along the shorter side that ``patch="auto"`` aims at
HEADS = 4


class Transformer(nn.Module):
    """Self-attention over small boxes of a clip, over space and then over time; needs many clips.

    Args:
        image_size: (height, width) of the pictures that come in.
        size: side of the pictures to ask for, in pixels; ``"auto"`` follows the training clips, 64 at most.
        frames: pictures of each clip, evenly spaced; a box holds a piece of one and of the next.
        seconds: of the middle part that they are spread over; ``"auto"`` for all of a clip.
        patch: side of a box in pixels; ``"auto"`` takes an eighth of the shorter side, at least 4.
        width: of a token; a multiple of 4.
        depth: blocks, each of attention over space, attention over time, and a feed-forward layer.
        dropout: of boxes and in blocks, in training.

    See also:
        ``r2plus1d`` below some thousands of clips.
    """

    paper = "Bertasius et al., Is space-time attention all you need for video understanding?, ICML 2021"

    @spec_of("image_size")
    @staticmethod
    def wants(size: int | str, frames: int, seconds: float | str) -> Spec:
        """Pictures at some moments."""
        picture = {"size": size, "largest": 64}
        return Spec("video.frames", {"frames": frames, "seconds": seconds, "picture": picture, "spare": SPARE})

    def __init__(
        self,
        *,
        image_size: tuple[int, int],
        size: int | str = "auto",
        frames: int = 8,
        seconds: float | str = "auto",
        patch: int | str = "auto",
        width: int = 96,
        depth: int = 3,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.width = width
        self.side = max(4, round(min(image_size) / ACROSS)) if patch == "auto" else int(patch)
        self.embed, self.drop = nn.Linear(6 * self.side**2, width), nn.Dropout(dropout)
        self.blocks = nn.ModuleList(_Divided(width, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> Tokens:
        """``frames`` (U, N, 3, H, W) uint8, ``times``, ``lengths`` -> tokens (U, N * H' * W', D), moment by moment."""
        frames = fields["frames"]
        real_UN = length_mask(fields["lengths"], frames.shape[1]) & present_B[:, None]
        pixels = frames.to(self.norm.weight.dtype) / 127.5 - 1
        x_UNPD, grid = self._boxes(pixels * real_UN[..., None, None, None])
        count, places = x_UNPD.shape[1:3]
        x_UNPD = x_UNPD + grid_positions(grid, self.width, like=x_UNPD)
        x_UNPD = self.drop(x_UNPD + sinusoidal(count, self.width, like=x_UNPD)[:, None])
        for block in self.blocks:
            x_UNPD = block(x_UNPD, real_UN)
        mask_UT = real_UN[..., None].expand(-1, -1, places).flatten(1)
        span_UN2 = spans_of_times(fields["times"])
        span_UT2 = span_UN2[:, :, None].expand(-1, -1, places, -1).flatten(1, 2)
        return Tokens(self.norm(x_UNPD).flatten(1, 2), mask_UT, grid=(count, *grid), span_BT2=span_UT2)

    def _boxes(self, pixels: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """(U, N, 3, H, W) -> (U, N, H' * W', D); black beyond the picture and behind the last one."""
        high, wide = pixels.shape[3:]
        pixels = F.pad(pixels, (0, -wide % self.side, 0, -high % self.side))
        after = F.pad(pixels, (0, 0, 0, 0, 0, 0, 0, 1))[:, 1:]
        pairs = torch.cat([pixels, after], 2)
        boxes = pairs.unfold(3, self.side, self.side).unfold(4, self.side, self.side)
        boxes = boxes.permute(0, 1, 3, 4, 2, 5, 6)  # (U, N, H', W', 6, side, side)
        return self.embed(boxes.flatten(4)).flatten(2, 3), (boxes.shape[2], boxes.shape[3])


class _Divided(nn.Module):
    """Attention over space within each moment, then over time at each place, then a feed-forward layer, each added."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.space, self.time = (Attention(width, heads=HEADS, dropout=dropout) for _ in range(2))
        self.forward_layer, self.drop = FeedForward(width, dropout=dropout), nn.Dropout(dropout)

    def forward(self, x_UNPD: Tensor, real_UN: Tensor) -> Tensor:
        """Shapes: (U, N, P, D), real (U, N) -> (U, N, P, D)."""
        count, places = x_UNPD.shape[1:3]
        own = self.norms[0](x_UNPD).flatten(0, 1)
        seen = self.space(own, own, real_UN.flatten()[:, None].expand(-1, places))
        x_UNPD = x_UNPD + self.drop(seen.unflatten(0, (-1, count)))
        own = self.norms[1](x_UNPD).transpose(1, 2).flatten(0, 1)
        moved = self.time(own, own, real_UN[:, None].expand(-1, places, -1).flatten(0, 1))
        x_UNPD = x_UNPD + self.drop(moved.unflatten(0, (-1, places)).transpose(1, 2))
        return x_UNPD + self.drop(self.forward_layer(self.norms[2](x_UNPD)))
