from __future__ import annotations

import pytest
import torch

from polyfuse.encoders.audio.lstm import LSTM


def encode(encoder: LSTM, wave_US: torch.Tensor):
    rows, samples = wave_US.shape
    return encoder({"wave": wave_US, "lengths": torch.full((rows,), samples)}, torch.ones(rows, dtype=torch.bool))


def test_a_token_covers_its_stretch():
    tokens = encode(LSTM(rate=8000, stretch=2, width=16), torch.randn(1, 8000))
    assert tokens.mask_BT.sum() == 50
    assert tokens.width == 16
    torch.testing.assert_close(tokens.span_BT2[0, 1], torch.tensor([0.02, 0.04]))


def test_both_ends_of_a_sound_reach_every_token():
    torch.manual_seed(0)
    encoder, wave = LSTM(rate=8000, width=16, depth=1).eval(), torch.randn(1, 2400)
    before = encode(encoder, wave).x_BTD
    for part in (slice(0, 300), slice(2100, 2400)):
        changed = wave.clone()
        changed[:, part] = 0
        assert (encode(encoder, changed).x_BTD != before).any(-1)[0, :15].all()


def test_an_odd_width_is_an_error():
    with pytest.raises(ValueError, match="even"):
        LSTM(rate=8000, width=7)
