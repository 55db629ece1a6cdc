"""An index end to end: made, asked in every way, added to, deleted from, opened by others, and what cannot be."""

from __future__ import annotations

import errno
import json
import shutil

import numpy as np
import pandas as pd
import pytest

import polyfuse as pf
from polyfuse.search.store import SearchError
from tests.search.conftest import needs_store
from tests.tiny import FAST

pytestmark = needs_store


def test_words_find_the_pictures_that_they_fit(index, world):
    found = index.search("bright loud morning", find="photo", k=10)
    assert len(found) == 10
    assert found.score.is_monotonic_decreasing
    assert (found.found == "photo").all()
    assert (found.label == "a").mean() >= 0.8
    assert {"row", "id", "area", "kind", "price", "split"} <= set(found)


def test_every_way_to_ask(index, world):
    _, table, folder = world
    frame = pd.read_csv(table)
    dark = int(frame.index[(frame.label == "b") & frame.photo.notna() & frame.sound.notna()][0])
    by_picture = index.search(image=folder / frame.photo[dark], find="words", k=10)
    assert (by_picture.label == "b").mean() >= 0.8
    by_sound = index.search(audio=str(folder / frame.sound[dark]), k=10)
    assert set(by_sound.found) <= {"photo", "words"}
    best = index.search("dark quiet evening", k=1)
    number = int(best.row[0])
    assert best.price[0] == frame.price[number]  # counted from 0, as predictions are
    by_row = index.search(row=number, k=60)
    assert number not in by_row.row.tolist()
    assert len(by_row) == 59
    one = index.search("bright loud morning", image=folder / frame.photo[dark], find="photo", k=5)
    other = index.search(
        "bright loud morning", image=folder / frame.photo[dark], weights={"photo": -1.0}, find="photo", k=5
    )
    assert one.id.tolist() != other.id.tolist()


def test_rows_of_one_list_are_one_result_where_they_share_the_cell_that_was_found(world, tmp_path):
    _, path, folder = world
    frame = pd.read_csv(path).assign(photo=lambda f: str(folder) + "/" + f.photo)
    frame["says"] = [[f"{words} one", f"{words} two"] for words in frame.words]
    settings = (*FAST, "data.explode=says")
    model = pf.fit(
        frame, inputs=["photo@photo=image", "says@says=text"], align="photo,says", settings=settings, quiet=True
    )
    made = pf.index(model, frame, to=tmp_path / "i")
    assert len(made) == 120
    pictures = made.search("bright loud morning", k=15)
    assert len(pictures) == pictures.row.nunique() == 15
    every = made.search("bright loud morning", k=500)
    assert len(every) == frame.photo.notna().sum()
    texts = made.search(image=frame.photo[4], find="says", k=500)
    assert len(texts) == 120  # two captions are two things
    by_row = made.search(row=7, find=["photo", "says"], k=500)
    assert 7 not in by_row.row.tolist()
    made.add(frame.head(3))
    with pytest.raises(SearchError, match="2 rows of different tables of number 1"):
        made.search(row=1)


def test_filters_keep_exactly_what_they_say(index):
    found = index.search("bright loud morning", where="area > 2 and split == 'test'", k=60)
    assert (found.area > 2).all()
    assert (found.split == "test").all()
    frame = index.search("bright loud morning", k=60)
    assert len(found) == ((frame.area > 2) & (frame.split == "test")).sum()
    assert len(index.search("x", where="area > 1e9")) == 0


def test_changes_are_seen_by_whoever_searches(world, tmp_path):
    model, table, _ = world
    made = pf.index(model, table, to=tmp_path / "i")
    other = pf.Index.open(tmp_path / "i")
    assert len(other.search("morning", k=100)) == 60
    more = pd.read_csv(table).head(4).assign(kind="new")
    made.add(more, media_root=table.parent)
    assert len(other) == 64
    assert (other.search("morning", k=100, where="kind == 'new'").kind == "new").sum() == 4
    assert other.delete(where="kind == 'new'") == 4
    assert made.delete(ids=[int(made.search("morning", k=1).id[0])]) == 1
    made.compact()
    assert len(made.search("morning", k=100)) == len(other.search("morning", k=100)) == 59
    assert made.delete(ids=[17]) == 0


def test_an_index_needs_nothing_but_its_folder(index, world):
    found = pf.Index.open(world[2] / "i").search("dark quiet evening", k=3)
    again = index.search("dark quiet evening", k=3)
    assert found.id.tolist() == again.id.tolist()
    assert np.allclose(found.score, again.score, atol=1e-6)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "nothing is asked"),
        ({"text": "x", "k": 0}, "expected at least 1"),
        ({"text": "x", "where": "yaer > 3"}, "no column 'yaer'"),
        ({"text": "x", "find": "video"}, "expected some of photo, words, sound; found video"),
        ({"text": "x", "by": "photo"}, "no aligned input of texts; expected one of words"),
        ({"text": "x", "weights": {"photo": 2.0}}, "'photo' is not asked with; expected words"),
        ({"image": "nowhere.png"}, "the query for 'photo' cannot be read"),
        ({"image": b"no picture"}, "the query for 'photo' cannot be read"),
        ({"row": 4000}, "no row of number 4000"),
        ({"id": 5}, "no row with id 5"),
        ({"cells": {"area": 3}}, "does not align 'area'"),
    ],
)
def test_questions_that_cannot_be_answered_say_why(index, asked, message):
    with pytest.raises(SearchError, match=message):
        index.search(**asked)


def test_folders_that_are_no_index_say_so(world, index, tmp_path):
    model, table, folder = world
    with pytest.raises(SearchError, match="holds no index"):
        pf.Index.open(tmp_path)
    with pytest.raises(SearchError, match="holds something already"):
        pf.index(model, table, to=folder / "i")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "index.json").write_text("{")
    with pytest.raises(SearchError, match="damaged"):
        pf.Index.open(tmp_path / "broken")
    plain = pf.fit(table, outputs=["label"], inputs=["area"], split="split", settings=FAST, quiet=True)
    with pytest.raises(SearchError, match="aligns no inputs"):
        pf.index(plain, table, to=tmp_path / "none")
    with pytest.raises(SearchError, match="another model"):
        pf.Index.open(folder / "i").check(plain.bundle)


def test_an_empty_index_says_how_to_go_on(world, tmp_path):
    model, table, folder = world
    made = pf.index(model, pd.read_csv(table).head(3), to=tmp_path / "i", media_root=folder)
    assert made.delete(where="row >= 0") == 3
    with pytest.raises(SearchError, match="has no rows: add some, polyfuse index"):
        made.search("morning")
    made.compact()
    assert made.add(pd.read_csv(table).tail(2), media_root=folder) == 2
    assert len(made.search("morning", k=1000, find="words")) == 2  # k above the size: all there are
    with pytest.raises(ValueError, match="has no rows"):
        pf.index(model, pd.read_csv(table).head(0), to=tmp_path / "none", media_root=folder)


def damaged(folder, pattern, how):
    for file in sorted(folder.rglob(pattern)):
        if file.is_file():
            file.write_bytes(b"" if how == "empty" else file.read_bytes()[:100] + b"\0" * 200)


@pytest.mark.parametrize("how", ["empty", "overwritten"])
@pytest.mark.parametrize("pattern", ["data/*", "weights.safetensors", "*.manifest", "index.json"])
def test_a_damaged_file_is_an_error_that_says_what(index, world, tmp_path, pattern, how):
    shutil.copytree(world[2] / "i", tmp_path / "i")
    shutil.rmtree(tmp_path / "i" / "derived")
    damaged(tmp_path / "i", pattern, how)
    with pytest.raises(ValueError, match=r"damaged|cannot be read|can be read|checksum"):  # SearchError, BundleError
        pf.Index.open(tmp_path / "i").search("morning")


@pytest.mark.parametrize("pattern", ["*.half", "*.full", "ids", "facts.json"])
def test_what_is_derived_may_be_damaged_and_is_made_again(index, world, tmp_path, pattern):
    shutil.copytree(world[2] / "i", tmp_path / "i")
    damaged(tmp_path / "i" / "derived", pattern, "overwritten")
    found = pf.Index.open(tmp_path / "i")
    assert found.search("morning", k=60).id.tolist() == index.search("morning", k=60).id.tolist()
    assert "damaged" in " ".join(found.notes)


def test_a_full_disk_changes_nothing_and_says_so(world, tmp_path, monkeypatch):
    model, table, folder = world
    made = pf.index(model, table, to=tmp_path / "i")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(made._shelf.store._table, "add", full)
        with pytest.raises(SearchError, match=r"nothing was changed .*the disk is full, make room and try again"):
            made.add(pd.read_csv(table).head(4), media_root=folder)
        patch.setattr(made._shelf.store._table, "delete", full)
        with pytest.raises(SearchError, match="the disk is full"):
            made.delete(where="row == 3")
        assert len(made.search("morning", k=100, find="words")) == 59
        patch.setattr("polyfuse.search.store.Store.add", full)
        patch.setattr("polyfuse.search.index.ROWS", 20)
        with pytest.raises(OSError, match="No space"):
            pf.index(model, table, to=tmp_path / "other")
    assert len(pf.index(model, table, to=tmp_path / "other")) == 60  # nothing was left behind
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "index.json.part").write_text("{}")
    with pytest.raises(SearchError, match="broken off: remove it"):
        pf.index(model, table, to=tmp_path / "half")


def test_tables_of_other_columns_can_be_added(world, tmp_path):
    model, table, folder = world
    made = pf.index(model, table, to=tmp_path / "i")
    more = pd.read_csv(table).head(5).drop(columns=["area", "kind"]).assign(colour="red")
    assert made.add(more, media_root=folder) == 5
    assert "left out: colour" in " ".join(made.notes)
    assert "lack are missing: area, kind" in " ".join(made.notes)
    assert made.search("morning", k=100, find="words").area.isna().sum() >= 4


def test_an_index_of_before_sounds_were_kept_can_be_added_to(world, tmp_path, monkeypatch):
    model, table, folder = world
    with monkeypatch.context() as patch:
        patch.setattr("polyfuse.search.index.make_thumbnails", lambda *_: {})
        made = pf.index(model, table, to=tmp_path / "i")
    assert made.add(pd.read_csv(table).head(5), media_root=folder) == 5
    assert made.notes == []


def test_how_many_cells_may_be_broken_is_asked(world, tmp_path):
    model, table, folder = world
    frame = pd.read_csv(table)
    frame.loc[10:40, "photo"] = "nowhere.png"
    with pytest.raises(ValueError, match="max_broken"):
        pf.index(model, frame, to=tmp_path / "i", media_root=folder)
    made = pf.index(model, frame, to=tmp_path / "i", media_root=folder, max_broken=1)
    with pytest.raises(ValueError, match="max_broken"):
        made.add(frame, media_root=folder)
    assert made.add(frame, media_root=folder, max_broken=1) == 60
    for ask in (lambda m: model.embed(frame, of="photo", media_root=folder, max_broken=m),
                lambda m: model.zero_shot(frame, ["a", "b"], media_root=folder, max_broken=m)):  # fmt: skip
        with pytest.raises(ValueError, match="max_broken"):
            ask(None)
        assert len(ask(1.0)) == 60


def test_the_device_is_chosen(world, index):
    model, table, folder = world
    with pytest.raises(ValueError, match="device"):
        pf.Index.open(folder / "i", device="nonsense").search("morning")
    with pytest.raises(ValueError, match="device: is for the folder of a model"):
        pf.index(model, table, to=folder / "x", device="cpu")
    assert len(pf.Index.open(folder / "i", device="cpu").search("morning", k=3)) == 3


def test_labels_never_trained_on_are_told_by_their_names(world):
    model, table, _ = world
    found = model.zero_shot(table, ["bright loud morning", "dark quiet evening"], ["{}", "{} number 3 of many"])
    frame = pd.read_csv(table)
    known = frame.photo.notna().to_numpy()
    right = np.where(found.label == "bright loud morning", "a", "b") == frame.label
    assert right[known].mean() >= 0.9
    assert found.label[~known].isna().all()
    assert np.allclose(found.filter(like="p_").sum(1)[known], 1, atol=1e-5)
    with pytest.raises(SearchError, match="two or more different"):
        model.zero_shot(table, ["one"])
    with pytest.raises(SearchError, match="templates"):
        model.zero_shot(table, ["one", "two"], ["no place"])


def test_the_command_line_does_all_of_it(world, tmp_path, capsys):
    from typer.testing import CliRunner

    from polyfuse.cli import app

    _, table, folder = world
    run = CliRunner()

    def said(*arguments):
        result = run.invoke(app, [str(a) for a in arguments])
        assert result.exit_code == 0, result.output
        return result.stdout

    made = json.loads(said("index", folder / "m", table, "--to", tmp_path / "i", "--json"))
    assert made["rows"] == 60
    found = json.loads(
        said("search", tmp_path / "i", "bright loud morning", "-k", 3, "--json", "--html", tmp_path / "p.html")
    )
    assert len(found) == 3
    page = (tmp_path / "p.html").read_text(encoding="utf8")
    assert page.count("<img") == 3
    assert "bright loud morning" in page
    assert "score" in said("search", tmp_path / "i", "--row", found[0]["row"], "--find", "words")
    options = ("--exact", "--device", "cpu", "-k", 2, "--json")
    assert len(json.loads(said("search", tmp_path / "i", "morning", *options))) == 2
    for wrong in (["--serve", "--json"], ["morning", "--serve"], ["morning", "--port", "1"]):
        assert isinstance(run.invoke(app, ["search", str(tmp_path / "i"), *wrong]).exception, ValueError)
    changed = json.loads(said("index", tmp_path / "i", "--delete", "split == 'test'", "--compact", "--json"))
    assert changed["deleted"] == 60 - changed["rows"] > 0
    counts = json.loads(said("zero-shot", folder / "m", table, "--label", "bright morning,dark evening", "--json"))
    assert counts["rows"] == 60
