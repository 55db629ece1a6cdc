from __future__ import annotations

import json
import shutil

import pytest
import torch
from torch import nn

from polyfuse import registry
from polyfuse.encoders.checkpoint import find_blocks, keep_layers, tower
from tests.encoders.checkpoints import config, make

FACTS = {"text": {}, "image": {"image_size": (32, 32)}, "audio": {"rate": 16_000}}
KINDS = [
    *(("text", kind) for kind in ("bert", "roberta", "gpt2", "t5", "bart", "modernbert", "clip")),
    *(("image", kind) for kind in ("vit", "clip", "siglip", "dinov2", "resnet", "convnext", "swin")),
    *(("audio", kind) for kind in ("wav2vec2-group", "wav2vec2-layer", "hubert", "wavlm", "whisper", "ast")),
]
every_kind = pytest.mark.parametrize(("modality", "kind"), KINDS, ids=[":".join(row) for row in KINDS])


def encoder(modality: str, folder, **keywords):
    return registry.encoder(modality, "pretrained")(**FACTS[modality], path=str(folder), **keywords)


def fields(modality: str) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    if modality == "text":
        lengths = torch.tensor([6, 3])
        return {"ids": torch.randint(4, 60, (2, 6), generator=draw), "span": torch.zeros(2, 6, 2), "lengths": lengths}
    if modality == "image":
        return {"pixels": torch.randint(0, 256, (2, 3, 32, 32), generator=draw).byte()}
    return {"wave": 0.1 * torch.randn(2, 8000, generator=draw), "lengths": torch.tensor([8000, 3000])}


def encoded(made: nn.Module, modality: str):
    return made(fields(modality), torch.tensor([True, True]))


def test_without_its_preprocessor_a_checkpoint_cannot_see_or_hear(tmp_path):
    for modality, kind in (("image", "vit"), ("audio", "whisper")):
        folder = make(tmp_path / kind, kind)
        (folder / "preprocessor_config.json").unlink()
        with pytest.raises(FileNotFoundError, match="preprocessor_config"):
            registry.encoder(modality, "pretrained").wants(path=str(folder))


@every_kind
def test_a_bundle_rebuilds_the_encoder_from_copies_of_its_files(tmp_path, modality, kind):
    folder, copies = make(tmp_path / "made", kind), tmp_path / "copies"
    made = encoder(modality, folder).eval()
    copies.mkdir()
    for name, source in type(made).wants(path=str(folder)).files.items():
        shutil.copy(source, copies / name)
    shutil.rmtree(folder)
    again = type(made)(**FACTS[modality], **made.restored(copies)).eval()
    again.load_state_dict(made.state_dict())
    assert torch.equal(encoded(again, modality).x_BTD, encoded(made, modality).x_BTD)


@every_kind
def test_weights_are_those_of_the_checkpoint(tmp_path, modality, kind):
    folder = make(tmp_path, kind)
    torch.manual_seed(5)
    one, other = encoder(modality, folder).eval(), encoder(modality, folder).eval()
    random = encoder(modality, folder, weights="random").eval()
    assert torch.equal(encoded(one, modality).x_BTD, encoded(other, modality).x_BTD)
    assert not torch.equal(encoded(one, modality).x_BTD, encoded(random, modality).x_BTD)


@every_kind
def test_every_trainable_parameter_is_reached_and_has_one_place_from_bottom_to_top(tmp_path, modality, kind):
    made = encoder(modality, make(tmp_path, kind))
    tokens = encoded(made, modality)
    tokens.x_BTD[tokens.mask_BT].square().sum().backward()
    trainable = {n: p for n, p in made.named_parameters() if p.requires_grad}
    assert [n for n, p in trainable.items() if p.grad is None] == []
    assert trainable.keys().isdisjoint(made.unused)
    groups = made.layers_bottom_up()
    assert sorted(id(p) for group in groups for p in group) == sorted(map(id, trainable.values()))
    blocks = [{id(p) for p in block.parameters() if p.requires_grad} for block in find_blocks(made)]
    assert [{id(p) for p in group} for group in groups[1 : 1 + len(blocks)]] == blocks


@every_kind
def test_layers_bottom_up_does_not_depend_on_what_is_frozen(tmp_path, modality, kind):
    made = encoder(modality, make(tmp_path, kind))
    groups = [[id(p) for p in group] for group in made.layers_bottom_up()]
    made.requires_grad_(False)
    assert [[id(p) for p in group] for group in made.layers_bottom_up()] == groups


def test_the_first_blocks_alone_can_be_kept(tmp_path):
    folder = make(tmp_path, "vit")
    whole, first = encoder("image", folder).eval(), encoder("image", folder, layers=1).eval()
    assert len(find_blocks(first)) == 1
    assert set(first.state_dict()) < set(whole.state_dict())
    for layers in (0, 3):
        with pytest.raises(ValueError, match=r"has 2; expected 1 to 2"):
            encoder("image", folder, layers=layers)


def test_stages_of_different_widths_cannot_be_left_out(tmp_path):
    with pytest.raises(ValueError, match="stages"):
        encoder("image", make(tmp_path, "resnet"), layers=1)


def test_batch_statistics_of_a_checkpoint_stay_as_they_are(tmp_path):
    made = encoder("image", make(tmp_path, "resnet"))
    before = {name: value.clone() for name, value in made.named_buffers()}
    encoded(made.train(), "image")
    norms = [m for m in made.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)
    assert all(torch.equal(value, before[name]) for name, value in made.named_buffers())


def test_weights_that_tokens_need_may_not_be_absent(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = make(tmp_path, "bert")
    kept = load_file(folder / "model.safetensors")
    without_pooler = {name: value for name, value in kept.items() if "pooler" not in name}
    save_file(without_pooler, folder / "model.safetensors", {"format": "pt"})
    encoder("text", folder)
    damaged = {name: value for name, value in without_pooler.items() if "layer.1.output.dense" not in name}
    save_file(damaged, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"lack 2 .*layer\.1\.output\.dense"):
        encoder("text", folder)


def test_code_that_comes_with_a_checkpoint_is_never_run(tmp_path):
    folder = make(tmp_path, "bert")
    read = json.loads((folder / "config.json").read_text())
    own = {"model_type": "strange", "auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}}
    (folder / "config.json").write_text(json.dumps({**read, **own}))
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    with pytest.raises(ValueError, match=r"'strange'.*is not run"):
        encoder("text", folder)


def test_half_precision_checkpoints_are_read_in_single(tmp_path):
    from transformers import AutoModel

    AutoModel.from_config(config("bert")).half().save_pretrained(make(tmp_path, "bert"))
    assert {p.dtype for p in encoder("text", tmp_path).parameters()} == {torch.float32}


def test_reading_a_checkpoint_is_silent(tmp_path, capfd):
    encoder("image", make(tmp_path, "clip"))
    capfd.readouterr()
    encoder("image", tmp_path)
    assert capfd.readouterr() == ("", "")


def test_the_part_of_one_modality_is_taken(tmp_path):
    from transformers import AutoModel

    clip = AutoModel.from_config(config("clip"))
    assert tower(clip, "vision_model") is clip.vision_model
    assert tower(AutoModel.from_config(config("t5"))).__class__.__name__ == "T5Stack"
    vit = AutoModel.from_config(config("vit"))
    assert keep_layers(tower(vit, "vision_model"), None) is vit
