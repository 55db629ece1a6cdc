"""Words over what they were written about: warm at the right place, in pictures and along time."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from polyfuse.data.cells.image import Pixels
from polyfuse.data.cells.source import Limits
from polyfuse.data.tables import read_table
from polyfuse.evaluation import attention_view
from polyfuse.heads.text.word_attention import InputAttention


def test_warmth_is_what_lies_above_the_average():
    np.testing.assert_allclose(attention_view.attention_above_average(np.full((2, 2), 0.25)), 0)
    np.testing.assert_allclose(attention_view.attention_above_average(np.array([[1.0, 0], [0, 0]])), [[1, 0], [0, 0]])
    assert (
        attention_view.attention_above_average(np.array([0.26, 0.25, 0.25, 0.24])).max() < 0.1
    )  # hardly uneven is hardly warm


def test_a_token_is_warm_at_its_seconds_and_a_short_one_no_warmer():
    spans = np.array([[0, 0.1], [0.1, 0.2], [0.2, 0.22], [0.3, 0.4]])
    found = attention_view.attention_over_time(np.array([0.2, 0.5, 0.3, 0.0]), spans, 0.22, bins=22)
    np.testing.assert_allclose(found, [0.2] * 10 + [0.5] * 10 + [0.3] * 2)
    assert attention_view._seconds(found, 0.22) == "0.10 – 0.22 s"


@pytest.mark.parametrize("corner", range(4))
@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_a_picture_is_warm_where_its_map_is(corner, fit):
    pixels = np.full((40, 60, 3), 128, np.uint8)
    transform = Pixels(size=32, fit=fit)
    cell = attention_view._Cell(pixels, transform, read_table([{"photo": "a.png"}]), Limits())
    share_WT = np.eye(4)[[corner]]
    (word,) = attention_view._picture(cell, InputAttention(share_WT, (2, 2)), ["word"])
    seen = np.asarray(Image.open(io.BytesIO(word.picture))).astype(int)
    redder = seen[..., 0] - seen[..., 2]
    height, width = redder.shape
    quarters = [
        redder[r * height // 2 :][: height // 2, c * width // 2 :][:, : width // 2].mean()
        for r in (0, 1)
        for c in (0, 1)
    ]
    assert int(np.argmax(quarters)) == corner
    assert (word.word, word.share) == ("word", 1.0)
