"""Sound as a picture: convolutions over a log-mel spectrogram, then one token per 40 ms with all its frequencies.

Sainath and Parada, Convolutional neural networks for small-footprint keyword spotting, Interspeech 2015; masking of
bands in training: Park et al., SpecAugment, Interspeech 2019. Small enough to learn from a few hundred clips.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.encoders.audio.frontend import Frames, wave_spec
from polyfuse.layers.norm import MaskedGroupNorm
from polyfuse.records import Spec, Tokens


class SpectrogramCNN(nn.Module):
    """Convolutions over a log-mel spectrogram; the strong small-data default for sounds.

    Args:
        rate: samples per second of what comes in.
        sample_rate: samples per second to ask for; ``"auto"`` follows the training sounds.
        seconds: what is kept of longer sounds; ``"auto"`` follows the training sounds.
        bins: mel filters.
        width: channels of the first layer; each further one has twice as many.
        depth: layers; each halves the frequencies, and the first two halve the frames.
        dropout: of tokens, in training.
        mask: in training, the most of its frequencies and of its length that a sound may lose.

    See also:
        ``spectrogram_transformer`` for many long clips, ``pretrained`` where a checkpoint fits the sounds.
    """

    paper = "Sainath and Parada, Convolutional neural networks for small-footprint keyword spotting, Interspeech 2015"

    @staticmethod
    def wants(*, sample_rate: int | str = "auto", seconds: float | str = "auto", **_: Any) -> Spec:
        """Samples at one rate."""
        return wave_spec(sample_rate, seconds)

    def __init__(
        self,
        *,
        rate: int,
        sample_rate: int | str = "auto",  # noqa: ARG002 - read by ``wants``
        seconds: float | str = "auto",  # noqa: ARG002
        bins: int = 48,
        width: int = 24,
        depth: int = 3,
        dropout: float = 0.2,
        mask: float = 0.15,
    ):
        super().__init__()
        self.frames = Frames(rate=rate, bins=bins, mask=mask)
        channels = [1, *(width * 2**n for n in range(depth))]
        self.layers = nn.ModuleList(_Layer(channels[n], channels[n + 1], halves=n < 2) for n in range(depth))
        self.width, self.stride = channels[-1], 2 ** min(depth, 2)
        self.out = nn.Sequential(nn.Linear(self.width * -(-bins // 2**depth), self.width), nn.LayerNorm(self.width), nn.GELU(), nn.Dropout(dropout))

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> Tokens:
        """``wave`` (U, S), ``lengths`` (U,) -> tokens along time (U, N, D)."""
        x_UNF, mask_UN = self.frames(fields, present_B)
        x_UCNF = x_UNF[:, None]
        for layer in self.layers:
            x_UCNF, mask_UN = layer(x_UCNF, mask_UN)
        x_UND = self.out(x_UCNF.permute(0, 2, 3, 1).flatten(2)) * mask_UN[..., None]
        span_UN2 = self.frames.spans(fields["lengths"], mask_UN.shape[1], self.stride)
        return Tokens(x_UND, mask_UN, grid=(mask_UN.shape[1],), span_BT2=span_UN2)


class _Layer(nn.Module):
    """Convolution, masked normalisation (not of the first layer, whose input is), ReLU."""

    def __init__(self, size: int, width: int, *, halves: bool):
        super().__init__()
        self.stride = 2 if halves else 1
        self.conv = nn.Conv2d(size, width, 3, (self.stride, 2), 1, bias=size == 1).to(memory_format=torch.channels_last)
        self.norm = MaskedGroupNorm(width) if size > 1 else None

    def forward(self, x_UCNF: Tensor, mask_UN: Tensor) -> tuple[Tensor, Tensor]:
        x_UCNF, mask_UN = self.conv(x_UCNF), mask_UN[:, :: self.stride]
        if self.norm is None:
            return F.relu(x_UCNF) * mask_UN[:, None, :, None], mask_UN
        places_UTD = x_UCNF.permute(0, 2, 3, 1)
        mask_UT = mask_UN[..., None].expand(places_UTD.shape[:3]).flatten(1)
        normed_UTD = self.norm(places_UTD.flatten(1, 2), mask_UT).unflatten(1, places_UTD.shape[1:3])
        return F.relu(normed_UTD).permute(0, 3, 1, 2), mask_UN
