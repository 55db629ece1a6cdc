from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.encoders.image.statistics import Statistics

MOMENTS, JOINT, HUED, FINE, COARSE, RUNS, TURNED = 9, 64, 22 * 9, 9 * 36, 16 * 4, 59, 2 * 40
PARTS = dict(
    zip(
        ("moments", "joint", "hued", "fine", "coarse", "runs", "turned"),
        (MOMENTS, JOINT, HUED, FINE, COARSE, RUNS, TURNED),
        strict=True,
    )
)


def told(pixels_U3HW: torch.Tensor) -> dict[str, torch.Tensor]:
    """The statistics of pictures by kind."""
    encoder = Statistics(image_size=tuple(pixels_U3HW.shape[2:]))  # type: ignore[arg-type]
    tokens = encoder({"pixels": pixels_U3HW}, torch.ones(len(pixels_U3HW), dtype=torch.bool))
    assert tokens.x_BTD.shape == (len(pixels_U3HW), 1, encoder.width)
    return dict(zip(PARTS, tokens.x_BTD[:, 0].split(list(PARTS.values()), 1), strict=True))


def pictures(rows: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (rows, 3, height, width), generator=draw).byte()


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    kind=st.sampled_from(["noise", "black", "white", "grey", "red"]),
    seed=st.integers(0, 99),
)
def test_any_picture_gives_finite_numbers_of_a_sane_size(height, width, kind, seed):
    pixels = pictures(2, height, width, seed)
    if kind == "grey":
        pixels = pixels[:, :1].expand(-1, 3, -1, -1)
    elif kind != "noise":
        colour = {"black": [0, 0, 0], "white": [255] * 3, "red": [255, 0, 0]}[kind]
        pixels = torch.tensor(colour, dtype=torch.uint8).view(1, 3, 1, 1).expand(2, 3, height, width)
    values = torch.cat(list(told(pixels).values()), 1)
    assert torch.isfinite(values).all()
    assert values.abs().max() < 4


def test_shares_of_colours_and_patterns_sum_to_one():
    parts = told(pictures(3, 20, 30))
    ones = torch.ones(3)
    torch.testing.assert_close(parts["joint"].square().sum(1), ones)
    torch.testing.assert_close(parts["runs"].square().sum(1), ones)
    torch.testing.assert_close(parts["turned"].square().sum(1), 8 * ones)


def test_an_even_picture_has_no_edges_and_one_pattern():
    parts = told(torch.full((1, 3, 24, 24), 90, dtype=torch.uint8))
    assert parts["fine"].max() < 0.05
    assert (parts["runs"] > 0).sum() == 1


def test_a_mirror_image_has_the_same_colours_and_turned_patterns_but_other_edges():
    pixels = pictures(2, 24, 24)
    pixels[..., :8] //= 4
    parts, mirrored = told(pixels), told(pixels.flip(-1))
    for kind in ("moments", "joint"):
        torch.testing.assert_close(mirrored[kind], parts[kind], atol=1e-4, rtol=1e-4)
    halves = [p["turned"].view(2, 2, 2, 2, 10) for p in (parts, mirrored)]  # picture, radius, row, column, pattern
    torch.testing.assert_close(halves[1].flip(3), halves[0])
    assert (mirrored["fine"] - parts["fine"]).abs().max() > 0.1


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_picture_has_the_same_patterns_all_in_all(turns):
    pixels = pictures(2, 24, 24)
    parts, turned = told(pixels), told(pixels.rot90(turns, (2, 3)))
    sums = [p["turned"].square().view(2, 2, 4, 10).sum(2) for p in (parts, turned)]
    torch.testing.assert_close(sums[0], sums[1])
    torch.testing.assert_close(turned["joint"], parts["joint"], atol=1e-5, rtol=1e-4)


def test_stripes_are_heard_in_the_bin_of_their_direction():
    upright = (torch.arange(48) // 4 % 2 * 255).byte().expand(1, 3, 48, 48)
    across, down = told(upright)["fine"].view(9, 36), told(upright.transpose(2, 3))["fine"].view(9, 36)
    assert (across.mean(1).argmax(), across.mean(1)[3:7].max()) == (0, 0)
    assert down.mean(1).argmax() in (4, 5)


def test_edges_do_not_depend_on_contrast_or_brightness():
    pixels = pictures(2, 48, 48).float()
    smooth = torch.nn.functional.interpolate(pixels[..., :8, :8], (48, 48), mode="bilinear")
    strong, weak = told(smooth.byte()), told((60 + smooth / 2).byte())
    assert (strong["fine"] - weak["fine"]).abs().mean() < 0.05
    assert (strong["moments"] - weak["moments"]).abs().max() > 0.05


def test_hues_are_told_apart_where_brightness_is_the_same():
    red, green = (
        torch.tensor(c, dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 16, 16) for c in ([200, 0, 0], [0, 200, 0])
    )
    one, other = told(red)["hued"].view(22, 9), told(green)["hued"].view(22, 9)
    assert one[:12].argmax() != other[:12].argmax()
    torch.testing.assert_close(one[12:], other[12:])


def test_nothing_is_learnt_and_the_number_of_cells_is_checked():
    encoder = Statistics(image_size=(16, 16), cells=2)
    assert encoder.fixed
    assert list(encoder.parameters()) == []
    assert encoder.state_dict() == {}
    assert encoder.width == sum(PARTS.values()) - FINE + 9 * 4
    with pytest.raises(ValueError, match="cells=0"):
        Statistics(image_size=(16, 16), cells=0)


def test_a_few_digits_are_told_apart(real_data):
    """Nearest mean of standardised statistics, ten pictures of each digit."""
    import io

    import numpy as np
    import pandas as pd
    from PIL import Image

    table = pd.read_parquet(real_data / "mnist" / "train.parquet").groupby("digit").head(20)
    opened = [np.asarray(Image.open(io.BytesIO(cell)).convert("RGB")).transpose(2, 0, 1) for cell in table.image]
    x_UD = torch.cat(list(told(torch.tensor(np.stack(opened))).values()), 1)
    digit = torch.tensor(table.digit.to_numpy())
    seen = torch.tensor((table.groupby("digit").cumcount() < 10).to_numpy())
    x_UD = ((x_UD - x_UD[seen].mean(0)) / (x_UD[seen].std(0) + 1e-3)).clamp(-5, 5)
    centre = torch.stack([x_UD[seen & (digit == d)].mean(0) for d in range(10)])
    right = torch.cdist(x_UD[~seen], centre).argmin(1) == digit[~seen]
    assert right.float().mean() > 0.7
