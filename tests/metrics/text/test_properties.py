"""What holds of any texts: bounds, the best value of a perfect text, no matter of order, sums of rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.metrics.text import answers, bleu, chrf, cider, edits, meteor, rouge, tokens
from polyfuse.metrics.text.choice import main_metric

WORDS = ["a", "dog", "runs", "the", "snow", "dogs", "don't", "3", ",", "."]
TEXT = st.one_of(
    st.lists(st.sampled_from(["a", "dog", "runs", "the", "snow", "dogs", "don't", "3", ",", "."]), max_size=8).map(
        " ".join
    ),
    st.text(max_size=12),
    st.text(alphabet="两只狗在雪地上 。", max_size=8),
)
ROWS = st.lists(st.tuples(TEXT, st.lists(TEXT, min_size=1, max_size=4)), min_size=2, max_size=6)


def scores(texts, references):
    """Metric -> values of rows, of metrics from 0 to 1; and corpus metrics."""
    words, said = [tokens.caption_words(t) for t in texts], [[tokens.caption_words(t) for t in r] for r in references]
    rows = {
        "rouge_l": rouge.rouge_l(words, said),
        "rouge_l_f1": rouge.rouge_l_f1(words, said),
        "meteor": meteor.meteor(words, said),
        "cider_d": cider.cider_d(words, said) / 10,
        "exact": answers.exact_match(texts, references),
        "f1": answers.token_f1(texts, references),
        "chrf": chrf.chrf(chrf.statistics(texts, references)),
    }
    kept = bleu.statistics(words, said).sum(0)
    corpus = [*bleu.caption_bleu(kept), bleu.corpus_bleu(kept), chrf.chrf(chrf.statistics(texts, references).sum(0))]
    corpus += [edits.error_rate(edits.word_edits(words, said).sum(0))]
    corpus += [edits.error_rate(edits.character_edits(texts, references).sum(0))]
    return rows, np.array(corpus, float)


@settings(deadline=None, max_examples=40)
@given(ROWS, st.randoms())
def test_bounds_and_order_of_rows(rows, random):
    texts, references = [t for t, _ in rows], [r for _, r in rows]
    of_rows, corpus = scores(texts, references)
    for name, values in of_rows.items():
        assert (values >= 0).all(), name
        assert (values <= 1 + 1e-9).all(), name
    assert ((corpus >= 0) & (corpus <= 1 + 1e-9))[:-2].all()
    order = list(range(len(rows)))
    random.shuffle(order)
    moved, same = scores([texts[n] for n in order], [references[n] for n in order])
    assert same == pytest.approx(corpus, abs=1e-12)
    for name, values in of_rows.items():
        assert moved[name] == pytest.approx(values[order], abs=1e-9), name


@settings(deadline=None, max_examples=30)
@given(ROWS)
def test_a_perfect_text_is_best(rows):
    references = [row for _, row in rows]
    of_rows, corpus = scores([max(row, key=lambda one: len("".join(one.split()))) for row in references], references)
    worse, _ = scores([text for text, _ in rows], references)
    assert not corpus[-2:].any()
    for name in ("exact", "f1", "rouge_l"):
        assert of_rows[name] == pytest.approx(1), name
    for name in ("rouge_l_f1", "chrf"):
        assert (of_rows[name] >= worse[name] - 1e-9).all(), name


def levenshtein(one, other):
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        row, old = [i], row
        for j, b in enumerate(other, 1):
            row.append(min(row[-1] + 1, old[j] + 1, old[j - 1] + (a != b)))
    return row[-1]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.text("abc", max_size=9), st.text("abc", max_size=9)), min_size=1, max_size=5))
def test_edits_are_the_fewest_and_add_up(pairs):
    kept = edits.character_edits([text for text, _ in pairs], [[said] for _, said in pairs])
    for (text, said), (inserted, deleted, replaced, length) in zip(pairs, kept, strict=True):
        assert inserted + deleted + replaced == levenshtein(text, said)
        assert inserted - deleted == len(text) - len(said)
        assert min(inserted, deleted, replaced) >= 0
        assert length == len(said)


@settings(deadline=None, max_examples=60)
@given(st.text("abc", max_size=9), st.text("abc", max_size=9))
def test_common_subsequence(one, other):
    table = np.zeros((len(one) + 1, len(other) + 1), int)
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            table[i + 1, j + 1] = table[i, j] + 1 if a == b else max(table[i, j + 1], table[i + 1, j])
    assert rouge.common_subsequence_length(rouge.token_positions(one), len(one), other) == table[-1, -1]


def test_sums_of_weighted_rows_are_the_corpus_with_rows_repeated():
    texts, references = ["a dog runs", "the snow"], [["a dog", "dogs run"], ["snow falls"]]
    kept, twice = (
        bleu.statistics([t.split() for t in texts], [[r.split() for r in row] for row in references]),
        [0, 1, 1],
    )
    again = bleu.statistics(
        [texts[n].split() for n in twice], [[r.split() for r in references[n]] for n in twice]
    )  # fmt: skip
    assert bleu.caption_bleu(np.array([1, 2]) @ kept) == pytest.approx(bleu.caption_bleu(again.sum(0)))


def test_a_text_of_ten_thousand_words_is_judged():
    rng = np.random.default_rng(0)
    long = " ".join(f"w{n}" for n in rng.integers(50, size=10_000))
    words = [tokens.caption_words(long)]
    assert edits.error_rate(edits.word_edits(words, [words])[0]) == 0
    assert rouge.rouge_l(words, [words]) == pytest.approx(1)
    assert meteor.meteor(words, [words])[0] > 0.99


def test_scripts_without_spaces():
    assert tokens.unspaced(["两只狗在雪地上奔跑。", "a dog"])
    assert not tokens.unspaced(["两 只 狗 在 雪地 上 奔跑 。"])
    assert not tokens.unspaced(["a dog runs", "狗"])
    assert tokens.caption_signs("两只 dogs。") == ("两", "只", "dogs")


@pytest.mark.parametrize(
    ("references", "reads", "metric"),
    [
        ([["seven"], ["one"]], {"audio"}, "wer"),
        ([["red"], ["two dogs"]], {"image", "text"}, "exact_match"),
        ([["red"] * 10], {"image", "text"}, "vqa_accuracy"),
        ([["a dog runs through snow"] * 5], {"image"}, "cider_d"),
        ([["a dog runs through snow"]], {"image"}, "cider_d"),
        ([["a dog runs through snow"]], {"text"}, "chrf"),
        ([["一个人在雪地上"]], {"text"}, "chrf"),
        ([], {"audio"}, "chrf"),
    ],
)
def test_the_metric_that_is_quoted(references, reads, metric):
    assert main_metric(references, reads) == metric
