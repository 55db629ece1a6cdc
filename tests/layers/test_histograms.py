from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.layers import histograms


@settings(max_examples=30, deadline=None)
@given(bins=st.integers(2, 20), seed=st.integers(0, 99))
def test_soft_bins_share_each_pixel_out_among_at_most_two(bins, seed):
    x_UHW = torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(seed))
    flat, turning = histograms.soft_bins(x_UHW, bins), histograms.round_bins(x_UHW - 0.5, bins)
    for shares in (flat, turning):
        torch.testing.assert_close(shares.sum(1), torch.ones(2, 3, 4))
        assert (shares > 0).sum(1).max() <= 2
    torch.testing.assert_close(histograms.round_bins(x_UHW + 0.5, bins), turning, atol=1e-4, rtol=1e-4)


def test_patterns_count_what_ojala_counts():
    codes = [tuple(bool(code >> n & 1) for n in range(8)) for code in range(256)]
    module = histograms.Patterns()
    assert set(module.run.tolist()) == set(range(59))
    assert module.run.bincount().max() == 256 - 58, "all but the 58 uniform ones are one pattern"
    for code, brighter in enumerate(codes):
        changes = sum(brighter[n] != brighter[n - 1] for n in range(8))
        assert module.turned[code] == (sum(brighter) if changes <= 2 else 9)


def test_a_pattern_says_which_neighbours_are_brighter():
    grey = torch.zeros(1, 5, 5)
    grey[0, 2, 3], grey[0, 1, 2] = 1, 1  # right of the middle and above it: two runs
    run, turned = histograms.Patterns()(grey, 1)
    assert (run[0, 2, 2], turned[0, 2, 2]) == (58, 9)
    grey[0, 1, 3] = 1  # between the two: one run of three, through the corner
    run, turned = histograms.Patterns()(grey, 1)
    assert turned[0, 2, 2] == 3
    assert turned[0, 1, 3] == 0, "a pixel brighter than all around it"


@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 12), width=st.integers(1, 12), side=st.integers(1, 3), seed=st.integers(0, 99))
def test_counts_are_shares_of_each_cell(height, width, side, seed):
    code = torch.randint(0, 5, (2, height, width), generator=torch.Generator().manual_seed(seed))
    shares = histograms.count_codes(code, 5, side).view(2, side * side, 5)
    torch.testing.assert_close(shares.sum((1, 2)), torch.full((2,), float(side * side)))
    overall = torch.stack([(code == n).float().mean((1, 2)) for n in range(5)], 1)
    torch.testing.assert_close(shares.sum(1) / side**2, overall)


def test_a_gradient_points_from_dark_to_bright_in_its_strongest_channel():
    ramp = torch.zeros(1, 3, 6, 6)
    ramp[0, 1] = torch.arange(6.0) / 10  # green grows to the right
    ramp[0, 2] = torch.arange(6.0)[:, None] / 50  # blue, more slowly, downwards
    strength, turn = histograms.gradients(ramp)
    torch.testing.assert_close(strength[0, 2, 2], torch.tensor(0.2))
    torch.testing.assert_close(turn[0, 2, 2], torch.tensor(0.0))
    _, down = histograms.gradients(ramp.transpose(2, 3))
    torch.testing.assert_close(down[0, 2, 2], torch.tensor(0.25))


def test_grey_has_no_hue_and_a_full_colour_no_grey():
    grey, red = torch.full((1, 3, 1, 1), 0.5), torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)
    assert histograms.hues(grey)[0, :12].sum() == 0
    assert histograms.hues(grey)[0, 12:18].sum() == 1
    torch.testing.assert_close(histograms.hues(red)[0, :18].flatten(), torch.eye(18)[0], atol=1e-5, rtol=0)
