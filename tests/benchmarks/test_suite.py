"""The suite: fixed halves, splits that hold, baselines that find what is there, differences with their errors."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("sklearn")

from benchmarks.suite import HALVES, baselines, features, halves, page, run, sources, tables
from benchmarks.suite.halves import draw
from benchmarks.suite.page import Line, difference, replace_section, section
from benchmarks.suite.table import Table, held_out, inner


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "CACHE", tmp_path)
    return tmp_path


def mini(rows: int = 200, kind: str = "several", **options) -> Table:
    """A number and a text that each tell half of the label, and a category that tells nothing."""

    def make() -> pd.DataFrame:
        generator = np.random.default_rng(0)
        label = generator.integers(0, 2, rows)
        number = label + generator.normal(0, 0.7, rows)
        words = [
            ("good" if value else "bad") if heard else "so" for value, heard in zip(label, number > 0, strict=True)
        ]
        place = generator.choice(["here", "there"], rows)
        who = generator.integers(0, 20, rows)
        data = {"number": number, "place": place, "text": words, "who": who, "label": label}
        return pd.DataFrame(data).drop(columns=[] if options.get("group") else "who")

    return Table("mini", kind, "label", "classification", make, {"text": ["text"]}, **options)


def test_halves_are_disjoint_complete_and_balanced():
    known, found = tables(), halves()
    assert not set(found["choose"]) & set(found["report"])
    assert set(found["choose"]) | set(found["report"]) == set(known)
    assert len(known) >= 36
    for kind, count in Counter(item.kind for item in known.values()).items():
        here = sum(known[name].kind == kind for name in found["choose"])
        assert abs(2 * here - count) <= 2, kind


def test_no_source_stands_in_both_halves():
    known = tables()
    families = [{known[name].family for name in names} for names in halves().values()]
    assert not families[0] & families[1]


def test_a_new_table_moves_no_other():
    kept = json.loads(HALVES.read_text(encoding="utf8"))
    known = dict(tables(), mini=mini())
    found = draw(known, kept)
    moved = [name for half in kept for name in kept[half] if name not in found[half]]
    assert not moved
    assert sum("mini" in names for names in found.values()) == 1


def test_split_is_fixed_stratified_and_near_a_quarter(cache):
    frame = mini().load()
    again = mini().split(mini().make())
    assert (frame.split == again.split).all()
    shares = frame.groupby("label").split.apply(lambda split: (split == "test").mean())
    assert shares.between(0.24, 0.26).all()


def test_groups_stay_on_one_side(cache):
    item = mini(group="who")
    frame = inner(item)
    assert frame.groupby("who").split.nunique().max() == 1
    assert 0.1 < held_out(frame, item, 5).mean() < 0.4


def test_inner_judging_reads_no_test_row(cache):
    item = mini()
    frame = item.load()
    train = frame[frame.split == "train"]
    left = inner(item)
    assert len(left) == len(train)
    assert set(left.number) == set(train.number)
    assert (left.split == "test").mean() == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("group", [None, "who"])
def test_rows_that_a_cap_leaves_over_judge_but_never_train(cache, group):
    item = mini(train_rows=60, group=group)
    frame, left = item.load(), inner(item)
    known = set(frame[frame.split == "train"].number)
    assert len(known) == 60
    assert set(left[left.split == "train"].number) <= known
    assert set(left[left.split == "test"].number) - known
    assert not set(left.number) & set(frame[frame.split == "test"].number)
    assert group is None or left.groupby(group).split.nunique().max() == 1


def test_baselines_find_what_is_there(cache, monkeypatch):
    monkeypatch.setattr(baselines, "TREES", 10)
    item = mini(120)
    found = baselines.run(item, item.load())
    assert set(found["test"]) == {"linear", "forest", "boosting", "tf-idf", "late mean"}
    assert found["test"][found["chosen"]] > 0.8
    assert found["cv"][found["chosen"]] == max(found["cv"].values())


def test_regression_is_judged_by_r2():
    truth = np.array([1.0, 2.0, 3.0])
    assert baselines.score("regression", truth, truth) == 1
    assert baselines.score("regression", truth, np.full(3, 2.0)) == 0


def test_sounds_and_pictures_become_features(write_sound, write_image, tmp_path):
    sound = features.sound(write_sound(tmp_path / "a.wav", 0.3).read_bytes())
    picture = features.picture(write_image(tmp_path / "a.png", (20, 12)).read_bytes())
    assert np.isfinite(sound).all()
    assert np.isfinite(picture).all()
    assert sound.shape == features.sound(None).shape
    assert picture.shape == features.picture(None).shape


def test_an_edge_shows_in_the_gradients_of_its_direction(tmp_path):
    grey = np.zeros((64, 64))
    grey[:, 32:] = 1
    across = features._gradients(grey, 8, 9).reshape(64, 9).sum(0)
    along = features._gradients(grey.T, 8, 9).reshape(64, 9).sum(0)
    assert across.argmax() == 0
    assert along.argmax() in (4, 5)


def test_difference_is_paired_over_rows_and_counts_seeds():
    base = np.array([1.0, 0, 1, 0] * 25)
    same, nothing = difference(base, np.stack([base, base]))
    assert (same, nothing) == (0, 0)
    better = np.stack([base * 0, base * 0])
    ahead, error = difference(base, better)
    assert ahead == pytest.approx(0.5)
    assert error == pytest.approx(np.sqrt(base.var(ddof=1) / 100))
    _, wider = difference(base, np.stack([base * 0, base]))
    assert wider > difference(base, np.stack([base, base]))[1]


def test_page_counts_losses_and_replaces_only_its_section():
    item = Table("mini", "text", "label", "classification", lambda: pd.DataFrame(), {"text": ["text"]})
    lost = Line(item, 200, {"tf-idf": 0.9}, "tf-idf", [0.7, 0.72], -0.19, 0.02, (10, 2))
    item = Table("wide", "columns", "label", "regression", lambda: pd.DataFrame())
    won = Line(item, 300, {"linear": 0.3, "forest": 0.5}, "forest", [0.6], 0.1, 0.04, (10, 2))
    text = section([won], "One", "2 cores")
    assert "| wide | 300 | columns | R2 | linear 0.300, **forest 0.500** | 0.600 | +2.5 | 10; 2 |" in text
    assert "by more than two on 1 (mini)" in page.summary([lost, won])
    assert "(none)" in page.summary([won])
    written = replace_section("# Defaults\n\n## Presets\n\nkept\n", "One", text)
    again = replace_section(written, "One", section([won], "One", "4 cores"))
    assert "kept" in again
    assert "4 cores" in again
    assert "2 cores" not in again
    assert again.count("### One") == 1


def test_each_input_alone_is_compared_with_all_together(cache, monkeypatch):
    monkeypatch.setattr(page, "inputs_of", lambda name: ["columns", "text"] if name == "mini" else [])
    place = run.folder("now", "inner")
    place.mkdir(parents=True)
    wrong = {"mini-0": [0, 0, 1, 1] * 25, "mini-0-columns": [0, 1, 1, 1] * 25, "mini-0-text": [0, 0, 0, 0] * 25}
    for name, errors in wrong.items():
        row = {"test": {"polyfuse": 1 - np.mean(errors)}}
        (place / f"{name}.json").write_text(json.dumps(row), encoding="utf8")
        np.savez(place / f"{name}.npz", polyfuse=np.array(errors, np.float32))
    text = page.single_inputs_table(["mini", "other"], "now", "inner", [0, 1])
    assert "on 1 of 1 tables (mini)" in text
    assert "| mini | columns 0.250, **text 1.000** | 0.500 | -" in text


def test_only_tables_of_several_modalities_are_run_by_input(cache, monkeypatch):
    items = {"mini": mini(), "plain": mini(kind="text")}
    monkeypatch.setattr(run, "tables", lambda: items)
    assert run.inputs_of("mini") == ["columns", "text"]
    assert run.inputs_of("plain") == []


def test_a_row_that_is_there_is_not_run_again(cache):
    place = run.folder("baselines", "inner") / "wine-0"
    place.parent.mkdir(parents=True)
    place.with_suffix(".json").write_text("{}")
    assert run.run(run.Job("wine", "baselines", 0, "inner", place, {}), 1) == "there"


@pytest.mark.parametrize(
    ("name", "rows", "width"), [("wine", 178, 13), ("diabetes", 442, 10), ("breast_cancer", 569, 30)]
)
def test_tables_of_scikit_learn_have_the_declared_shape(cache, name, rows, width):
    item = tables()[name]
    frame = item.load()
    assert len(frame) == rows
    assert len(item.inputs(frame)["columns"]) == width
    assert set(frame.split) == {"train", "test"}


def test_tables_of_the_shared_sets_are_cut_as_declared(cache, real_data, monkeypatch):
    monkeypatch.setattr(sources, "DATA", real_data)
    item = tables()["digits_unseen_100"]
    frame = item.load()
    assert (frame.split == "train").sum() == 100
    assert frame.groupby("speaker").split.nunique().max() == 1
    assert frame.audio.map(lambda cell: cell[:4] == b"RIFF").all()
