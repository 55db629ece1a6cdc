"""Log-mel frames read in both directions by a recurrent net, from scratch.

Graves and Schmidhuber, Framewise phoneme classification with bidirectional LSTM, Neural Networks 2005.
"""

# ruff: noqa: ARG002 - some keywords are for wants() alone

from __future__ import annotations

from torch import Tensor, nn

from polyfuse.contracts import spec_of
from polyfuse.encoders.audio.frontend import Frames, wave_spec
from polyfuse.layers.masking import Stretches
from polyfuse.layers.recurrent import Bidirectional
from polyfuse.records import Spec, Tokens


class LSTM(nn.Module):
    """A bidirectional LSTM over log-mel frames; for sounds whose order matters more than their texture.

    Args:
        rate: samples per second of what comes in.
        sample_rate: samples per second to ask for; ``"auto"`` follows the training sounds.
        seconds: what is kept of longer sounds; ``"auto"`` follows the training sounds.
        stretch: frames of 10 ms per token, joined before they are read.
        width: of a token, half of it from each direction.
        depth: layers.
        dropout: between layers and of tokens, in training.
        mask: in training, the most of its frequencies and of its length that a sound may lose.

    See also:
        ``spectrogram_cnn``, which learns and runs faster and is the better first choice.
    """

    paper = "Graves and Schmidhuber, Framewise phoneme classification with bidirectional LSTM, Neural Networks 2005"
    BINS = 48

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
        stretch: int = 2,
        width: int = 128,
        depth: int = 2,
        dropout: float = 0.2,
        mask: float = 0.15,
    ):
        super().__init__()
        if width % 2:
            raise ValueError(f"width={width} must be even: half of each token comes from each direction")
        self.width, self.drop = width, nn.Dropout(dropout)
        self.frames = Frames(rate=rate, bins=self.BINS, mask=mask, stride=stretch)
        self.net = Bidirectional(stretch * self.BINS, width // 2, kind="lstm", depth=depth, dropout=dropout)

    def masking(self) -> Stretches:
        """The stretches that tokens stand for can be hidden."""
        return Stretches(self.frames, self.BINS)

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> Tokens:
        """``wave`` (U, S), ``lengths`` (U,) -> tokens along time (U, N, D)."""
        x_UNF, mask_UN = self.frames.joined(*self.frames(fields, present_B))
        span_UN2 = self.frames.spans(fields["lengths"], x_UNF.shape[1])
        return Tokens(self.drop(self.net(x_UNF, mask_UN)), mask_UN, (x_UNF.shape[1],), span_BT2=span_UN2)
