from __future__ import annotations

import torch

from polyfuse.encoders.audio.spectrogram_transformer import SpectrogramTransformer


def encode(encoder: SpectrogramTransformer, wave_US: torch.Tensor):
    rows, samples = wave_US.shape
    return encoder({"wave": wave_US, "lengths": torch.full((rows,), samples)}, torch.ones(rows, dtype=torch.bool))


def test_a_token_covers_its_stretch():
    tokens = encode(SpectrogramTransformer(rate=16_000, stretch=5), torch.randn(1, 16_000))
    assert tokens.mask_BT.sum() == 20
    torch.testing.assert_close(tokens.span_BT2[0, 2], torch.tensor([0.10, 0.15]))


def test_depth_zero_leaves_linear_stretches():
    """Swapping two stretches of the spectrogram swaps two tokens, but for their positions."""
    torch.manual_seed(0)
    encoder = SpectrogramTransformer(rate=8000, depth=0).eval()
    assert len(encoder.blocks) == 0
    x_UNF = torch.randn(1, 8, encoder.BINS)
    mask_UN = torch.ones(1, 8, dtype=torch.bool)
    one, _ = encoder.frames.joined(x_UNF, mask_UN)
    other, _ = encoder.frames.joined(x_UNF.roll(4, 1), mask_UN)
    torch.testing.assert_close(encoder.embed(one), encoder.embed(other).flip(1))


def test_with_blocks_tokens_see_each_other():
    torch.manual_seed(0)
    encoder, wave = SpectrogramTransformer(rate=8000, depth=1).eval(), torch.randn(1, 8000)
    before = encode(encoder, wave).x_BTD
    wave[:, 7000:] *= 0.1
    assert ((encode(encoder, wave).x_BTD - before).abs().amax(-1)[0, :25] > 1e-4).all()
