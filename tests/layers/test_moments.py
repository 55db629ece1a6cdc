from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.layers import moments


def sample(rows: int, frames: int, seed: int):
    draw = torch.Generator().manual_seed(seed)
    x_UNF = torch.randn(rows, frames, 3, generator=draw, dtype=torch.float64)
    lengths = torch.randint(1, frames + 1, (rows,), generator=draw)
    return x_UNF, torch.arange(frames) < lengths[:, None], lengths


@settings(max_examples=25, deadline=None)
@given(frames=st.integers(2, 20), seed=st.integers(0, 999))
def test_they_are_those_of_numpy_over_real_frames(frames, seed):
    x_UNF, mask_UN, lengths = sample(2, frames, seed)
    weight = mask_UN[..., None].double()
    levels = (0.1, 0.5, 0.9)
    quantiles = moments.quantiles(x_UNF, mask_UN, levels).view(2, 3, 3)
    for row, length in enumerate(lengths.tolist()):
        real = x_UNF[row, :length].numpy()
        np.testing.assert_allclose(moments.mean(x_UNF, weight)[row], real.mean(0), atol=1e-9)
        np.testing.assert_allclose(moments.deviation(x_UNF, weight)[row] ** 2, real.var(0) + 1e-6, atol=1e-9)
        np.testing.assert_allclose(quantiles[row], np.quantile(real, levels, axis=0), atol=1e-9)
        steps = (np.diff(real, axis=0) ** 2).mean(0) if length > 1 else np.zeros(3)
        np.testing.assert_allclose(moments.root_mean_square_change(x_UNF, weight)[row] ** 2, steps + 1e-6, atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(frames=st.integers(2, 20), seed=st.integers(0, 999))
def test_no_weight_gives_nothing_and_no_gradient_is_infinite(frames, seed):
    x_UNF, _, _ = sample(2, frames, seed)
    x_UNF.requires_grad_()
    none, mask = torch.zeros(2, frames, 1, dtype=torch.float64), torch.zeros(2, frames, dtype=torch.bool)
    parts = [moments.mean(x_UNF, none), moments.deviation(x_UNF, none), moments.root_mean_square_change(x_UNF, none)]
    parts += [moments.course(x_UNF, none, 3), moments.correlations(x_UNF, none, floor=0.1)]
    parts += [moments.quantiles(x_UNF, mask, (0.5,))]
    assert all(part.abs().max() <= 1.001e-3 for part in parts)
    (gradient,) = torch.autograd.grad(sum(part.sum() for part in parts), x_UNF)
    assert torch.isfinite(gradient).all()


def test_the_course_follows_the_order_of_frames_and_sums_to_nothing():
    rising = torch.arange(12.0).view(1, 12, 1)
    course = moments.course(rising, torch.ones(1, 12, 1), 4)
    assert (course.diff(dim=1) > 0).all()
    torch.testing.assert_close(course, -moments.course(rising.flip(1), torch.ones(1, 12, 1), 4))
    torch.testing.assert_close(course.sum(), torch.tensor(0.0), atol=1e-5, rtol=0)


def test_correlations_are_those_of_numpy():
    x_UNF, _, _ = sample(1, 50, 3)
    found = moments.correlations(x_UNF, torch.ones(1, 50, 1).double(), floor=0.0)[0]
    expected = np.corrcoef(x_UNF[0].numpy().T)[np.triu_indices(3, 1)]
    np.testing.assert_allclose(found, expected, atol=1e-5)
