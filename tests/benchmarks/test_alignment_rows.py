"""The rows of ``alignment.py``: figures as the page counts them, and a row at tiny size."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import alignment
import alignment_digits
import alignment_emoji
import alignment_flickr
import alignment_run
import common
import defaults_run


def _made(recall: float, size: int = 100) -> dict:
    metrics = {f"recall@{k}": min(1.0, recall * k) for k in (1, 5, 10)}
    both = [("image", "text"), ("text", "image")]
    kept = {"queries": 5, "size": size, "metrics": metrics, "intervals": {"recall@10": [0.1, 0.2]}}
    return {
        "alignment": [{"query": one, "gallery": two, **kept} for one, two in both],
        "training_seconds": 1.0,
        "seconds": 2.0,
        "machine": "a machine",
        "date": "2026-01-01",
    }


def test_recall_is_shown_in_percent_with_its_spread():
    pair = ("image", "text")
    assert alignment_run.format_recalls([_made(0.05)], pair) == "5.0 / 25.0 / 50.0"
    assert alignment_run.format_recalls([_made(0.05), _made(0.07)], pair).startswith("6.0 ± 1.4 / ")
    with pytest.raises(KeyError):
        alignment_run.finding(_made(0.05), ("image", "sound"))


def test_chance_is_that_of_a_random_order():
    pair = ("image", "text")
    assert alignment_run.chance(_made(0, size=100), pair) == pytest.approx(10)
    rng = np.random.default_rng(0)
    met = [(rng.permutation(40)[:10] < 5).any() for _ in range(4000)]
    assert alignment_run.chance(_made(0, size=40), pair, belonging=5) == pytest.approx(100 * np.mean(met), abs=2.5)
    assert alignment_run.chance(_made(0, size=4), pair) == pytest.approx(100)


def test_precision_counts_the_class_of_the_first_ten():
    gallery = np.array([[1.0, 0.0]] * 10 + [[0.0, 1.0]] * 10)
    known = np.array([0] * 9 + [1] * 11)
    query, asked = np.array([[1.0, 0.1], [0.1, 1.0]]), np.array([0, 1])
    assert alignment_digits.precision(query, gallery, asked, known) == pytest.approx(0.95)


def test_the_page_says_what_is_not_measured(tmp_path):
    key = "flickr_en/pooled picture, universal/0"
    (tmp_path / "alignment.json").write_text(json.dumps({key: _made(0.05)}))
    assert alignment.main(["--page", "--to", str(tmp_path)]) == 0
    text = (tmp_path / "alignment.md").read_text()
    assert "5.0 / 25.0 / 50.0" in text
    assert "| to reach | 28 / 55 / 68 | 22 / 50 / 63 |" in text
    assert "Not measured: words beside; MiniLM beside; " in text
    assert "Not measured yet: photographs and Chinese captions, one model for both languages" in text
    assert "a machine; 2026-01-01" in text


def test_every_step_changes_something_of_the_one_before():
    for language in alignment_flickr.LANGUAGES:
        steps = list(alignment_flickr.steps(language).values())
        assert steps[0] == {}
        assert all(steps[1:])
        column = f"captions_{language}"
        changes: dict = {"text": [alignment_flickr.SENTENCES], "picture": alignment_flickr.POOLED}
        seen = []
        for step in steps:
            changes |= step
            rest = {key: value for key, value in changes.items() if key not in ("text", "picture")}
            made = alignment_flickr.settings({"text": changes["text"]}, [column], changes["picture"], **rest)
            assert made["data"]["explode"] == [column]
            seen.append(json.dumps(made, sort_keys=True))
        assert len(set(seen)) == len(steps)


def test_compositions_are_new_only_as_a_whole():
    names = ["elf", "elf: dark skin tone", "fox: red", "door", "elf: light skin tone"]
    frame = pd.DataFrame({"name_en": names, "split": ["train", "test", "test", "test", "val"]})
    assert list(alignment_emoji.compositions(frame).name_en) == ["elf: dark skin tone"]


class _Aligned:
    """A model whose pictures lie where their number says, and whose texts ask for the last."""

    def embed(self, frame: pd.DataFrame, of: str) -> np.ndarray:
        angle = np.linspace(0, 1, len(frame)) if of == "picture" else np.ones(1)
        return np.stack([np.cos(angle), np.sin(angle)], 1)


def test_results_of_queries_are_drawn_best_first(write_image, tmp_path):
    cells = [{"bytes": write_image(tmp_path / f"{n}.png", (9, 9), n).read_bytes()} for n in range(3)]
    names = ["first", "second", "<third>"]
    frame = pd.DataFrame({"image": cells, "name_en": names, "name_zh": names, "split": ["train", "train", "test"]})
    drawn = alignment_emoji.drawing(_Aligned(), frame, ["a & b", "狗"])
    assert drawn.index("&lt;third&gt;") < drawn.index("second") < drawn.index("first")
    assert "a &amp; b" in drawn
    assert "狗" in drawn
    assert drawn.count("#2563eb") == 2
    assert "http" not in drawn.replace("http://www.w3.org/2000/svg", "")


def test_a_pair_of_digits_is_of_one_class_and_on_one_side(real_data):
    frame = alignment_digits.pairs(quick=True)
    spoken = frame.audio.map(lambda path: int(Path(path).name.partition("_")[0]))
    assert (spoken == frame.digit).all()
    assert set(frame.audio[frame.split == "test"]).isdisjoint(frame.audio[frame.split == "train"])
    assert set(frame.split) == {"train", "val", "test"}
    again = alignment_digits.pairs(quick=True)
    assert list(again.audio) == list(frame.audio)


def test_a_row_at_tiny_size(real_data, tmp_path, monkeypatch):
    monkeypatch.setenv("POLYFUSE_CACHE", str(tmp_path / "cache"))
    arguments = ["digits", "--quick", "--to", str(tmp_path), "--work", str(tmp_path / "work")]
    assert alignment.main(arguments) == 0
    (kept,) = json.loads((tmp_path / "alignment.json").read_text()).values()
    assert set(alignment_digits.MEASURED) <= set(kept)
    assert "Written and spoken digits" in (tmp_path / "alignment.md").read_text()
    monkeypatch.setattr(alignment_run.pf, "fit", lambda *_, **__: pytest.fail("a kept measurement was made again"))
    assert alignment.main(arguments) == 0


def test_a_training_that_was_stopped_is_not_kept(tmp_path, monkeypatch):
    stopped = SimpleNamespace(evaluation=object(), facts={"training": {"interrupted": True}})
    monkeypatch.setattr(alignment_run.pf, "fit", lambda *_, **__: stopped)
    run = defaults_run.Run(common.Results(str(tmp_path / "kept")), tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run.kept("row/0", lambda: alignment_run.align(run, pd.DataFrame(), {}, 0)[1])
    assert not (tmp_path / "kept.json").exists()


@pytest.mark.slow
def test_other_rows_at_tiny_size(real_data, tmp_path, monkeypatch):
    monkeypatch.setenv("POLYFUSE_CACHE", str(tmp_path / "cache"))
    rows = ["flickr_zh", "flickr_both", "emojis", "worth"]
    assert alignment.main([*rows, "--quick", "--to", str(tmp_path), "--work", str(tmp_path / "work")]) == 0
    text = (tmp_path / "alignment.md").read_text()
    assert all(title in text for title in ("Chinese captions", "both languages", "Emoji", "worth"))
    assert common.BEGIN in text
