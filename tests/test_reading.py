"""What reading a table must say: cells that are cut, categories nobody knows, rows without a target or any input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

import polyfuse as pf
from polyfuse.data import truncation
from polyfuse.data.cells.columns import Columns
from polyfuse.data.cells.source import Limits
from polyfuse.data.tables import read_table
from polyfuse.recipe import parse
from polyfuse.recipe.resolve import resolve
from polyfuse.training.fit import prepare_for_training

pytestmark = pytest.mark.usefixtures("own_cache")
ROWS = 40
LABELS = ["a", "b"] * (ROWS // 2)
WORDS = np.array(["red", "green", "blue", "cat", "dog", "sun", "moon"])


def said(frame, **fields):
    """The notes of reading a table whose rows all train."""
    asked = {"outputs": {"y": {"column": "y"}}, "preset": "plain", "data": {"fractions": [1, 0, 0]}} | fields
    table = read_table(frame)
    recipe, splits, _ = resolve(parse(asked), table)
    return prepare_for_training(recipe, table, splits).notes


def texts(lengths, seed=0):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, n)) for n in lengths]


def test_rows_without_a_target_are_counted_by_side():
    frame = pd.DataFrame({"x": range(0, 2 * ROWS, 2), "n": np.arange(ROWS) % 7 + 0.5, "y": LABELS})
    frame["split"] = ["train"] * 20 + ["val"] * 10 + ["test"] * 10
    frame.loc[[3, 5, 25, 39], "y"] = None
    data = {"split": "split"}
    assert said(frame, data=data) == [
        "output 'y': 4 of 40 rows have no target (2 train, 1 validate, 1 test) and are left out; the first: the "
        "DataFrame, row 3"
    ]


def test_rows_with_nothing_in_any_input_are_counted():
    frame = pd.DataFrame({"x": np.arange(ROWS) * 1.5, "t": texts([6] * ROWS), "y": LABELS})
    frame.loc[[7, 9], ["x", "t"]] = None
    assert said(frame) == [
        "2 of 40 rows have nothing in any input, and all get one answer; the first: the DataFrame, row 7"
    ]


@pytest.mark.parametrize(("encoder", "unit"), [("ngrams", "words"), ("gru", "tokens"), ("transformer", "tokens")])
def test_long_texts_are_counted_exactly(encoder, unit):
    """Words of one token each, so that a text of just the window is not cut and one of a word more is."""
    few = {"name": encoder, "max_tokens": 8}
    lengths = np.tile([6, 7, 8, 9, 20], 8)
    frame = pd.DataFrame({"t": texts(lengths), "y": LABELS})
    notes = said(frame, inputs={"text": {"columns": ["t"], "modality": "text", "encoder": few}})
    assert notes == [
        f"column 't': 16 of 40 training cells are longer than 8 {unit}, and {encoder} reads no more of them; raise "
        "inputs.text.encoder.max_tokens to read more"
    ]
    more = said(frame, inputs={"text": {"columns": ["t"], "modality": "text", "encoder": few | {"max_tokens": 20}}})
    assert more == []


def test_characters_beyond_the_limit_are_said():
    frame = pd.DataFrame({"t": texts([5] * ROWS), "y": LABELS})
    frame.loc[0, "t"] = "x" * 600
    assert said(frame, data={"fractions": [1, 0, 0], "limits": {"characters": 500}}) == [
        "column 't': 1 of 40 training cells have more than 500 characters, and no more of them is read; raise "
        "data.limits.characters to read more"
    ]


def test_long_sequences_are_said():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"s": [rng.normal(size=(9 if n < 3 else 8, 2)) for n in range(ROWS)], "y": LABELS})
    encoder = {"name": "sequence", "max_tokens": 8}
    (note,) = said(frame, inputs={"s": {"columns": ["s"], "encoder": encoder}})
    assert note.startswith("column 's': 3 of 40 training cells are longer than 8 steps")


def test_long_sounds_are_said_and_their_number_estimated_where_they_are_many(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for n in range(ROWS):  # of just the window, shorter, longer
        seconds = (0.5, 0.4, 0.7, 0.5)[n % 4]
        soundfile.write(tmp_path / f"{n}.wav", rng.normal(0, 0.1, int(8000 * seconds)), 8000)
    frame = pd.DataFrame({"file": [f"{n}.wav" for n in range(ROWS)], "y": LABELS})
    frame.to_csv(tmp_path / "t.csv", index=False)
    several = [{"name": "statistics", "seconds": 0.5}, {"name": "spectrogram_cnn", "seconds": 0.6}]
    notes = said(tmp_path / "t.csv", inputs={"a": {"columns": ["file"], "encoder": several}})
    assert notes == [
        "column 'file': 10 of 40 training cells are longer than 0.5 s, and statistics reads no more of them; raise "
        "seconds of statistics in the recipe's inputs.a.encoder to read more",
        "column 'file': 10 of 40 training cells are longer than 0.6 s, and spectrogram_cnn reads no more of them; "
        "raise seconds of spectrogram_cnn in the recipe's inputs.a.encoder to read more",
    ]
    monkeypatch.setattr(truncation, "LOOKED", 4)
    (note,) = said(tmp_path / "t.csv", inputs={"a": {"columns": ["file"], "encoder": several[1]}})
    assert note.startswith("column 'file': about 10 of 40 training cells are longer than 0.6 s")


@given(
    st.lists(st.sampled_from(["true", "True", "FALSE", "1", "0", True, False, 1, 1.0, 0, None, "x", "maybe", 2])),
    st.lists(st.sampled_from([True, False, 1, 0, "yes", "no", "1", "0", "true", "false"]), min_size=1),
)
@settings(max_examples=100, deadline=None)
def test_a_category_is_unseen_or_known_by_one_rule(values, trained):
    made = Columns()
    made.fit([(value,) for value in trained], {"c": "category"}, Limits())
    unseen = {position for position, _, _ in made.unseen([(value,) for value in values])}
    kind, known = made.kinds[0], {str(value) for value in trained}
    for at, value in enumerate(values):
        number = kind.read([value])[0, 0]
        assert (at in unseen) == (number == 1)
        assert (number == 0) == (value is None)
        assert number != 1 or str(value) not in known


@pytest.mark.parametrize("trained", [(True, False), ("true", "false"), (1, 0), ("1.0", "0.0")])
def test_a_flag_is_known_however_it_is_written(trained):
    made = Columns()
    made.fit([(value,) for value in trained * 3], {"c": "category"}, Limits())
    for spellings in ((True, "true", "True", 1, 1.0, "1"), (False, "false", "FALSE", 0, 0.0, "0")):
        assert len({made.kinds[0].read([value])[0, 0] for value in spellings}) == 1
    assert made.unseen([(True,), ("FALSE",), (0.0,)]) == [] or trained[0] == "1.0"


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=ROWS), "kind": ["u", "v"] * (ROWS // 2), "y": LABELS})
    return pf.fit(frame, outputs=["y"], settings=["training.steps=1", "preset=plain", "width=8"], quiet=True), frame


def test_unseen_categories_and_blank_rows_are_counted_at_prediction(model):
    trained, frame = model
    other = frame.drop(columns="y").assign(kind=["w", "u", "z", None] * (ROWS // 4))
    other.loc[3, "x"] = None
    trained.predict(other)
    assert trained.notes == [
        "column 'kind': 20 of 30 values were not seen in training and are all read alike; the first: 'w' in the "
        "DataFrame, row 0",
        "1 of 40 rows has nothing in any input; the first: the DataFrame, row 3",
    ]
    report = trained.evaluate(other.assign(y=["a", None] * (ROWS // 2)))
    assert trained.notes[0] in report.meta["notes"]
    assert any(
        note.startswith("output 'y': 20 of 40 rows have no target and are left out") for note in report.meta["notes"]
    )


def test_values_that_are_all_unseen_are_said_loudly(model):
    trained, frame = model
    trained.predict(frame.assign(kind="U"))
    (note,) = trained.notes
    assert note.startswith("WARNING: column 'kind': not one of its 40 values was seen in training (the first: 'U' in")


def test_every_sound_of_a_cell_is_measured(tmp_path):
    for name, seconds in (("short", 1), ("long", 12)):
        soundfile.write(tmp_path / f"{name}.wav", np.random.default_rng(seconds).normal(size=8000 * seconds), 8000)
    cells = ["short.wav;long.wav", "short.wav", "long.wav", "long.wav;long.wav"] * (ROWS // 4)
    frame = pd.DataFrame(
        {"s": [";".join(str(tmp_path / one) for one in cell.split(";")) for cell in cells], "y": LABELS}
    )
    (note,) = [note for note in said(frame) if "longer than" in note]
    assert note.startswith("column 's': 40 of 60 training cells are longer than")


def test_the_note_on_a_column_that_nothing_reads_says_what_to_do():
    table = read_table(pd.DataFrame({"p": [f"{n}.pdf" for n in range(ROWS)], "x": np.arange(ROWS) * 1.5, "y": LABELS}))
    notes = resolve(parse({"outputs": {"y": {"column": "y"}}}), table)[2]
    assert any(
        note.startswith("column 'p' is left out: paths of .pdf files: ") and "save their" in note for note in notes
    )
