"""From tokens that lie in a plane to a map of features, and from places of a picture to its cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from polyfuse.data.cells.frame import Frame, PictureSize
from polyfuse.layers.readout import Readout
from polyfuse.records import Batch, Fused, Tokens


class PlaceReader(nn.Module):
    """The tokens of one input, after fusion, each with the joint tokens, as a map (B, C, H, W).

    So a text says what to look for under every fusion.

    Args:
        width: D.
        channels: C.
        pool: of the joint tokens, see ``layers.readout``.
        dropout: before each layer, in training.
    """

    def __init__(self, width: int, channels: int, *, pool: str = "auto", dropout: float = 0.1):
        super().__init__()
        self.norm, self.drop = nn.LayerNorm(width), nn.Dropout(dropout)
        self.see = nn.Linear(width, channels, bias=False)
        self.joint = Readout(width, channels, pool=pool, dropout=dropout)

    def forward(self, fused: Fused, name: str) -> tuple[Tensor, Tensor]:
        """The map of an input, and the rows that have it (B,).

        Raises:
            ValueError: its tokens do not lie in a plane.
        """
        tokens = in_plane(name, fused.by_input.get(name))
        first, count = tokens.prefix, int(np.prod(tokens.grid))
        x_BTD, mask_BT = tokens.x_BTD[:, first : first + count], tokens.mask_BT[:, first : first + count]
        real_BT1 = mask_BT[..., None].to(x_BTD.dtype)
        own_BTC = self.see(self.drop(self.norm(x_BTD * real_BT1))) + self.joint(fused.tokens)[:, None]
        map_BCHW = (own_BTC * real_BT1).transpose(1, 2).unflatten(2, tokens.grid)
        return map_BCHW, mask_BT.any(1)


def in_plane(name: str, tokens: Tokens | None) -> Tokens:
    """Tokens that lie in a plane.

    Raises:
        ValueError: they do not, or there are none.
    """
    if tokens is None or len(tokens.grid) != 2:
        raise ValueError(
            f"input {name!r}: its tokens do not lie in a plane, so that nothing can be said of places in the picture; "
            "expected an encoder such as pyramid, resnet or vit, not pooled, and a fusion that keeps tokens"
        )
    return tokens


class Tower(nn.Sequential):
    """Some 3 x 3 convolutions that keep the size of a map, each normalised."""

    def __init__(self, channels: int, depth: int):
        layers: list[nn.Module] = []
        for _ in range(depth):
            groups = channels // 8 if channels % 8 == 0 else 1
            layers += [nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.GroupNorm(groups, channels)]
            layers += [nn.ReLU()]
        super().__init__(*layers)


def picture_matrices(batch: Batch, name: str, frame: Frame, pixels: str) -> tuple[np.ndarray, np.ndarray]:
    """Of every row the way from its picture's pixels into the frame (B, 2, 3), and its size (B, 3), 0 where none is."""
    cells = batch.own[name]
    sizes_U3, at_B = cells.fields["size"].cpu().numpy(), cells.index_BK[:, 0].cpu().numpy()  # type: ignore[index,union-attr]
    known = [frame.matrix(PictureSize(*map(int, size)), pixels) for size in sizes_U3]
    there_B = at_B >= 0
    sizes_B3 = sizes_U3[at_B.clip(0)] * there_B[:, None]
    return np.stack(known)[at_B.clip(0)], sizes_B3


def movement(batch: Batch, reader: str) -> Tensor | None:
    """Scale and offset along x, then y, by which augmentation moved each row's picture (B, 4); None for not at all."""
    cells = batch.inputs.get(reader)
    if cells is None or not isinstance(cells.fields, Mapping) or "moved" not in cells.fields:
        return None
    return cells.rows(cells.fields["moved"])


def read_frame(frame: Mapping[str, Any] | None, name: str) -> Frame:
    """How pictures are seen, as a fact of the target's transform.

    Raises:
        ValueError: it does not say.
    """
    if frame is None:
        raise ValueError(f"output {name!r}: nothing says how its pictures are seen; expected an input that reads them")
    return Frame.from_json(frame)


def centres(grid: Sequence[int], frame: Frame, *, like: Tensor) -> tuple[Tensor, Tensor]:
    """Middles (x, y) of the squares of a grid in pixels of the frame (H * W, 2), and the sides of a square (2,)."""
    side_2 = like.new_tensor([frame.width / grid[1], frame.height / grid[0]])
    y_HW, x_HW = torch.meshgrid(
        torch.arange(grid[0], device=like.device), torch.arange(grid[1], device=like.device), indexing="ij"
    )
    return (torch.stack([x_HW, y_HW], -1).flatten(0, 1).to(like.dtype) + 0.5) * side_2, side_2
