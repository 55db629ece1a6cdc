"""The judge of texts."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.comparison.statistics import measure_method, p_value
from polyfuse.evaluation.judges import headline, judge, measure, text
from polyfuse.evaluation.outcome import Outcome, output_from_json
from polyfuse.evaluation.previews import CellPreview
from polyfuse.evaluation.report import Report
from polyfuse.evaluation.samples import samples
from tests.metrics.text.examples import REFERENCES, TEXTS

CAPTIONS = Outcome("text", REFERENCES, TEXTS)


def test_a_known_table():
    report = judge(CAPTIONS, bootstrap=200)
    assert report.headline[0] == "cider_d"
    assert report.metrics["cider_d"] == pytest.approx(1.7663655706737476)
    assert report.metrics["bleu_4"] == pytest.approx(0.4330005096876976)
    assert report.metrics["bleu"] == pytest.approx(0.3643137036393077)
    assert report.metrics["chrf"] == pytest.approx(0.5987416547832277)
    assert report.metrics["distinct_1"] == pytest.approx(26 / 33)
    assert report.metrics["same_text"] == pytest.approx(1 / 6)
    assert report.metrics["vqa_accuracy"] is None
    assert "Nothing was said to 1 row." in report.notes
    low, high = report.intervals["bleu_4"]
    assert low < report.metrics["bleu_4"] < high
    json.dumps(report.to_json(), allow_nan=False)


def test_a_row_is_shown_with_its_score_best_worst_and_by_chance():
    report = judge(CAPTIONS, bootstrap=0)
    assert report.score == pytest.approx([2.550930326, 4.047795052, 0.946267, 0.13471084, 0, 2.91849020])
    found = samples(
        "caption", CAPTIONS, report, lambda i: {"note": CellPreview("text", "a cell")}, worst=2, best=2, random=1
    )
    assert [(s.row, s.worst, s.best) for s in found[:4]] == [
        (4, True, False), (3, True, False), (1, False, True), (5, False, True)
    ]  # fmt: skip
    assert found[0].right is None
    assert (found[2].metric, found[2].score) == ("cider_d", pytest.approx(4.047795052))


def test_the_page_shows_references_texts_scores_and_decoding(tmp_path):
    outcome = replace(CAPTIONS, decoding={"beams": 4, "length_penalty": 0.6})
    report = judge(outcome, bootstrap=0)
    shown = samples("caption", outcome, report, lambda i: {}, worst=2, best=2)
    whole = Report(6, {"caption": report}, samples=shown, meta={"model": "m"})
    page = whole.to_html(tmp_path / "r.html").read_text(encoding="utf8")
    page = " ".join(page.split())
    for words in ("Best rows by CIDEr-D", "Worst rows by CIDEr-D", "Rows drawn by chance", "nothing was written",
                  '<div dir="auto">Two kids play on the swings.</div><div dir="auto">Two children',
                  "<dt>CIDEr-D</dt><dd>4.048</dd>", "answers made with beams 4, length_penalty 0.6"):  # fmt: skip
        assert words in page, words
    again = output_from_json(json.loads(json.dumps(report.to_json())))
    assert again.decoding == outcome.decoding
    assert again.metrics.keys() == report.metrics.keys()


def test_short_answers_are_right_or_wrong():
    outcome = Outcome("text", [["red"], ["Two"], ["blue car"], None], ["Red.", "two", "car", "x"])
    report = judge(outcome, bootstrap=0)
    assert report.headline[0] == "exact_match"
    assert report.metrics["exact_match"] == pytest.approx(2 / 3)
    assert report.metrics["token_f1"] == pytest.approx((1 + 1 + 2 / 3) / 3)
    assert report.score is None
    assert [s.right for s in samples("answer", outcome, report, lambda i: {})] == [False, True, True]
    np.testing.assert_array_equal(np.isnan(report.severity), [False, False, False, True])


def test_speech_is_counted_by_its_words_in_error():
    outcome = Outcome("text", [["One two three"], ["four"]], ["one, two four five", "Four."], reads=("audio",))
    report = judge(outcome, bootstrap=0)
    assert report.headline[0] == "wer"
    assert report.metrics["wer"] == pytest.approx(2 / 4)
    assert "WER: of 4 words 0 left out, 1 replaced, and 1 put in." in report.notes
    np.testing.assert_allclose(report.severity, [2 / 3, 0], atol=1e-5)


def test_the_metric_asked_for_comes_first_and_an_unknown_one_is_refused():
    report = judge(replace(CAPTIONS, metric="bleu_4"), bootstrap=0)
    assert report.headline[:2] == ("bleu_4", "cider_d")
    assert report.score[1] == pytest.approx(1.0, abs=0.5)
    with pytest.raises(ValueError, match="did you mean 'bleu_4'"):
        judge(replace(CAPTIONS, metric="bleu4"))
    number = judge(Outcome("number", [1.0, 2.0], [1.0, 3.0], metric="mae"), bootstrap=0)
    assert number.headline[0] == "mae"
    with pytest.raises(ValueError, match="metric of a number"):
        judge(Outcome("number", [1.0, 2.0], [1.0, 3.0], metric="wer"))


def test_what_would_be_quoted_is_known_before_anything_is_predicted():
    assert headline(Outcome("text", REFERENCES, []))[0] == "cider_d"
    assert headline(Outcome("text", [["seven"]], [], reads=("audio",)))[0] == "wer"
    assert headline(Outcome("text", [None], [], metric="cer"))[0] == "cer"
    assert headline(Outcome("number", [1.0], []))[0] == "r2"


def test_all_rows_with_one_text_raise_an_alarm():
    rows = [[f"a {noun} stands on the grass"] for noun in ("dog", "cat", "cow", "hen", "pig", "ox")]
    same = judge(Outcome("text", rows, ["a dog stands on the grass"] * 6), bootstrap=0)
    assert same.metrics["same_text"] == 1
    assert any(note.startswith("ALARM: 100.0 % of the rows get the same text") for note in same.notes)
    own = judge(Outcome("text", rows, [row[0] for row in rows]), bootstrap=0)
    assert not any("ALARM" in note for note in own.notes)
    yes = judge(Outcome("text", [["yes"]] * 5 + [["no"]], ["yes"] * 6), bootstrap=0)
    assert not any("ALARM" in note for note in yes.notes)


def test_the_baseline_always_says_one_text():
    report = judge(Outcome("text", [["yes"]] * 4 + [["no"]] * 2, ["no"] * 6), bootstrap=0)
    assert report.baseline.name == "always 'yes'"
    assert report.baseline.metrics["exact_match"] == pytest.approx(4 / 6)
    captions = judge(CAPTIONS, bootstrap=0).baseline
    assert captions.name.removeprefix("always ").strip("'\"") in {one for row in REFERENCES for one in row}
    assert captions.metrics["cider_d"] > 0


def test_chinese_is_counted_by_character_and_that_is_said():
    rows = [["两只狗在雪地里跑", "狗在雪地上跑。"], ["一个男人骑自行车", "一个人"]]
    report = judge(Outcome("text", rows, ["两只狗在雪地上奔跑。", "一个人。"]), bootstrap=0)
    assert report.metrics["bleu_1"] > 0.8
    assert any("single characters" in note for note in report.notes)
    spaced = [[" ".join(one) for one in row] for row in rows]
    assert not any("single characters" in n for n in judge(Outcome("text", spaced, ["两 只", "人"]), bootstrap=0).notes)


def test_weights_count_rows_as_if_repeated():
    weighted = judge(Outcome("text", REFERENCES, TEXTS, weights=np.array([1, 2, 1, 1, 1, 1])), bootstrap=0).metrics
    kept = measure(CAPTIONS)(np.array([1.0, 2, 1, 1, 1, 1]))
    for name in text.MEASURED:
        if weighted[name] is not None:
            assert weighted[name] == pytest.approx(float(kept[name])), name


def test_two_models_are_compared_on_the_same_rows():
    rows = [
        [f"a {a} {b} on the grass", f"the {b} {a}"] for a in ("red", "blue", "old") for b in ("dog", "cat", "ox", "hen")
    ]
    good = Outcome("text", rows, [row[0] for row in rows])
    bad = Outcome("text", rows, ["a dog"] * len(rows))
    for metric in ("cider_d", "bleu_4", "chrf", "wer"):
        one, other = (measure_method([outcome], metric, replicates=200) for outcome in (good, bad))
        assert p_value(one, other) < 0.05, metric
        assert one.interval is not None


TEXT = st.one_of(st.text(max_size=8), st.sampled_from(["a dog", "A dog.", "狗", "", "seven"]))
ROW = st.tuples(st.one_of(st.none(), st.just([]), st.lists(TEXT, min_size=1, max_size=4)), st.one_of(st.none(), TEXT))


@settings(deadline=None, max_examples=40)
@given(st.lists(ROW, max_size=6))
def test_any_table_gives_valid_json(rows):
    report = judge(Outcome("text", [t for t, _ in rows], [v for _, v in rows]), bootstrap=10)
    json.dumps(report.to_json(), allow_nan=False)
    assert set(report.metrics) == set(text.NAMES)
    for name, value in report.metrics.items():
        assert value is None or 0 <= value <= (
            10 if name == "cider_d" else np.inf if name in ("wer", "cer") else 1 + 1e-9
        )
