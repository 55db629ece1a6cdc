from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from polyfuse.data.cells.image import Pixels
from polyfuse.data.cells.source import Limits
from polyfuse.encoders.image.pretrained import Pretrained
from tests.encoders.checkpoints import make

PREFIX = {"vit": 1, "clip": 1, "siglip": 0, "dinov2": 4, "resnet": 0, "convnext": 0, "swin": 0}
every_kind = pytest.mark.parametrize("kind", PREFIX)


def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((50, 70, 3), (32, 32, 3), (90, 40, 3))]


def encode(encoder: Pretrained, path: str):
    """Pictures through the spec that the encoder asks for."""
    transform = Pixels(**encoder.wants(path=path).keywords)
    fields = transform.collate(transform.encode(pictures(), Limits()))
    with torch.no_grad():
        return encoder({k: torch.as_tensor(v) for k, v in fields.items()}, torch.ones(3, dtype=torch.bool))


@every_kind
def test_tokens_are_those_of_the_checkpoint_behind_its_own_processor(tmp_path, kind):
    from transformers import AutoImageProcessor, AutoModel

    path = str(make(tmp_path, kind))
    tokens = encode(Pretrained(path=path, image_size=(32, 32)).eval(), path)
    processor = AutoImageProcessor.from_pretrained(path, backend="pil")
    model = AutoModel.from_pretrained(path).eval()
    with torch.no_grad():
        seen = processor([Image.fromarray(p) for p in pictures()], return_tensors="pt")
        expected = getattr(model, "vision_model", model)(**seen).last_hidden_state
    rows, columns = tokens.grid
    if expected.ndim == 4:
        assert expected.shape[2:] == (rows, columns)
        expected = expected.flatten(2).mT
    torch.testing.assert_close(tokens.x_BTD, expected, atol=1e-4, rtol=1e-3)
    assert (tokens.prefix, rows, columns) == (PREFIX[kind], 4, 4)


def test_the_grid_follows_the_shape_of_the_picture(tmp_path):
    path = str(make(tmp_path, "resnet"))
    tokens = Pretrained(path=path, image_size=(32, 64))({"pixels": torch.zeros(1, 3, 32, 64).byte()}, torch.ones(1) > 0)
    assert tokens.grid == (4, 8)


def test_the_size_that_was_wanted_is_the_size_that_the_model_takes(tmp_path):
    with pytest.raises(ValueError, match="doesn't match model"):
        Pretrained(path=str(make(tmp_path, "vit")), image_size=(48, 48))
