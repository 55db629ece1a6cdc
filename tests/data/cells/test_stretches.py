from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from polyfuse.data.cells.source import Limits
from polyfuse.data.cells.stretches import Stretches


@pytest.fixture
def made(tmp_path):
    """``made(stretch, most)`` -> a fitted transform whose pieces are whole words w3, w4, ..."""
    tokenizer = Tokenizer(models.WordLevel({"?": 0, **{f"w{n}": n for n in range(3, 99)}}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / "tokenizer.json"))

    def make(stretch, most):
        transform = Stretches(str(tmp_path / "tokenizer.json"), stretch, most)
        transform.fit([], {}, Limits())
        return transform

    return make


def text(count):
    return " ".join(f"w{n}" for n in range(3, 3 + count))


def test_stretches_are_nearly_equal_and_hold_every_piece_once(made):
    (cell,) = made(4, 8).encode([text(10)], Limits())
    runs = [row[row > 0] - 1 for row in cell[:, 2:]]
    assert [len(run) - 2 for run in runs] == [4, 3, 3]
    assert all((run[0], run[-1]) == (1, 2) for run in runs)
    assert np.concatenate([run[1:-1] for run in runs]).tolist() == list(range(3, 13))


def test_a_stretch_knows_its_characters_and_long_texts_are_cut(made):
    (cell,) = made(4, 2).encode([text(50)], Limits())
    assert len(cell) == 2
    words = [text(50)[start:end].split() for start, end in cell[:, :2]]
    assert words == [["w3", "w4", "w5", "w6"], ["w7", "w8", "w9", "w10"]]


def test_padding_is_nothing(made):
    transform = made(4, 8)
    fields = transform.collate([*transform.encode([text(9), text(1)], Limits()), transform.blank()])
    assert fields["lengths"].tolist() == [3, 1, 1]
    assert fields["ids"].shape == (3, 3, 5)
    assert (fields["ids"][1, 1:] == 0).all()
    assert (fields["ids"][2] == 0).all()


@pytest.mark.parametrize("wrong", [{"stretch": 0}, {"most": 0}, {"stretch": "auto"}])
def test_impossible_lengths_are_refused(wrong):
    with pytest.raises(ValueError, match="expected a number from 1"):
        Stretches("any", **wrong)
