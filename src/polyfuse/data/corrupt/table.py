"""Modality -> corruption by name: one visible line per corruption, with what it does and the paper it follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from polyfuse.data.corrupt import audio, columns, features, image, text

Change = Callable[[Any, float, np.random.Generator, Any], Any]

PICTURES = "Hendrycks and Dietterich, Benchmarking neural network robustness, ICLR 2019"
CUTOUT = "DeVries and Taylor, Improved regularization with Cutout, 2017"
TYPOS = "Belinkov and Bisk, Synthetic and natural noise both break neural machine translation, ICLR 2018"
WORDS = "Wei and Zou, EDA: easy data augmentation techniques, EMNLP 2019"
SOUNDS = "Ko et al., A study on data augmentation of reverberant speech, ICASSP 2017"
BENCH = "Liang et al., MultiBench, NeurIPS 2021"


@dataclass(frozen=True)
class Corruption:
    """One kind of noise.

    Args:
        change: (cell, severity, generator, fitted transform) -> cell, or None where nothing is left.
        summary: what it does, and what severity 1 means.
        paper: what it follows.
        whole: all columns of an input share one draw, so that the input is hit as a whole.
    """

    change: Change
    summary: str
    paper: str = ""
    whole: bool = False

    def __call__(self, cell: Any, severity: float, rng: np.random.Generator, transform: Any = None) -> Any:
        """The changed cell: the cell itself at severity 0, None where it goes missing. The cell given stays as it is.

        Raises:
            ValueError: severity is not from 0 to 1.
        """
        if not 0 <= severity <= 1:
            raise ValueError(f"severity={severity!r}: expected a number from 0 (no noise) to 1")
        return cell if severity == 0 else self.change(cell, severity, rng, transform)


def _missing(cell: Any, severity: float, rng: np.random.Generator, transform: Any) -> Any:  # noqa: ARG001
    return None if rng.random() < severity else cell


MISSING = Corruption(_missing, "the input is absent, with probability = severity", BENCH, whole=True)

# the first of each modality is the one to take where there is time for one only
CORRUPTIONS: dict[str, dict[str, Corruption]] = {
    "image": {
        "noise": Corruption(image.noise, "normal noise; at 1 a deviation of 0.4 of full scale", PICTURES),
        "blur": Corruption(image.blur, "Gaussian blur; at 1 a radius of 1/12 of the shorter side", PICTURES),
        "contrast": Corruption(image.contrast, "less contrast; at 1 a twentieth is left", PICTURES),
        "occlusion": Corruption(image.occlusion, "a grey rectangle of a share = severity of the area", CUTOUT),
        "jpeg": Corruption(image.jpeg, "JPEG artefacts; quality from 95 down to 7", PICTURES),
        "pixelate": Corruption(image.pixelate, "coarse pixels; at 1 a quarter of each side's", PICTURES),
        "missing": MISSING,
    },
    "text": {
        "typos": Corruption(text.typos, "characters swapped, deleted, inserted, replaced; at 1 half of them", TYPOS),
        "word_drop": Corruption(text.word_drop, "each word is lost, with probability = severity", WORDS),
        "missing": MISSING,
    },
    "audio": {
        "noise": Corruption(audio.noise, "white noise; signal-to-noise ratio from 30 down to -10 dB", SOUNDS),
        "dropouts": Corruption(audio.dropouts, "each twentieth is silent, with probability = severity", BENCH),
        "clipping": Corruption(audio.clipping, "overdriven by up to 30 dB and cut at its own peak"),
        "missing": MISSING,
    },
    "columns": {
        "noise": Corruption(
            columns.noise, "numbers and dates moved, at 1 by twice the column's spread; categories drawn anew", BENCH
        ),
        "holes": Corruption(columns.holes, "each value is absent, with probability = severity", BENCH),
        "missing": MISSING,
    },
    "vector": {
        "noise": Corruption(features.noise, "normal noise; at 1 twice the spread of each feature", BENCH),
        "drop": Corruption(features.drop_features, "each feature at its mean, with probability = severity", BENCH),
        "missing": MISSING,
    },
    "sequence": {
        "noise": Corruption(features.noise, "normal noise; at 1 twice the spread of each feature", BENCH),
        "drop": Corruption(features.drop_steps, "each step at its mean, with probability = severity", BENCH),
        "missing": MISSING,
    },
}


def corruptions_for(modality: str) -> dict[str, Corruption]:
    """The corruptions of a modality; of one that is not listed, its absence alone."""
    return CORRUPTIONS.get(modality, {"missing": MISSING})


def default_corruptions() -> dict[str, tuple[str, ...]]:
    """The default corruption of each modality, its first: for ``robustness(corruptions=...)`` of many models."""
    return {modality: (next(iter(table)),) for modality, table in CORRUPTIONS.items()}
