"""Augmentations of text and numbers: token dropout, and noise on standardised values."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def check_share(name: str, value: float) -> None:
    """Raise ValueError for what is no share from 0 to 1.

    Raises:
        ValueError: not from 0 to 1.
    """
    if not (isinstance(value, (int, float)) and 0 <= value <= 1):
        raise ValueError(f"{name}={value!r}: expected a number from 0 to 1")


@dataclass(frozen=True)
class TokenDropout:
    """Replace tokens by the unknown one, id 0; at least one real token of every text stays.

    Args:
        share: probability for each token.

    Shapes: ``ids`` (U, T), or (U, T, K) with K ids per token, and ``lengths`` (U,).
    """

    share: float = 0.1

    def __post_init__(self) -> None:
        check_share("share", self.share)

    def __call__(self, fields: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        ids = fields["ids"]
        chance_UT = torch.rand(ids.shape[:2], generator=generator)
        real_UT = torch.arange(ids.shape[1]) < fields["lengths"][:, None]
        stays_U1 = chance_UT.masked_fill(~real_UT, -1).argmax(1, keepdim=True)
        dropped_UT = (chance_UT < self.share).scatter(1, stays_U1, False)
        return {**fields, "ids": ids.masked_fill(dropped_UT.view(*ids.shape[:2], *[1] * (ids.ndim - 2)), 0)}


@dataclass(frozen=True)
class Noise:
    """Add normal noise to standardised numbers; whole numbers and truth values stay.

    Args:
        deviation: standard deviation of the noise.
    """

    deviation: float = 0.1

    def __post_init__(self) -> None:
        if not self.deviation >= 0:
            raise ValueError(f"deviation={self.deviation!r}: expected a number from 0 on")

    def __call__(self, fields: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        return {name: self._add_noise(values, generator) for name, values in fields.items()}

    def _add_noise(self, values: Tensor, generator: torch.Generator) -> Tensor:
        if not values.is_floating_point():
            return values
        return values + self.deviation * torch.randn(values.shape, generator=generator, dtype=values.dtype)
