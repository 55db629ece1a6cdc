from __future__ import annotations

import pytest
import torch

from polyfuse.encoders.audio.spectrogram_cnn import SpectrogramCNN


def encode(encoder: SpectrogramCNN, wave_US: torch.Tensor, lengths: list[int]):
    return encoder({"wave": wave_US, "lengths": torch.tensor(lengths)}, torch.ones(len(lengths), dtype=torch.bool))


@pytest.mark.parametrize(("depth", "milliseconds"), [(1, 20), (2, 40), (3, 40), (4, 40)])
def test_a_token_covers_at_most_forty_milliseconds(depth, milliseconds):
    encoder = SpectrogramCNN(rate=8000, depth=depth, width=8).eval()
    tokens = encode(encoder, torch.randn(1, 8000), [8000])
    assert tokens.mask_BT.sum() == 1000 // milliseconds
    assert tokens.width == encoder.width == 8 * 2 ** (depth - 1)
    torch.testing.assert_close(tokens.span_BT2[0, 3], torch.tensor([3.0, 4.0]) * milliseconds / 1000)


def test_a_token_hears_its_own_time_most():
    torch.manual_seed(0)
    encoder, wave = SpectrogramCNN(rate=8000).eval(), 0.1 * torch.randn(1, 8000)
    before = encode(encoder, wave, [8000]).x_BTD
    wave[:, 4000:4100] = 0.5 * torch.sin(torch.arange(100.0))
    change = (encode(encoder, wave, [8000]).x_BTD - before).norm(dim=-1)[0]
    assert abs(int(change.argmax()) - 4050 // 320) <= 1


def test_padding_stays_unheard_through_deep_stacks():
    torch.manual_seed(0)
    encoder, wave = SpectrogramCNN(rate=8000, width=8, depth=5).eval(), torch.randn(2, 6000)
    wave[1, 700:] = 0
    alone = encode(encoder, wave[1:, :700], [700])
    padded = encode(encoder, wave, [6000, 700])
    found = padded.x_BTD[1][padded.mask_BT[1]]
    torch.testing.assert_close(found, alone.x_BTD[alone.mask_BT], atol=1e-5, rtol=1e-4)


def test_it_tells_tones_apart_after_a_few_steps():
    torch.manual_seed(0)
    place, labels = torch.arange(2000) / 8000, torch.arange(16) % 2
    hertz = torch.where(labels == 0, 500.0, 900.0)[:, None] * (1 + 0.02 * torch.randn(16, 1))
    wave = torch.sin(2 * torch.pi * hertz * place) + 0.3 * torch.randn(16, 2000)
    encoder, head = SpectrogramCNN(rate=8000, width=8), torch.nn.Linear(32, 2)
    optimizer = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], 1e-2)
    for _ in range(25):
        tokens = encode(encoder, wave, [2000] * 16)
        loss = torch.nn.functional.cross_entropy(head(tokens.x_BTD[:, :6].mean(1)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1
