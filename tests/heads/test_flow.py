"""Rectified flow: noise becomes data along the line that the network knows, and options are checked."""

from __future__ import annotations

import math

import pytest
import torch

from polyfuse.heads.flow import Conditions, Sampling, draw_noise, draw_times, flow_loss, sample
from polyfuse.records import Tokens


def given(rows: int = 4) -> Conditions:
    return Conditions(Tokens(torch.ones(rows, 2, 3), torch.ones(rows, 2, dtype=torch.bool)), torch.ones(rows, 3))


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_a_network_that_knows_the_data_makes_them_in_any_number_of_steps(steps):
    data = torch.randn(4, 5)
    found = sample(lambda x, t, how: data, torch.randn(4, 5), given(), Sampling(steps=steps, guidance=1.0))
    assert torch.allclose(found, data, atol=1e-5)
    loss = flow_loss(lambda x, t, how: data, data, given(), torch.arange(4), training=True, forget=0.5)
    assert loss.max() == 0


def test_guidance_pushes_away_from_what_is_said_without_inputs():
    def denoise(x, t, how):
        return how.mean_BD[:, :1].expand_as(x)  # 1 of what has inputs, 0 of what has none

    for guidance, expected in ((0.0, 0.0), (1.0, 1.0), (3.0, 3.0)):
        found = sample(denoise, torch.zeros(4, 2), given(), Sampling(steps=4, guidance=guidance))
        assert torch.allclose(found, torch.full((4, 2), expected), atol=1e-5)


def test_a_normal_distribution_comes_out_as_it_is():
    """Of data N(2, 0.5) the best guess is known: E[data | x_t]."""

    def denoise(x, t, how):
        t = t[:, None]
        noise, own = (1 - t) ** 2, (0.5 * t) ** 2
        return (2 * noise + (x * t) * 0.25) / (noise + own)

    found = sample(denoise, torch.randn(20_000, 1), given(20_000), Sampling(steps=32, guidance=1.0))
    assert found.mean() == pytest.approx(2, abs=0.02)
    assert found.std() == pytest.approx(0.5, abs=0.02)


def test_noise_follows_the_row_and_the_seed():
    like = torch.zeros(1)
    one, other = draw_noise([3, 5], 0, (4, 2), like), draw_noise([5], 0, (9, 2), like)
    assert torch.equal(one[1], other[0, :4])  # longer noise begins as shorter does
    assert not torch.equal(one[1], draw_noise([5], 1, (4, 2), like)[0])


def test_times_of_judged_rows_are_spread_and_always_the_same():
    rows = torch.arange(1000)
    assert torch.equal(draw_times(rows, False), draw_times(rows, False))
    logit = draw_times(rows, False).logit()
    assert logit.mean() == pytest.approx(-0.8, abs=0.05)
    assert logit.std() == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 0}, "steps"),
        ({"steps": 2.5}, "steps"),
        ({"guidance": -1}, "guidance"),
        ({"guidance": math.nan}, "guidance"),
        ({"temperature": 3}, "temperature"),
        ({"seed": -1}, "seed"),
        ({"guidence": 2}, "did you mean 'guidance'"),
    ],
)
def test_options_out_of_bounds_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        Sampling().changed(options)
