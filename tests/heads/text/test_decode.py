"""Ways of writing against what one finds by looking at every text there is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.data.cells.spelling import Speller
from polyfuse.heads.text.ctc import ctc_loss, prefix_beam
from polyfuse.heads.text.decode import Decoding, Rules, steps, write
from polyfuse.heads.text.gru import GRU
from polyfuse.heads.text.transformer import Transformer
from polyfuse.records import Tokens

VOCABULARY, WIDTH, MOST = 6, 8, 3
RULES = Rules(begin=1, end=2, banned=(0, 1, 3), most=MOST)
DECODERS = {"transformer": Transformer, "gru": GRU}


class Table:
    """A decoder whose logits follow a table by everything written before."""

    def __init__(self, seed: int, vocabulary: int = VOCABULARY):
        self.seed, self.vocabulary = seed, vocabulary

    def of(self, row: int, before: tuple[int, ...]) -> np.ndarray:
        draw = np.random.default_rng((self.seed, row, *before))
        return draw.normal(size=self.vocabulary) * 2

    def begin(self, memory: Tokens) -> dict:
        return {"row": memory.x_BTD[:, 0, 0].long(), "before": torch.zeros(len(memory.x_BTD), 0, dtype=torch.long)}

    def step(self, ids_N, cache):
        before = torch.cat([cache["before"], ids_N[:, None]], 1)
        rows = zip(cache["row"].tolist(), before.tolist(), strict=True)
        logits = torch.tensor(np.array([self.of(row, tuple(ids)) for row, ids in rows]), dtype=torch.float32)
        return logits, {"row": cache["row"], "before": before}


def memory(rows: int) -> Tokens:
    x = torch.arange(rows).float()[:, None, None].expand(rows, 1, WIDTH)
    return Tokens(x, torch.ones(rows, 1, dtype=torch.bool))


def every_text(decoder: Table, row: int, rules: Rules, penalty: float) -> dict[tuple[int, ...], float]:
    """Text -> log-probability, over its length to the power of the penalty."""
    units, found = [u for u in range(decoder.vocabulary) if u not in (*rules.banned, rules.end)], {}
    for length in range(rules.most + 1):
        for text in itertools.product(units, repeat=length):
            whole = text if length == rules.most else (*text, rules.end)
            score = 0.0
            for at, unit in enumerate(whole):
                logits = decoder.of(row, (rules.begin, *whole[:at]))
                score += logits[unit] - np.log(np.exp(logits).sum())
            found[text] = score / len(whole) ** penalty
    return found


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), penalty=st.sampled_from([0.0, 0.7, 1.0, 2.0]))
def test_beams_that_hold_every_text_find_the_likeliest(seed, penalty):
    decoder, how = Table(seed), Decoding(beams=40, length_penalty=penalty)
    found = write(decoder, memory(2), RULES, how)
    for row in range(2):
        scores = every_text(decoder, row, RULES, penalty)
        best = max(scores, key=lambda text: scores[text])
        assert tuple(found.ids[row]) == best
        assert found.scores[row] == pytest.approx(scores[best] * found.lengths[row] ** penalty, abs=1e-4)


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    answers=st.sets(st.lists(st.sampled_from([4, 5]), min_size=1, max_size=3).map(tuple), min_size=1),
)
def test_of_a_closed_list_beams_find_the_likeliest_and_greedy_one_of_it(seed, answers):
    decoder, rules = Table(seed), Rules(1, 2, (0, 1, 3), MOST, answers=[list(a) for a in answers])
    scores = every_text(decoder, 0, RULES, 1.0)
    found = tuple(write(decoder, memory(1), rules, Decoding(beams=40)).ids[0])
    assert found == max(answers, key=lambda text: scores[text])
    assert tuple(write(decoder, memory(1), rules, Decoding()).ids[0]) in answers


def test_greedy_takes_the_likeliest_unit_every_time_and_stops_at_the_end():
    decoder = Table(3)
    found = write(decoder, memory(4), RULES, Decoding())
    for row, ids in enumerate(found.ids):
        before, expected = (1,), []
        for _ in range(MOST):
            logits = decoder.of(row, before)
            logits[list(RULES.banned)] = -np.inf
            if (unit := int(logits.argmax())) == RULES.end:
                break
            expected.append(unit)
            before = (*before, unit)
        assert ids == expected


def test_rules_hold():
    rules = Rules(1, 2, (0, 1, 3), most=8, least=5, no_repeat=2)
    for how in (Decoding(), Decoding(beams=3), Decoding(sample=True)):
        for ids in write(Table(0, 12), memory(5), rules, how).ids:
            assert 5 <= len(ids) <= 8
            pairs = list(itertools.pairwise(ids))
            assert len(pairs) == len(set(pairs))
        for ids in write(Table(0), memory(5), rules, how).ids:  # two units make four pairs, then nothing is left
            assert set(ids) <= {4, 5}
            assert len(ids) <= 5


def test_draws_follow_the_probabilities_and_their_seed():
    decoder, rows = Table(1), 600
    many = Tokens(torch.zeros(rows, 1, WIDTH), torch.ones(rows, 1, dtype=torch.bool))
    rules = Rules(1, 2, (0, 1, 3), most=1)
    first = np.array([ids[0] if ids else 2 for ids in write(decoder, many, rules, Decoding(sample=True)).ids])
    logits = decoder.of(0, (1,))
    wanted = np.exp(logits) * ~np.isin(np.arange(VOCABULARY), rules.banned)
    shares = np.bincount(first, minlength=VOCABULARY) / rows
    assert np.allclose(shares, wanted / wanted.sum(), atol=0.08)
    again = write(decoder, many, rules, Decoding(sample=True))
    other = write(decoder, many, rules, Decoding(sample=True, seed=1))
    assert again.ids == write(decoder, many, rules, Decoding(sample=True)).ids != other.ids
    likeliest = write(decoder, memory(3), RULES, Decoding())
    for how in (
        Decoding(sample=True, top_k=1),
        Decoding(sample=True, top_p=1e-6),
        Decoding(sample=True, temperature=1e-3),
    ):
        assert write(decoder, memory(3), RULES, how).ids == likeliest.ids
    alone = write(decoder, Tokens(many.x_BTD[:1], many.mask_BT[:1]), RULES, Decoding(sample=True), [7])
    assert alone.ids[0] == write(decoder, many, RULES, Decoding(sample=True)).ids[7]


@pytest.mark.parametrize("name", DECODERS)
def test_step_by_step_with_its_cache_is_all_at_once(name):
    torch.manual_seed(0)
    decoder = DECODERS[name](VOCABULARY, WIDTH, 0.1).eval()
    x, mask = torch.randn(3, 4, WIDTH), torch.ones(3, 4, dtype=torch.bool)
    mask[1, 2:], mask[2] = False, False
    ids = torch.randint(1, VOCABULARY, (3, 5))
    whole, _ = decoder(Tokens(x, mask), ids)
    cache, found = decoder.begin(Tokens(x, mask)), []
    for at in range(5):
        logits, cache = decoder.step(ids[:, at], cache)
        found.append(logits)
    assert torch.allclose(torch.stack(found, 1), whole, atol=1e-5)
    if name == "gru":
        assert decoder.train()(Tokens(x, mask), ids)[1].shape == (3,)


def test_the_steps_end_as_the_text_is_written():
    found = [written.ids for written in steps(Table(3), memory(4), RULES, Decoding())]
    assert found[-1] == write(Table(3), memory(4), RULES, Decoding()).ids
    assert all(len(a) <= len(b) for a, b in zip(found[0], found[-1], strict=True))


def test_a_prefix_beam_finds_the_likeliest_text_over_all_paths():
    draw = np.random.default_rng(0)
    for _ in range(5):
        log = torch.tensor(draw.normal(size=(4, 6)) * 1.5).log_softmax(-1)
        texts = [text for n in range(4) for text in itertools.product((4, 5), repeat=n)]
        losses = {}
        for text in texts:
            ids = torch.tensor([list(text) or [0]])
            losses[text] = float(ctc_loss(log[None], torch.tensor([4]), ids, torch.tensor([len(text)]))[0])
        ids, score = prefix_beam(log.numpy(), 50, 4)
        best = min(losses, key=lambda text: losses[text])
        assert tuple(ids) == best
        assert -score == pytest.approx(losses[best], abs=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beams": 0}, "beams: expected a whole number from 1"),
        ({"beams": 2, "sample": True}, "choose one"),
        ({"temperature": 0.5}, "set sample: true"),
        ({"top_p": 0.0, "sample": True}, "top_p: expected"),
        ({"answers": "yes"}, "answers: expected a list"),
        ({"max_length": 0}, "max_length: expected"),
        ({"bems": 2}, "did you mean 'beams'"),
    ],
)
def test_options_out_of_bounds_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Decoding().changed(options)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=5), st.sampled_from(["word", "char", "bpe"]))
def test_what_training_showed_is_spelt_without_loss(texts, unit):
    texts = [" ".join(text.split()) for text in texts]
    speller = Speller.learnt(texts, unit, 5000)
    again = Speller.restored(speller.state())
    for text, ids in zip(texts, speller.spelt(texts), strict=True):
        assert max(ids, default=0) < speller.vocabulary
        assert speller.text(ids) == again.text(ids) == text
