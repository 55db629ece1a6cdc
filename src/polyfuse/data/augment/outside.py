"""Augmentations of kornia (pictures) and audiomentations (sounds), made to follow a generator and to keep shapes.

Both draw from global random numbers; they run with those seeded from the generator and put back afterwards.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor


@contextmanager
def _seed_generators(generator: torch.Generator) -> Iterator[None]:
    """Seed every global CPU generator, and restore their states afterwards."""
    seed = int(torch.randint(2**31, (), generator=generator))
    kept = torch.get_rng_state(), random.getstate(), np.random.get_state()
    torch.default_generator.manual_seed(seed)  # torch.manual_seed would also reset the accelerator's dropout
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(kept[0])
        random.setstate(kept[1])
        np.random.set_state(kept[2])


class Kornia:
    """Steps of ``kornia.augmentation`` on pictures: uint8 -> float and back, once for all steps.

    Args:
        steps: constructed augmentations that keep the size.
    """

    def __init__(self, steps: Sequence[Any], transform: Any = None):  # noqa: ARG002
        self.steps = tuple(steps)

    @staticmethod
    def table() -> dict[str, type]:
        """Name -> class, without those that mix pictures (and so their labels) or only change numbers."""
        try:
            import kornia.augmentation as package
        except ImportError:
            raise ImportError("kornia, which has more, is not installed: pip install 'polyfuse[train]'") from None
        left_out = ("Normalize", "Denormalize")
        found = {name: value for name, value in vars(package).items() if isinstance(value, type)}
        base = package.AugmentationBase2D
        return {n: c for n, c in found.items() if issubclass(c, base) and "Base" not in n and n not in left_out}

    @staticmethod
    def stays(step: Any) -> bool:
        """Whether a step leaves every pixel where it is."""
        import kornia.augmentation as package

        return isinstance(step, package.IntensityAugmentationBase2D)

    def __call__(self, fields: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        pixels = fields["pixels"]
        changed = pixels.float() / 255
        with _seed_generators(generator):
            for step in self.steps:
                changed = step(changed)
                if changed.shape != pixels.shape:
                    raise ValueError(
                        f"augmentation {type(step).__name__!r} made pictures of {tuple(changed.shape[2:])}, "
                        f"expected {tuple(pixels.shape[2:])}: choose keywords that keep the size"
                    )
        return {**fields, "pixels": (changed.clamp(0, 1) * 255).round().to(pixels.dtype)}


class Audiomentations:
    """Steps of ``audiomentations`` on sounds, one by one without their padding.

    Args:
        steps: constructed augmentations.
        transform: the fitted transform of the sounds, for their rate.
    """

    def __init__(self, steps: Sequence[Any], transform: Any):
        self.steps, self.rate = tuple(steps), int(transform.facts()["rate"])

    @staticmethod
    def table() -> dict[str, type]:
        """Name -> class."""
        try:
            import audiomentations as package
            from audiomentations.core.transforms_interface import BaseWaveformTransform
        except ImportError:
            hint = "audiomentations, which has more, is not installed: pip install 'polyfuse[augment]'"
            raise ImportError(hint) from None
        found = {name: value for name, value in vars(package).items() if isinstance(value, type)}
        return {n: c for n, c in found.items() if issubclass(c, BaseWaveformTransform) and n != "Lambda"}

    def __call__(self, fields: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        wave_US, lengths_U = torch.zeros_like(fields["wave"]), fields["lengths"].clone()
        with _seed_generators(generator):
            for row, length in enumerate(lengths_U.tolist()):
                samples = self._apply_step(fields["wave"][row, :length].numpy().copy())[: wave_US.shape[1]]
                wave_US[row, : len(samples)] = torch.from_numpy(samples)
                lengths_U[row] = max(1, len(samples))
        return {**fields, "wave": wave_US.clamp(-1, 1), "lengths": lengths_U}

    def _apply_step(self, samples: np.ndarray) -> np.ndarray:
        for step in self.steps:
            samples = step(samples=samples, sample_rate=self.rate)
        return np.ascontiguousarray(samples, dtype=np.float32)
