"""A picture as one vector of fixed statistics: colours, edges and texture, nothing learnt.

What strong baselines on a few hundred pictures are made of: colour histograms (Swain and Ballard, IJCV 1991), oriented
gradients (Dalal and Triggs, CVPR 2005), local binary patterns (Ojala et al., TPAMI 2002).
"""

# ruff: noqa: ARG002 - some keywords are for wants() alone

from __future__ import annotations

import torch
from torch import Tensor, nn

from polyfuse.contracts import spec_of
from polyfuse.layers import histograms
from polyfuse.records import Spec, Tokens

GREY = (0.299, 0.587, 0.114)
ORIENTATIONS, DIRECTIONS = 9, 16  # of edges whichever side is brighter, and with the brighter side told apart
COARSE, HUED = 2, 3  # cells per side for directions and texture, and for hues


class Statistics(nn.Module):
    """Fixed colour, gradient and texture histograms as one token; the strong start for few pictures.

    Nothing is learnt and nothing standardised: whoever reads the token standardises it on training rows. Histograms
    are square roots of shares, so that rare bins are heard.

    Args:
        image_size: (height, width) of what comes in; any size works.
        size: side of the pictures to ask for, in pixels; ``"auto"`` follows the training pictures.
        largest: the most pixels that ``"auto"`` asks for.
        cells: per side, whose oriented gradients are kept apart.

    Raises:
        ValueError: no cells.

    See also:
        ``resnet``, which learns and gains with more pictures; both fit side by side. ``pretrained`` for photographs.
    """

    paper = "Dalal and Triggs, Histograms of oriented gradients for human detection, CVPR 2005"
    fixed = True

    @spec_of("image_size")
    @staticmethod
    def wants(size: int | str, largest: int) -> Spec:
        """Pixels of one size."""
        return Spec("image.pixels", {"size": size, "largest": largest})

    def __init__(self, *, image_size: tuple[int, int], size: int | str = "auto", largest: int = 96, cells: int = 6):
        super().__init__()
        if not isinstance(cells, int) or cells < 1:
            raise ValueError(f"cells={cells!r}: expected a whole number from 1 on")
        self.cells = cells
        self.register_buffer("grey", torch.tensor(GREY).view(3, 1, 1), persistent=False)
        self.patterns = histograms.Patterns()
        self.width = self._features(torch.zeros(1, 3, 8, 8)).shape[1]

    grey: Tensor

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> Tokens:
        """``pixels`` (U, 3, H, W) uint8 -> one token (U, 1, D)."""
        with torch.autocast(fields["pixels"].device.type, enabled=False):  # shares of few pixels need full precision
            x_UD = self._features(fields["pixels"].float() / 255)
        return Tokens(x_UD[:, None], present_B[:, None])

    def _features(self, rgb_U3HW: Tensor) -> Tensor:
        grey_UHW = (rgb_U3HW * self.grey).sum(1)
        return torch.cat([*_colours(rgb_U3HW, grey_UHW), *self._edges(rgb_U3HW), *self._texture(grey_UHW)], 1)

    def _edges(self, rgb_U3HW: Tensor) -> list[Tensor]:
        """Oriented gradients on a fine grid, and directed ones on a coarse grid."""
        strength, turn = histograms.gradients(rgb_U3HW)
        oriented = histograms.round_bins(2 * turn, ORIENTATIONS) * strength[:, None]
        directed = histograms.round_bins(turn, DIRECTIONS) * strength.sqrt()[:, None]
        fine = histograms.normalize_locally(histograms.grid_means(oriented, self.cells))
        coarse = histograms.normalize_globally(histograms.grid_means(directed, COARSE))
        return [fine.flatten(1).sqrt(), coarse.flatten(1).sqrt()]

    def _texture(self, grey_UHW: Tensor) -> list[Tensor]:
        """Patterns one pixel wide for the whole, and those one and two pixels wide, turned alike, on a grid."""
        small, small_turned = self.patterns(grey_UHW, 1)
        _, large_turned = self.patterns(grey_UHW, 2)
        turned = [
            histograms.count_codes(code, histograms.TURNED, COARSE).sqrt() for code in (small_turned, large_turned)
        ]
        return [histograms.count_codes(small, histograms.PATTERNS).sqrt(), *turned]


def _colours(rgb_U3HW: Tensor, grey_UHW: Tensor) -> list[Tensor]:
    """Moments of grey, red-green and yellow-blue; joint colours of the whole; hues on a grid."""
    red, green, blue = rgb_U3HW.unbind(1)
    opposed_U3P = torch.stack([grey_UHW, red - green, (red + green) / 2 - blue], 1).flatten(2)
    mean_U3 = opposed_U3P.mean(2)
    centred_U3P = opposed_U3P - mean_U3[..., None]
    third_U3 = centred_U3P.pow(3).mean(2)
    hued = histograms.grid_means(histograms.hues(rgb_U3HW), HUED).flatten(1)
    return [
        mean_U3,
        # sqrt(variance + 1e-8): onnxruntime takes what is added and as small as that for nothing
        (centred_U3P.square().mean(2) * 1e8 + 1).sqrt() * 1e-4,
        third_U3.sign() * (third_U3.abs() + 1e-12).pow(1 / 3),
        histograms.joint_colours(rgb_U3HW).sqrt(),
        hued.sqrt(),
    ]
