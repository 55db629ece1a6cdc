from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.encoders.image.resnet import ResNet


def pixels(rows: int, height: int, width: int) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    return {"pixels": torch.randint(0, 256, (rows, 3, height, width), generator=draw).byte()}


def encode(encoder: ResNet, fields: dict[str, torch.Tensor]):
    return encoder(fields, torch.ones(len(fields["pixels"]), dtype=torch.bool))


@settings(max_examples=15, deadline=None)
@given(height=st.integers(1, 80), width=st.integers(1, 80), depth=st.integers(1, 4), blocks=st.integers(1, 2))
def test_any_size_gives_a_grid_that_each_stage_halves(height, width, depth, blocks):
    encoder = ResNet(image_size=(height, width), width=8, depth=depth, blocks=blocks)
    tokens = encode(encoder, pixels(2, height, width))
    step = 2**depth * (2 if min(height, width) > 64 else 1)
    assert tokens.grid == (-(-height // step), -(-width // step))
    assert tokens.x_BTD.shape == (2, tokens.grid[0] * tokens.grid[1], 8 * 2**depth)
    assert torch.isfinite(tokens.x_BTD).all()


def test_the_stem_is_chosen_and_checked():
    fields = pixels(1, 96, 96)
    assert encode(ResNet(image_size=(96, 96), width=8), fields).grid == (6, 6)
    assert encode(ResNet(image_size=(96, 96), width=8, stem=2), fields).grid == (12, 12)
    with pytest.raises(ValueError, match="expected 2, 4 or auto"):
        ResNet(image_size=(96, 96), stem=3)


def test_one_encoder_reads_pictures_of_several_sizes():
    encoder = ResNet(image_size=(32, 32), width=8)
    assert [encode(encoder, pixels(1, side, side)).grid for side in (16, 32, 64)] == [(2, 2), (4, 4), (8, 8)]


def test_a_token_hears_most_of_its_own_place():
    torch.manual_seed(0)
    encoder, fields = ResNet(image_size=(64, 64)).eval(), pixels(1, 64, 64)
    before = encode(encoder, fields).x_BTD
    fields["pixels"][..., 16:24, 32:40] = 255  # the place of the token in row 2, column 4
    change_HW = (encode(encoder, fields).x_BTD - before).norm(dim=-1).view(8, 8)
    row, column = divmod(int(change_HW.argmax()), 8)
    assert abs(row - 2) <= 1
    assert abs(column - 4) <= 1


@pytest.mark.parametrize("seed", [0, 1])
def test_it_learns_a_handful_of_pictures_by_heart(seed):
    torch.manual_seed(seed)
    encoder, head, fields = ResNet(image_size=(16, 16), width=8), torch.nn.Linear(64, 8), pixels(8, 16, 16)
    optimizer = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], 1e-2)
    for _ in range(40):
        loss = torch.nn.functional.cross_entropy(head(encode(encoder, fields).x_BTD.mean(1)), torch.arange(8))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.05
