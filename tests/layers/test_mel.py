from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.audio_utils import mel_filter_bank

from polyfuse.layers.mel import KaldiMel, LogMel, Spectra, WhisperMel, kaldi_filters, mask_band, slaney_filters

FRONTENDS = [LogMel(rate=16_000), LogMel(rate=8_000, spare=4), WhisperMel(), KaldiMel()]
every_frontend = pytest.mark.parametrize("mel", FRONTENDS, ids=["log", "log8k", "whisper", "kaldi"])


def sound(samples: int, seed: int = 0) -> torch.Tensor:
    """Noise and a tone of changing loudness."""
    place = torch.arange(samples) / 16_000
    noise = 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))
    return noise + 0.4 * torch.sin(2 * torch.pi * 440 * place) * torch.sin(3 * place)


def batch(*lengths: int, extra: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    wave = torch.zeros(len(lengths), max(lengths) + extra)
    for row, length in enumerate(lengths):
        wave[row, :length] = sound(length, row)
    return wave, torch.tensor(lengths)


def test_filters_are_those_of_the_reference():
    slaney = mel_filter_bank(201, 80, 0.0, 8000.0, 16_000, norm="slaney", mel_scale="slaney")
    np.testing.assert_allclose(slaney_filters(80, 400, 16_000, high=8000.0), slaney, atol=1e-12)
    kaldi = mel_filter_bank(257, 64, 20, 8000, 16_000, None, "kaldi", triangularize_in_mel_space=True)
    np.testing.assert_allclose(kaldi_filters(64, 512, 16_000), kaldi, atol=1e-9)


@pytest.mark.parametrize("samples", [1, 160, 161, 4000, 33_333, 479_900, 480_000])
@pytest.mark.parametrize("bins", [80, 128])
def test_whisper_features_equal_those_of_its_extractor(samples, bins):
    wave, lengths = batch(samples, 1 + samples // 3)
    mel_UNF, mask_UN = WhisperMel(bins=bins)(wave, lengths)
    extractor = transformers.WhisperFeatureExtractor(feature_size=bins)
    for row, length in enumerate(lengths):
        expected = extractor(wave[row, :length].numpy(), sampling_rate=16_000, return_tensors="pt").input_features[0].T
        count = min(3000, mel_UNF.shape[1])
        torch.testing.assert_close(mel_UNF[row, :count], expected[:count], atol=1e-5, rtol=0)
        assert mask_UN[row].sum() == -(-length // 160)
    assert not mel_UNF[:, 3000:].any()


@pytest.mark.parametrize("samples", [400, 559, 560, 16_001])
def test_kaldi_features_equal_those_of_the_extractor_of_ast(samples):
    wave, lengths = batch(samples, samples + 1000)
    mel_UNF, mask_UN = KaldiMel(bins=64)(wave, lengths)
    extractor = transformers.ASTFeatureExtractor(num_mel_bins=64, max_length=256, do_normalize=False)
    for row, length in enumerate(lengths):
        expected = extractor(wave[row, :length].numpy(), sampling_rate=16_000, return_tensors="pt").input_values[0]
        count = mel_UNF.shape[1]
        torch.testing.assert_close(mel_UNF[row], expected[:count], atol=2e-3, rtol=0)  # theirs is in double precision
        assert mask_UN[row].sum() == expected.any(-1).sum()


@every_frontend
@settings(max_examples=25, deadline=None)
@given(lengths=st.lists(st.integers(1, 3000), min_size=1, max_size=3), extra=st.integers(0, 2000))
def test_padding_and_neighbours_change_no_real_frame(mel, lengths, extra):
    mel_UNF, mask_UN = mel(*batch(*lengths, extra=extra))
    for row, length in enumerate(lengths):
        alone = torch.zeros(1, length)
        alone[0] = sound(length, row)
        alone_1NF, alone_1N = mel(alone, torch.tensor([length]))
        assert 1 <= mask_UN[row].sum() == alone_1N.sum()
        torch.testing.assert_close(mel_UNF[row][mask_UN[row]], alone_1NF[alone_1N], atol=1e-4, rtol=1e-4)


@every_frontend
def test_what_lies_behind_the_end_of_a_sound_is_not_heard(mel):
    wave, lengths = batch(2000, 1200)
    noisy = wave.clone()
    noisy[1, 1200:] = 1.0
    torch.testing.assert_close(mel(noisy, lengths)[0], mel(wave, lengths)[0])


@every_frontend
def test_autocast_costs_no_precision(mel):
    wave, lengths = batch(2000, 1200)
    with torch.autocast("cpu", torch.bfloat16):
        half = mel(wave, lengths)[0]
    torch.testing.assert_close(half, mel(wave, lengths)[0])


def test_log_mel_has_mean_zero_and_deviation_one_over_each_sound():
    mel_UNF, mask_UN = LogMel(rate=16_000)(*batch(9000, 400, 3000))
    for x_NF, mask_N in zip(mel_UNF, mask_UN, strict=True):
        assert abs(float(x_NF[mask_N].mean())) < 1e-4
        assert abs(float(x_NF[mask_N].std(correction=0)) - 1) < 1e-2
        assert not x_NF[~mask_N].any()


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
def test_a_tone_is_loudest_in_the_filter_of_its_frequency(rate):
    mel = LogMel(rate=rate)
    for hertz in (300, 1000, 3000):
        tone = torch.sin(2 * torch.pi * hertz * torch.arange(rate) / rate)[None]
        loudest = mel(tone, torch.tensor([rate]))[0][0, 5:-5].mean(0).argmax()
        heard = mel.filters[round(hertz * mel.fft / rate)]
        assert heard[loudest] > 0


@settings(max_examples=30, deadline=None)
@given(rate=st.integers(2000, 48_000), bins=st.integers(4, 128))
def test_every_filter_hears_something(rate, bins):
    assert (LogMel(rate=rate, bins=bins).filters.amax(0) > 0).all()


def test_silence_is_finite():
    for mel in FRONTENDS:
        x_UNF = mel(torch.zeros(2, 800), torch.tensor([800, 0]))[0]
        assert torch.isfinite(x_UNF).all()


@settings(max_examples=25, deadline=None)
@given(fraction=st.floats(0, 1), seed=st.integers(0, 99), real=st.lists(st.integers(1, 40), min_size=1, max_size=4))
def test_band_masking_silences_at_most_its_fraction_of_each_axis(fraction, seed, real):
    torch.manual_seed(seed)
    mask_UN = torch.arange(40) < torch.tensor(real)[:, None]
    kept = mask_band(torch.ones(len(real), 40, 20), mask_UN, fraction) > 0
    for row, length in enumerate(real):
        frames, frequencies = kept[row].any(-1), kept[row].any(0)
        assert frequencies.sum() >= 20 - fraction * 20 - 1 or not frames.any()
        assert frames[:length].sum() >= length - fraction * length - 1 or not frequencies.any()
        assert torch.equal(kept[row], frames[:, None] & frequencies)
        assert (frames[1:] != frames[:-1]).sum() <= 2


def test_band_masking_of_nothing_changes_nothing():
    x_UNF = torch.randn(2, 5, 6)
    assert torch.equal(mask_band(x_UNF, torch.ones(2, 5, dtype=torch.bool), 0.0), x_UNF)


def test_spectra_hear_what_log_mel_hears_at_the_sounds_own_level():
    wave, lengths = torch.rand(2, 4000) - 0.5, torch.tensor([4000, 1500])
    frames, power, log, mask = Spectra(rate=8000, bins=24)(wave, lengths)
    assert frames.shape[:2] == power.shape[:2] == log.shape[:2] == mask.shape
    heard, real = LogMel(rate=8000, bins=24)(wave, lengths)
    assert torch.equal(mask.sum(1), real.sum(1))
    for row in range(2):
        mine, theirs = log[row][mask[row]], heard[row][real[row]]
        assert torch.corrcoef(torch.stack([mine.flatten(), theirs.flatten()]))[0, 1] > 0.95
    louder = Spectra(rate=8000, bins=24)(2 * wave, lengths)[2]
    torch.testing.assert_close((louder - log)[mask], torch.full_like(log[mask], float(np.log(4))), atol=1e-3, rtol=0)
