"""What classical methods see in sounds and pictures: log-mel and MFCC statistics, histograms of colour and gradients.

Davis and Mermelstein, IEEE ASSP 1980 (MFCC); Swain and Ballard, IJCV 1991 (colour histograms); Dalal and Triggs, CVPR
2005 (histograms of gradients). In NumPy alone, and none of it shared with polyfuse, which it is there to judge.
"""

from __future__ import annotations

import io

import numpy as np

RATE, WINDOW, STEP, MELS, CEPSTRA = 16_000, 400, 160, 40, 20


def mel_filters(count: int = MELS, size: int = 512, rate: int = RATE) -> np.ndarray:
    """Triangles evenly spaced in mel."""

    def hertz(mel: np.ndarray) -> np.ndarray:
        return 700 * (10 ** (mel / 2595) - 1)

    edges = hertz(np.linspace(0, 2595 * np.log10(1 + rate / 2 / 700), count + 2))
    bins = np.linspace(0, rate / 2, size // 2 + 1)
    rise = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0, np.minimum(rise, fall))


def sound(content: bytes | None) -> np.ndarray:
    """Means, deviations, percentiles and movement of log-mel bands and cepstra, and how long it is."""
    import soundfile
    import soxr
    from scipy.fft import dct

    if content is None:
        return np.full(5 * (MELS + CEPSTRA) + 1, np.nan)
    samples, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    samples_S = samples.mean(1) if rate == RATE else soxr.resample(samples.mean(1), rate, RATE)
    samples_S = np.pad(samples_S, (0, max(0, WINDOW + 2 * STEP - len(samples_S))))
    frames_NS = np.lib.stride_tricks.sliding_window_view(samples_S, WINDOW)[::STEP] * np.hanning(WINDOW)
    power_NF = np.abs(np.fft.rfft(frames_NS, 512)) ** 2
    mel_NF = np.log(power_NF @ mel_filters().T + 1e-8)
    both_NF = np.hstack([mel_NF, dct(mel_NF, norm="ortho")[:, :CEPSTRA]])
    low, high = np.percentile(both_NF, [10, 90], axis=0)
    moves_F = np.diff(both_NF, axis=0).std(0)
    return np.concatenate([both_NF.mean(0), both_NF.std(0), low, high, moves_F, [len(samples_S) / RATE]])


def picture(content: bytes | None, size: int = 64, cells: int = 8, angles: int = 9) -> np.ndarray:
    """Colour histogram and means on a coarse grid, and histograms of gradients on a finer one."""
    from PIL import Image

    width = 64 + 3 * 16 + cells * cells * angles
    if content is None:
        return np.full(width, np.nan)
    opened = Image.open(io.BytesIO(content)).convert("RGBA").resize((size, size))
    white = Image.new("RGBA", opened.size, "white")
    pixels_HWC = np.asarray(Image.alpha_composite(white, opened).convert("RGB"), np.float64) / 255
    cubes = np.minimum((pixels_HWC * 4).astype(int), 3) @ [16, 4, 1]
    colours = np.sqrt(np.bincount(cubes.ravel(), minlength=64) / cubes.size)
    coarse = pixels_HWC.reshape(4, size // 4, 4, size // 4, 3).mean((1, 3)).ravel()
    return np.concatenate([colours, coarse, _gradients(pixels_HWC.mean(2), cells, angles)])


def _gradients(grey_HW: np.ndarray, cells: int, angles: int) -> np.ndarray:
    """Histograms of unsigned directions per cell, weighted by strength, normalised with their neighbours."""
    down, right = np.gradient(grey_HW)
    strength = np.hypot(down, right)
    turn = (np.arctan2(down, right) % np.pi) / np.pi * angles
    low, part = np.floor(turn).astype(int) % angles, turn - np.floor(turn)
    side = grey_HW.shape[0] // cells
    places = np.arange(cells * cells).reshape(cells, cells).repeat(side, 0).repeat(side, 1) * angles
    found = np.zeros(cells * cells * angles)
    np.add.at(found, (places + low).ravel(), (strength * (1 - part)).ravel())
    np.add.at(found, (places + (low + 1) % angles).ravel(), (strength * part).ravel())
    grid = found.reshape(cells, cells, angles)
    energy = np.pad((grid**2).sum(2), 1)
    near = sum(energy[i : i + cells, j : j + cells] for i in range(3) for j in range(3))
    return np.minimum(grid / np.sqrt(near[:, :, None] + 1e-3), 0.5).ravel()
