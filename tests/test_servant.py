"""A bundle behind the protocol of servants: the same answers as the model's own, row by row, and nothing kept."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import polyfuse as pf
from polyfuse.model.servant import BundleServant, open_bundle
from polyfuse.system.cache import cache_root
from tests.tiny import FAST, write_table


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A model of a number and a label, its table, and rows as a service brings them."""
    folder = tmp_path_factory.mktemp("servant")
    table = write_table(folder)
    model = pf.fit(table, outputs=["label", "price"], split="split", settings=FAST, quiet=True, to=folder / "m")
    frame = pd.read_csv(table).iloc[:12]
    records = [
        {
            column: (folder / cell).read_bytes() if column in ("photo", "sound") else cell
            for column, cell in row.items()
            if cell == cell and column not in ("label", "price", "split")
        }
        for row in frame.to_dict("records")
    ]
    return model, frame, records, folder


def test_it_answers_as_the_model_does_and_keeps_nothing(world):
    model, frame, records, folder = world
    servant = open_bundle(folder / "m", "houses")
    expected = model.predict(frame, media_root=folder, verbose=False)
    before = sorted(cache_root().rglob("*"))
    answers, notes = servant.predict(records)
    assert sorted(cache_root().rglob("*")) == before
    assert notes == []
    assert [row["label"].value for row in answers] == expected.label.tolist()
    np.testing.assert_allclose([row["price"].value for row in answers], expected.price, rtol=1e-4)
    np.testing.assert_allclose([row["label"].probabilities["a"] for row in answers], expected.label_p_a, atol=1e-5)
    assert servant.predict([]) == ([], [])


def test_it_says_what_it_reads(world):
    servant = BundleServant(world[0].bundle, "m")
    kinds = {column: kind for facts in servant.inputs.values() for column, kind in facts.kinds.items()}
    assert kinds == {"photo": "image", "sound": "audio", "words": "text", "area": "number", "kind": "category"}
    assert servant.inputs["columns"].choices == {"kind": ["x", "y"]}
    assert servant.outputs["label"].labels == ("a", "b")
    assert not servant.outputs["price"].labels


def test_scores_of_subsets_are_those_of_rows_without_these_inputs(world):
    servant, records = BundleServant(world[0].bundle, "m"), world[2]
    scores = servant.scores(records, [["image", "text"], list(servant.inputs), []])
    assert {name: own.shape for name, own in scores.items()} == {"label": (3, 12, 2), "price": (3, 12, 1)}
    without = servant.predict(records, without=["audio", "columns"])[0]
    np.testing.assert_allclose(
        scores["label"][0, :, 0], [row["label"].probabilities["a"] for row in without], atol=1e-6
    )
    np.testing.assert_allclose(scores["price"][0, :, 0], [row["price"].value for row in without], rtol=1e-5)


def test_vectors_are_nan_where_there_is_nothing(world):
    servant, records = BundleServant(world[0].bundle, "m"), world[2]
    vectors = servant.embed([records[1], {"words": "dark"}, {}])
    assert np.isnan(vectors).any(1).tolist() == [False, False, True]
    pictures = servant.embed([records[1], {"words": "dark"}], input="image")
    assert np.isnan(pictures).any(1).tolist() == [False, True]
    with pytest.raises(ValueError, match="input"):
        servant.embed(records, input="film")


def test_what_cannot_be_read_is_said(world):
    servant = BundleServant(world[0].bundle, "m")
    answers, notes = servant.predict([{"photo": b"no picture", "words": "dark"}, {}])
    assert len(answers) == 2
    assert any("column 'photo'" in note for note in notes)
    with pytest.raises(ValueError, match="writes no text"):
        servant.stream({}, "label")


def test_pieces_of_a_text_are_the_text(tmp_path):
    rows = [{"words": w, "echo": w} for w in ("red house", "blue garden", "red garden", "blue house")] * 6
    model = pf.fit(pd.DataFrame(rows), outputs=["echo=text"], settings=FAST, quiet=True)
    servant = BundleServant(model.bundle, "echo")
    assert servant.outputs["echo"].writes
    pieces = list(servant.stream({"words": "red house"}, "echo"))
    assert "".join(pieces) == servant.predict([{"words": "red house"}])[0][0]["echo"].value
