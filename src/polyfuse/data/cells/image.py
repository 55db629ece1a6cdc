"""Pictures -> uint8 RGB of one size: the transform of image columns, exact where a checkpoint asks for its own steps.

Normalising (mean, deviation) is the encoder's, on its device; kept pictures stay a byte per value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from polyfuse.data.cells.frame import FITS, Frame
from polyfuse.data.cells.picture import WHITE, check_size, decode, describe, max_value
from polyfuse.data.cells.source import BadCell, Limits, Media

__all__ = ["Pixels", "describe", "from_processor"]

SMALLEST, LARGEST, STEP = 16, 96, 8  # sides that "auto" chooses from, unless told otherwise
PHOTO_SIDE, PHOTO_SAMPLE = 96, 32  # what counts as a photograph, and how many are looked at


class Pixels:
    """Any picture -> (H, W, 3) uint8.

    Args:
        size: side or (height, width) in pixels; ``"auto"`` takes the median shorter side of the training pictures,
            within 16 to ``largest`` and rounded to a multiple of 8: small pictures learn fast, and 96 shows most
            objects.
        largest: the most that ``"auto"`` takes.
        fit: what happens to the aspect ratio: ``"squash"`` ignores it, ``"crop"`` keeps the middle, ``"pad"`` keeps
            everything between black bars.
        resample: a filter of Pillow by name or number. Every filter but ``"nearest"`` is antialiased.
        resize: with ``fit="crop"``, what the picture is resized to before the middle is cut out: the length of its
            shorter side, or exactly (height, width); None just covers ``size``.

    Attributes:
        photo: the training pictures look like colour photographs, which may be mirrored (set by ``fit``).
        white: the value of white in grey pictures of sixteen bits: all ones in as many bits as training uses.
        notes: what ``fit`` has to say.

    Raises:
        ValueError: a size, fit or filter that does not exist, or ``resize`` without ``fit="crop"``.

    See also: ``from_processor`` for the keywords that do what a Hugging Face checkpoint was trained with.
    """

    media = True
    joint = False

    def __init__(
        self,
        size: int | Sequence[int] | str = "auto",
        fit: str = "squash",
        resample: str | int = "bilinear",
        resize: int | Sequence[int] | None = None,
        largest: int = LARGEST,
    ):
        if not isinstance(largest, int) or largest < SMALLEST:
            raise ValueError(f"largest={largest!r}: expected {SMALLEST} pixels or more")
        if fit not in FITS:
            raise ValueError(f"unknown fit {fit!r}; expected one of {', '.join(FITS)}")
        if resize is not None and fit != "crop":
            raise ValueError(f"resize={resize!r} is the step before a crop: it needs fit='crop', found {fit!r}")
        self.photo, self._largest, self.white = False, largest, WHITE
        self.notes: list[str] = []
        self._size = None if size == "auto" else _pair(size, "size")
        self._fit, self._resample = fit, _filter(resample)
        before = None if resize is None else _pair(resize, "resize")
        self._resize = before[0] if before and isinstance(resize, int) else before

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of every picture."""
        if self._size is None:
            raise RuntimeError("size='auto' is known after fit()")
        return self._size

    def fit(self, cells: Sequence[Media], columns: Mapping[str, str], limits: Limits) -> None:
        """Choose the size where it is ``"auto"``, and see whether these are photographs, and how deep they are."""
        seen = [_attempt(describe, cell, limits) for cell in cells]
        side = float(np.median([min(s[:2]) for s in seen if not isinstance(s, BadCell)] or [SMALLEST]))
        if self._size is None:
            rounded = int(np.clip(STEP * np.floor(side / STEP + 0.5), SMALLEST, self._largest))
            self._size = (rounded, rounded)
        self._find_white(cells, ", ".join(map(repr, columns)), limits)
        self.photo = side >= PHOTO_SIDE and _are_photographs(cells[:PHOTO_SAMPLE], limits)

    def _find_white(self, cells: Sequence[Media], names: str, limits: Limits) -> None:
        values = [_attempt(max_value, cell, limits) for cell in cells]
        most = max((value for value in values if not isinstance(value, BadCell)), default=0)
        self.white = 2 ** max(1, most.bit_length()) - 1 if most else WHITE
        if self.white < WHITE:
            self.notes = [
                f"column {names}: pictures of 16 bits use {self.white.bit_length()} of them: white is {self.white:,}"
            ]

    def facts(self) -> dict[str, Any]:
        """``image_size``: (height, width)."""
        return {"image_size": self.size}

    def state(self) -> dict[str, Any]:
        """Every setting and what was fitted, as JSON; the store of decoded pictures is named by it."""
        resize = list(self._resize) if isinstance(self._resize, tuple) else self._resize
        settings = {"fit": self._fit, "resample": int(self._resample), "resize": resize}
        depth = {"white": self.white} if self.white < WHITE else {}
        return {"size": list(self.size), **settings, "photo": self.photo, **depth}

    def restore(self, state: dict[str, Any]) -> None:
        """Become what ``state()`` described."""
        settings = {key: value for key, value in state.items() if key not in ("photo", "white")}
        vars(self).update(vars(Pixels(**settings)))
        self.photo, self.white = state["photo"], state.get("white", WHITE)

    def encode(self, cells: Sequence[Media], limits: Limits) -> list[np.ndarray | BadCell]:
        """(H, W, 3) uint8 per cell, or why it cannot be decoded."""
        return [_attempt(self._encode, cell, limits) for cell in cells]

    def _encode(self, cell: Media, limits: Limits) -> np.ndarray:
        image = decode(cell, limits, self.white)
        return self._resize_and_crop(image, self.frame().resized(image.size), limits)

    def frame(self) -> Frame:
        """Where places of a picture lie among its pixels, and back."""
        return Frame(*self.size, self._fit, self._resize)

    def _resize_and_crop(self, image: Image.Image, resized: tuple[int, int], limits: Limits) -> np.ndarray:
        """Resize to (height, width), then cut out or frame the middle."""
        height, width = resized
        check_size(width, height, limits)  # the middle of a long strip is cut out of a far longer one
        image = image.resize((width, height), self._resample)
        left, top = (width - self.size[1]) // 2, (height - self.size[0]) // 2
        return np.asarray(image.crop((left, top, left + self.size[1], top + self.size[0])))  # black beyond the picture

    def blank(self) -> np.ndarray:
        """A black picture."""
        return np.zeros((*self.size, 3), dtype=np.uint8)

    def collate(self, cells: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """``pixels`` (U, 3, H, W) uint8."""
        pixels = np.empty((len(cells), 3, *self.size), dtype=np.uint8)
        for row, cell in enumerate(cells):  # half the time of stacking first and transposing then
            pixels[row] = cell.transpose(2, 0, 1)
        return {"pixels": pixels}


def _attempt(read: Callable[[Media, Limits], Any], cell: Media, limits: Limits) -> Any:
    try:
        return read(cell, limits)
    except BadCell as error:
        return BadCell(str(error))  # a fresh one, whose traceback does not keep the picture alive


def _pair(size: Any, name: str) -> tuple[int, int]:
    pair = (size, size) if isinstance(size, int) else tuple(size) if isinstance(size, (list, tuple)) else ()
    if len(pair) != 2 or not all(isinstance(side, int) and side >= 1 for side in pair):
        raise ValueError(f"{name}={size!r}: expected a number of pixels or (height, width)")
    return pair


def _filter(resample: str | int) -> Image.Resampling:
    try:
        return Image.Resampling[resample.upper()] if isinstance(resample, str) else Image.Resampling(resample)
    except (KeyError, ValueError):
        names = ", ".join(f.name.lower() for f in Image.Resampling)
        raise ValueError(f"unknown resample {resample!r}; expected one of {names}") from None


def _are_photographs(cells: Sequence[Media], limits: Limits) -> bool:
    """Whether most pictures are colourful, in many colours: digits, scans and drawings must not be mirrored."""
    votes = [vote for cell in cells if not isinstance(vote := _attempt(_is_photograph, cell, limits), BadCell)]
    return sum(votes) > len(votes) / 2


def _is_photograph(cell: Media, limits: Limits) -> bool:
    image = decode(cell, limits)
    step = max(1, min(image.size) // 64)
    pixels = np.asarray(image)[::step, ::step].reshape(-1, 3)
    colourful = float(np.ptp(pixels.astype(np.int16), axis=1).mean()) >= 8
    return colourful and len(np.unique(pixels // 4, axis=0)) >= 500


def _square_steps(config: Mapping[str, Any]) -> dict[str, Any]:
    """A number is both sides."""
    return _common_steps(config, config["size"])


def _shorter_side_steps(config: Mapping[str, Any]) -> dict[str, Any]:
    """A number is the shorter side."""
    size = config["size"]
    return _common_steps(config, {"shortest_edge": size} if isinstance(size, int) else size)


def _common_steps(config: Mapping[str, Any], size: Any) -> dict[str, Any]:
    """The common steps: resize, then perhaps cut out the middle."""
    edge = size["shortest_edge"] if isinstance(size, Mapping) and set(size) == {"shortest_edge"} else None
    resize = edge or _sides(size)
    if config.get("do_center_crop"):
        return {"size": _sides(config["crop_size"]), "fit": "crop", "resize": resize}
    if edge:
        raise ValueError(f"size={size!r} without do_center_crop gives pictures of several sizes; expected one size")
    return {"size": resize, "fit": "squash"}


def _convnext_steps(config: Mapping[str, Any]) -> dict[str, Any]:
    """A share of the shorter side is kept below 384 pixels; above, the picture is squashed."""
    edge = config["size"] if isinstance(config["size"], int) else config["size"]["shortest_edge"]
    if edge >= 384:
        return {"size": [edge, edge], "fit": "squash"}
    return {"size": [edge, edge], "fit": "crop", "resize": int(edge / config.get("crop_pct", 224 / 256))}


def _sides(size: Any) -> list[int]:
    if isinstance(size, Mapping) and set(size) == {"height", "width"}:
        return [size["height"], size["width"]]
    return list(_pair(size, "size"))


# the processors whose steps are resize and centre crop, and how each reads its size
_PROCESSORS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    **dict.fromkeys(("", "ViT", "DeiT", "Beit", "Siglip", "Blip", "OwlViT", "Pvt", "Segformer"), _square_steps),
    **dict.fromkeys(("CLIP", "ChineseCLIP", "Bit", "MobileNetV1", "MobileNetV2", "VideoMAE"), _shorter_side_steps),
    "ConvNext": _convnext_steps,
}


def from_processor(config: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of ``Pixels`` that do what a Hugging Face image processor does before it normalises.

    Args:
        config: its ``preprocessor_config.json``, or better its ``to_dict()``, where defaults are filled in.

    Returns:
        JSON keywords; ``image_mean``, ``image_std`` and ``rescale_factor`` stay with the encoder.

    Raises:
        ValueError: a processor with other steps, which cannot be reproduced.
    """
    full = config.get("image_processor_type") or config.get("feature_extractor_type") or ""
    kind = full.removesuffix("Fast").removesuffix("Pil").removesuffix("ImageProcessor").removesuffix("FeatureExtractor")
    extra = [
        key for key in ("do_pad", "do_flip_channel_order", "do_thumbnail", "do_align_long_axis") if config.get(key)
    ]
    if kind not in _PROCESSORS or extra or not config.get("do_resize", True):
        why = ", ".join(extra) or ("do_resize is false" if kind in _PROCESSORS else full)
        raise ValueError(f"image processor not reproduced ({why}); known: {', '.join(filter(None, _PROCESSORS))}")
    missing = [key for key in ("size", "resample") if key not in config]
    if missing:
        raise ValueError(f"the image processor's config lacks {', '.join(missing)}; give its to_dict()")
    return {**_PROCESSORS[kind](config), "resample": int(config["resample"])}
