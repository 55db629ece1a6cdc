from __future__ import annotations

import pytest
import torch

from polyfuse.encoders.image.efficientnet_lite import Convolution, EfficientNetLite
from polyfuse.starter.package_files import verified_files
from polyfuse.starter.parts import PARTS
from tests.starter.needed import needed

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def encoder():
    needed("efficientnet-lite0")
    return EfficientNetLite(image_size=(96, 96))


@pytest.fixture
def random(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "efficientnet-lite0"}')
    torch.manual_seed(0)
    return EfficientNetLite(image_size=(96, 96), path=str(tmp_path), weights="random")


def pixels(rows, height, width):
    return torch.randint(0, 256, (rows, 3, height, width), generator=torch.Generator().manual_seed(0)).byte()


def encoded(encoder, given):
    return encoder({"pixels": given}, torch.ones(len(given), dtype=torch.bool))


@pytest.mark.parametrize("side", [96, 128, 224])
def test_it_is_the_published_network(encoder, side):
    package = pytest.importorskip("efficientnet_lite_pytorch", reason="efficientnet-lite-pytorch is not installed")
    (file,) = verified_files(PARTS["efficientnet-lite0"]).values()
    reference = package.EfficientNet.from_name("efficientnet-lite0").eval()
    reference.load_state_dict(torch.load(file, weights_only=True))
    given = pixels(2, side, side)
    with torch.inference_mode():
        expected = torch.relu(reference.extract_features((given.float() - 127) / 128)).clamp(max=6)
        tokens = encoded(encoder.eval(), given)
    assert tokens.grid == (side // 32, side // 32)
    assert (tokens.x_BTD - expected.flatten(2).transpose(1, 2)).abs().max() < 1e-4


def test_any_size_works(random):
    for height, width in ((96, 96), (100, 131), (97, 224)):
        tokens = encoded(random, pixels(1, height, width))
        assert tokens.grid == (-(-height // 32), -(-width // 32))
        assert tokens.x_BTD.shape == (1, tokens.grid[0] * tokens.grid[1], 1280)


def test_small_pictures_and_other_folders_are_refused(tmp_path):
    for size in (95, 0, "auto"):
        with pytest.raises(ValueError, match="from 96 pixels"):
            EfficientNetLite.wants(size=size)
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(ValueError, match="holds a vit model"):
        EfficientNetLite.wants(path=str(tmp_path), weights="random")


def test_statistics_stay_and_training_changes_the_rest(random):
    before = {name: value.clone() for name, value in random.state_dict().items()}
    random.train()
    optimizer = torch.optim.SGD(random.parameters(), 0.1)
    encoded(random, pixels(2, 96, 96)).x_BTD.square().mean().backward()
    optimizer.step()
    changed = {name for name, value in random.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert not [name for name in changed if "running" in name or "tracked" in name]
    assert "head.norm.bias" in changed


def test_frozen_gives_what_trained_gives(random):
    given = pixels(18, 96, 96)
    random.eval()
    with torch.no_grad():
        frozen = encoded(random, given).x_BTD
    assert torch.allclose(frozen, encoded(random, given).x_BTD, atol=1e-5)


def test_layers_go_from_the_bottom_to_the_top(random):
    groups = random.layers_bottom_up()
    assert len(groups) == 18
    assert {id(p) for p in groups[0]} == {id(p) for p in random.stem.parameters()}
    assert {id(p) for p in groups[-1]} == {id(p) for p in random.head.parameters()}
    assert sum(len(group) for group in groups) == len(list(random.parameters()))


def test_a_normalisation_is_folded_into_its_convolution():
    torch.manual_seed(0)
    part = Convolution(4, 6, 3, stride=1)
    for value in (part.norm.weight, part.norm.bias, part.norm.running_mean):
        torch.nn.init.normal_(value)
    part.norm.running_var.uniform_(0.5, 2)
    x = torch.randn(2, 4, 7, 7)
    expected = part.norm.eval()(torch.nn.functional.conv2d(x, part.conv.weight, padding=1))
    assert torch.allclose(part(x), expected, atol=1e-5)
