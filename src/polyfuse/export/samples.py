"""Made-up cells, by which a network is traced: two sets that differ in every length that may differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polyfuse.data.cells.source import BadCell, Limits, Sound

ROWS, CELLS, SCALES = 4, 5, (1.0, 0.5, 0.25, 0.1, 0.04)
Cells = list[Any]
Fields = dict[str, np.ndarray]


def _texts(scale: float, longer: bool) -> Cells:
    count = max(2, round(20 * scale)) + 3 * longer
    words = [f"{'unusual' if longer else 'word'}{n}" for n in range(count)]
    return [" ".join(words), " ".join(words[: count // 2]), words[0]]


def _sounds(scale: float, longer: bool) -> Cells:
    draw, rate = np.random.default_rng(0), 16_000
    counts = [round(rate * scale * share * (1.7 if longer else 1)) for share in (1.0, 0.5, 0.7)]
    return [Sound(draw.normal(0, 0.1, count).astype(np.float32), rate) for count in counts]


def _pictures(scale: float, longer: bool) -> Cells:  # noqa: ARG001 - all are brought to one size
    return [np.random.default_rng(n).integers(0, 256, (40, 40, 3)).astype(np.uint8) for n in range(3)]


def _sequences(scale: float, longer: bool, size: int) -> Cells:
    count = max(2, round(20 * scale)) + 3 * longer
    return [np.random.default_rng(n).normal(size=(count - n % 2, size)).astype(np.float32) for n in range(3)]


MADE: dict[str, Callable[..., Cells]] = {"text": _texts, "audio": _sounds, "image": _pictures}


def fields_of(transform: Any, modality: str) -> tuple[Fields, Fields]:
    """Fields of some cells twice: the second set is longer wherever a cell may be."""
    if modality in MADE:
        pairs = [[MADE[modality](scale, longer) for longer in (False, True)] for scale in SCALES]
    elif "size" in transform.facts() and modality == "sequence":
        size = transform.facts()["size"]
        pairs = [[_sequences(scale, longer, size) for longer in (False, True)] for scale in SCALES]
    else:
        pairs = []
    found = [(_collated(transform, one), _collated(transform, other)) for one, other in pairs]
    free = [_free(one, other) for one, other in found]
    blank = transform.collate(_cycled([transform.blank()]))
    one, other = found[free.index(max(free))] if found else (blank, blank)
    return _ragged(transform, one, other)


def _ragged(transform: Any, one: Fields, other: Fields) -> tuple[Fields, Fields]:
    """The same, padded along the axes that vary with what cells hold."""
    for name, axes in getattr(transform, "ragged", {}).items():
        for axis in axes:
            least = max(2, one[name].shape[axis])
            one = {**one, name: _padded(one[name], axis, least)}
            other = {**other, name: _padded(other[name], axis, max(least, other[name].shape[axis]) + 1)}
    return one, other


def _padded(array: np.ndarray, axis: int, size: int) -> np.ndarray:
    return np.pad(array, [(0, size - array.shape[axis]) if n == axis else (0, 0) for n in range(array.ndim)])


def _free(one: Fields, other: Fields) -> int:
    """Axes that differ, where none is so short that a tracer takes its length for fixed."""
    axes = [(a, b) for n in one for a, b in zip(one[n].shape[1:], other[n].shape[1:], strict=True) if a != b]
    return 0 if any(min(pair) < 2 for pair in axes) else len(axes)


def _collated(transform: Any, cells: Sequence[Any]) -> Fields:
    arrays = [a for a in transform.encode(cells, Limits()) if not isinstance(a, BadCell)]
    return transform.collate(_cycled(arrays or [transform.blank()]))


def _cycled(arrays: list[np.ndarray]) -> list[np.ndarray]:
    return [arrays[n % len(arrays)] for n in range(CELLS)]


def reader_sample(transform: Any, modality: str, key: str, slots: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What the module of an input takes of one reader, twice; the last row misses the cell."""
    made = []
    for fields in fields_of(transform, modality):
        count = len(next(iter(fields.values())))
        named = {f"{key}.{name}": torch.from_numpy(np.ascontiguousarray(a)) for name, a in fields.items()}
        index_BK = torch.arange(ROWS)[:, None].expand(ROWS, slots).clone() % count
        index_BK[-1] = -1
        present_U = torch.ones(count, dtype=torch.bool)
        made.append({**named, f"{key}.present": present_U, f"{key}.index": index_BK})
    return made[0], made[1]
