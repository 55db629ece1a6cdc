"""Which encoders of clips hear the order of pictures, and what flow is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polyfuse.data import augment
from polyfuse.data.augment import video as steps
from polyfuse.data.cells.source import BadCell, Limits
from polyfuse.data.cells.video import STILL, Flow
from polyfuse.encoders.video.frames import Frames
from polyfuse.encoders.video.r2plus1d import R2Plus1D
from polyfuse.encoders.video.transformer import Transformer
from polyfuse.encoders.video.two_stream import TwoStream
from polyfuse.layers.pooling import masked_mean
from polyfuse.testing.encoders import SAMPLES

HEARS = [
    (R2Plus1D, {}, True),
    (Transformer, {}, True),
    (Frames, {"over_time": "mean"}, False),
    (Frames, {"over_time": "gru"}, True),
    (Frames, {"over_time": "shift"}, True),
    (Frames, {"over_time": "attention"}, True),
]


@pytest.mark.parametrize(("made", "keywords", "hears"), HEARS)
def test_shuffling_pictures_changes_what_hears_order(made, keywords, hears):
    torch.manual_seed(0)
    encoder, present = made(image_size=(16, 16), **keywords).eval(), torch.ones(1, dtype=torch.bool)
    fields = SAMPLES["video.frames"].fields([6])
    shuffled = {**fields, "frames": fields["frames"][:, [4, 0, 5, 2, 1, 3]]}
    one, other = (masked_mean(t.x_BTD, t.mask_BT) for t in (encoder(fields, present), encoder(shuffled, present)))
    assert torch.allclose(one, other, atol=1e-4) != hears


def square(at: int) -> np.ndarray:
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[12:20, at : at + 8] = 255
    return picture


def test_flow_says_which_way_things_go_and_a_mirrored_clip_goes_the_other_way():
    frames = np.stack([square(4 + 2 * n) for n in range(8)])
    transform = Flow(frames=3, gap=0.1, picture={"size": 32})
    again = Flow()
    again.restore(transform.state())
    fields = again.collate([again.encode([frames], Limits())[0], again.blank()])
    assert fields["frames"].shape == (2, 3, 3, 32, 32)
    assert fields["motion"].shape == (2, 3, 2, 32, 32)
    assert (fields["motion"][1] == STILL).all()
    assert not fields["frames"][1].any()
    right = (fields["motion"][0, :, 0].astype(float) - STILL) / 8
    bright = fields["frames"][0, :, 0] > 128
    assert 1.0 < np.median(right[bright]) < 3.0
    tensors = {name: torch.from_numpy(array) for name, array in fields.items()}
    flipped = steps.Flip(p=1.0)(tensors, torch.Generator().manual_seed(0))
    left = (flipped["motion"][0, :, 0].numpy().astype(float) - STILL) / 8
    assert np.allclose(left, -right[..., ::-1], atol=0.13)
    assert np.array_equal(flipped["motion"][:, :, 1].numpy(), fields["motion"][:, :, 1][..., ::-1])
    same = augment.build("video", [{"name": "shift"}])(tensors, 0)
    assert np.median((same["motion"][0, :, 0].numpy().astype(float) - STILL)[same["frames"][0, :, 0].numpy() > 128]) > 0
    assert isinstance(transform.encode([b"no video"], Limits())[0], BadCell)


def test_flow_needs_opencv_and_says_how_to_get_it(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match="polyfuse\\[flow\\]"):
        Flow()


def test_the_strength_of_motion_reaches_the_tokens():
    torch.manual_seed(0)
    encoder = TwoStream(image_size=(32, 32)).eval()
    with pytest.raises(ValueError, match="difference or flow"):
        TwoStream.wants(motion="optical")
    calm, quick = (np.stack([np.concatenate([square(8), square(8 + by)], -1)] * 2) for by in (0, 4))
    frames = torch.from_numpy(np.stack([calm, quick]).transpose(0, 1, 4, 2, 3).copy())
    fields = {"frames": frames, "times": torch.arange(2.0).expand(2, -1), "lengths": torch.tensor([2, 2])}
    x_UND = encoder(fields, torch.ones(2, dtype=torch.bool)).x_BTD[..., encoder.image.width :]
    assert (x_UND[0] - x_UND[1]).abs().mean() > 0.1
