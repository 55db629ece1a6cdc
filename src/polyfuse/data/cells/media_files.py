"""Encode generated pictures and sounds as files: PNG and WAV."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import soundfile
from PIL import Image


def encode_media(value: Any) -> tuple[str, bytes] | None:
    """Encode a value as a file: its ending and bytes; None where it is neither picture nor sound.

    A picture, uint8 (H, W) or (H, W, 3), becomes PNG; a sound, ``{"array": samples from -1 to 1, "sampling_rate":
    Hz}``, WAV of 16 bits.
    """
    if is_sound_value(value):
        file = io.BytesIO()
        samples = np.clip(np.asarray(value["array"], np.float32), -1, 1)
        soundfile.write(file, samples, int(value["sampling_rate"]), format="WAV", subtype="PCM_16")
        return ".wav", file.getvalue()
    if is_picture_value(value):
        file = io.BytesIO()
        Image.fromarray(np.asarray(value, np.uint8)).save(file, "PNG")
        return ".png", file.getvalue()
    return None


def is_sound_value(value: Any) -> bool:
    """Whether a value is the samples of a sound with their rate."""
    return isinstance(value, Mapping) and "array" in value and "sampling_rate" in value


def is_picture_value(value: Any) -> bool:
    """Whether a value is the pixels of a picture."""
    return isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim in (2, 3)
