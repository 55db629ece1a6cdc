"""Pictures as a sequence of patches that attend to each other, from scratch.

Dosovitskiy et al., An image is worth 16x16 words, ICLR 2021; positions as in Beyer et al., Better plain ViT baselines,
2022: sines of row and column, which any size of picture has.
"""

# ruff: noqa: ARG002 - some keywords are for wants() alone

from __future__ import annotations

import torch
from torch import Tensor, nn

from polyfuse.contracts import spec_of
from polyfuse.layers.attention import Block
from polyfuse.layers.masking import Patches as Squares
from polyfuse.layers.patches import Patches, grid_positions
from polyfuse.records import Spec, Tokens

ACROSS = 8  # patches along the shorter side that ``patch="auto"`` aims at


class ViT(nn.Module):
    """Self-attention over the patches of a picture, from scratch; needs many pictures.

    Args:
        image_size: (height, width) of what comes in.
        size: side of the pictures to ask for, in pixels; ``"auto"`` follows the training pictures.
        patch: side of a patch in pixels; ``"auto"`` takes an eighth of the shorter side, at least 4.
        width: of a token; a multiple of ``heads``.
        depth: blocks; 0 gives linear patches, for a fusion that starts from raw pixels.
        heads: attention heads.
        class_token: put a learned token that stands for the whole picture in front.
        dropout: of patches and in blocks, in training.

    See also:
        ``resnet`` below some tens of thousands of pictures, ``pretrained`` for photographs.
    """

    paper = "Dosovitskiy et al., An image is worth 16x16 words, ICLR 2021"

    @spec_of("image_size")
    @staticmethod
    def wants(size: int | str) -> Spec:
        """Pixels of one size."""
        return Spec("image.pixels", {"size": size})

    def __init__(
        self,
        *,
        image_size: tuple[int, int],
        size: int | str = "auto",
        patch: int | str = "auto",
        width: int = 128,
        depth: int = 4,
        heads: int = 4,
        class_token: bool = False,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.width = width
        side = max(4, round(min(image_size) / ACROSS)) if patch == "auto" else int(patch)
        self.patches, self.drop = Patches(3, width, side=side), nn.Dropout(dropout)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width)) if class_token else None
        self.blocks = nn.ModuleList(Block(width, heads=heads, dropout=dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def masking(self) -> Squares:
        """Patches can be hidden."""
        return Squares(self.patches.side)

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> Tokens:
        """``pixels`` (U, 3, H, W) uint8 -> patches row by row, behind the class token if there is one (U, T, D)."""
        x_UTD, grid = self.patches(fields["pixels"].to(self.norm.weight.dtype) / 127.5 - 1)
        x_UTD = self.drop(x_UTD + grid_positions(grid, self.width, like=x_UTD))
        if self.class_token is not None:
            x_UTD = torch.cat([self.class_token.to(x_UTD.dtype).expand(len(x_UTD), -1, -1), x_UTD], 1)
        mask_UT = present_B[:, None].expand(x_UTD.shape[:2])
        for block in self.blocks:
            x_UTD = block(x_UTD, mask_UT)
        return Tokens(self.norm(x_UTD), mask_UT, grid=grid, prefix=int(self.class_token is not None))
