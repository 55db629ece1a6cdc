"""What of a cell can be hidden from its encoder, and guessed: subwords, patches, stretches of a spectrogram, values.

An encoder that can be masked (``contracts.CanBeMasked``) has a method ``masking()`` that gives one of these. ``units``
says what there is to hide, and what it is; ``hide`` gives the fields with some of it hidden, which the encoder reads as
any other. What stands in for a hidden unit is learnt: ``fill`` numbers that the caller owns, or an embedding of the
encoder that nothing else uses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from polyfuse.layers.positions import length_mask

Fields = dict[str, Tensor]


@dataclass
class Units:
    """What can be hidden of some cells, and what it is: numbers, or a class.

    Args:
        real_UN: whether a unit is there to be hidden.
        values_UNP: P numbers per unit, or None.
        known_UNP: which of them are to be guessed; all where None.
        ids_UN: class of each unit, -1 where it has none; or None.
    """

    real_UN: Tensor
    values_UNP: Tensor | None = None
    known_UNP: Tensor | None = None
    ids_UN: Tensor | None = None


class Masking(Protocol):
    """How the cells of an encoder are masked.

    Attributes:
        along: the encoder gives one token per unit, behind its prefix; else units are guessed from all its tokens.
        values: P, numbers to guess per unit.
        classes: of a unit, for each of the units where they are not ``along``; empty where it has none.
        fill: learnt numbers that stand in for hidden units.
        share: of the units, hidden where nobody says how many.
    """

    along: bool
    values: int
    classes: Sequence[int]
    fill: int
    share: float

    def units(self, fields: Fields) -> Units:
        """What there is to hide."""

    def hide(self, fields: Fields, hidden_UN: Tensor, fill_F: Tensor) -> Fields:
        """The same fields with these units hidden."""


class Subwords:
    """Fields ``ids`` (U, T) and ``lengths`` (U,): each subword, by its id. Devlin et al., BERT, NAACL 2019.

    Args:
        vocabulary: number of ids.
        mask: the id that stands in for a hidden one.
        kept: ids that are never hidden, such as those of marks around a text.
        prefix: leading marks, which are no units.
    """

    along, values, fill, share = True, 0, 0, 0.15

    def __init__(self, vocabulary: int, mask: int, kept: Sequence[int] = (), prefix: int = 0):
        self.classes, self.mask, self.kept, self.prefix = (vocabulary,), mask, tuple(kept), prefix

    def units(self, fields: Fields) -> Units:
        """Every subword but the marks."""
        ids_UT = fields["ids"]
        real_UT = length_mask(fields["lengths"], ids_UT.shape[1])
        for mark in self.kept:
            real_UT = real_UT & (ids_UT != mark)
        return Units(real_UT[:, self.prefix :], ids_UN=ids_UT[:, self.prefix :])

    def hide(self, fields: Fields, hidden_UN: Tensor, fill_F: Tensor) -> Fields:  # noqa: ARG002
        """The mask's id in place of theirs."""
        hidden_UT = F.pad(hidden_UN, (self.prefix, 0))
        return {**fields, "ids": fields["ids"].masked_fill(hidden_UT, self.mask)}


class Patches:
    """Field ``pixels`` (U, 3, H, W) from 0 to 255: squares of pixels, each brought to mean 0 and deviation 1.

    Targets as in He et al., Masked autoencoders are scalable vision learners, CVPR 2022; hidden squares of one learnt
    colour stay in the picture, so that nets of any kind read it: Xie et al., SimMIM, CVPR 2022.

    Args:
        side: of a square in pixels; what it does not divide is extended by zeros, right and below.
    """

    along, classes, fill, share = True, (), 3, 0.6

    def __init__(self, side: int):
        self.side, self.values = side, 3 * side * side

    @classmethod
    def of_grid(cls, image_size: Sequence[int], grid: Sequence[int]) -> Patches:
        """The squares of a picture (height, width) that a grid (rows, columns) of tokens stands for.

        Raises:
            ValueError: they are no squares of whole pixels.
        """
        sides = {size / count for size, count in zip(image_size, grid, strict=True)}
        if len(sides) != 1 or not (side := sides.pop()).is_integer():
            seen = " x ".join(map(str, image_size)), " x ".join(map(str, grid))
            raise ValueError(f"{seen[0]} pixels are no squares behind {seen[1]} tokens, so they cannot be masked")
        return cls(int(side))

    def units(self, fields: Fields) -> Units:
        """Every square, row by row."""
        x_U3HW = self._padded(fields["pixels"].float() / 127.5 - 1)
        x_UNP = (
            x_U3HW.unfold(2, self.side, self.side)
            .unfold(3, self.side, self.side)
            .permute(0, 2, 3, 1, 4, 5)
            .flatten(3)
            .flatten(1, 2)
        )
        spread_UN1 = (x_UNP.var(-1, keepdim=True, unbiased=False) + 1e-6).sqrt()
        values_UNP = (x_UNP - x_UNP.mean(-1, keepdim=True)) / spread_UN1
        return Units(torch.ones(values_UNP.shape[:2], dtype=torch.bool, device=values_UNP.device), values_UNP)

    def _padded(self, x_UCHW: Tensor) -> Tensor:
        return F.pad(x_UCHW, (0, -x_UCHW.shape[3] % self.side, 0, -x_UCHW.shape[2] % self.side))

    def hide(self, fields: Fields, hidden_UN: Tensor, fill_F: Tensor) -> Fields:
        """Squares of one learnt colour in place of theirs; 0 is grey."""
        height, width = fields["pixels"].shape[2:]
        hidden_U1hw = hidden_UN.unflatten(1, (-1, -(-width // self.side)))[:, None]
        hidden_U1HW = hidden_U1hw.repeat_interleave(self.side, 2).repeat_interleave(self.side, 3)
        colour_311 = (fill_F[:, None, None] + 1) * 127.5
        pixels = torch.where(hidden_U1HW[..., :height, :width], colour_311, fields["pixels"].to(fill_F.dtype))
        return {**fields, "pixels": pixels}


class Stretches:
    """Samples of sound: stretches of its log-mel frames, standardised over the sound, as wide as a token.

    After Gong et al., SSAST: Self-supervised audio spectrogram transformer, AAAI 2022.

    Args:
        frames: the front end of the encoder, which reads ``hidden`` and ``fill`` of the fields.
        bins: mel filters.
    """

    along, classes, share = True, (), 0.4

    def __init__(self, frames: Any, bins: int):
        self.frames, self.fill, self.values = frames, bins, bins * frames.stride

    def units(self, fields: Fields) -> Units:
        """Every stretch."""
        x_UNF, mask_UN = self.frames.joined(*self.frames.mel(fields["wave"], fields["lengths"]))
        return Units(mask_UN, x_UNF)

    def hide(self, fields: Fields, hidden_UN: Tensor, fill_F: Tensor) -> Fields:
        """One learnt frame in place of all of theirs."""
        return {**fields, "hidden": hidden_UN, "fill": fill_F}


class Steps:
    """Fields ``x`` (U, T, size) and ``lengths`` (U,): the vectors of a sequence, as they are.

    Args:
        size: of a vector.
    """

    along, classes, share = True, (), 0.3

    def __init__(self, size: int):
        self.values = self.fill = size

    def units(self, fields: Fields) -> Units:
        """Every vector."""
        return Units(length_mask(fields["lengths"], fields["x"].shape[1]), fields["x"])

    def hide(self, fields: Fields, hidden_UN: Tensor, fill_F: Tensor) -> Fields:
        """One learnt vector in place of theirs."""
        return {**fields, "x": torch.where(hidden_UN[..., None], fill_F, fields["x"])}


class Values:
    """Fields ``numbers`` (U, N) and ``categories`` (U, C): the value of each column, all that says it hidden together.

    A hidden number is one learnt number, a hidden category a missing one. After Gorishniy et al., Revisiting
    pretraining objectives for tabular deep learning, 2022.

    Args:
        numbers: N.
        categories: number of categories of each column of them; the first two are missing and unseen ones, which are
            not guessed.
        owners: column of each number; several numbers may say one value (a date). Each its own where None.
        flags: how many of the numbers, the last ones, say that the value of their column is missing; not guessed.
    """

    along, share = False, 0.3

    def __init__(self, numbers: int, categories: Sequence[int], owners: Sequence[int] | None = None, flags: int = 0):
        owners = list(range(numbers)) if owners is None else list(owners)
        said = owners[: numbers - flags]
        columns = max(said, default=-1) + 1
        self.owners, self.fill = owners, numbers
        self.places: list[list[int]] = [[n for n, owner in enumerate(said) if owner == c] for c in range(columns)]
        self.flag: Mapping[int, int] = {owners[n]: n for n in range(numbers - flags, numbers)}
        self.values = max(map(len, self.places), default=0)
        self.classes = [0] * columns + list(categories)

    def units(self, fields: Fields) -> Units:
        """Every column: numbers and dates, then categories."""
        numbers_UN, named_UC = fields["numbers"], fields["categories"]
        columns, count = len(self.places), len(numbers_UN)
        real_UX = numbers_UN.new_ones(count, columns + named_UC.shape[1], dtype=torch.bool)
        values_UXP = numbers_UN.new_zeros(count, real_UX.shape[1], self.values)
        known_UXP = torch.zeros_like(values_UXP, dtype=torch.bool)
        for column, places in enumerate(self.places):
            values_UXP[:, column, : len(places)] = numbers_UN[:, places]
            known_UXP[:, column, : len(places)] = True
            if column in self.flag:
                real_UX[:, column] = numbers_UN[:, self.flag[column]] == 0
        real_UX[:, columns:] = named_UC > 1  # neither missing nor unseen
        ids_UX = F.pad(named_UC, (columns, 0), value=-1)
        return Units(real_UX, values_UXP, known_UXP, ids_UX)

    def hide(self, fields: Fields, hidden_UN: Tensor, fill_F: Tensor) -> Fields:
        """Learnt numbers, and missing categories, in place of theirs."""
        columns = len(self.places)
        hides_UN = hidden_UN[:, self.owners] if self.owners else hidden_UN[:, :0]
        numbers_UN = torch.where(hides_UN, fill_F, fields["numbers"])
        categories_UC = fields["categories"].masked_fill(hidden_UN[:, columns:], 0)
        return {**fields, "numbers": numbers_UN, "categories": categories_UC}
