from __future__ import annotations

import pytest
import torch

from polyfuse.encoders.audio.pretrained import Pretrained
from tests.encoders.checkpoints import make

WAVES = ["wav2vec2-group", "wav2vec2-layer", "hubert", "wavlm"]
KINDS = [*WAVES, "whisper", "ast"]
RATE = 16_000


def made(folder, kind: str, **keywords) -> Pretrained:
    return Pretrained(rate=RATE, path=str(make(folder, kind)), **keywords).eval()


def fields(*lengths: int, extra: int = 0) -> dict[str, torch.Tensor]:
    wave = torch.zeros(len(lengths), max(lengths) + extra)
    for row, length in enumerate(lengths):
        wave[row, :length] = 0.05 + 0.1 * torch.randn(length, generator=torch.Generator().manual_seed(row))
    return {"wave": wave, "lengths": torch.tensor(lengths)}


def encode(encoder: Pretrained, batch: dict[str, torch.Tensor]):
    with torch.no_grad():
        return encoder(batch, torch.ones(len(batch["lengths"]), dtype=torch.bool))


def extracted(folder, samples: torch.Tensor) -> dict[str, torch.Tensor]:
    from transformers import AutoFeatureExtractor

    return AutoFeatureExtractor.from_pretrained(folder)(samples.numpy(), sampling_rate=RATE, return_tensors="pt")


@pytest.mark.parametrize("kind", WAVES)
def test_tokens_of_a_batch_are_those_of_the_checkpoint_for_each_sound_alone(tmp_path, kind):
    from transformers import AutoModel

    encoder, batch = made(tmp_path, kind), fields(9000, 400, 5321, 719)
    tokens, model = encode(encoder, batch), AutoModel.from_pretrained(tmp_path).eval()
    for row, length in enumerate(batch["lengths"]):
        alone = extracted(tmp_path, batch["wave"][row, :length])["input_values"]
        with torch.no_grad():
            expected = model(alone).last_hidden_state[0]
        torch.testing.assert_close(tokens.x_BTD[row][tokens.mask_BT[row]], expected, atol=1e-4, rtol=1e-3)


def test_thirty_seconds_of_whisper_are_those_of_the_checkpoint(tmp_path):
    from transformers import AutoModel

    encoder, batch = made(tmp_path, "whisper"), fields(480_000)
    tokens, model = encode(encoder, batch), AutoModel.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        expected = model.encoder(extracted(tmp_path, batch["wave"][0])["input_features"]).last_hidden_state
    assert tokens.mask_BT.sum() == 1500
    torch.testing.assert_close(tokens.x_BTD[tokens.mask_BT][None], expected, atol=1e-4, rtol=1e-3)


def test_a_short_sound_costs_whisper_its_own_length_only(tmp_path):
    tokens = encode(made(tmp_path, "whisper"), fields(RATE))
    assert tokens.mask_BT.sum() == 50
    assert tokens.x_BTD.shape[1] <= 52


def test_tokens_of_ast_are_those_of_the_checkpoint_times_before_frequencies(tmp_path):
    from transformers import AutoModel

    encoder, batch = made(tmp_path, "ast"), fields(9000, 3000, 20_000)
    tokens, model = encode(encoder, batch), AutoModel.from_pretrained(tmp_path).eval()
    times, bands = tokens.grid
    for row, length in enumerate(batch["lengths"]):
        with torch.no_grad():
            expected = model(extracted(tmp_path, batch["wave"][row, :length])["input_values"]).last_hidden_state[0]
        torch.testing.assert_close(tokens.x_BTD[row, :2], expected[:2], atol=1e-3, rtol=1e-3)
        for time in range(times):
            for band in range(bands):
                found, theirs = tokens.x_BTD[row, 2 + time * bands + band], expected[2 + band * times + time]
                torch.testing.assert_close(found, theirs, atol=1e-3, rtol=1e-3)
    real = [(1 + (length - 400) // 160 + 9) // 10 for length in (9000, 3000, 20_000)]
    assert tokens.mask_BT.sum(1).tolist() == [2 + bands * min(times, n) for n in real]


@pytest.mark.parametrize("kind", KINDS)
def test_padding_and_neighbours_change_no_real_token(tmp_path, kind):
    encoder = made(tmp_path, kind)
    batch = encode(encoder, fields(8000, 100, 3333))
    wider = encode(encoder, fields(8000, 100, 3333, extra=1777))
    torch.testing.assert_close(wider.x_BTD[wider.mask_BT], batch.x_BTD[batch.mask_BT], atol=1e-4, rtol=1e-3)
    for row, length in enumerate((8000, 100, 3333)):
        one = {key: value[row : row + 1] for key, value in fields(8000, 100, 3333).items()}
        alone = encode(encoder, {**one, "wave": one["wave"][:, :length]})
        found = batch.x_BTD[row][batch.mask_BT[row]]
        torch.testing.assert_close(found, alone.x_BTD[alone.mask_BT], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_spans_lie_within_the_sound_in_order(tmp_path, kind):
    tokens = encode(made(tmp_path, kind), fields(8000, 1234))
    for row, length in enumerate((8000, 1234)):
        span_T2 = tokens.span_BT2[row][tokens.mask_BT[row]][tokens.prefix :]
        assert (span_T2[:, 0] < span_T2[:, 1]).all()
        assert (span_T2[1:, 0] >= span_T2[:-1, 0]).all()
        assert span_T2.max() <= length / RATE + 1e-6
        assert span_T2[0, 0] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_hundredth_of_a_second_and_silence_are_heard(tmp_path, kind):
    encoder = made(tmp_path, kind)
    for batch in (fields(160), {"wave": torch.zeros(2, 1600), "lengths": torch.tensor([1600, 1])}):
        tokens = encode(encoder, batch)
        assert tokens.mask_BT.any(1).all()
        assert torch.isfinite(tokens.x_BTD).all()


def test_training_never_skips_a_layer_and_masks_nothing(tmp_path):
    encoder = made(tmp_path, "wav2vec2-group").train()
    for module in encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if hasattr(module, "dropout") and isinstance(module.dropout, float):
            module.dropout = 0.0
    batch = fields(8000, 5000)
    again = [encode(encoder, batch).x_BTD for _ in range(8)]
    assert all(torch.equal(x, again[0]) for x in again)


def test_it_asks_for_the_rate_of_the_checkpoint_and_no_longer_than_it_hears(tmp_path):
    wave, whisper, ast = (str(make(tmp_path / kind, kind)) for kind in ("hubert", "whisper", "ast"))
    assert Pretrained.wants(path=wave).keywords == {"rate": RATE, "seconds": "auto"}
    assert Pretrained.wants(path=wave, seconds=90).keywords["seconds"] == 90
    assert Pretrained.wants(path=whisper, seconds=30.0).keywords["seconds"] == 30.0
    assert Pretrained.wants(path=ast).keywords["seconds"] == 0.64
    with pytest.raises(ValueError, match="30 seconds at a time"):
        Pretrained.wants(path=whisper, seconds=31)


def test_a_checkpoint_that_hears_otherwise_is_refused(tmp_path):
    from transformers import ClapFeatureExtractor

    folder = make(tmp_path, "whisper")
    ClapFeatureExtractor().save_pretrained(folder)
    with pytest.raises(ValueError, match=r"ClapFeatureExtractor; known: .*Whisper"):
        Pretrained.wants(path=str(folder))
