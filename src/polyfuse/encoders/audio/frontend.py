"""What encoders of sound that learn from scratch share: log-mel frames, masked in training, and where tokens lie."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polyfuse.layers.mel import LogMel, band_masked
from polyfuse.records import Spec


def wave_spec(sample_rate: int | str, seconds: float | str) -> Spec:
    """Samples at one rate, cut to a length."""
    return Spec("audio.wave", {"rate": sample_rate, "seconds": seconds})


class Frames(nn.Module):
    """Samples -> standardised log-mel frames.

    Args:
        rate: samples per second.
        bins: mel filters, F.
        mask: in training, the most of its frequencies and of its length that a sound may lose.
    """

    def __init__(self, *, rate: int, bins: int, mask: float = 0.0):
        super().__init__()
        self.mel, self.rate, self.mask = LogMel(rate=rate, bins=bins), rate, mask

    def forward(self, fields: dict[str, Tensor], present_U: Tensor) -> tuple[Tensor, Tensor]:
        """``wave`` (U, S), ``lengths`` (U,) -> (U, N, F) and its mask (U, N), all False where not present."""
        x_UNF, mask_UN = self.mel(fields["wave"], fields["lengths"])
        if self.training and self.mask:
            x_UNF = band_masked(x_UNF, mask_UN, self.mask)
        return x_UNF, mask_UN & present_U[:, None]

    def spans(self, lengths_U: Tensor, count: int, stride: int = 1) -> Tensor:
        """Start and end in seconds of ``count`` tokens of ``stride`` frames each: (U,) samples -> (U, count, 2)."""
        starts_N = torch.arange(count, device=lengths_U.device) * (stride * self.mel.seconds)
        edges_N2 = torch.stack([starts_N, starts_N + stride * self.mel.seconds], -1)
        return torch.minimum(edges_N2, lengths_U[:, None, None] / self.rate)
