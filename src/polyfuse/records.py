"""The six data classes that parts exchange.

Shape letters, one legend for the whole package::

    B batch rows        T tokens            D width             C classes
    U distinct cells    S samples of sound  N frames, patches along time
    K slots (columns of one input)          M inputs
    H, W pixels         F frequency bins

The flow is ``table -> Batch -> encoders -> Tokens -> fusion -> Fused -> heads -> Prediction``; ``Spec`` is what a
part asks of its columns before any of that, ``State`` is what objectives read. This module imports nothing of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor


def _move(value: Any, device: torch.device | str) -> Any:
    """The same value with every tensor in it on ``device``."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, Mapping):
        return {key: _move(item, device) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _move(getattr(value, f.name), device) for f in fields(value)})
    return value


class _Movable:
    """Adds ``.to(device)``, the one behaviour that all records share."""

    def to(self, device: torch.device | str) -> Self:
        """A copy whose tensors lie on ``device``."""
        return _move(self, device)


@dataclass(frozen=True)
class Spec:
    """What a part wants from its columns: the name of a transform, its keywords, and files to keep with the model.

    Args:
        transform: a name in ``registry.TRANSFORMS``.
        keywords: keyword arguments of that transform.
        files: file name -> path of files the part needs again when it is loaded (a checkpoint's ``config.json``,
            its ``tokenizer.json``); they are copied into the bundle.
    """

    transform: str
    keywords: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


@dataclass
class Tokens(_Movable):
    """A sequence of vectors per row, what every encoder gives and every fusion reads.

    Shapes: ``x_BTD`` float, ``mask_BT`` bool (True = real; a missing cell is all False).

    Args:
        grid: shape of the real tokens: ``(H, W)`` patches, ``(N,)`` frames, ``(N, F)``, or ``()`` when unordered.
        prefix: number of leading tokens outside the grid, such as a class token. Behind a grid of two axes or more
            others may follow that lie outside it as well: those of a further encoder.
        span_BT2: where in the cell each token lies, in characters or seconds, start and end.
        own_BTE: the same tokens as their encoder gave them, at its own width, where a head reads them so.
    """

    x_BTD: Tensor
    mask_BT: Tensor
    grid: tuple[int, ...] = ()
    prefix: int = 0
    span_BT2: Tensor | None = None
    own_BTE: Tensor | None = None

    @property
    def width(self) -> int:
        """D, the size of one token."""
        return self.x_BTD.shape[-1]

    @property
    def present_B(self) -> Tensor:
        """True for each row that has at least one real token."""
        return self.mask_BT.any(-1)


@dataclass
class Cells(_Movable):
    """One name's share of a batch: its distinct cells, and which of them each row uses.

    Rows that share a cell (ten questions about one picture) share its row in ``fields``, so it is encoded once.

    Args:
        fields: padded tensors over the U distinct cells of the batch, e.g. ``pixels`` (U, 3, H, W) or ``ids`` (U, T)
            with ``lengths`` (U,); or ready ``Tokens`` of the encoder's own width, when they come from the cache.
            U is at least 1: when every row misses the cell, one blank cell stands there, so that the encoder still
            runs (DDP and per-sample gradients need every branch).
        index_BK: row and slot -> position in ``fields``, or -1 where the cell is missing.
        digests: content digest of each distinct cell, in order; the key of the token cache.
    """

    fields: dict[str, Tensor] | Tokens
    index_BK: Tensor
    digests: tuple[bytes, ...] = ()

    @property
    def present_B(self) -> Tensor:
        """True for each row with at least one present cell."""
        return (self.index_BK >= 0).any(-1)

    @property
    def present_U(self) -> Tensor:
        """True for each distinct cell that some row uses (False only for the blank stand-in)."""
        first = self.fields.x_BTD if isinstance(self.fields, Tokens) else next(iter(self.fields.values()))
        used = torch.zeros(first.shape[0] + 1, dtype=torch.bool, device=first.device)
        return used.index_fill(0, self.index_BK.flatten() + 1, True)[1:]

    def rows(self, values_U: Tensor) -> Tensor:
        """Values per distinct cell -> values per row, for names with one slot; a missing row repeats cell 0."""
        return values_U[self.index_BK[:, 0].clamp_min(0)]


@dataclass
class Batch(_Movable):
    """Some rows of a table, per input and per output name.

    Args:
        inputs: input name -> its cells.
        outputs: output name -> its target cells; empty at prediction.
        rows_B: row numbers in the table.
        weights_B: weight of each row in the loss.
        keys: column that an objective asked for -> a number per row that is the same for equal values, -1 for none.
        own: output name -> cells of the columns that its head reads itself, such as the question in a prompt, one slot
            per column; they are there at prediction too.
    """

    inputs: dict[str, Cells]
    outputs: dict[str, Cells]
    rows_B: Tensor
    weights_B: Tensor
    keys: dict[str, Tensor] = field(default_factory=dict)
    own: dict[str, Cells] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.rows_B.shape[0]


@dataclass
class Fused(_Movable):
    """Output of a fusion.

    Args:
        tokens: the joint representation (T may be 1).
        by_input: each input after interaction, with its T, order, mask, grid and span kept.
        own: inputs as their encoder gave them, before projection and interaction, where a head reads them so.
    """

    tokens: Tokens
    by_input: dict[str, Tokens]
    own: dict[str, Tokens] = field(default_factory=dict)


@dataclass
class State(_Movable):
    """Everything objectives may read of one forward pass.

    Args:
        encoded: each input at the model width, before fusion, modality dropout and missing tokens; an alignment
            objective therefore never sees the other side.
        fused: the fusion's result, or None when the model has no outputs.
        scores: output -> scores (B, C) of the fused representation, for heads that have scores.
        by_input_scores: output -> input -> scores (B, C) of that input alone, where a fusion or objective asks for
            them; meaningless in rows that miss the input.
        shared: input -> its vector in the shared space (B, E), where an objective aligns inputs; not of length 1, and
            meaningless in rows that miss the input.
    """

    encoded: dict[str, Tokens]
    fused: Fused | None = None
    scores: dict[str, Tensor] = field(default_factory=dict)
    by_input_scores: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    shared: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class Prediction:
    """Predictions of a head for a batch.

    Args:
        value: one Python value per row, in the column's own units and labels.
        scores: the raw scores (B, C), or None for heads without.
        extra: what the head adds, by name, one entry per row: ``probabilities``, ``confidence``, ``boxes``, ``text``.
    """

    value: list[Any]
    scores: Tensor | None = None
    extra: dict[str, Any] = field(default_factory=dict)


for _record in (Tokens, Cells, Batch, Fused, State):
    torch.export.register_dataclass(_record)
