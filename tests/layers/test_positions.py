from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from polyfuse.layers.positions import length_mask, sinusoidal


@given(lengths=st.lists(st.integers(0, 5), min_size=1, max_size=4), length=st.integers(1, 7))
def test_the_mask_counts_what_fits(lengths, length):
    mask = length_mask(torch.tensor(lengths), length)
    assert mask.sum(1).tolist() == [min(n, length) for n in lengths]
    assert (mask.int().diff(dim=1) <= 0).all()


@given(length=st.integers(1, 40), width=st.integers(1, 33))
def test_codes_do_not_depend_on_the_length(length, width):
    code = sinusoidal(length, width)
    assert code.shape == (length, width)
    assert code.abs().max() <= 1
    torch.testing.assert_close(code, sinusoidal(50, width)[:length])


def test_positions_are_told_apart_and_near_ones_are_alike():
    code = sinusoidal(500, 32)
    alike = code @ code.T
    assert (alike.argmax(1) == torch.arange(500)).all()
    assert (alike[0, 1] > alike[0, 10]) & (alike[0, 10] > alike[0, 400])


def test_codes_take_type_and_device_of_a_tensor():
    assert sinusoidal(3, 4, like=torch.zeros(1, dtype=torch.bfloat16)).dtype is torch.bfloat16
