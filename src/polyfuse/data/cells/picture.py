"""Decode one picture, bytes or an array of any format, to upright RGB, within limits.

Sizes are checked from the header, before anything is decoded. Alpha lies on white, a camera's orientation is applied,
sixteen bits become eight, and of an animation the first frame counts.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, UnidentifiedImageError

from polyfuse.data.cells.frame import PictureSize
from polyfuse.data.cells.source import BadCell, Limits, Media, apply_orientation, read_orientation

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_opening = threading.Lock()
WHITE = 65_535  # of sixteen bits


def describe(content: Media, limits: Limits = Limits()) -> tuple[int, int, str]:
    """Read width, height (as stored, before EXIF orientation) and Pillow mode from the header.

    Raises:
        BadCell: no picture, or more pixels than ``limits.pixels``.
    """
    if isinstance(content, np.ndarray):
        array = _channels_last(content, limits)
        return array.shape[1], array.shape[0], _MODES[array.shape[2]]
    with open_image(content, limits) as image:
        return image.width, image.height, image.mode


def measure(content: Media, limits: Limits = Limits()) -> PictureSize:
    """Read the size of a picture and the camera's orientation from the header.

    Raises:
        BadCell: as ``describe``.
    """
    if isinstance(content, np.ndarray):
        array = _channels_last(content, limits)
        return PictureSize(array.shape[0], array.shape[1])
    with open_image(content, limits) as image:
        return PictureSize(image.height, image.width, read_orientation(image))


def decode(content: Media, limits: Limits = Limits(), white: int = WHITE) -> Image.Image:
    """The picture as Pillow RGB.

    Args:
        white: the value of white in pictures of sixteen bits; 4,095 where a camera fills twelve of them.

    Raises:
        BadCell: no picture, too many pixels, cut short, or damaged; with Pillow's reason.
    """
    if isinstance(content, np.ndarray):
        return _to_rgb(_from_array(_channels_last(content, limits), white), white)
    with open_image(content, limits) as image:
        try:
            image.load()
            return _to_rgb(apply_orientation(image), white)
        except BadCell:
            raise
        except Exception as error:  # plugins raise whatever they like on damaged files
            raise BadCell(f"damaged {image.format} picture: {str(error) or type(error).__name__}") from None


def max_value(content: Media, limits: Limits = Limits()) -> int:
    """The highest value of a grey picture of sixteen bits; 0 for any other.

    Raises:
        BadCell: as ``decode``.
    """
    if isinstance(content, np.ndarray):
        return int(content.max(initial=0)) if content.dtype == np.uint16 else 0
    with open_image(content, limits) as image:
        if image.mode[0] != "I":
            return 0
        try:
            return int(_deep_values(image).max(initial=0))
        except Exception as error:  # plugins raise whatever they like on damaged files
            raise BadCell(f"damaged {image.format} picture: {str(error) or type(error).__name__}") from None


def check_size(width: int, height: int, limits: Limits) -> None:
    """Refuse a picture without pixels, or with too many.

    Raises:
        BadCell: says the size, the limit and the setting.
    """
    if width * height > limits.pixels:
        raise BadCell(
            f"{width:,} x {height:,} pixels are {width * height:,}, "
            f"over the limit of {limits.pixels:,} (data.limits.pixels)"
        )
    if width * height == 0:
        raise BadCell(f"a picture of {width} x {height} pixels is empty")


@contextmanager
def open_image(content: Media, limits: Limits) -> Iterator[Image.Image]:
    """Open encoded bytes as a picture of Pillow, of which the header alone is read.

    Raises:
        BadCell: no picture, or more pixels than ``limits.pixels``.
    """
    if not isinstance(content, bytes):
        raise BadCell(f"expected a picture, found {type(content).__name__}")
    with _identify(content) as image:
        check_size(image.width, image.height, limits)
        if image.format == "EPS":  # Pillow would run Ghostscript on it
            raise BadCell("EPS is a program, not a picture; convert it to PNG")
        yield image


def _identify(content: bytes) -> Image.Image:
    try:
        # Pillow's own bomb check has a limit of its own and does not say the size: ours replaces it
        with _opening:
            kept, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                return Image.open(io.BytesIO(content))
            finally:
                Image.MAX_IMAGE_PIXELS = kept
    except UnidentifiedImageError:
        raise BadCell(f"no picture in a format that Pillow reads; it begins with {content[:12]!r}") from None
    except Exception as error:  # plugins raise whatever they like on damaged files
        raise BadCell(f"damaged picture: {str(error) or type(error).__name__}") from None


def _to_rgb(image: Image.Image, white: int = WHITE) -> Image.Image:
    """Any mode -> RGB, transparent parts on white."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode[0] in "IF":
        image = _from_array(_deep_values(image)[..., None], white)
    if image.has_transparency_data:
        ground = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(ground, image.convert("RGBA"))
    return image.convert("RGB")


def _deep_values(image: Image.Image) -> np.ndarray:
    """The values of a picture with more than eight bits; Pillow's 32-bit integers hold a 16-bit range."""
    array = np.asarray(image)
    return np.clip(array, 0, 65535).astype(np.uint16) if array.dtype == np.int32 else array


def _channels_last(array: np.ndarray, limits: Limits) -> np.ndarray:
    """(H, W), (H, W, 1 to 4) or (1 | 3 | 4, H, W) -> (H, W, channels)."""
    shape = array.shape
    if array.ndim == 2:
        array = array[..., None]
    elif array.ndim == 3 and shape[-1] not in _MODES and shape[0] in (1, 3, 4):
        array = np.moveaxis(array, 0, -1)
    if array.ndim != 3 or array.shape[-1] not in _MODES:
        raise BadCell(f"an array of shape {shape} is no picture; expected (H, W), (H, W, 1 to 4) or (3, H, W)")
    check_size(array.shape[1], array.shape[0], limits)
    return array


def _from_array(array: np.ndarray, white: int = WHITE) -> Image.Image:
    levels = np.ascontiguousarray(_to_uint8(array, white))
    return Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels)


def _to_uint8(array: np.ndarray, white: int = WHITE) -> np.ndarray:
    """Values of any type -> 0 to 255: booleans, 16 bits, fractions of 1, or numbers up to 255."""
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind not in "buif":
        raise BadCell(f"an array of {array.dtype} is no picture; expected numbers")
    deep = array.dtype.kind == "u" and array.dtype.itemsize == 2
    array = array.clip(0, white) if deep else array
    low, high = float(array.min()), float(array.max())
    scale = 255 / white if deep else 255 if array.dtype.kind in "bf" and high <= 1.001 else 1
    if not (low * scale >= -0.5 and high * scale <= 255.5):  # also refuses NaN
        raise BadCell(f"pixel values from {low:g} to {high:g}; expected 0 to 1 (fractions) or 0 to 255")
    return np.clip(np.rint(array * scale), 0, 255).astype(np.uint8)
