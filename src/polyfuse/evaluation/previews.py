"""Previews of cells for reports: thumbnails, a few seconds of sound, film strips with their times, shortened text."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from PIL import Image, ImageDraw

from polyfuse.data.cells import clip
from polyfuse.data.cells.media_files import is_picture_value, is_sound_value
from polyfuse.data.cells.picture import decode
from polyfuse.data.cells.sound import open_sound
from polyfuse.data.cells.source import BadCell, Limits, Sound, is_missing, load_media
from polyfuse.data.media_lists import split_media

SIDE = 224  # pixels of a thumbnail: sharp at 112 on a fine screen
SECONDS, RATE = 8.0, 16_000  # of sound
PICTURES, HIGH, LINE = 6, 96, 16  # of a film strip: how many, their height and that of the line of time, in pixels
CHARACTERS = 300


@dataclass(frozen=True)
class CellPreview:
    """A cell ready to show.

    Args:
        kind: ``image``, ``film`` (PNG or JPEG bytes), ``audio`` (WAV bytes), ``text``, ``number``, ``missing`` or
            ``broken`` (the reason).
        data: bytes of a medium, else text.
    """

    kind: str
    data: bytes | str


def preview_cell(
    modality: str, value: Any, root: Path | None = None, limits: Limits = Limits(), characters: int = CHARACTERS
) -> CellPreview:
    """A cell of a table, whatever it holds; one that is missing or broken says so.

    Args:
        modality: the column's: ``image``, ``audio``, ``number``, ``vector``, ...; unknown ones are shown as text.
        value: the cell as the table has it.
        root: folder that relative paths start from.
        characters: of a text at most.
    """
    if is_missing(value):
        return CellPreview("missing", "")
    try:
        if modality in _MEDIA:
            return _MEDIA[modality](load_media(split_media(value)[0], root, limits), limits)
        return _OTHER[modality](value) if modality in _OTHER else _text(value, characters)
    except BadCell as error:
        return CellPreview("broken", str(error))


def preview_media(value: Any) -> CellPreview | None:
    """A picture or a sound that is a target or an answer; None where it is neither."""
    if is_sound_value(value):
        return _audio(Sound(np.asarray(value["array"]), int(value["sampling_rate"])), Limits())
    return _image(value, Limits()) if is_picture_value(value) else None


def _image(content: Any, limits: Limits) -> CellPreview:
    picture = decode(content, limits)
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    times = SIDE // 2 // max(picture.size)
    if times > 1:  # enlarged here, or a browser would blur an 8 x 8 digit
        picture = picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
    file = io.BytesIO()
    picture.save(file, "PNG" if times else "JPEG", **({} if times else {"quality": 82}))
    return CellPreview("image", file.getvalue())


def _audio(content: Any, limits: Limits) -> CellPreview:
    with open_sound(content, limits) as sound:
        samples, rate = sound.read(0, round(SECONDS * sound.rate)).mean(axis=1), sound.rate
    if rate > RATE:
        samples, rate = soxr.resample(samples, rate, RATE), RATE
    file = io.BytesIO()
    soundfile.write(file, np.clip(samples, -1, 1), rate, format="WAV", subtype="PCM_16")
    return CellPreview("audio", file.getvalue())


def _film(content: Any, limits: Limits) -> CellPreview:
    """Some pictures of a video side by side, over a line of time."""
    about, shares = clip.describe(content, limits), (np.arange(PICTURES) + 0.5) / PICTURES
    shown = [(t, Image.fromarray(pixels)) for t, pixels in clip.moments(content, shares.tolist(), limits)]
    wide = min(3 * HIGH, max(1, round(HIGH * shown[0][1].width / shown[0][1].height)))
    strip = Image.new("RGB", (PICTURES * (wide + 2) - 2, HIGH + LINE), "white")
    draw = ImageDraw.Draw(strip)
    for at, (time, picture) in enumerate(shown):
        left = at * (wide + 2)
        strip.paste(picture.resize((wide, HIGH), Image.Resampling.BILINEAR), (left, 0))
        draw.line([(left + wide // 2, HIGH), (left + wide // 2, HIGH + 3)], "black")
        draw.text((left + wide // 2, HIGH + 3), f"{time:.1f} s", "black", anchor="ma")
    draw.line([(0, HIGH), (strip.width, HIGH)], "black")
    draw.text((strip.width - 1, HIGH + 3), f"{about.seconds:.1f}", "grey", anchor="ra")
    file = io.BytesIO()
    strip.save(file, "JPEG", quality=82)
    return CellPreview("film", file.getvalue())


def _number(value: Any) -> CellPreview:
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, float):
        # whole as a year or zip code is written; 1e15 and above has no such form
        plain = int(plain) if plain.is_integer() and abs(plain) < 1e15 else f"{plain:.6g}"
    return CellPreview("number", str(plain))


def _vector(value: Any) -> CellPreview:
    shape = np.shape(value)
    return CellPreview("text", f"{' x '.join(map(str, shape))} numbers" if shape else str(value)[:CHARACTERS])


def _text(value: Any, characters: int) -> CellPreview:
    text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return CellPreview("text", text if len(text) <= characters else text[: characters - 1] + "…")


_MEDIA: dict[str, Callable[[Any, Limits], CellPreview]] = {"image": _image, "audio": _audio, "video": _film}
_OTHER: dict[str, Callable[[Any], CellPreview]] = {"number": _number, "vector": _vector, "sequence": _vector}
