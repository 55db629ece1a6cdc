"""Judges of pictures and sounds: what is right is near its reference, what is always the same raises the alarm."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from polyfuse.comparison.store import _decode_media, _encode_media
from polyfuse.evaluation.judges import headline, judge, measure
from polyfuse.evaluation.judges import image as pictures
from polyfuse.evaluation.outcome import Outcome, to_plain_json
from polyfuse.evaluation.report import Report
from polyfuse.evaluation.samples import samples

RNG = np.random.default_rng(0)
BARS = [np.roll(np.repeat(np.arange(16, dtype=np.uint8) * 16, 16).reshape(16, 16), n, 0) for n in range(10)]


def noisy(picture: np.ndarray) -> np.ndarray:
    return np.clip(picture + RNG.normal(0, 10, picture.shape), 0, 255).astype(np.uint8)


def images(same: bool = False) -> Outcome:
    target = [noisy(BARS[n % 10]) for n in range(40)]
    value = [noisy(BARS[0] if same else BARS[n % 10]) for n in range(40)]
    return Outcome("image", [*target, None], [*value, value[0]], decoding={"steps": 16})


def sound(hz: float, seconds: float = 0.2) -> dict:
    times = np.arange(round(8000 * seconds)) / 8000
    wave = np.sign(np.sin(2 * np.pi * hz * times)) * np.hanning(len(times)) / 2
    return {"array": (wave + RNG.normal(0, 0.003, len(times))).astype(np.float32), "sampling_rate": 8000}


def sounds(same: bool = False) -> Outcome:
    pitches = [100 * 1.3 ** (n % 8) for n in range(16)]
    target = [sound(hz, 0.2 + 0.01 * (n % 3)) for n, hz in enumerate(pitches)]
    return Outcome("speech", [*target, None], [sound(100 if same else hz) for hz in pitches] + [sound(100)])


@pytest.mark.parametrize("made", [images, sounds])
def test_what_is_right_beats_what_is_always_the_same(made):
    outcome = made()
    right, same = judge(outcome, bootstrap=50), judge(made(same=True), bootstrap=50)
    assert right.rows == len(outcome.target) - 1
    assert right.metrics["match"] > 0.9
    assert same.metrics["match"] < 0.7
    assert right.metrics["variety"] > 0.5
    assert any("ALARM" in note for note in same.notes)
    assert not any("ALARM" in note for note in right.notes)
    main = right.headline[0]
    low, high = right.intervals[main]
    assert low <= right.metrics[main] <= high
    assert np.isnan(right.severity[-1])
    assert right.to_json()["baseline"]["match"] == 0.5
    weights = np.ones((1, right.rows))
    assert measure(outcome)(weights)[main][0] == pytest.approx(right.metrics[main])


def test_pictures_are_as_far_apart_as_frechet_says():
    right, same = judge(images(), bootstrap=0), judge(images(same=True), bootstrap=0)
    assert right.metrics["frechet_pixels"] < 0.1 * same.metrics["frechet_pixels"]
    assert right.metrics["frechet_efficientnet"] is None  # few rows


def test_features_of_the_starter_encoder_where_it_is_installed(monkeypatch):
    if pictures._network() is None:
        pytest.skip("needs the starter part efficientnet-lite0")
    monkeypatch.setattr(pictures, "ENOUGH", 10)
    monkeypatch.setattr(pictures, "MOST", 20)
    found = judge(images(), bootstrap=0)
    assert found.metrics["frechet_efficientnet"] < judge(images(True), bootstrap=0).metrics["frechet_efficientnet"]
    assert any("taken on 20 rows" in note for note in found.notes)


def test_without_the_starter_the_report_says_so(monkeypatch):
    monkeypatch.setattr(pictures, "ENOUGH", 10)
    monkeypatch.setattr(pictures, "_network", lambda: None)
    assert any("polyfuse[starter]" in note for note in judge(images(), bootstrap=0).notes)


def test_a_slow_answer_has_a_length_error_and_silence_is_judged():
    outcome = sounds()
    slow = [sound(100, 0.4) for _ in outcome.value]
    assert judge(replace(outcome, value=slow), bootstrap=0).metrics["length_error"] > 0.8
    silent = [{"array": np.zeros(10, np.float32), "sampling_rate": 8000} for _ in outcome.value]
    found = judge(replace(outcome, value=silent), bootstrap=0).metrics
    assert all(value is not None and np.isfinite(value) for value in found.values())


@pytest.mark.parametrize("task", ["image", "speech"])
def test_nothing_to_judge_is_no_error(task):
    report = judge(Outcome(task, [None, None], [None, None]))
    assert report.rows == 0
    assert headline(Outcome(task, [None], [None])) == report.headline


@pytest.mark.parametrize("made", [images, sounds])
def test_one_row_is_judged(made):
    outcome = made()
    one = replace(outcome, target=outcome.target[:1], value=outcome.value[:1])
    assert judge(one, bootstrap=10).metrics["match"] is None


@pytest.mark.parametrize("made", [images, sounds])
def test_reports_show_what_was_made_beside_the_reference(made, tmp_path):
    outcome = made()
    found = judge(outcome, bootstrap=0)
    report = Report(41, {"y": found}, samples=samples("y", outcome, found, lambda row: {}))
    text = report.to_html(tmp_path / "report.html").read_text(encoding="utf8")
    kind = "image/png" if made is images else "audio/wav"
    assert text.count(f"data:{kind};base64,") == 2 * len(report.samples)
    assert "Made" in text
    assert "[[" not in text


@pytest.mark.parametrize("made", [images, sounds])
def test_a_comparison_keeps_what_was_made_as_it_was(made):
    outcome = made()
    again = [_decode_media(to_plain_json(_encode_media(value))) for value in outcome.target]
    for one, other in zip(outcome.target, again, strict=True):
        one, other = (side["array"] if isinstance(side, dict) else side for side in (one, other))
        assert one is other is None or np.array_equal(one, other)
