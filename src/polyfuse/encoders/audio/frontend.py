"""What encoders of sound that learn from scratch share: log-mel frames, masked in training, and where tokens lie."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.data.cells.audio import LONGEST
from polyfuse.layers.mel import LogMel, mask_band
from polyfuse.records import Spec


def wave_spec(sample_rate: int | str, seconds: float | str, *, longest: float = LONGEST) -> Spec:
    """Samples at one rate, cut to a length: where that is ``"auto"``, to that of the training sounds or ``longest``."""
    return Spec("audio.wave", {"rate": sample_rate, "seconds": seconds, "longest": longest})


def spans(lengths_U: Tensor, count: int, *, rate: int, step: float, width: float | None = None) -> Tensor:
    """Where tokens lie in sounds of ``lengths_U`` samples, start and end in seconds: (U,) -> (U, count, 2).

    Args:
        step: seconds from one token to the next.
        width: seconds that a token covers; ``step`` where None.
    """
    start_N = torch.arange(count, device=lengths_U.device) * step
    edges_N2 = torch.stack([start_N, start_N + (width or step)], -1)
    return torch.minimum(edges_N2, lengths_U[:, None, None] / rate)


class Frames(nn.Module):
    """Samples -> standardised log-mel frames.

    Args:
        rate: samples per second.
        bins: mel filters, F.
        mask: in training, the most of its frequencies and of its length that a sound may lose.
        stride: frames that one token of the encoder covers.
    """

    def __init__(self, *, rate: int, bins: int, mask: float, stride: int):
        super().__init__()
        self.mel = LogMel(rate=rate, bins=bins, spare=stride)
        self.rate, self.mask, self.stride = rate, mask, stride

    def forward(self, fields: dict[str, Tensor], present_U: Tensor) -> tuple[Tensor, Tensor]:
        """``wave`` (U, S), ``lengths`` (U,) -> (U, N, F) and its mask (U, N), all False where not present.

        Where ``hidden`` (U, N / stride) says so, ``fill`` (F,) stands in for all frames of a token.
        """
        x_UNF, mask_UN = self.mel(fields["wave"], fields["lengths"])
        if self.training and self.mask:
            x_UNF = mask_band(x_UNF, mask_UN, self.mask)
        if "hidden" in fields:
            hidden_UN = fields["hidden"].repeat_interleave(self.stride, 1)[:, : x_UNF.shape[1], None]
            x_UNF = torch.where(hidden_UN, fields["fill"].to(x_UNF.dtype), x_UNF)
        return x_UNF, mask_UN & present_U[:, None]

    def joined(self, x_UNF: Tensor, mask_UN: Tensor) -> tuple[Tensor, Tensor]:
        """``stride`` neighbouring frames side by side: (U, N, F), (U, N) -> (U, N / stride, F * stride) and its mask.

        A stretch is real where its first frame is; silence fills the rest of the last one.
        """
        count = (x_UNF.shape[1] + self.stride - 1) // self.stride
        x_UNF = F.pad(x_UNF * mask_UN[..., None], (0, 0, 0, count * self.stride - x_UNF.shape[1]))
        return x_UNF.unfold(1, self.stride, self.stride).flatten(2), mask_UN[:, :: self.stride]

    def spans(self, lengths_U: Tensor, count: int) -> Tensor:
        """Start and end in seconds of ``count`` tokens: (U,) samples -> (U, count, 2)."""
        return spans(lengths_U, count, rate=self.rate, step=self.stride * self.mel.seconds)
