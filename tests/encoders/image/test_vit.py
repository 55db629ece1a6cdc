from __future__ import annotations

import pytest
import torch

from polyfuse.encoders.image.vit import ViT


def encode(encoder: ViT, x_U3HW: torch.Tensor):
    return encoder({"pixels": x_U3HW}, torch.ones(len(x_U3HW), dtype=torch.bool))


@pytest.mark.parametrize(
    ("size", "grid"), [((32, 32), (8, 8)), ((64, 96), (8, 12)), ((20, 20), (5, 5)), ((3, 9), (1, 3))]
)
def test_patches_are_an_eighth_of_the_picture_but_no_smaller_than_four_pixels(size, grid):
    tokens = encode(ViT(image_size=size, width=16), torch.zeros(1, 3, *size).byte())
    assert tokens.grid == grid


def test_a_class_token_stands_in_front_of_the_grid():
    torch.manual_seed(0)
    encoder = ViT(image_size=(16, 16), width=16, class_token=True).eval()
    tokens = encode(encoder, torch.randint(0, 256, (2, 3, 16, 16)).byte())
    assert (tokens.prefix, tokens.grid, tokens.x_BTD.shape[1]) == (1, (4, 4), 17)
    assert not torch.equal(tokens.x_BTD[0, 0], tokens.x_BTD[1, 0])  # it has seen the picture


def test_at_depth_zero_a_patch_sees_itself_only():
    encoder = ViT(image_size=(16, 16), patch=4, width=16, depth=0).eval()
    x_U3HW = torch.randint(0, 128, (1, 3, 16, 16)).byte()
    changed = x_U3HW.clone()
    changed[0, :, 5, 9] += 100
    moved = (encode(encoder, changed).x_BTD != encode(encoder, x_U3HW).x_BTD).any(-1)[0]
    assert moved.nonzero().flatten().tolist() == [1 * 4 + 2]


def test_the_same_patch_elsewhere_is_another_token():
    encoder = ViT(image_size=(16, 16), patch=4, width=16, depth=0).eval()
    tokens = encode(encoder, torch.full((1, 3, 16, 16), 7).byte()).x_BTD[0]
    assert torch.cdist(tokens, tokens).fill_diagonal_(1).min() > 1e-3
