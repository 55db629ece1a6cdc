"""Augmentations of sounds, a batch at a time: time shift, gain, time mask and noise. Padding stays silent.

SpecAugment (Park et al., 2019, arXiv:1904.08779) masks spectrograms; here the mask lies on the samples, so that every
encoder profits from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from polyfuse.data.augment.values import check_share


@dataclass(frozen=True)
class Shift:
    """Move each sound in time; silence fills the gap, and what leaves its length is lost.

    Args:
        share: the largest move, as a share of the sound's length.

    Shapes: ``wave`` (U, S), ``lengths`` (U,).
    """

    share: float = 0.1

    def __post_init__(self) -> None:
        check_share("share", self.share)

    def __call__(self, fields: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        wave_US, lengths_U = fields["wave"], fields["lengths"]
        moves_U = (_uniform(len(wave_US), generator) * self.share * lengths_U).long()
        moved_US = torch.zeros_like(wave_US)
        for row, (move, length) in enumerate(zip(moves_U.tolist(), lengths_U.tolist(), strict=True)):
            start, stop = max(0, move), length + min(0, move)  # slices: a tenth of the time of one gather
            moved_US[row, start:stop] = wave_US[row, start - move : stop - move]
        return {**fields, "wave": moved_US}


@dataclass(frozen=True)
class Gain:
    """Make each sound louder or softer; what would pass full scale is clipped.

    Args:
        decibels: the largest change, in either direction.
    """

    decibels: float = 6.0

    def __post_init__(self) -> None:
        if not self.decibels >= 0:
            raise ValueError(f"decibels={self.decibels!r}: expected a number from 0 on")

    def __call__(self, fields: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        gain_U = 10 ** (_uniform(len(fields["wave"]), generator) * self.decibels / 20)
        return {**fields, "wave": (fields["wave"] * gain_U[:, None]).clamp_(-1, 1)}


@dataclass(frozen=True)
class Mask:
    """Silence one span of each sound.

    Args:
        share: the longest span, as a share of the sound's length.
    """

    share: float = 0.1

    def __post_init__(self) -> None:
        check_share("share", self.share)

    def __call__(self, fields: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        lengths_U = fields["lengths"]
        width_U = (torch.rand(len(lengths_U), generator=generator) * self.share * lengths_U).long()
        start_U = (torch.rand(len(lengths_U), generator=generator) * (lengths_U - width_U)).long()
        masked_US = fields["wave"].clone()
        for row, (start, width) in enumerate(zip(start_U.tolist(), width_U.tolist(), strict=True)):
            masked_US[row, start : start + width] = 0
        return {**fields, "wave": masked_US}


@dataclass(frozen=True)
class Noise:
    """Add white noise, so many decibels softer than the sound.

    Args:
        softest, loudest: signal-to-noise ratio in decibels, drawn evenly between the two.
        p: probability for each sound.
    """

    softest: float = 30.0
    loudest: float = 10.0
    p: float = 0.5

    def __post_init__(self) -> None:
        check_share("p", self.p)

    def __call__(self, fields: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        wave_US = fields["wave"]
        power_U1 = (wave_US.square().sum(1) / fields["lengths"].clamp_min(1)).unsqueeze(1)
        ratio_U1 = torch.rand(len(wave_US), 1, generator=generator) * (self.softest - self.loudest) + self.loudest
        level_U1 = (power_U1 * 10 ** (-ratio_U1 / 10)).sqrt()
        chosen_U1 = torch.rand(len(wave_US), 1, generator=generator) < self.p
        real_US = torch.arange(wave_US.shape[1]) < fields["lengths"][:, None]
        noise_US = torch.randn(wave_US.shape, generator=generator) * (level_U1 * chosen_U1) * real_US
        return {**fields, "wave": noise_US.add_(wave_US).clamp_(-1, 1)}


def _uniform(rows: int, generator: torch.Generator) -> Tensor:
    """(rows,) evenly spread from -1 to 1."""
    return torch.rand(rows, generator=generator) * 2 - 1
