"""Clips through residual blocks that convolve in space and then in time, from scratch.

Tran et al., A closer look at spatiotemporal convolutions for action recognition, CVPR 2018; group normalisation over
the whole clip in place of batch statistics.
"""

# ruff: noqa: ARG002 - some keywords are for wants() alone

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.contracts import spec_of
from polyfuse.layers.clips import SPARE, Factorized, Spatial, over_clip, spans_of_times
from polyfuse.layers.norm import MaskedGroupNorm
from polyfuse.layers.positions import length_mask
from polyfuse.records import Spec, Tokens


class R2Plus1D(nn.Module):
    """A small residual network over clips: convolutions in space and in time by turns; hears motion and order.

    Args:
        image_size: (height, width) of the pictures that come in.
        size: side of the pictures to ask for, in pixels; ``"auto"`` follows the training clips, 64 at most.
        frames: pictures of each clip, evenly spaced.
        seconds: of the middle part that they are spread over; ``"auto"`` for all of a clip.
        width: channels of the first stage; each further one has twice as many.
        depth: stages, each of which halves the picture; each hears one picture further to both sides.
        dropout: of tokens, in training.

    See also:
        ``frames`` with ``over_time="mean"`` where motion says nothing, ``two_stream`` for quick motion.
    """

    paper = "Tran et al., A closer look at spatiotemporal convolutions for action recognition, CVPR 2018"

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
        frames: int = 16,
        seconds: float | str = "auto",
        width: int = 16,
        depth: int = 3,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.stem = Spatial(3, width, stride=2, side=5)
        widths = [width * 2**stage for stage in range(depth)]
        self.blocks = nn.ModuleList(
            Factorized(before, after, stride=2) for before, after in zip([width, *widths], widths, strict=False)
        )
        self.norm, self.drop = MaskedGroupNorm(widths[-1]), nn.Dropout(dropout)
        self.width = 2 * widths[-1]  # of a token: the mean over the picture, and the most of it anywhere

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> Tokens:
        """``frames`` (U, N, 3, H, W) uint8, ``times`` (U, N), ``lengths`` (U,) -> a token per picture (U, N, D)."""
        frames = fields["frames"]
        count = frames.shape[1]
        real_UN = length_mask(fields["lengths"], count) & present_B[:, None]
        pixels = frames.flatten(0, 1).to(self.stem.weight.dtype, memory_format=torch.channels_last) / 127.5 - 1
        x_UNCHW = self.stem(pixels).unflatten(0, (-1, count))
        for block in self.blocks:
            x_UNCHW = block(x_UNCHW, real_UN)
        x_UNCHW = F.relu(over_clip(self.norm, x_UNCHW, real_UN))
        x_UND = torch.cat([x_UNCHW.mean((3, 4)), x_UNCHW.amax((3, 4))], -1)
        return Tokens(self.drop(x_UND), real_UN, grid=(count,), span_BT2=spans_of_times(fields["times"]))
