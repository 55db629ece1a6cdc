"""The formula of the sentence encoder: NumPy and torch agree, and rows know nothing of each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polyfuse.data.cells.universal import shapes, vectors


@pytest.fixture(scope="module")
def weights():
    rng = np.random.default_rng(0)
    made = {name: rng.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes().items() if name != "table"}
    return {"table": rng.integers(0, 64, (300, 512), dtype=np.uint8), **made}


def ids(lengths, longest=9):
    rng = np.random.default_rng(1)
    out = np.zeros((len(lengths), longest), np.int64)
    for row, length in zip(out, lengths, strict=True):
        row[:length] = rng.integers(1, 300, length)
    return out


def test_numpy_and_torch_give_the_same(weights):
    given = ids([9, 1, 4, 2])
    found = vectors(np, weights, given)
    assert found.dtype == np.float32
    other = vectors(torch, {k: torch.from_numpy(v) for k, v in weights.items()}, torch.from_numpy(given)).numpy()
    assert found.shape == other.shape == (4, 512)
    assert np.abs(found - other).max() < 1e-5
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_a_stretch_sees_neither_padding_nor_its_neighbours(weights):
    given = ids([3, 7, 5])
    together = vectors(np, weights, given)
    for row, length in enumerate((3, 7, 5)):
        alone = vectors(np, weights, given[row : row + 1, :length])
        assert np.abs(alone[0] - together[row]).max() < 1e-5


def test_order_matters_and_nothing_at_all_is_no_trouble(weights):
    given = ids([6])
    turned = given.copy()
    turned[0, :6] = given[0, 5::-1]
    assert np.abs(vectors(np, weights, given) - vectors(np, weights, turned)).max() > 1e-3
    assert np.isfinite(vectors(np, weights, np.zeros((2, 3), np.int64))).all()
