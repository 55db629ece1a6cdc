"""Fixtures that several test files share."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

PROJECT = Path(__file__).parents[1]
gc.set_threshold(100_000, 50, 100)  # as it comes, it walks through all that torch holds every few hundred objects


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real data sets, or a skip that says where they were looked for."""
    folder = Path(os.environ.get("POLYFUSE_DATA", PROJECT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; name its folder in POLYFUSE_DATA")
    return folder


@pytest.fixture(scope="session", autouse=True)
def few_trees():
    """Forests that answer beside a network have a fifth of their trees, which is where the time of such fits went."""
    patch = pytest.MonkeyPatch()
    patch.setattr("polyfuse.learners.forest.TREES", 20)
    yield
    patch.undo()


@pytest.fixture
def write_image():
    """``write_image(path, (width, height), seed)`` writes a noisy picture and gives the path back."""

    def write(path: Path, size: tuple[int, int] = (8, 8), seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture
def write_sound():
    """``write_sound(path, seconds, rate, channels, seed)`` writes noise and gives the path back."""

    def write(path: Path, seconds: float = 0.1, rate: int = 8000, channels: int = 1, seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = np.random.default_rng(seed).uniform(-0.5, 0.5, (round(seconds * rate), channels))
        soundfile.write(path, samples, rate)
        return path

    return write


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory):
    """Media and tokens that a test file caches stay out of the user's own cache."""
    patch = pytest.MonkeyPatch()
    patch.setenv("POLYFUSE_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()
