"""Attention by word and by input: shares sum to 1, words take those of their units, tokens go to their input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse import registry
from polyfuse.data.cells.spelling import Speller
from polyfuse.heads.text.gru import GRU
from polyfuse.heads.text.memory import memory_parts
from polyfuse.heads.text.transformer import Transformer
from polyfuse.heads.text.word_attention import attention_by_word, find_words, units_to_words
from polyfuse.layers.attention import Attention
from polyfuse.layers.causal import CausalBlock
from polyfuse.records import Fused, Tokens
from polyfuse.testing.heads import Case, batch_without_targets

TEXTS = ["a dog's ball, and 3 cats!", "两只狗在跑 fast", "कुत्ता दौड़ता है", "🙂 naïve café", "x"]
SPELLERS = {unit: Speller.train(TEXTS * 3, unit, 600) for unit in ("word", "char", "bpe")}


@pytest.mark.parametrize("unit", SPELLERS)
@given(st.data())
@settings(max_examples=40, deadline=None)
def test_units_cover_a_text_and_words_share_them_out(unit, data):
    speller = SPELLERS[unit]
    ids = data.draw(st.lists(st.integers(4, speller.vocabulary - 1), max_size=12))
    text, spans = speller.text(ids), speller.spans(ids)
    assert len(spans) == len(ids)
    assert [s for s, _ in spans[1:]] == [e for _, e in spans[:-1]]
    assert not ids or (spans[0][0], spans[-1][1]) == (0, len(text))
    words, weight_WN = units_to_words(text, spans)
    assert "".join(words) == "".join(text.split())
    np.testing.assert_allclose(weight_WN.sum(1), 1)


def test_words_are_whole_marks_apart_and_chinese_signs_alone():
    def words(text):
        return [text[a:b] for a, b in find_words(text)]

    assert words(TEXTS[0]) == ["a", "dog's", "ball", ",", "and", "3", "cats", "!"]
    assert words(TEXTS[1]) == ["两", "只", "狗", "在", "跑", "fast"]
    assert words(TEXTS[2]) == ["कुत्ता", "दौड़ता", "है"]
    assert words(TEXTS[3]) == ["🙂", "naïve", "café"]


def test_a_word_gets_the_mean_of_its_pieces():
    words, weight_WN = units_to_words("seven dogs", [(0, 3), (3, 3), (3, 5), (5, 10)])
    assert words == ["seven", "dogs"]
    np.testing.assert_allclose(weight_WN, [[1 / 3, 1 / 3, 1 / 3, 0], [0, 0, 0, 1]])


def several(rows: int = 2) -> Fused:
    """A joint token, a picture of 2 x 3 behind a class token, a sound of 4 steps, and an input without order."""
    draw = torch.Generator().manual_seed(0)

    def tokens(count, **more):
        mask = torch.ones(rows, count, dtype=torch.bool)
        return Tokens(torch.randn(rows, count, 8, generator=draw), mask, **more)

    span = torch.tensor([[0.0, 0.1], [0.1, 0.2], [0.2, 0.3], [0.3, 0.4]]).expand(rows, 4, 2)
    sound = tokens(4, grid=(4,), span_BT2=span)
    sound.mask_BT[1, 2:] = False
    return Fused(tokens(1), {"photo": tokens(7, grid=(2, 3), prefix=1), "sound": sound, "facts": tokens(2)})


def test_every_token_goes_to_its_input_grid_and_span():
    fused = several()
    share_NTS = np.zeros((2, 3, 14))
    share_NTS[0, 0, 0] = share_NTS[0, 1, 1 + 1 + 5] = share_NTS[0, 2, 8 + 2] = 1  # joint, corner of the photo, 0.2 s
    share_NTS[1, :, 8 + 1] = 1
    speller = SPELLERS["word"]
    one, other = attention_by_word(share_NTS, memory_parts(fused), speller.encode(["a and cats"] * 2), speller)
    assert one.words == ["a", "and", "cats"]
    assert one.elsewhere_W[0] == 1
    photo = one.by_input["photo"]
    assert photo.on_grid.shape == (3, 2, 3)
    assert photo.on_grid[1].argmax() == 5
    assert one.by_input["sound"].share_WT.shape == (3, 4)
    at = one.by_input["sound"].share_WT[2].argmax()
    np.testing.assert_allclose(one.by_input["sound"].span_T2[at], [0.2, 0.3], atol=1e-6)
    assert other.by_input["sound"].share_WT.shape == (3, 2)  # padding is left out
    np.testing.assert_allclose(other.by_input["sound"].total_W, 1)
    assert one.by_input["facts"].on_grid is None
    gone = one.without(["sound"])
    assert not gone.by_input["sound"].share_WT.any()
    np.testing.assert_allclose(gone.elsewhere_W + sum(k.total_W for k in gone.by_input.values()), 1)


@pytest.mark.parametrize("made", [Transformer, GRU])
def test_shares_of_decoders_sum_to_one_over_what_is_there(made):
    torch.manual_seed(0)
    decoder = made(20, 8, 0.0).eval()
    memory = decoder.read(several())
    before_NT = torch.tensor([[1, 5, 6, 7], [1, 8, 9, 0]])
    share_NTS = decoder.attention(memory, before_NT)
    torch.testing.assert_close(share_NTS.sum(-1), torch.ones(2, 4))
    assert not share_NTS[~memory.mask_BT[:, None].expand_as(share_NTS)].any()
    short = decoder.attention(memory, before_NT[:, :2])
    torch.testing.assert_close(short, share_NTS[:, :2])  # what comes later changes nothing


@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 6), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_shares_are_those_that_mix_the_values(rows, queries, keys, seed):
    torch.manual_seed(seed)
    layer = Attention(8, heads=2).eval()
    x, context = torch.randn(rows, queries, 8), torch.randn(rows, keys, 8)
    mask = torch.rand(rows, keys) < 0.7
    key, _ = layer.keys_values(context)
    share = layer.shares(x, key, mask)
    torch.testing.assert_close(share.sum(-1), mask.any(-1)[:, None].float().expand(rows, queries))
    assert not share[~mask[:, None].expand_as(share)].any()
    layer.heads = 1
    key, value = layer.keys_values(context)
    mixed = layer.out(layer.shares(x, key, mask) @ value[:, 0]) * mask.any(-1)[:, None, None]
    torch.testing.assert_close(mixed, layer.over(x, key, value, mask), atol=1e-5, rtol=1e-4)


def test_a_block_that_says_its_shares_reads_as_it_always_does():
    torch.manual_seed(0)
    block, mask = CausalBlock(8, heads=2).eval(), torch.tensor([[True, True, False], [False] * 3])
    x, context = torch.randn(2, 4, 8), torch.randn(2, 3, 8)
    torch.testing.assert_close(block.attended(x, context, mask)[0], block(x, context, mask))


CORNERS = ("top left", "top right", "bottom left", "bottom right")


PLACES = (0, 3, 12, 15)


def bright(rows: int = 8) -> Fused:
    """Pictures of 4 x 4 regions, of which one in a corner is bright; where it lies says how they are called.

    Of fewer regions a decoder may as well look at all the others.
    """
    x = 0.3 * torch.randn(rows, 16, 16)
    sign = torch.Generator().manual_seed(1)
    x[torch.arange(rows), torch.tensor(PLACES).repeat(rows // 4)] = 2 * torch.randn(16, generator=sign)
    nothing = Tokens(torch.zeros(rows, 1, 16), torch.zeros(rows, 1, dtype=torch.bool))
    return Fused(nothing, {"photo": Tokens(x, torch.ones(rows, 16, dtype=torch.bool), grid=(4, 4))})


@pytest.mark.slow
def test_a_planted_region_is_looked_at_by_a_transformer():
    """Nothing makes a decoder look there: ``gru`` names such pictures by looking at regions that are not bright."""
    case = Case(registry.head("text"), {"unit": "word", "dropout": 0.0}, CORNERS * 2)
    head, transform = case.made()
    batch, optimizer = case.targets(transform), torch.optim.Adam(head.parameters(), lr=0.005)
    for _ in range(200):
        optimizer.zero_grad()
        head.loss(bright(), batch).mean().backward()
        optimizer.step()
    head.eval()
    found = head.attended(bright(), batch_without_targets())
    assert [one.text for one in found] == list(CORNERS * 2)
    places = [int(one.by_input["photo"].on_grid.mean(0).argmax()) for one in found]
    assert places == list(PLACES * 2)
