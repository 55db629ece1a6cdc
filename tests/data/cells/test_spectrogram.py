"""Log-mel frames and the way back: a tone comes back at its frequency, speech-like sound with its energies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.data.cells.spectrogram import Mel


@pytest.mark.parametrize(("rate", "bins", "hop"), [(8000, 64, 128), (16000, 80, 256)])
@pytest.mark.parametrize("hz", [220.0, 440.0, 1000.0])
def test_a_tone_comes_back_at_its_frequency(rate, bins, hop, hz):
    mel = Mel(rate, bins, hop)
    wave = 0.5 * np.sin(2 * np.pi * hz * np.arange(rate // 2) / rate)
    again = mel.wave(mel.log_mel(wave))
    size = np.abs(np.fft.rfft(again * np.hanning(len(again)), n=rate))
    assert np.argmax(size) == pytest.approx(hz, abs=0.6 * rate / mel.fft)  # filters are no finer than a bin
    assert again.std() == pytest.approx(wave.std(), rel=0.3)


def test_frames_are_those_of_speecht5():
    transformers = pytest.importorskip("transformers")
    wave = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)
    extractor = transformers.SpeechT5FeatureExtractor()
    expected = extractor(audio_target=wave, sampling_rate=16000)["input_values"][0]
    np.testing.assert_allclose(Mel(16000, 80, 256, 1e-10).log_mel(wave), expected, atol=2e-3)


def test_more_rounds_come_nearer():
    mel = Mel(8000, 64, 128)
    rng = np.random.default_rng(0)
    times = np.arange(4000) / 8000
    wave = sum(np.sin(2 * np.pi * hz * times + rng.random() * 6) for hz in (150, 300, 450, 1200)) / 8
    asked = mel.log_mel(wave)
    off = [np.abs(mel.log_mel(mel.wave(asked, rounds=n))[: len(asked)] - asked).mean() for n in (0, 4, 32)]
    assert off[2] < off[1] < off[0]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3000), st.floats(0, 1))
def test_any_length_and_loudness_gives_finite_frames_and_samples(samples, loud):
    mel = Mel(8000, 32, 128)
    wave = loud * np.random.default_rng(samples).uniform(-1, 1, samples)
    frames = mel.log_mel(wave)
    assert frames.shape == (mel.frames(samples), 32)
    assert np.isfinite(frames).all()
    again = mel.wave(frames, rounds=2)
    assert np.isfinite(again).all()
    assert len(again) == max(1, 128 * (len(frames) - 1))
