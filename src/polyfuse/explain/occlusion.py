"""The method ``occlusion``: what the answer loses when one part of a cell is covered, for any model."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import soundfile
from PIL import Image

from polyfuse.data.cells import clip
from polyfuse.data.cells.picture import decode
from polyfuse.data.cells.sound import open_sound
from polyfuse.data.cells.source import BadCell, Limits, load_media
from polyfuse.explain.attribution import Attribution, Attributions, Question

# letters of scripts without spaces are words of their own
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\s\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
PICTURES = 256  # of a video that are kept, evenly spaced
SIDE = 256  # pixels of the longer side of a video's pictures

Span = tuple[float, ...]
Covered = tuple[list[Span], list[str], Any, list[Any]]
"""Where the parts lie, what they are called, the cell as it is written anew, and it with each part covered."""


class Occlusion:
    """How much less the model says it when a patch, a word, a stretch of time or a column is covered; for any model.

    A patch is covered by the picture's mean colour, a stretch of sound by silence, one of a video by its mean picture;
    a word is left out, a column is missing. Parts that say the same cover up for each other, and get little.

    Args:
        patches: along the longer side of a picture.
        stretches: of a sound or video.
        words: of a text at most; a longer one is covered in runs of words.

    See also:
        ``contribution`` for whole inputs, ``integrated_gradients`` for single pixels of differentiable encoders.
    """

    paper = "Zeiler & Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014"

    def __init__(self, *, patches: int = 8, stretches: int = 20, words: int = 100):
        for name, given in (("patches", patches), ("stretches", stretches), ("words", words)):
            if not isinstance(given, int) or given < 1:
                raise ValueError(f"occlusion: {name} {given!r}: expected a whole number, at least 1")
        self._cover: dict[str, Callable[[Any], Covered]] = {
            "image": lambda cell: cover_patches(cell, patches),
            "audio": lambda cell: cover_sound(cell, stretches),
            "video": lambda cell: cover_video(cell, min(stretches, 10)),
            "text": lambda cell: cover_words(cell, words),
        }

    def explain(self, question: Question) -> Attributions:
        """Scores of every column that is there, and of the parts of every cell that has parts."""
        kinds, parts, notes = question.present, [], []
        full, *less = question.ask([question.record, *({**question.record, column: None} for column in kinds)])
        if kinds:
            parts.append(Attribution("column", "", full - np.array(less), labels=list(kinds)))
        for column, kind in kinds.items():
            if len({facts.modality for facts in question.servant.inputs.values() if column in facts.columns}) > 1:
                notes.append(f"column {column!r} is read by inputs of several modalities, so its parts are not covered")
                continue
            for slot, item in enumerate(question.items(column)):
                if kind not in self._cover or item is None:
                    continue
                try:
                    spans, labels, whole, covered = self._cover[kind](item)
                except BadCell as error:
                    notes.append(f"column {column!r} counts as missing, it cannot be read: {error}")
                    continue
                if spans:
                    rows = [question.with_item(column, slot, one) for one in (whole, *covered)]
                    with_all, *without = question.ask(rows)
                    parts.append(Attribution(kind, column, with_all - np.array(without), spans, labels, slot))
        return Attributions(parts, notes=notes)


def cover_patches(cell: Any, count: int) -> Covered:
    """Squares of a picture, row by row, ``count`` along its longer side."""
    picture = np.asarray(decode(load_media(cell), Limits()).convert("RGB"))
    high, wide = picture.shape[:2]
    side = max(1, max(high, wide) / count)
    tops, lefts = _edges(high, round(high / side)), _edges(wide, round(wide / side))
    mean = picture.reshape(-1, 3).mean(0).round().astype(np.uint8)
    spans, covered = list[Span](), list[Any]()
    for top, bottom in pairwise(tops):
        for left, right in pairwise(lefts):
            changed = picture.copy()
            changed[top:bottom, left:right] = mean
            spans.append((left / wide, top / high, right / wide, bottom / high))
            covered.append(_png(changed))
    return spans, [], _png(picture), covered


def cover_sound(cell: Any, count: int) -> Covered:
    """Equal stretches of a sound."""
    with open_sound(load_media(cell), Limits()) as sound:
        rate = sound.rate
        samples = sound.read(0, max(1, round(sound.seconds * rate)))
    spans, covered = list[Span](), list[Any]()
    for start, end in pairwise(_edges(len(samples), count)):
        changed = samples.copy()
        changed[start:end] = 0
        spans.append((start / rate, end / rate))
        covered.append(_wav(changed, rate))
    return spans, [], _wav(samples, rate), covered


def cover_video(cell: Any, count: int) -> Covered:
    """Equal stretches of a video, each covered by the mean of all its pictures."""
    content = load_media(cell)
    about = clip.describe(content)
    number = max(1, min(PICTURES, round(about.seconds * about.rate)))
    found = clip.moments(content, ((np.arange(number) + 0.5) / number).tolist())
    scale = min(1.0, SIDE / max(found[0][1].shape[:2]))
    pictures = np.stack([_smaller(picture, scale) for _, picture in found])
    rate, mean = number / max(about.seconds, 1e-6), pictures.mean(0).round().astype(np.uint8)
    spans, covered = list[Span](), list[Any]()
    for start, end in pairwise(_edges(number, count)):
        changed = pictures.copy()
        changed[start:end] = mean
        spans.append((start / rate, end / rate))
        covered.append(write_video(changed, rate))
    return spans, [], write_video(pictures, rate), covered


def cover_words(cell: Any, most: int) -> Covered:
    """Words of a text, or runs of them where there are more than ``most``."""
    text = str(cell)
    found = [match.span() for match in WORD.finditer(text)]
    run = max(1, -(-len(found) // most))
    spans = [(found[at][0], found[min(at + run, len(found)) - 1][1]) for at in range(0, len(found), run)]
    labels = [text[start:end] for start, end in spans]
    covered = [text[:start] + text[end:] for start, end in spans]
    return [(float(start), float(end)) for start, end in spans], labels, cell, covered


def write_video(pictures_NHWC: np.ndarray, rate: float) -> bytes:
    """Pictures as a lossless video, each shown ``1 / rate`` seconds."""
    from fractions import Fraction

    import av

    file = io.BytesIO()
    pictures_NHWC = pictures_NHWC[:, : pictures_NHWC.shape[1] // 2 * 2 or 1, : pictures_NHWC.shape[2] // 2 * 2 or 1]
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("ffv1", rate=Fraction(rate).limit_denominator(1000))
        stream.height, stream.width, stream.pix_fmt = *pictures_NHWC.shape[1:3], "bgr0"
        for picture in pictures_NHWC:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            container.mux(stream.encode(frame.reformat(format="bgr0")))
        container.mux(stream.encode(None))
    return file.getvalue()


def _edges(length: int, count: int) -> Sequence[int]:
    """Where equal parts begin and end; fewer of them where there is less."""
    return np.linspace(0, length, max(1, min(count, length)) + 1).round().astype(int).tolist()


def _smaller(picture: np.ndarray, scale: float) -> np.ndarray:
    if scale >= 1:
        return picture
    high, wide = (max(2, round(side * scale)) for side in picture.shape[:2])
    return np.asarray(Image.fromarray(picture).resize((wide, high), Image.Resampling.BILINEAR))


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _wav(samples: np.ndarray, rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="FLOAT")
    return file.getvalue()
