"""Noise in pictures, (H, W, 3) uint8 -> the same: after Hendrycks and Dietterich, ICLR 2019 (arXiv:1903.12261).

Their scales are for 224 pixels; lengths here are shares of the side, since pictures come in any size.
"""

# ruff: noqa: ARG001 - every corruption has the same four arguments, and each uses some

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

DEVIATION = 0.4  # of full scale
RADIUS = 1 / 12  # of the shorter side
CONTRAST = 0.05  # left of it
BEST, WORST = 95, 7  # JPEG quality
COARSEST = 0.25  # of each side
GREY = 128


def noise(cell: np.ndarray, severity: float, rng: np.random.Generator, transform: Any = None) -> np.ndarray:
    """Normal noise on every pixel; a grey picture stays grey."""
    grey = bool((cell == cell[..., :1]).all())
    drawn = rng.standard_normal((*cell.shape[:2], 1 if grey else cell.shape[2]))
    return _levels(cell + 255 * DEVIATION * severity * drawn)


def blur(cell: np.ndarray, severity: float, rng: np.random.Generator, transform: Any = None) -> np.ndarray:
    """Gaussian blur."""
    radius = severity * RADIUS * min(cell.shape[:2])
    return np.asarray(Image.fromarray(cell).filter(ImageFilter.GaussianBlur(radius)))


def contrast(cell: np.ndarray, severity: float, rng: np.random.Generator, transform: Any = None) -> np.ndarray:
    """Every channel drawn towards its mean."""
    mean = cell.mean((0, 1))
    return _levels(mean + (cell - mean) * (1 - (1 - CONTRAST) * severity))


def occlusion(cell: np.ndarray, severity: float, rng: np.random.Generator, transform: Any = None) -> np.ndarray:
    """A grey rectangle of the picture's own proportions, somewhere."""
    sides = [max(1, round(side * severity**0.5)) for side in cell.shape[:2]]
    top, left = (
        round(float(u) * (whole - side)) for u, whole, side in zip(rng.random(2), cell.shape, sides, strict=False)
    )
    hidden = cell.copy()
    hidden[top : top + sides[0], left : left + sides[1]] = GREY
    return hidden


def jpeg(cell: np.ndarray, severity: float, rng: np.random.Generator, transform: Any = None) -> np.ndarray:
    """Compressed and read again."""
    file = io.BytesIO()
    Image.fromarray(cell).save(file, "JPEG", quality=round(BEST * (WORST / BEST) ** severity))
    return np.asarray(Image.open(file))


def pixelate(cell: np.ndarray, severity: float, rng: np.random.Generator, transform: Any = None) -> np.ndarray:
    """Made small and large again, without smoothing."""
    share = 1 - (1 - COARSEST) * severity
    height, width = cell.shape[:2]
    small = Image.fromarray(cell).resize(
        (max(1, round(width * share)), max(1, round(height * share))), Image.Resampling.BOX
    )
    return np.asarray(small.resize((width, height), Image.Resampling.NEAREST))


def _levels(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
