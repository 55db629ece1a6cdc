"""Stretches of a log-mel spectrogram that attend to each other, from scratch (after Gong et al., Interspeech 2021)."""

# ruff: noqa: ARG002 - some keywords are for wants() alone

from __future__ import annotations

from torch import Tensor, nn

from polyfuse.contracts import spec_of
from polyfuse.encoders.audio.frontend import Frames, wave_spec
from polyfuse.layers.attention import Block
from polyfuse.layers.masking import Stretches
from polyfuse.layers.positions import sinusoidal
from polyfuse.records import Spec, Tokens


class SpectrogramTransformer(nn.Module):
    """Self-attention over stretches of a log-mel spectrogram, from scratch; needs many sounds.

    Args:
        rate: samples per second of what comes in.
        sample_rate: samples per second to ask for; ``"auto"`` follows the training sounds.
        seconds: what is kept of longer sounds; ``"auto"`` follows the training sounds.
        stretch: frames of 10 ms per token, with all their frequencies.
        width: of a token; a multiple of 4, the attention heads.
        depth: blocks; 0 gives linear stretches, for a fusion that starts from the raw spectrogram.
        dropout: of stretches and in blocks, in training.
        mask: in training, the most of its frequencies and of its length that a sound may lose.

    See also:
        ``spectrogram_cnn`` below some thousands of sounds, ``pretrained`` for speech.
    """

    paper = "Gong et al., AST: Audio spectrogram transformer, Interspeech 2021"
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
        stretch: int = 4,
        width: int = 128,
        depth: int = 3,
        dropout: float = 0.1,
        mask: float = 0.15,
    ):
        super().__init__()
        self.width = width
        self.frames = Frames(rate=rate, bins=self.BINS, mask=mask, stride=stretch)
        self.embed, self.drop = nn.Linear(stretch * self.BINS, width), nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, dropout=dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def masking(self) -> Stretches:
        """The stretches that tokens stand for can be hidden."""
        return Stretches(self.frames, self.BINS)

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> Tokens:
        """``wave`` (U, S), ``lengths`` (U,) -> tokens along time (U, N, D)."""
        x_UNF, mask_UN = self.frames.joined(*self.frames(fields, present_B))
        count = x_UNF.shape[1]
        x_UND = self.embed(x_UNF)
        x_UND = self.drop(x_UND + sinusoidal(count, self.width, like=x_UND))
        for block in self.blocks:
            x_UND = block(x_UND, mask_UN)
        return Tokens(self.norm(x_UND), mask_UN, (count,), span_BT2=self.frames.spans(fields["lengths"], count))
