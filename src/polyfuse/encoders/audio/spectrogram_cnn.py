"""Sound as a picture: convolutions over a log-mel spectrogram, then one token per 40 ms with all its frequencies.

Sainath and Parada, Interspeech 2015; bands masked in training: Park et al., SpecAugment, Interspeech 2019. Small
enough to learn from a few hundred clips.
"""

# ruff: noqa: ARG002 - some keywords are for wants() alone

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.contracts import spec_of
from polyfuse.encoders.audio.frontend import Frames, wave_spec
from polyfuse.layers.masking import Stretches
from polyfuse.layers.norm import MaskedGroupNorm
from polyfuse.layers.positions import length_mask
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

    @spec_of("rate")
    @staticmethod
    def wants(sample_rate: int | str, seconds: float | str) -> Spec:
        """Samples at one rate."""
        return wave_spec(sample_rate, seconds)

    def __init__(
        self,
        *,
        rate: int,
        sample_rate: int | str = "auto",
        seconds: float | str = "auto",
        bins: int = 48,
        width: int = 24,
        depth: int = 3,
        dropout: float = 0.2,
        mask: float = 0.15,
    ):
        super().__init__()
        channels = [1, *(width * 2**n for n in range(depth))]
        strides = [2 if n < 2 else 1 for n in range(depth)]
        self.bins = bins
        self.frames = Frames(rate=rate, bins=bins, mask=mask, stride=2 ** min(depth, 2))
        self.layers = nn.ModuleList(map(_Layer, channels, channels[1:], strides))
        self.width = channels[-1]
        joined = nn.Linear(self.width * -(-bins // 2**depth), self.width)
        self.out = nn.Sequential(joined, nn.LayerNorm(self.width), nn.GELU(), nn.Dropout(dropout))

    def masking(self) -> Stretches:
        """The stretches that tokens stand for can be hidden."""
        return Stretches(self.frames, self.bins)

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> Tokens:
        """``wave`` (U, S), ``lengths`` (U,) -> tokens along time (U, N, D)."""
        x_UNF, mask_UN = self.frames(fields, present_B)
        x_UNFC, real_U = x_UNF[..., None], mask_UN.sum(1)
        for layer in self.layers:
            x_UNFC, real_U = layer(x_UNFC, real_U)
        x_UND = self.out(x_UNFC.flatten(2))
        count = x_UND.shape[1]
        span_UN2 = self.frames.spans(fields["lengths"], count)
        return Tokens(x_UND, length_mask(real_U, count), grid=(count,), span_BT2=span_UN2)


class _Layer(nn.Module):
    """Convolution, normalisation (but of the first layer, whose input has it), ReLU; 0 where no sound is.

    Args:
        stride: along time; frequencies are always halved.
    """

    def __init__(self, size: int, width: int, stride: int):
        super().__init__()
        self.stride, first = stride, size == 1
        self.conv = nn.Conv2d(size, width, 3, (stride, 2), padding=1, bias=first)
        self.norm = None if first else MaskedGroupNorm(width)

    def forward(self, x_UNFC: Tensor, real_U: Tensor) -> tuple[Tensor, Tensor]:
        """Shapes: (U, N, F, C) and how many of the N are real (U,) -> the same, after this layer."""
        x_UNFC = self.conv(x_UNFC.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).contiguous()
        real_U = (real_U + self.stride - 1) // self.stride
        mask_UN = length_mask(real_U, x_UNFC.shape[1])
        x_UNFC = x_UNFC * mask_UN[..., None, None] if self.norm is None else self.norm(x_UNFC, mask_UN)
        return F.relu(x_UNFC), real_U
