from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse import registry
from polyfuse.data.cells.source import Limits, Sound
from polyfuse.encoders.audio import statistics
from polyfuse.encoders.audio.statistics import Statistics


def told(sounds: list[torch.Tensor], rate: int = 8000, extra: int = 0) -> torch.Tensor:
    """One vector per sound, all in one batch."""
    lengths = torch.tensor([len(sound) for sound in sounds])
    wave = torch.zeros(len(sounds), int(lengths.max()) + extra)
    for row, sound in enumerate(sounds):
        wave[row, : len(sound)] = sound
    tokens = Statistics(rate=rate)({"wave": wave, "lengths": lengths}, torch.ones(len(sounds), dtype=torch.bool))
    assert tokens.x_BTD.shape[1] == 1
    return tokens.x_BTD[:, 0]


def noise(samples: int, seed: int = 0) -> torch.Tensor:
    return (torch.rand(samples, generator=torch.Generator().manual_seed(seed)) - 0.5) * 0.6


def tone(hertz: float, seconds: float = 0.5, rate: int = 8000) -> torch.Tensor:
    """Ten harmonics, as a voice has."""
    time = torch.arange(round(seconds * rate)) / rate
    return sum(torch.sin(2 * math.pi * hertz * n * time) / n for n in range(1, 11)) * 0.2  # type: ignore[return-value]


@settings(max_examples=25, deadline=None)
@given(
    rate=st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000]),
    samples=st.integers(1, 9000),
    level=st.sampled_from([0.0, 1e-5, 0.3, 1.0]),
    kind=st.sampled_from(["noise", "click", "constant", "square"]),
)
def test_any_sound_gives_finite_numbers_of_a_sane_size(rate, samples, level, kind):
    wave = {
        "noise": 2 * noise(samples),
        "click": torch.nn.functional.one_hot(torch.tensor(samples // 2), samples).float(),
        "constant": torch.ones(samples),
        "square": (torch.arange(samples) // 20 % 2) * 2.0 - 1,
    }[kind]
    x_UD = told([wave * level], rate)
    assert torch.isfinite(x_UD).all()
    assert x_UD.abs().max() < 30


@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(1, 4000), min_size=1, max_size=3), extra=st.integers(0, 3000))
def test_neither_padding_nor_neighbours_change_a_sound(lengths, extra):
    sounds = [noise(length, seed) for seed, length in enumerate(lengths)]
    together = told(sounds, extra=extra)
    for row, sound in enumerate(sounds):
        torch.testing.assert_close(together[row], told([sound])[0], atol=2e-3, rtol=1e-3)


def test_what_lies_behind_the_end_is_not_heard():
    wave = noise(4000)[None].repeat(2, 1)
    wave[1, 2000:] = 0
    fields = {"wave": wave, "lengths": torch.tensor([2000, 2000])}
    x_UD = Statistics(rate=8000)(fields, torch.ones(2, dtype=torch.bool)).x_BTD[:, 0]
    assert torch.equal(x_UD[0], x_UD[1])


def test_nothing_is_learnt_and_training_changes_nothing():
    encoder = Statistics(rate=8000)
    assert encoder.fixed
    assert list(encoder.parameters()) == []
    assert encoder.state_dict() == {}
    fields = {"wave": noise(3000)[None], "lengths": torch.tensor([3000])}
    everyone = torch.ones(1, dtype=torch.bool)
    assert torch.equal(encoder.train()(fields, everyone).x_BTD, encoder.eval()(fields, everyone).x_BTD)


@pytest.mark.parametrize("hertz", [110.0, 160.0, 220.0, 300.0])
def test_the_pitch_of_a_voice_is_among_the_statistics(hertz):
    encoder = Statistics(rate=16000)
    wave = tone(hertz, rate=16000)[None]
    _, power, _, mask = encoder.spectra(wave, torch.tensor([wave.shape[1]]))
    voice, weight = encoder.pitch(power, encoder.spectra.window, mask[..., None].float())
    found = (voice[0, :, 0] * weight[0, :, 0]).sum() / weight.sum()
    assert found.exp() == pytest.approx(hertz, rel=0.03)
    assert (told([tone(hertz, rate=16000)], 16000) - found).abs().min() < 1e-3


def test_loudness_moves_some_statistics_and_leaves_most():
    sound = tone(150) + noise(4000)
    change = (told([sound]) - told([sound / 2]))[0].abs()
    assert change.max() > 0.5, "the level is told"
    assert (change < 0.02).float().mean() > 0.6, "and most do not depend on it"


def test_silence_around_a_sound_changes_little_beside_another_sound():
    speech = torch.cat([tone(120, 0.2), noise(1600), tone(240, 0.2)])
    quiet = noise(1600, 7) * 1e-3
    other = torch.cat([tone(240, 0.2), noise(1600), tone(120, 0.2)])
    x_UD = told([speech, torch.cat([quiet, speech, quiet]), other])
    course = slice(20 * 6, 20 * 6 + 4 * 13)  # behind three quantiles, mean, deviation and change of 20 cepstra
    assert (x_UD[0, course] - x_UD[1, course]).norm() < 0.2 * (x_UD[0, course] - x_UD[2, course]).norm()


def test_a_sound_backwards_differs_in_its_course_and_hardly_in_its_mean():
    sound = torch.cat([tone(120), noise(4000)])
    x_UD = told([sound, sound.flip(0)])
    means, course = slice(60, 80), slice(120, 172)
    assert (x_UD[0, means] - x_UD[1, means]).abs().max() < 0.1
    assert (x_UD[0, course] - x_UD[1, course]).abs().max() > 0.3


@pytest.mark.parametrize("keywords", [{"bins": 42}, {"coefficients": 4}, {"coefficients": 41}])
def test_what_does_not_fit_is_refused(keywords):
    with pytest.raises(ValueError, match="expected a multiple of 8"):
        Statistics(rate=8000, **keywords)


def test_unseen_speakers_say_digits_that_it_tells_apart(real_data):
    """Half of the speakers teach, the other half are judged: nearest mean of standardised statistics."""
    import pandas as pd
    import soundfile

    table = pd.read_csv(real_data / "fsdd" / "table.csv")
    table = table[(table.split == "train") & table["take"].isin(range(10, 14)) & table.digit.isin([0, 1, 6, 8])]
    sounds = [torch.tensor(soundfile.read(real_data / "fsdd" / name, dtype="float32")[0]) for name in table.audio]
    x_UD, digit = told(sounds), torch.tensor(table.digit.to_numpy())
    seen = torch.tensor(table.speaker.isin(sorted(set(table.speaker))[:3]).to_numpy())
    x_UD = ((x_UD - x_UD[seen].mean(0)) / (x_UD[seen].std(0) + 1e-3)).clamp(-5, 5)
    centre = torch.stack([x_UD[seen & (digit == d)].mean(0) for d in (0, 1, 6, 8)])
    right = torch.tensor([0, 1, 6, 8])[torch.cdist(x_UD[~seen], centre).argmin(1)] == digit[~seen]
    assert right.float().mean() > 0.7


def test_long_sounds_are_heard_whole_and_a_few_at_a_time(monkeypatch):
    spec = Statistics.wants()
    wave = registry.transform(spec.transform)(**spec.keywords)
    rate = 8000
    calm = np.concatenate([0.1 * noise(12 * rate).numpy(), np.zeros(12 * rate, np.float32)])
    loud = np.concatenate([calm[: 12 * rate], 0.9 * tone(220, 12).numpy()])
    cells = [Sound(samples, rate) for samples in (calm, loud)]
    wave.fit(cells, {}, Limits())
    assert wave.seconds == 24
    fields = {n: torch.from_numpy(v) for n, v in wave.collate(wave.encode(cells, Limits())).items()}
    whole = Statistics(rate=rate)(fields, torch.ones(2, dtype=torch.bool)).x_BTD
    assert not torch.allclose(whole[0], whole[1], rtol=0.1)  # they differ behind 12 seconds alone
    monkeypatch.setattr(statistics, "AT_ONCE", 1)
    torch.testing.assert_close(Statistics(rate=rate)(fields, torch.ones(2, dtype=torch.bool)).x_BTD, whole)
