"""Ways of writing against what one finds by looking at every text there is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.data.cells.spelling import Speller
from polyfuse.heads.text.ctc import CTC, ctc_loss, prefix_beam
from polyfuse.heads.text.decode import Decoding, Rules, generate, generate_steps
from polyfuse.heads.text.gru import GRU
from polyfuse.heads.text.rules import Trie, repeated_units
from polyfuse.heads.text.transformer import Transformer
from polyfuse.records import Fused, Tokens

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
    found = generate(decoder, memory(2), RULES, how)
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
    found = tuple(generate(decoder, memory(1), rules, Decoding(beams=40)).ids[0])
    assert found == max(answers, key=lambda text: scores[text])
    assert tuple(generate(decoder, memory(1), rules, Decoding()).ids[0]) in answers


def test_greedy_takes_the_likeliest_unit_every_time_and_stops_at_the_end():
    decoder = Table(3)
    found = generate(decoder, memory(4), RULES, Decoding())
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
        for ids in generate(Table(0, 12), memory(5), rules, how).ids:
            assert 5 <= len(ids) <= 8
            pairs = list(itertools.pairwise(ids))
            assert len(pairs) == len(set(pairs))
        for ids in generate(Table(0), memory(5), rules, how).ids:  # two units make four pairs, then nothing is left
            assert set(ids) <= {4, 5}
            assert len(ids) <= 5


def test_draws_follow_the_probabilities_and_their_seed():
    decoder, rows = Table(1), 600
    many = Tokens(torch.zeros(rows, 1, WIDTH), torch.ones(rows, 1, dtype=torch.bool))
    rules = Rules(1, 2, (0, 1, 3), most=1)
    first = np.array([ids[0] if ids else 2 for ids in generate(decoder, many, rules, Decoding(sample=True)).ids])
    logits = decoder.of(0, (1,))
    wanted = np.exp(logits) * ~np.isin(np.arange(VOCABULARY), rules.banned)
    shares = np.bincount(first, minlength=VOCABULARY) / rows
    assert np.allclose(shares, wanted / wanted.sum(), atol=0.08)
    again = generate(decoder, many, rules, Decoding(sample=True))
    other = generate(decoder, many, rules, Decoding(sample=True, seed=1))
    assert again.ids == generate(decoder, many, rules, Decoding(sample=True)).ids != other.ids
    likeliest = generate(decoder, memory(3), RULES, Decoding())
    for how in (
        Decoding(sample=True, top_k=1),
        Decoding(sample=True, top_p=1e-6),
        Decoding(sample=True, temperature=1e-3),
    ):
        assert generate(decoder, memory(3), RULES, how).ids == likeliest.ids
    alone = generate(decoder, Tokens(many.x_BTD[:1], many.mask_BT[:1]), RULES, Decoding(sample=True), [7])
    assert alone.ids[0] == generate(decoder, many, RULES, Decoding(sample=True)).ids[7]


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


def slowly(decoder: Table, row: int, rules: Rules, how: Decoding) -> tuple[int, ...]:
    """A beam search as one would write it down for a single row."""

    def next_of(text: tuple[int, ...]) -> dict[int, float]:
        logits = decoder.of(row, (rules.begin, *text))
        log = logits - np.log(np.exp(logits).sum())
        fits = [a[len(text) :] for a in rules.answers or () if tuple(a[: len(text)]) == text]
        found = {}
        for unit in range(decoder.vocabulary):
            whole, run = (*text, unit), rules.no_repeat
            outside = rules.answers is not None and unit not in {(rest or [rules.end])[0] for rest in fits}
            runs = [whole[at : at + run] for at in range(len(whole) - run + 1)] if run else []
            early = unit == rules.end and len(text) < rules.least
            if unit not in rules.banned and not outside and not early and len(runs) == len(set(runs)):
                found[unit] = log[unit]
        return found or {rules.end: log[rules.end]}

    beams, over = [((), 0.0)], []
    for length in range(1, rules.most + 1):
        further = [(text, score + log, unit) for text, score in beams for unit, log in next_of(text).items()]
        further.sort(key=lambda one: -one[1])
        over += [(t, s / length**how.length_penalty) for t, s, unit in further[: how.beams] if unit == rules.end]
        beams = [((*t, unit), s) for t, s, unit in further[: 2 * how.beams] if unit != rules.end][: how.beams]
    over += [(text, score / rules.most**how.length_penalty) for text, score in beams]
    return max(over, key=lambda one: one[1])[0]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    beams=st.integers(2, 5),
    penalty=st.sampled_from([0.0, 0.7, 1.0, 2.0]),
    least=st.integers(0, 3),
    run=st.integers(0, 2),
    answers=st.none() | st.sets(st.lists(st.integers(4, 6), min_size=1, max_size=4).map(tuple), min_size=1, max_size=5),
)
def test_a_narrow_beam_is_what_one_writes_down_for_a_single_row(seed, beams, penalty, least, run, answers):
    """Rows end at different times, so that some leave while others go on."""
    decoder, listed = Table(seed, 7), None if answers is None else [list(a) for a in answers]
    rules = Rules(1, 2, (0, 1, 3), most=5, least=least, no_repeat=run, answers=listed)
    how = Decoding(beams=beams, length_penalty=penalty)
    found = generate(decoder, memory(5), rules, how)
    assert list(map(tuple, found.ids)) == [slowly(decoder, row, rules, how) for row in range(5)]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(4, 6), min_size=7, max_size=7), min_size=1, max_size=4), st.integers(1, 4))
def test_what_would_repeat_a_run_is_found_for_all_rows_at_once(rows, run):
    found = set(zip(*(at.tolist() for at in repeated_units(torch.tensor(rows), run)), strict=True))
    expected = set()
    for n, row in enumerate(rows):
        runs = {tuple(row[at : at + run]) for at in range(len(row) - run + 1)}
        expected |= {(n, unit) for unit in range(8) if (*row[len(row) - run + 1 :], unit) in runs}
    assert found == expected


def test_a_trie_leads_through_its_answers_alone():
    trie = Trie([[4], [4, 5], [6, 4]], 2, torch.device("cpu"))
    place = torch.zeros(3, dtype=torch.long)
    assert [row.nonzero()[:, 0].tolist() for row in ~trie.outside(place, 8)] == [[4, 6]] * 3
    place = trie.after(place, torch.tensor([4, 6, 7]))
    assert [row.nonzero()[:, 0].tolist() for row in ~trie.outside(place, 8)] == [[2, 5], [4], [2]]
    place = trie.after(place, torch.tensor([2, 4, 100]))
    assert [row.nonzero()[:, 0].tolist() for row in ~trie.outside(place, 8)] == [[2], [2], [2]]


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"top_k": 3}, 3),
        ({"top_p": 0.8}, None),
        ({"temperature": 0.5}, 8),
        ({"top_k": 4, "top_p": 0.7, "temperature": 2.0}, None),
    ],
)
def test_draws_are_among_the_likeliest_as_often_as_their_probabilities_say(options, kept):
    decoder, rows = Table(2, 12), 2000
    many = Tokens(torch.zeros(rows, 1, WIDTH), torch.ones(rows, 1, dtype=torch.bool))
    how = Decoding(sample=True, **options)
    found = generate(decoder, many, Rules(1, 2, (0, 1, 3), most=1), how)
    first = np.array([ids[0] if ids else 2 for ids in found.ids])
    logits = decoder.of(0, (1,))
    chance = np.exp(logits / how.temperature) * ~np.isin(np.arange(12), (0, 1, 3))
    order = np.argsort(-chance)[: how.top_k or 12]
    chance = np.where(np.isin(np.arange(12), order), chance, 0)
    chance /= chance.sum()
    order = np.argsort(-chance)
    before = np.cumsum(chance[order]) - chance[order]
    chance[order[before >= how.top_p]] = 0
    chance /= chance.sum()
    assert np.allclose(np.bincount(first, minlength=12) / rows, chance, atol=0.04)
    assert set(first) <= set(np.flatnonzero(chance))
    assert kept is None or (chance > 0).sum() <= kept + 1
    whole = logits - np.log(np.exp(logits).sum())  # the log-probability is the decoder's own, before any cut
    assert np.allclose(found.scores, whole[first], atol=1e-4)


WAYS = (
    {},
    {"beams": 3},
    {"beams": 2, "length_penalty": 0.0, "no_repeat": 2},
    {"sample": True, "seed": 3},
    {"sample": True, "top_k": 3, "temperature": 1.5},
    {"sample": True, "top_p": 0.7, "min_length": 2},
    {"answers": True},
    {"answers": True, "beams": 3},
)


def check_rows(decoder, rules: Rules, x: torch.Tensor, lengths: list[int], ways=WAYS) -> None:
    """What is written of a row is the same alone, elsewhere in a batch, and beside rows that are longer."""
    rows, mask = len(x), torch.arange(x.shape[1]) < torch.tensor(lengths)[:, None]
    wide = torch.cat([x.where(mask[..., None], 9.0), torch.full((rows, 3, x.shape[2]), 7.0)], 1)
    wider = torch.cat([mask, torch.zeros(rows, 3, dtype=torch.bool)], 1)
    back, said = list(range(rows))[::-1], set()
    for way in ways:
        options = {name: value for name, value in way.items() if name not in ("no_repeat", "min_length", "answers")}
        answers = [[4], [4, 5], [5, 5, 4], [5]] if way.get("answers") else None
        own = Rules(rules.begin, rules.end, rules.banned, 6, way.get("min_length", 1), way.get("no_repeat", 0), answers)
        how = Decoding(**options)
        with torch.no_grad():
            together = decoder.write(Tokens(x, mask), own, how, list(range(rows)))
            turned = decoder.write(Tokens(wide[back], wider[back]), own, how, back)
            assert turned.ids[::-1] == together.ids, way
            for row, length in enumerate(lengths):
                alone = decoder.write(
                    Tokens(x[[row], : max(1, length)], mask[[row], : max(1, length)]), own, how, [row]
                )
                assert alone.ids == together.ids[row : row + 1], way
                assert alone.scores == pytest.approx(together.scores[row : row + 1], abs=1e-3), way
        said.add(len({tuple(ids) for ids in together.ids}))
    assert max(said) > 2, "all rows say the same"


@pytest.mark.parametrize("name", DECODERS)
def test_a_text_is_its_own_rows_alone_in_every_way(name):
    torch.manual_seed(1)
    decoder = DECODERS[name](VOCABULARY, WIDTH, 0.1).eval()
    for parameter in decoder.parameters():
        parameter.data *= 3  # or all rows would say the same
    check_rows(decoder, RULES, torch.randn(6, 4, WIDTH) * 3, [4, 2, 0, 3, 1, 4])


class Again:
    """A decoder that keeps nothing but the units, and reads the whole text again for each."""

    def __init__(self, decoder):
        self.decoder = decoder

    def begin(self, memory):
        return {"x": memory.x_BTD, "mask": memory.mask_BT, "ids": torch.zeros(len(memory.x_BTD), 0, dtype=torch.long)}

    def step(self, ids_N, cache):
        ids = torch.cat([cache["ids"], ids_N[:, None]], 1)
        return self.decoder(Tokens(cache["x"], cache["mask"]), ids)[0][:, -1], {**cache, "ids": ids}


@pytest.mark.parametrize("name", DECODERS)
def test_what_is_kept_between_steps_changes_no_text(name):
    """Longer than there is room for at first, with beams that share what they read and rows that leave."""
    torch.manual_seed(2)
    decoder = DECODERS[name](12, WIDTH, 0.1).eval()
    for parameter in decoder.parameters():
        parameter.data *= 2
    mask = torch.arange(4) < torch.tensor([4, 2, 3, 4, 1, 4])[:, None]
    memory = Tokens(torch.randn(6, 4, WIDTH) * 3, mask)
    for whole in (memory, Tokens(memory.x_BTD, torch.ones_like(mask))):
        for how in (Decoding(), Decoding(beams=3), Decoding(sample=True)):
            rules = Rules(1, 2, (0, 1, 3), most=18, least=18 if whole is memory else 0)
            with torch.no_grad():
                kept, again = generate(decoder, whole, rules, how), generate(Again(decoder), whole, rules, how)
            assert kept.ids == again.ids
            assert kept.scores == pytest.approx(again.scores, abs=1e-3)


def test_a_transcript_is_its_own_rows_alone_in_every_way():
    torch.manual_seed(1)
    decoder = CTC(VOCABULARY, WIDTH, 0.1, stretch=2, depth=1).eval()
    decoder.out.weight.data *= 8
    lengths = [4, 2, 1, 3, 1, 4]
    check_rows(decoder, RULES, torch.randn(6, 4, WIDTH) * 3, lengths, ways=({}, {"beams": 3}))
    draw = torch.randn(6, 4, WIDTH)
    mask = torch.arange(4) < torch.tensor(lengths)[:, None]
    several = decoder.read(Fused(Tokens(draw[:, :1], mask[:, :1]), {"a": Tokens(draw, mask)}))
    alone = decoder.read(Fused(Tokens(draw[1:2, :1], mask[1:2, :1]), {"a": Tokens(draw[1:2, :2], mask[1:2, :2])}))
    assert torch.allclose(several.x_BTD[1, :2], alone.x_BTD[0], atol=1e-5)


def test_the_steps_end_as_the_text_is_written():
    found = [written.ids for written in generate_steps(Table(3), memory(4), RULES, Decoding())]
    assert found[-1] == generate(Table(3), memory(4), RULES, Decoding()).ids
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


def test_a_prefix_beam_sums_every_path_there_is():
    """All 6 ** 4 of them, one by one."""
    log = np.random.default_rng(3).normal(size=(4, 6)) * 1.5
    log -= np.log(np.exp(log).sum(-1, keepdims=True))
    chances: dict[tuple[int, ...], float] = {}
    for path in itertools.product((0, 4, 5), repeat=4):
        text = tuple(unit for unit, before in zip(path, (0, *path), strict=False) if unit not in (0, before))
        chances[text] = chances.get(text, 0.0) + float(np.exp(sum(log[at, unit] for at, unit in enumerate(path))))
    ids, score = prefix_beam(log, 60, 4)
    best = max(chances, key=lambda text: chances[text])
    assert tuple(ids) == best
    assert np.exp(score) == pytest.approx(chances[best])
    short = {text: chance for text, chance in chances.items() if len(text) <= 1}
    assert tuple(prefix_beam(log, 60, 1)[0]) == max(short, key=lambda text: short[text])


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
    speller = Speller.train(texts, unit, 5000)
    again = Speller.from_state(speller.state())
    for text, ids in zip(texts, speller.encode(texts), strict=True):
        assert max(ids, default=0) < speller.vocabulary
        assert speller.text(ids) == again.text(ids) == text
