"""Words by their look: capitals matter, new words have known pieces, and neighbours in a batch change nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polyfuse.data.cells.source import Limits
from polyfuse.data.cells.word_pieces import WordPieces, word_shape
from polyfuse.encoders.text.words import Words


def read(cells, **keywords):
    transform = WordPieces(least=1)
    transform.fit(cells, {"t": "text"}, Limits())
    torch.manual_seed(0)
    encoder = Words(**transform.facts(), width=16, embedding=8, **keywords).eval()

    def tokens(*said):
        arrays = transform.encode(list(said), Limits())
        fields = {key: torch.from_numpy(values) for key, values in transform.collate(arrays).items()}
        with torch.no_grad():
            return encoder(fields, torch.ones(len(said), dtype=torch.bool))

    return transform, tokens


CELLS = [["Turkey", "eats", "turkey"], ["Anna", "went", "home", "."], ["1996-08-22"]]


def test_a_token_is_an_item_of_a_list_or_a_word_or_sign_of_a_text():
    _, tokens = read(CELLS)
    assert tokens(["U.N.", "wins", "3-1"]).span_BT2[0].tolist() == [[0, 4], [5, 9], [10, 13]]
    assert tokens("U.N. wins").span_BT2[0].tolist() == [[0, 1], [1, 2], [2, 3], [3, 4], [5, 9]]


def test_capitals_are_told_apart_and_new_words_have_known_pieces():
    transform, tokens = read(CELLS)
    one, other = tokens(["Turkey"]), tokens(["turkey"])
    assert not torch.allclose(one.x_BTD, other.x_BTD)
    (new,) = transform.encode([["Turkeys"]], Limits())
    assert new[0, 2] == 0  # the word was never seen
    assert (new[0, 5:] > 0).any()


def test_long_texts_are_read_to_their_end_and_alone_as_beside_others():
    _, tokens = read(CELLS)
    long = ["Anna", "went", "home", "."] * 500
    together = tokens(["Anna"], long, ["Turkey", "eats"])
    alone = tokens(long)
    assert together.mask_BT.sum(1).tolist() == [1, 2000, 2]
    assert torch.allclose(together.x_BTD[1], alone.x_BTD[0], atol=1e-5)
    assert torch.allclose(together.x_BTD[2, :2], tokens(["Turkey", "eats"]).x_BTD[0], atol=1e-5)


def test_the_order_of_words_matters():
    _, tokens = read(CELLS)
    one, other = tokens(["Anna", "went"]).x_BTD[0], tokens(["went", "Anna"]).x_BTD[0]
    assert not torch.allclose(one, other.flip(0), atol=1e-4)


@pytest.mark.parametrize(
    ("word", "shape"), [("U.N.", "X.X."), ("iPhone", "xXx"), ("北京", "o"), ("12a", "0x"), ("", "")]
)
def test_shapes(word, shape):
    assert word_shape(word) == shape


def test_what_was_seen_once_is_left_to_pieces():
    transform = WordPieces()
    transform.fit([["Anna", "Anna", "Otto"]], {"t": "text"}, Limits())
    (found,) = transform.encode([["Anna", "Otto"]], Limits())
    assert found[0, 2] > 0
    assert found[1, 2] == 0
    again = WordPieces()
    again.restore(transform.state())
    assert np.array_equal(again.encode([["Anna", "Otto"]], Limits())[0], found)


def test_an_odd_width_is_refused():
    with pytest.raises(ValueError, match="width 15 must be even"):
        Words(buckets=5, width=15)
