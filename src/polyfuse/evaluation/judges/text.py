"""Judges an output with one text per row, against one or several references."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial

import numpy as np

from polyfuse.errors import format_count
from polyfuse.evaluation.glossary import format_value, term
from polyfuse.evaluation.judges.common import (
    Resampling,
    Values,
    common_notes,
    empty_report,
    finite_or_none,
    measure_values,
    spread_over_rows,
)
from polyfuse.evaluation.outcome import Baseline, Outcome, OutputReport
from polyfuse.metrics.intervals import Measure
from polyfuse.metrics.text import answers, bleu, chrf, cider, diversity, edits, meteor, rouge, tokens
from polyfuse.metrics.text.choice import SHORT, main_metric
from polyfuse.metrics.weighted import ratio
from polyfuse.registry import choose

BLEUS = ("bleu_1", "bleu_2", "bleu_3", "bleu_4")
MEASURED = (
    "cider_d", "bleu", *BLEUS, "meteor", "rouge_l", "rouge_l_f1", "chrf", "wer", "cer", "exact_match", "token_f1",
    "vqa_accuracy",
)  # fmt: skip
NAMES = (*MEASURED, "distinct_1", "distinct_2", "same_text")
BESIDE = {  # the metric that is quoted -> those shown beside it
    "cider_d": ("bleu_4", "meteor", "rouge_l", "distinct_2"),
    "wer": ("cer", "exact_match"),
    "vqa_accuracy": ("exact_match", "token_f1"),
    "exact_match": ("token_f1", "cer"),
    "chrf": ("bleu", "rouge_l_f1", "wer"),
}
HEADLINE = ("chrf", *BESIDE["chrf"])  # where there is nothing to choose by
TOP = {"cider_d": cider.SCALE}  # the best value of a metric; 1 of any other that is better when higher
RIGHT = ("exact_match", "vqa_accuracy")  # metrics by which a row is right or wrong
ALARM = 0.5  # share of rows with one text above which the reader is told, where references differ
LIKELY = 0.02  # share of rows from which a whole reference is common enough to be always said
SAMPLED = 2000  # references looked through for one to always say


def judge(
    outcome: Outcome, *, bootstrap: int = 1000, seed: int = 0, groups: Sequence[Hashable] | None = None
) -> OutputReport:
    """Metrics of captions, speech, translations and answers, and whether all rows get one text; see ``judges.judge``.

    The first of the headline is the outcome's ``metric``, or else that of ``metrics.text.choice.main_metric``.
    """
    rows = outcome.judged()
    shown = headline(outcome)
    if not len(rows):
        return empty_report(outcome, NAMES, shown)
    resampling = Resampling.of(outcome, bootstrap, seed, groups)
    texts, ready = _sides(outcome, rows)
    kept = ready.statistics(texts)
    found, intervals = resampling.measured(partial(_measure, kept), len(rows))
    row_values = _values(kept)
    said = [ready.split(one) for one in texts]
    found |= {f"distinct_{n}": finite_or_none(diversity.distinct(said, n)) for n in (1, 2)}
    found["same_text"] = diversity.most_common_text(texts)[1] / len(rows)
    score = row_values.get(shown[0], np.full(len(rows), np.nan))
    return OutputReport(
        task=outcome.task,
        rows=len(rows),
        metrics={name: found.get(name) for name in NAMES},
        intervals=intervals,
        headline=shown,
        baseline=ready.baseline(shown, resampling.weights),
        severity=spread_over_rows(_severity(shown[0], row_values), rows, len(outcome.target)),
        score=None if shown[0] in RIGHT else spread_over_rows(score, rows, len(outcome.target)),
        notes=common_notes(outcome, rows, resampling) + _notes(kept, found, texts, ready, shown[0]),
        decoding=dict(outcome.decoding),
    )


def measure(outcome: Outcome) -> Measure:
    """The metrics of the judged rows as functions of weights of these rows; see ``judges.measure``."""
    texts, ready = _sides(outcome, outcome.judged())
    return partial(_measure, ready.statistics(texts))


def headline(outcome: Outcome) -> tuple[str, ...]:
    """The metrics to show first, the very first being the one to quote; predictions are not looked at.

    Raises:
        ValueError: the outcome's ``metric`` is none of texts.
    """
    references = [_several(outcome.target[row]) for row in outcome.judged()]
    if outcome.metric is not None:
        choose(dict.fromkeys(NAMES), outcome.metric, "metric of a text")
    elif not references:
        return HEADLINE
    main = main_metric(references, outcome.reads)
    first = outcome.metric or main
    return tuple(dict.fromkeys((first, main, *BESIDE[main])))


# --- what is read once ------------------------------------------------------------------------------------------------


def _sides(outcome: Outcome, rows: np.ndarray) -> tuple[list[str], _References]:
    texts = ["" if outcome.value[row] is None else str(outcome.value[row]) for row in rows]
    return texts, _prepare_references(tuple(_several(outcome.target[row]) for row in rows))


def _several(target: str | Iterable[str]) -> tuple[str, ...]:
    """A row's references; an empty text where it has none."""
    return (target,) if isinstance(target, str) else tuple(map(str, target)) or ("",)


@lru_cache(maxsize=2)
def _prepare_references(references: tuple[tuple[str, ...], ...]) -> _References:
    """Kept, for a model is judged many times on the same rows: with fewer inputs, under noise, seed by seed."""
    return _References(references)


@dataclass(frozen=True, eq=False)
class _References:
    """The references of all rows, with what each family of metrics makes of them once.

    Args:
        texts: of each row, one at least.
    """

    texts: tuple[tuple[str, ...], ...]

    @cached_property
    def signs(self) -> bool:
        """Whether words are counted sign by sign, for want of spaces between them."""
        return tokens.unspaced(text for row in self.texts for text in row)

    @cached_property
    def short(self) -> bool:
        """Whether most references are answers of few words."""
        return float(np.median([len(tokens.plain_signs(row[0])) for row in self.texts])) <= SHORT

    def split(self, text: str) -> tokens.Words:
        """As captions are counted."""
        return (tokens.caption_signs if self.signs else tokens.caption_words)(text)

    def by(self, split: Callable[[str], tokens.Words]) -> list[list[tokens.Words]]:
        """All references, split."""
        return [[split(text) for text in row] for row in self.texts]

    @cached_property
    def words(self) -> list[list[tokens.Words]]:
        """As captions are counted."""
        return self.by(self.split)

    @cached_property
    def documents(self) -> cider.References:
        """For CIDEr-D."""
        return cider.References(self.words)

    @cached_property
    def characters(self) -> chrf.References:
        """For chrF."""
        return chrf.References(self.texts)

    def statistics(self, texts: list[str], wanted: Collection[str] = MEASURED) -> dict[str, np.ndarray]:
        """Family -> what its metrics need of each row (N, K); only families of the metrics wanted."""
        families = {_FAMILY.get(name, name) for name in wanted}
        if len(texts) < 2:
            families.discard("cider_d")  # it weighs n-grams by the rows that have them
        if not (self.short and min(map(len, self.texts)) >= answers.FEWEST):
            families.discard("vqa_accuracy")
        return {name: make(self, texts) for name, make in _MAKE.items() if name in families}

    def baseline(self, shown: Collection[str], weights_N: np.ndarray | None) -> Baseline:
        """Always the same text."""
        text, kept = _constant_baseline(self, tuple(shown))
        found = measure_values(partial(_measure, kept), len(self.texts), weights_N)
        short = text if len(text) <= 60 else text[:59] + "…"
        return Baseline(f"always {short!r}", {name: found.get(name) for name in shown if name in MEASURED})


@lru_cache(maxsize=2)
def _constant_baseline(ready: _References, shown: tuple[str, ...]) -> tuple[str, dict[str, np.ndarray]]:
    """The text that is always said, and how it does."""
    text = _typical_reference(ready.texts, ready.words)
    return text, ready.statistics([text] * len(ready.texts), shown)


def _typical_reference(texts: Sequence[Sequence[str]], words: Sequence[Sequence[tokens.Words]]) -> str:
    """The reference that fits most rows: the commonest as a whole, or else by the words that it shares with others."""
    whole: dict[str, str] = {}
    rows = Counter(n for row in texts for n in {_known(whole, text) for text in row})
    best, times = max(rows.items(), key=lambda item: (item[1], item[0]))
    if times > 1 and times >= LIKELY * len(texts):
        return whole[best]
    shares = Counter(word for row in words for word in {word for reference in row for word in reference})
    length = float(np.mean([len(reference) for row in words for reference in row]))
    every = [
        (text, said) for row, split in zip(texts, words, strict=True) for text, said in zip(row, split, strict=True)
    ]
    some = np.random.default_rng(0).permutation(len(every))[:SAMPLED]
    fits = [sum(shares[word] for word in set(every[at][1])) / (len(every[at][1]) + length + 1e-9) for at in some]
    return every[some[int(np.argmax(fits))]][0]


def _known(whole: dict[str, str], text: str) -> str:
    normal = answers.squad_normal(text)
    whole.setdefault(normal, text)
    return normal


_FAMILY = {"bleu_1": "captions", "bleu_2": "captions", "bleu_3": "captions", "bleu_4": "captions"}


def _split(ready: _References, texts: list[str]) -> list[tokens.Words]:
    return [ready.split(text) for text in texts]


def _words_of(
    unspaced: Callable[[str], tokens.Words],
    spaced: Callable[[str], tokens.Words],
    made: Callable[[list[tokens.Words], list[list[tokens.Words]]], np.ndarray],
    ready: _References,
    texts: list[str],
) -> np.ndarray:
    """What a metric makes of words, split in the one way or the other."""
    split = unspaced if ready.signs else spaced
    return made([split(text) for text in texts], ready.by(split))


_Make = Callable[[_References, list[str]], np.ndarray]
_MAKE: dict[str, _Make] = {
    "captions": lambda ready, texts: bleu.statistics(_split(ready, texts), ready.words),
    "bleu": partial(_words_of, tokens.mteval_signs, tokens.mteval_words, bleu.statistics),
    "cider_d": lambda ready, texts: ready.documents.scores(_split(ready, texts)),
    "meteor": lambda ready, texts: meteor.meteor(_split(ready, texts), ready.words),
    "rouge_l": lambda ready, texts: rouge.rouge_l(_split(ready, texts), ready.words),
    "rouge_l_f1": partial(_words_of, tokens.plain_signs, tokens.plain_words, rouge.rouge_l_f1),
    "chrf": lambda ready, texts: ready.characters.statistics(texts),
    "wer": partial(_words_of, tokens.spoken_signs, tokens.spoken_words, edits.word_edits),
    "cer": lambda ready, texts: edits.character_edits(
        [tokens.spoken(text) for text in texts], [[tokens.spoken(text) for text in row] for row in ready.texts]
    ),
    "exact_match": lambda ready, texts: answers.exact_match(texts, ready.texts),
    "token_f1": lambda ready, texts: answers.token_f1(texts, ready.texts),
    "vqa_accuracy": lambda ready, texts: answers.vqa_accuracy(texts, ready.texts),
}
_OF_SUMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {  # families whose metric is one of sums, not a mean of rows
    "bleu": bleu.corpus_bleu,
    "chrf": chrf.chrf,
    "wer": edits.error_rate,
    "cer": edits.error_rate,
}


def _measure(kept: dict[str, np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
    """Metric -> value (R,) under weights of the rows (R, N)."""
    total = weights.sum(-1)
    found: dict[str, np.ndarray] = {}
    for family, of_rows in kept.items():
        sums = weights @ of_rows
        if family == "captions":
            found |= dict(zip(BLEUS, bleu.caption_bleu(sums), strict=True))
        elif family in _OF_SUMS:
            found[family] = np.where(total > 0, _OF_SUMS[family](sums), np.nan)
        else:
            found[family] = ratio(sums, total)
    return found


def _values(kept: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Metric -> value of each row alone (N,)."""
    found: dict[str, np.ndarray] = {}
    for family, of_rows in kept.items():
        if family == "captions":
            found |= dict(zip(BLEUS, bleu.caption_bleu(of_rows), strict=True))
        else:
            found[family] = _OF_SUMS[family](of_rows) if family in _OF_SUMS else of_rows
    return found


# --- what the reader is shown ----------------------------------------------------------------------------------------


def _severity(main: str, of_rows: dict[str, np.ndarray]) -> np.ndarray:
    """How wrong each row is by the metric that is quoted; among equals, by shared words."""
    apart = 1 - of_rows["token_f1"]
    if main not in of_rows:
        return apart
    top = TOP.get(main, 1.0)
    wrong = (top - of_rows[main]) / top if term(main).higher else of_rows[main]
    return np.where(of_rows["exact_match"] == 1, 0.0, np.maximum(wrong, 0) + 1e-6 * apart)


def _notes(kept: dict[str, np.ndarray], found: Values, texts: list[str], ready: _References, main: str) -> list[str]:
    notes = []
    rows, (text, times) = len(texts), diversity.most_common_text(texts)
    if ready.signs:
        notes.append(
            "Words are single characters in every metric of words, for these texts have no spaces between words; put "
            "spaces there to have words counted."
        )
    distinct = len({answers.squad_normal(row[0]) for row in ready.texts})
    if times > 1 and times > ALARM * rows and distinct > rows * (1 - ALARM):
        notes.append(
            f"ALARM: {format_value('same_text', times / rows)} of the rows get the same text, {text!r}, though their "
            "references differ: the model does not look at its inputs."
        )
    if empty := sum(not one.strip() for one in texts):
        notes.append(f"Nothing was said to {format_count(empty, 'row')}.")
    if main in ("wer", "cer"):
        inserted, deleted, replaced, length = (int(n) for n in kept[main].sum(0))
        unit = "word" if main == "wer" else "character"
        notes.append(
            f"{term(main).title}: of {format_count(length, unit)} {deleted:,} left out, {replaced:,} replaced, and "
            f"{inserted:,} put in."
        )
    if found.get("cider_d") is None:
        notes.append("CIDEr-D needs at least two rows.")
    return notes
