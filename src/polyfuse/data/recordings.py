"""Targets in seconds beside the recordings that they speak of: what lies beyond a recording's end cannot be true."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from polyfuse.data.cells.source import BadCell, Limits, is_missing, load_media
from polyfuse.data.media import DESCRIBE
from polyfuse.data.media_lists import split_media
from polyfuse.data.prepare import BrokenCell, Prepared, Reading, refuse_too_broken

BEYOND = 0.5  # seconds by which an end may lie behind that of its recording: ends are rounded up


def drop_beyond(made: Prepared, frame: pd.DataFrame, column: str, media: str, kind: str, reading: Reading) -> None:
    """Leave out targets that lie behind the end of their recording; they count as cells that cannot be read.

    Args:
        made: prepared targets, whose arrays begin with start and end in seconds; changed.
        column: the targets'.
        media, kind: column of the recordings, and its modality.

    Raises:
        ValueError: more than ``reading.max_broken`` of them.
    """
    lengths: dict[str | None, float | None] = {}
    for row in np.flatnonzero(made.index_RK[:, 0] >= 0):
        events, value = made.cells[made.index_RK[row, 0]], frame[media].iat[row]
        if not len(events) or is_missing(value):
            continue
        known = value if isinstance(value, str) else None
        if known not in lengths:
            lengths[known] = recording_seconds(value, kind, reading.root, reading.limits)
        seconds = lengths[known] if known is not None else lengths.pop(None)
        if seconds is not None and (events[:, 0].max() >= seconds or events[:, 1].max() > seconds + BEYOND):
            start, end = events[events[:, 1].argmax(), :2]
            why = f"event at {start:g} to {end:g} s lies beyond the end of {media!r}, at {seconds:.2f} s"
            made.broken.append(BrokenCell(int(row), column, "", why))
            made.index_RK[row, 0] = -1
    refuse_too_broken(made, frame, [column], reading)


def recording_seconds(value: Any, kind: str, root: Path | None, limits: Limits) -> float | None:
    """How long a recording of a cell lasts, by its header; None where it cannot be read.

    Args:
        value: the cell, not missing; of several recordings the first.
        kind: ``audio`` or ``video``.
        root: folder that relative paths start from.
    """
    try:
        about = DESCRIBE[kind](load_media(split_media(value)[0], root, limits), limits)
    except BadCell:
        return None
    return float(about.seconds if kind == "video" else about[0])
