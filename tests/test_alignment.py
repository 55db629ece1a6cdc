"""Inputs aligned in one space, end to end: trained, judged in both directions, embedded, saved, exploded lists."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import polyfuse as pf
from polyfuse.data.batches import Order
from polyfuse.data.tables import TableError, read_table
from polyfuse.training.train import shuffle_validation_rows
from tests.tiny import FAST, write_table

INPUTS = ["photo@photo=image", "words@words=text", "area@area=columns"]


@pytest.fixture(scope="module")
def aligned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("aligned")
    table = write_table(folder, rows=64)
    model = pf.fit(table, inputs=INPUTS, align="photo,words", split="split", settings=FAST, quiet=True, to=folder / "m")
    return model, table, folder / "m"


def test_without_outputs_the_report_says_who_finds_whom(aligned, tmp_path):
    model, _, _ = aligned
    assert not model.recipe.outputs
    assert [o.name for o in model.recipe.objectives] == ["clip"]
    found = model.fit_report.alignment
    assert [(row["query"], row["gallery"]) for row in found] == [("photo", "words"), ("words", "photo")]
    for row in found:
        assert 0 <= row["metrics"]["recall@1"] <= row["metrics"]["recall@5"] <= row["metrics"]["recall@10"] <= 1
        assert 1 <= row["metrics"]["median_rank"] <= row["size"]
    page = model.fit_report.to_html(tmp_path / "r.html").read_text(encoding="utf8")
    assert "How inputs find each other" in page
    assert "R@10" in page


def test_vectors_of_aligned_inputs_have_length_one_and_survive_saving(aligned):
    model, table, folder = aligned
    vectors = model.embed(table, of="words")
    lengths = np.linalg.norm(vectors, axis=1)
    known = pd.read_csv(table).words.notna().to_numpy()
    assert vectors.shape == (64, model.recipe.space.size)
    assert np.allclose(lengths, known, atol=1e-5)  # nothing is there where the cell is missing
    assert np.array_equal(pf.load(folder).embed(table, of="words"), vectors)
    assert model.embed(table, of="area").shape[1] == model.recipe.width  # not aligned: its own representation


def test_an_alignment_beside_an_output_changes_what_is_learnt(aligned):
    _, table, _ = aligned
    options = {"outputs": ["label"], "inputs": INPUTS, "split": "split", "settings": FAST, "quiet": True}
    plain, both = pf.fit(table, **options), pf.fit(table, align=["photo", "words"], **options)
    assert both.fit_report.outputs["label"].metrics
    assert both.fit_report.alignment
    assert not plain.fit_report.alignment
    one, two = (m.predict(table, media_root=table.parent)["label_p_a"] for m in (plain, both))
    assert not np.allclose(one, two)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"align": "photo,word"}, "there is no input 'word'"),
        ({"align": "photo"}, "needs two at least"),
        ({"settings": [*FAST, "objectives=[{name: clip, key: nobody}]"]}, "no column 'nobody'"),
        ({"settings": [*FAST, "data.explode=nothing"], "align": "photo,words"}, "no column 'nothing'"),
    ],
)
def test_what_cannot_be_aligned_is_refused_by_name(aligned, options, message):
    _, table, _ = aligned
    with pytest.raises(ValueError, match=message):
        pf.fit(table, **{"inputs": INPUTS, "split": "split", "settings": FAST, "quiet": True, **options})


def test_a_key_makes_rows_the_same_and_is_no_input(aligned):
    _, table, _ = aligned
    settings = [*FAST, "objectives=[{name: clip, between: [image, text], key: kind}]"]
    model = pf.fit(table, split="split", settings=settings, quiet=True)
    assert "kind" not in [column for item in model.recipe.inputs.values() for column in item.columns]
    row = model.fit_report.alignment[0]
    assert row["metrics"]["recall@10"] >= 0.9, "half of the gallery belongs to every query"


def test_chunks_of_a_batch_learn_what_the_whole_batch_does(aligned):
    _, table, _ = aligned
    settings = [*FAST, "inputs.words.encoder={name: ngrams, dropout: 0}", "inputs.area.encoder={name: mlp, dropout: 0}"]
    settings += ["inputs.words.augment=none", "inputs.area.augment=none", "training.modality_dropout=0"]
    options = {
        "inputs": ["words@words=text", "area@area=columns"],
        "align": "words,area",
        "split": "split",
        "quiet": True,
    }
    whole, parts, other = (
        pf.fit(table, settings=[*settings, more], **options).embed(table, of="words")
        for more in ("training.clip=1", "training.chunk=5", "training.batch_size=5")
    )
    assert np.abs(whole - parts).max() < 1e-3
    assert np.abs(whole - other).max() > 1e-2  # a small batch compares fewer rows


def lists() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "n": [1, 2, 3, 4],
            "en": [["a", "b"], ["c"], None, np.array(["d", "e", "f"])],
            "zh": [["甲"], ["乙", "丙"], "丁", []],
        }
    )


def test_lists_become_rows_side_by_side_and_keep_their_origin():
    table = read_table(lists()).exploded(["en", "zh"])
    assert table.frame.n.tolist() == [1, 1, 2, 2, 3, 4, 4, 4]
    assert table.frame.en.tolist() == ["a", "b", "c", None, None, "d", "e", "f"]
    assert table.frame.zh.tolist() == ["甲", None, "乙", "丙", "丁", None, None, None]
    assert table.rows_N.tolist() == [0, 0, 1, 1, 2, 3, 3, 3]
    assert "became 8" in table.notes[-1]
    with pytest.raises(TableError, match="no column 'fr'"):
        read_table(lists()).exploded(["fr"])


def test_entries_of_one_list_never_part_and_one_of_each_is_drawn(aligned):
    _, path, _ = aligned
    frame = pd.read_csv(path).assign(photo=lambda f: str(path.parent) + "/" + f.photo)
    frame["says"] = [[f"{words} first", f"{words} second", f"{words} third"] for words in frame.words]
    settings = [*FAST, "data.explode=says", "data.draw=one"]
    model = pf.fit(
        frame, inputs=["photo@photo=image", "says@says=text"], align="photo,says", settings=settings, quiet=True
    )
    rows = model.report["training"]["rows"]
    assert sum(rows.values()) == 3 * len(frame)
    assert all(count % 3 == 0 for count in rows.values())
    found = {row["query"]: row for row in model.fit_report.alignment}
    assert found["says"]["queries"] > found["photo"]["queries"]
    order = Order(np.arange(12), 4, shuffle=True, origin=np.repeat(np.arange(4), 3))
    seen = set()
    for epoch in range(20):
        order.at_step(epoch)
        ((_, part),) = list(order)
        assert sorted(part // 3) == [0, 1, 2, 3]
        seen |= set(part.tolist())
    assert seen == set(range(12))


def test_every_input_is_pooled_as_its_name_says(tmp_path):
    table = write_table(tmp_path, rows=40)
    options = {"inputs": INPUTS[:2], "align": "photo,words", "split": "split", "quiet": True}
    settings = [*FAST, "training.epochs=1", "space.pool={photo: attention}", "space.input_dropout=0.2"]
    model = pf.fit(table, settings=settings, **options)
    pools = {name: model.bundle.network.space[f"in_{n}"].pool for n, name in enumerate(["photo", "words"])}
    assert pools == {"photo": "attention", "words": "mean"}
    assert {model.bundle.network.join(name).dropout for name in ("photo", "words")} == {0.2}
    again = pf.load(model.save(tmp_path / "model"))
    assert np.array_equal(again.embed(table, of="photo"), model.embed(table, of="photo"))
    with pytest.raises(ValueError, match=r"space\.pool.*photo"):
        pf.fit(table, settings=[*FAST, "space.pool={foto: attention}"], **options)


def test_validation_compares_captions_of_many_pictures():
    captions = np.arange(5000)  # five in a row are of one picture
    order = shuffle_validation_rows(SimpleNamespace(aligned=["photo", "words"]), captions)
    assert len(np.unique(order[:512] // 5)) > 350
    assert sorted(order) == list(captions)
    assert list(shuffle_validation_rows(SimpleNamespace(aligned=["photo", "words"]), captions)) == list(order)
    assert list(shuffle_validation_rows(SimpleNamespace(aligned=[]), captions)) == list(captions)
