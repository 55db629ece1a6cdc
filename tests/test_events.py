"""Events from a table to a report: found in sounds and videos, bad cells named, windows of long recordings."""

from __future__ import annotations

import json
import random

import numpy as np
import pandas as pd
import pytest
import torch

import polyfuse as pf
from polyfuse.data.cells.source import BadCell, Limits, UnseenLabel
from polyfuse.data.cells.target_events import Events
from polyfuse.encoders.audio.windows import Windows
from polyfuse.evaluation.timelines import draw_events
from polyfuse.layers.timeline import mean_by_step
from polyfuse.metrics.events import count_onsets, count_segments
from polyfuse.metrics.tags import span_metrics
from polyfuse.recipe import RecipeError
from polyfuse.records import Tokens

RATE = 8000
TINY = ("training.epochs=20", "training.batch_size=8", "width=16", "preset=plain", "training.learning_rate=0.02")


def recording(rng, seconds=3.0):
    """A low and a high tone in noise, and when they sound."""
    wave, events = rng.normal(0, 0.01, int(seconds * RATE)), []
    for label, pitch in (("low", 300), ("high", 2000)):
        if rng.random() < 0.2:
            continue
        start = round(float(rng.uniform(0, seconds - 1)), 2)
        end = round(start + float(rng.uniform(0.4, 0.9)), 2)
        at = np.arange(int(start * RATE), int(end * RATE))
        wave[at] += 0.3 * np.sin(2 * np.pi * pitch * at / RATE)
        events.append({"start": start, "end": end, "label": label})
    return {"array": wave.astype(np.float32), "sampling_rate": RATE}, events


def recordings(rows=32, seed=0, **keywords):
    rng = np.random.default_rng(seed)
    made = [recording(rng, **keywords) for _ in range(rows)]
    return pd.DataFrame({"sound": [m[0] for m in made], "events": [m[1] for m in made]})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("events")
    narrow = [
        "inputs.audio.encoder.encoder={name: spectrogram_cnn, width: 8, bins: 16}",
        "inputs.audio.encoder.window=2",
        "inputs.audio.encoder.overlap=1",
        "inputs.audio.learning_rate=0.02",
        "outputs.events.head.step=0.1",
    ]
    model = pf.fit(recordings(), outputs=["events"], settings=[*TINY, *narrow], quiet=True)
    model.save(folder / "model")
    return model, folder


def test_events_are_inferred_learnt_judged_and_written(made):
    model, folder = made
    assert model.recipe.outputs["events"].head.name == "events"
    assert model.recipe.inputs["audio"].named == "windows"
    assert model.recipe.outputs["events"].head.keywords["inputs"] == ["audio"]
    report = model.evaluate(recordings(12, seed=1), verbose=False)
    found = report.outputs["events"]
    assert found.metrics["segment_f1"] > 0.7
    assert found.metrics["onset_f1"] > 0.5
    assert found.headline[0] == "segment_f1"
    assert {row["class"] for row in found.per_class} == {"low", "high"}
    page = (report.to_html(folder / "report.html"), (folder / "report.html").read_text())[1]
    assert 'class="timeline"' in page
    assert "high: " in page


def test_predictions_survive_saving_and_files(made):
    model, folder = made
    test = recordings(4, seed=2)
    own, again = (m.predict(test[["sound"]])["events"].tolist() for m in (model, pf.load(folder / "model")))
    assert own == again
    model.predict(test, to=folder / "out.csv")
    assert json.loads(pd.read_csv(folder / "out.csv").events[0]) == own[0]
    model.predict(test, to=folder / "out.jsonl")
    assert json.loads((folder / "out.jsonl").read_text().splitlines()[0])["events"] == own[0]


def test_a_table_of_text_says_the_same(made):
    model, _ = made
    test = recordings(6, seed=3)
    text = test.assign(events=[json.dumps(events) for events in test.events])
    one, other = (model.evaluate(t, verbose=False).outputs["events"].metrics for t in (test, text))
    assert one == other


def test_silence_and_missing_recordings_are_answered(made):
    model, _ = made
    table = recordings(2, seed=4)
    table["sound"] = [{"array": np.zeros(RATE, np.float32), "sampling_rate": RATE}, None]
    assert model.predict(table)["events"].tolist()[1] == []


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ([{"start": -1, "end": 1, "label": "low"}], "begins before"),
        ([{"start": 2, "end": 1, "label": "low"}], "ends before it begins"),
        ([{"start": 1, "end": 1, "label": "low"}], "ends before it begins, or lasts no time"),
        ([{"start": 0, "end": float("nan"), "label": "low"}], "expected seconds"),
        ([{"start": "soon", "end": 1, "label": "low"}], "expected seconds"),
        ([{"start": 0, "end": 1, "label": None}], "and a label"),
        ([{"start": 0, "end": 2, "label": "low"}, {"start": 1, "end": 3, "label": "low"}], "overlaps another"),
        ([{"start": 0, "end": 2}], "expected events"),
        ("no list", "expected events"),
        ([{"start": 0, "end": 1, "label": "middle"}], "'middle' was not seen in training; known: 'high', 'low'"),
    ],
)
def test_bad_cells_say_what_is_wrong(cell, reason):
    transform = Events()
    transform.fit([[{"start": 0, "end": 1, "label": k}] for k in ("low", "high")], {"e": "events"}, Limits())
    again = Events()
    again.restore(transform.state())
    (found,) = again.encode([cell], Limits())
    assert isinstance(found, BadCell)
    assert reason in str(found)
    assert isinstance(found, UnseenLabel) == ("middle" in reason)


def test_events_of_different_labels_may_overlap_and_nothing_may_happen():
    transform = Events()
    both = [{"start": 1.0, "end": 2.0, "label": "b"}, {"start": 0.5, "end": 1.5, "label": "a"}]
    transform.fit([both, "[]"], {"e": "events"}, Limits())
    arrays = transform.encode([both, [], "[]"], Limits())
    assert transform.decode(arrays) == [both[::-1], [], []]
    with pytest.raises(ValueError, match="no training row has an event"):
        Events().fit([[], "[]"], {"e": "events"}, Limits())


def test_bad_rows_are_counted_with_their_row_and_too_many_stop_the_run(made):
    model, _ = made
    test = recordings(30, seed=5)
    test.at[3, "events"] = [{"start": 2.5, "end": 9.0, "label": "low"}]
    test.at[7, "events"] = [{"start": 2.0, "end": 1.0, "label": "low"}]
    report = model.evaluate(test, verbose=False)
    assert report.outputs["events"].rows == 28
    said = {cell["row"].split(", ")[-1]: cell["reason"] for cell in report.broken["events"]}
    assert "lies beyond the end of 'sound', at 3.00 s" in said["row 3"]
    assert "ends before it begins" in said["row 7"]
    late = test.assign(events=[[{"start": 5.0, "end": 6.0, "label": "low"}]] * 30)
    with pytest.raises(ValueError, match="30 of 30 cells cannot be read"):
        model.evaluate(late, verbose=False)
    new = test.assign(events=[[{"start": 0.0, "end": 1.0, "label": "new"}]] * 30)
    with pytest.raises(ValueError, match="'new' was not seen in training"):
        model.evaluate(new, verbose=False)


def test_without_recordings_or_with_others_the_recipe_says_so():
    table = recordings(20).assign(area=np.arange(20.0) ** 2 % 7)
    with pytest.raises(RecipeError, match="no input is a sound or a video"):
        pf.fit(table, outputs=["events"], inputs=["area"], settings=TINY, quiet=True)
    with pytest.raises(RecipeError, match="'columns' is no input of sounds or videos"):
        pf.fit(
            table,
            outputs=["events"],
            inputs=["sound", "area"],
            settings=[*TINY, "outputs.events.head={name: events, inputs: [columns]}"],
            quiet=True,
        )


def test_explaining_and_exporting_refuse_events_by_name(made, tmp_path):
    model, _ = made
    with pytest.raises(ValueError, match="events"):
        model.export(tmp_path / "out")
    with pytest.raises(ValueError, match="events"):
        model.explain(recordings(2, seed=6))


@pytest.mark.slow
def test_events_of_a_video_are_told_by_the_pictures_of_a_time():
    rng = np.random.default_rng(0)
    clips = rng.integers(0, 60, (16, 20, 16, 16)).astype(np.uint8)
    starts = rng.integers(0, 12, 16)
    for clip, start in zip(clips, starts, strict=True):
        clip[start : start + 6] += 150
    events = [[{"start": int(s) / 10, "end": int(s + 6) / 10, "label": "light"}] for s in starts]
    table = pd.DataFrame({"film": list(clips), "events": [json.dumps(own) for own in events]})
    small = ["inputs.film.encoder={image: {name: resnet, width: 8, depth: 2}, frames: 20, over_time: gru}"]
    settings = [*TINY, *small, "training.epochs=30", "inputs.film.learning_rate=0.02"]
    model = pf.fit(table, outputs=["events"], inputs=["film@film=video"], settings=settings, quiet=True)
    assert model.recipe.inputs["film"].named == "frames"
    assert model.evaluate(table, verbose=False).outputs["events"].metrics["segment_f1"] > 0.8


@pytest.mark.parametrize("fusion", ["concat", "attention"])
def test_fusions_keep_the_time_of_tokens(fusion):
    table = recordings(8).assign(area=np.arange(8.0))
    narrow = ["inputs.audio.encoder.encoder={name: spectrogram_cnn, width: 8, bins: 16}", "training.epochs=1"]
    model = pf.fit(table, outputs=["events"], settings=[*TINY, *narrow, f"fusion={fusion}"], quiet=True)
    assert len(model.predict(table)["events"]) == 8


# ---- metrics: values of sed_eval 0.2.1 on the same draws


def drawn(rng, count):
    found = []
    for _ in range(count):
        start = round(rng.uniform(0, 9), 2)
        found.append({"start": start, "end": round(start + rng.uniform(0.1, 2.5), 2), "label": rng.choice("abc")})
    return found


def moved(rng, event):
    by = round(rng.uniform(-0.35, 0.35), 2)
    start, end = max(0, round(event["start"] + by, 2)), round(event["end"] + by + 0.3, 2)
    return {"start": start, "end": end, "label": event["label"] if rng.random() < 0.8 else rng.choice("abc")}


def test_metrics_are_those_of_sed_eval():
    rng = random.Random(0)
    for expected in SED_EVAL:
        true, said = [], []
        for _ in range(4):
            true.append(drawn(rng, rng.randint(1, 6)))
            own = [moved(rng, event) for event in true[-1] if rng.random() < 0.8]
            said.append(own + (drawn(rng, rng.randint(0, 2)) or drawn(rng, 1)))
        weights = np.ones(4)
        found = span_metrics(count_segments(true, said), weights, "segment")
        found |= span_metrics(count_onsets(true, said), weights, "onset")
        assert {name: float(found[name]) for name in expected} == pytest.approx(expected)


SED_EVAL = (
    {
        "segment_f1": 0.4,
        "segment_precision": 0.391304347826087,
        "segment_recall": 0.4090909090909091,
        "onset_f1": 0.10526315789473685,
        "onset_precision": 0.1111111111111111,
        "onset_recall": 0.1,
        "segment_macro_f1": 0.3731823731823732,
        "onset_macro_f1": 0.1111111111111111,
    },
    {
        "segment_f1": 0.5897435897435898,
        "segment_precision": 0.5348837209302325,
        "segment_recall": 0.6571428571428571,
        "onset_f1": 0.25,
        "onset_precision": 0.25,
        "onset_recall": 0.25,
        "segment_macro_f1": 0.5945508933624383,
        "onset_macro_f1": 0.25763125763125766,
    },
    {
        "segment_f1": 0.5714285714285715,
        "segment_precision": 0.5,
        "segment_recall": 0.6666666666666666,
        "onset_f1": 0.29629629629629634,
        "onset_precision": 0.2857142857142857,
        "onset_recall": 0.3076923076923077,
        "segment_macro_f1": 0.5792429792429793,
        "onset_macro_f1": 0.29052429052429046,
    },
)


def test_each_true_onset_answers_for_one_found():
    true = [[{"start": 1.0, "end": 2.0, "label": "a"}, {"start": 1.3, "end": 2.0, "label": "a"}]]
    said = [[{"start": 1.15, "end": 2.0, "label": "a"}, {"start": 0.85, "end": 2.0, "label": "a"}]]
    assert count_onsets(true, said).right_NL.sum() == 2
    assert count_onsets(true, [said[0][:1] * 2]).right_NL.sum() == 2
    assert count_onsets(true, [[{**said[0][0], "label": "b"}]]).right_NL.sum() == 0


# ---- time lines and windows


def test_tokens_fall_on_the_steps_they_cover():
    span_T2 = torch.tensor([[0.0, 1.0], [0.5, 1.0], [0.9, 0.91], [0.0, 0.25]])
    x_BTD = torch.tensor([[[1.0], [3.0], [8.0], [100.0]]])
    tokens = Tokens(x_BTD, torch.tensor([[True, True, True, False]]), span_BT2=span_T2[None])
    mean_BFD, known_BF = mean_by_step(tokens, 0.25, 5)
    assert mean_BFD[0, :, 0].tolist() == [1.0, 1.0, 2.0, 4.0, 0.0]
    assert known_BF[0].tolist() == [True, True, True, True, False]


def test_long_recordings_are_read_in_windows_that_agree_with_the_whole():
    torch.manual_seed(0)
    inner = {"name": "spectrogram_cnn", "width": 8, "bins": 16, "dropout": 0.0}
    encoder = Windows(rate=RATE, encoder=inner, window=2.0, overlap=0.5).eval()
    waves = torch.randn(2, 7 * RATE) * 0.1
    lengths = torch.tensor([7 * RATE, 3 * RATE])
    waves[1, 3 * RATE :] = 0
    tokens = encoder({"wave": waves, "lengths": lengths}, torch.ones(2, dtype=torch.bool))
    for row, seconds in enumerate((7.0, 3.0)):
        spans = tokens.span_BT2[row][tokens.mask_BT[row]]
        assert (spans[:, 0].diff() > 0).all()
        assert spans[0, 0] == 0
        assert spans[-1, 1] == pytest.approx(seconds)
        assert (spans[1:, 0] - spans[:-1, 1]).abs().max() < 0.02  # no moment is left out, and none told twice
    alone = encoder({"wave": waves[1:, : 3 * RATE], "lengths": lengths[1:]}, torch.ones(1, dtype=torch.bool))
    torch.testing.assert_close(tokens.x_BTD[1][tokens.mask_BT[1]], alone.x_BTD[0][alone.mask_BT[0]])
    with pytest.raises(ValueError, match="less than the window"):
        Windows.wants(overlap=10.0)
    with pytest.raises(ValueError, match="found"):
        Windows.wants(encoder={"width": 3})
    assert Windows.wants().keywords["longest"] == 600


def test_a_time_line_holds_both_sides():
    line = draw_events([{"start": 1, "end": 2, "label": "a"}], [{"start": 0, "end": 4, "label": "b"}], 5.0)
    assert (line.true[0].left, line.true[0].width, line.predicted[0].width) == (20.0, 20.0, 80.0)
    assert [said for _, said in line.ticks] == ["0 s", "1.25 s", "2.5 s", "3.75 s", "5 s"]
    assert draw_events(None, [], None).true is None
