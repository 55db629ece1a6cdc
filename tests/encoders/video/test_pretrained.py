"""Video checkpoints with random weights: their tokens are the library's own, and so are the steps of their pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polyfuse.data.cells.source import Limits
from polyfuse.data.cells.video import Clip
from polyfuse.encoders.video.pretrained import Pretrained
from polyfuse.testing import encoders
from polyfuse.testing.encoders import Case
from tests.encoders import checkpoints

KINDS = ("videomae", "timesformer", "vivit", "vjepa2")
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    return {kind: checkpoints.make(tmp_path_factory.mktemp(kind), kind) for kind in KINDS}


def clip(pictures: int = 4) -> np.ndarray:
    smooth = np.random.default_rng(0).integers(0, 256, (pictures, 6, 8, 3)).repeat(5, 1).repeat(5, 2)
    return smooth.astype(np.uint8)


@every_kind
def test_tokens_are_those_of_the_library(folders, kind):
    from transformers import AutoModel

    encoder = Pretrained(image_size=(16, 16), path=str(folders[kind]), over_space="keep").eval()
    frames = torch.from_numpy(clip()[:, :16, :16].transpose(0, 3, 1, 2).copy())[None]
    fields = {"frames": frames, "times": torch.arange(4.0)[None], "lengths": torch.tensor([4])}
    tokens = encoder(fields, torch.ones(1, dtype=torch.bool))
    pixels = frames * encoder.scale_311 - encoder.shift_311
    model = AutoModel.from_pretrained(folders[kind]).eval()
    with torch.no_grad():
        if kind == "vjepa2":
            expected = model(pixel_values_videos=pixels, skip_predictor=True).last_hidden_state
        else:
            expected = model(pixel_values=pixels).last_hidden_state
    found = tokens.x_BTD
    if kind == "timesformer":  # whose tokens lie place by place
        expected = torch.cat([expected[:, :1], expected[:, 1:].unflatten(1, (4, 4)).transpose(1, 2).flatten(1, 2)], 1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert tokens.grid == ((4 if kind == "timesformer" else 2), 2, 2)
    assert tokens.prefix == (kind in ("timesformer", "vivit"))
    assert tokens.span_BT2.shape == (1, found.shape[1], 2)


@pytest.mark.parametrize("kind", ["videomae", "vivit"])
def test_pictures_are_prepared_as_the_image_processor_does(folders, kind):
    import transformers as hf

    processor = {"videomae": hf.VideoMAEImageProcessorPil, "vivit": hf.VivitImageProcessor}[kind]
    frames = clip()
    expected = processor.from_pretrained(folders[kind])(list(frames), return_tensors="pt")["pixel_values"]
    spec = Pretrained.wants(path=str(folders[kind]))
    transform = Clip(**spec.keywords)
    fields = transform.collate([transform.encode([frames], Limits())[0]])
    encoder = Pretrained(image_size=(16, 16), path=str(folders[kind]))
    found = torch.from_numpy(fields["frames"]) * encoder.scale_311 - encoder.shift_311
    torch.testing.assert_close(found, expected.reshape(found.shape), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_the_others_hold_what_encoders_must(folders, kind):
    case = Case(Pretrained, {"path": str(folders[kind])})
    encoders.gives_tokens_of_its_width(case)
    encoders.a_real_token_sees_neither_padding_nor_neighbours(case)
    encoders.an_absent_row_is_masked_and_changes_nothing(case)
    encoders.a_gradient_reaches_every_parameter_that_asks_for_one(case)


def test_the_number_of_pictures_is_that_of_the_checkpoint(folders, tmp_path):
    assert Pretrained.wants(path=str(folders["vivit"])).keywords["frames"] == 4
    assert Pretrained.wants(path=str(folders["timesformer"]), frames=6).keywords["frames"] == 6
    with pytest.raises(ValueError, match="takes exactly 4"):
        Pretrained.wants(path=str(folders["videomae"]), frames=8)
    with pytest.raises(ValueError, match="multiple of 2"):
        Pretrained.wants(path=str(folders["vjepa2"]), frames=5)
    with pytest.raises(ValueError, match="over_space"):
        Pretrained(image_size=(16, 16), path=str(folders["vjepa2"]), over_space="max")
    checkpoints.make(tmp_path, "bert", weights=False)
    with pytest.raises(ValueError, match="is a bert; expected one of videomae"):
        Pretrained.wants(path=str(tmp_path), weights="random")


def test_more_pictures_and_fewer_blocks_run(folders):
    encoder = Pretrained(image_size=(16, 16), path=str(folders["timesformer"]), frames=6, layers=1).eval()
    fields = Case(Pretrained, {"path": str(folders["timesformer"])}).fields((6,))
    assert encoder(fields, torch.ones(1, dtype=torch.bool)).grid == (6,)
