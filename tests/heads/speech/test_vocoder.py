"""A vocoder of Hugging Face makes the samples, says how frames are made, and is kept with the model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polyfuse import registry
from polyfuse.data.cells.source import Limits, Sound
from polyfuse.heads.speech.head import Speech
from polyfuse.records import Fused, Tokens
from polyfuse.testing.heads import batch_without_targets

CONFIG = {
    "model_in_dim": 16, "sampling_rate": 8000, "upsample_initial_channel": 8, "upsample_rates": [4, 4, 4],
    "upsample_kernel_sizes": [8, 8, 8], "resblock_kernel_sizes": [3], "resblock_dilation_sizes": [[1, 2]],
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("vocoder")
    transformers.SpeechT5HifiGan(transformers.SpeechT5HifiGanConfig(**CONFIG)).save_pretrained(path)
    return path


def test_it_says_how_frames_are_made_and_makes_samples(folder):
    spec = Speech.wants(vocoder=str(folder))
    assert spec.files == {"config.json": str(folder / "config.json")}
    transform = registry.transform(spec.transform)(**spec.keywords)
    sounds = [Sound(np.sin(np.arange(900 + 50 * n) * 0.3).astype(np.float32), 8000) for n in range(3)]
    transform.fit(sounds, {"y": "audio"}, Limits())
    assert transform.facts()["mel"] == {"rate": 8000, "bins": 16, "hop": 64, "floor": 1e-10}
    head = Speech(name="y", width=16, vocoder=str(folder), channels=8, depth=1, **transform.facts()).eval()
    fused = Fused(Tokens(torch.randn(2, 1, 16), torch.ones(2, 1, dtype=torch.bool)), {})
    found = head.predict(fused, batch_without_targets(2), steps=2).value
    assert all(len(sound["array"]) % 64 == 0 and sound["sampling_rate"] == 8000 for sound in found)
    assert head.decoding["samples"] == "the vocoder"
    assert not any(p.requires_grad for p in head.vocoder.parameters())
    again = Speech(name="y", width=16, vocoder="gone", files=folder, channels=8, depth=1, **transform.facts()).eval()
    again.load_state_dict(head.state_dict())
    for one, other in zip(found, again.predict(fused, batch_without_targets(2), steps=2).value, strict=True):
        assert np.array_equal(one["array"], other["array"])


def test_another_rate_and_another_model_are_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="makes 8,000 samples per second, not 16000"):
        Speech.wants(vocoder=str(folder), rate=16000)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match="is a bert model; expected a speecht5_hifigan"):
        Speech.wants(vocoder=str(tmp_path))
    with pytest.raises(FileNotFoundError):
        Speech.wants(vocoder=str(tmp_path / "gone"))


@pytest.mark.parametrize(("options", "words"), [({"speed": 0}, "speed"), ({"rounds": 1.5}, "rounds")])
def test_options_out_of_bounds_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        Speech.wants(decode=options)
