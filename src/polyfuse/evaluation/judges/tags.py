"""Judges an output with a tag per word, or with spans of characters in a text: by spans, and word by word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from polyfuse.data.cells.tag_schemes import OUTSIDE, convert, recognise, spans_of, split_tag, strict_spans_of
from polyfuse.evaluation.judges.category import per_class
from polyfuse.evaluation.judges.common import (
    Resampling,
    common_notes,
    empty_report,
    finite_or_none,
    measure_values,
    spread_over_rows,
)
from polyfuse.evaluation.outcome import Baseline, Outcome, OutputReport
from polyfuse.metrics import classification
from polyfuse.metrics import tags as metrics
from polyfuse.metrics.intervals import Measure

KINDS = ("precision", "recall", "f1")
MEANS = ("", "macro_", "weighted_")
SPANS = tuple(f"{how}_{mean}{kind}" for how in ("span", "strict") for mean in MEANS for kind in KINDS)
NAMES = (*SPANS, "token_accuracy", *(f"token_{mean}{kind}" for mean in MEANS[1:] for kind in KINDS))
HEADLINE = ("span_f1", "span_precision", "span_recall", "span_macro_f1", "token_accuracy")
OF_PLAIN = ("token_accuracy", "token_macro_f1", "token_weighted_f1")  # where labels mark no spans
OF_CHARACTERS = HEADLINE[:-1]


def headline(outcome: Outcome) -> tuple[str, ...]:
    """The metrics to show first: those of spans, where targets mark any, or else those of words."""
    targets = [outcome.target[row] for row in outcome.judged()]
    if _are_characters(targets):
        shown: tuple[str, ...] = OF_CHARACTERS
    else:
        shown = HEADLINE if not targets or _mark_spans(targets, outcome) else OF_PLAIN
    return shown if outcome.metric is None else tuple(dict.fromkeys((outcome.metric, *shown)))


def judge(
    outcome: Outcome, *, bootstrap: int = 1000, seed: int = 0, groups: Sequence[Hashable] | None = None
) -> OutputReport:
    """Precision, recall and F1 of spans and of words, per label too; sentences are resampled; see ``judges.judge``."""
    rows, shown = outcome.judged(), headline(outcome)
    if not len(rows):
        return empty_report(outcome, NAMES, shown)
    resampling = Resampling.of(outcome, bootstrap, seed, groups)
    sides = _Sides(outcome, rows)
    found, intervals = resampling.measured(partial(_measure, sides), len(rows))
    said = sides.tags[1] if sides.tags else None
    labels = metrics.span_report(sides.spans, resampling.weights) if sides.spans else sides.words(resampling.weights)
    return OutputReport(
        task=outcome.task,
        rows=len(rows),
        metrics={name: found[name] for name in NAMES if name in found} | sides.token_means(resampling.weights),
        intervals=intervals,
        headline=shown,
        baseline=_baseline(sides, resampling.weights),
        severity=spread_over_rows(sides.mistakes(), rows, len(outcome.target)),
        per_class=labels,
        per_token=sides.token_report(resampling.weights),
        notes=common_notes(outcome, rows, resampling) + _notes(sides, said),
    )


def measure(outcome: Outcome) -> Measure:
    """The metrics of the judged rows as functions of weights of these rows; see ``judges.measure``."""
    return partial(_measure, _Sides(outcome, outcome.judged()))


class _Sides:
    """Targets and answers of the judged rows, read once.

    Attributes:
        spans: counted by sentence and label; None where labels mark no spans.
        strict: the same, as seqeval's strict mode reads IOB2; None where targets are spans of characters as well.
        tags: true and said tags of every sentence; None where targets are spans of characters.
        right_N2: words of each sentence that are right, and all.
    """

    def __init__(self, outcome: Outcome, rows: np.ndarray):
        true, said = ([list(side[row] or []) for row in rows] for side in (outcome.target, outcome.value))
        self.spans: metrics.SpanCounts | None = None
        self.strict: metrics.SpanCounts | None = None
        self.tags: tuple[list[list[Any]], list[list[Any]]] | None = None
        self.right_N2: np.ndarray | None = None
        if _are_characters(true):
            self.spans = metrics.count_spans(*([_places(row) for row in side] for side in (true, said)))
            return
        for row, one, other in zip(rows, true, said, strict=True):
            if len(one) != len(other):
                raise ValueError(
                    f"row {row}: {len(one):,} tags are true and {len(other):,} were said; expected as many"
                )
        self.tags, self.right_N2 = (true, said), metrics.count_tokens(true, said)
        if _mark_spans(true, outcome):
            self.spans = metrics.count_spans(*([spans_of(tags) for tags in side] for side in (true, said)))
            turned = recognise(true) in ("iob1", "iobes", "bilou")  # what those begin a span with is another letter
            sides = ([convert(tags, "iob2") if turned else tags for tags in side] for side in (true, said))
            self.strict = metrics.count_spans(*([strict_spans_of(tags) for tags in side] for side in sides))

    def mistakes(self) -> np.ndarray:
        """Of each sentence the spans that were missed or are wrong, and where there are none the words."""
        if self.spans is not None:
            return (self.spans.true_NL + self.spans.said_NL - 2 * self.spans.right_NL).sum(1)
        assert self.right_N2 is not None
        return self.right_N2[:, 1] - self.right_N2[:, 0]

    def words(self, weights_N: np.ndarray | None) -> list[dict[str, Any]]:
        """Precision, recall, F1 and number of words of each tag."""
        if self.tags is None:
            return []
        true, said, times, classes = self._codes(weights_N)
        counts = classification.class_counts(true, said, len(classes), times)
        return per_class(counts, classes, np.bincount(true, minlength=len(classes)))

    def token_report(self, weights_N: np.ndarray | None) -> list[dict[str, Any]]:
        """Precision, recall, F1 and number of words of each tag, ``O`` among them, where tags mark spans."""
        if self.tags is None or self.spans is None:
            return []
        true, said, times, classes = self._codes(weights_N)
        counts = classification.class_counts(true, said, len(classes), times)
        return metrics.token_report(counts, classes, np.bincount(true, minlength=len(classes)))

    def token_means(self, weights_N: np.ndarray | None) -> dict[str, float | None]:
        """Macro and weighted means over the tags of words, ``O`` among them."""
        if self.tags is None:
            return {}
        true, said, times, classes = self._codes(weights_N)
        means = metrics.token_means(classification.class_counts(true, said, len(classes), times))
        return {name: finite_or_none(value) for name, value in means.items()}

    def _codes(self, weights_N: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[Any]]:
        """Class of each word, true and said, the weight of its sentence, and the classes."""
        assert self.tags is not None
        true, said = ([tag for tags in side for tag in tags] for side in self.tags)
        classes = sorted({*true, *said}, key=str)
        place = {tag: n for n, tag in enumerate(classes)}
        lengths = [len(tags) for tags in self.tags[0]]
        each = np.ones(len(lengths)) if weights_N is None else weights_N
        codes = (np.array([place[tag] for tag in side], dtype=np.int64) for side in (true, said))
        return (*codes, np.repeat(each, lengths), classes)  # type: ignore[return-value]


def _are_characters(targets: Sequence[Any]) -> bool:
    return any(isinstance(item, Mapping) for target in targets for item in target)


def _mark_spans(targets: Sequence[Sequence[Any]], outcome: Outcome) -> bool:
    """Whether tags mark spans: those that the model knows, or else those of the targets, are of such a scheme."""
    known = outcome.classes if outcome.classes is not None else [tag for tags in targets for tag in tags]
    return any(tag != OUTSIDE for tag in known) and all(tag == OUTSIDE or split_tag(tag)[0] != OUTSIDE for tag in known)


def _places(spans: Sequence[Mapping[str, Any]]) -> list[metrics.Place]:
    return [(int(span["start"]), int(span["end"]), str(span["label"])) for span in spans]


def _measure(sides: _Sides, weights: np.ndarray) -> dict[str, np.ndarray]:
    found = metrics.span_metrics(sides.spans, weights) if sides.spans else {}
    if sides.strict is not None:
        found |= metrics.span_metrics(sides.strict, weights, "strict")
    if sides.right_N2 is not None:
        found["token_accuracy"] = metrics.token_accuracy(sides.right_N2, weights)
    return found


def _baseline(sides: _Sides, weights_N: np.ndarray | None) -> Baseline:
    """The commonest tag for every word."""
    if sides.tags is None:
        return Baseline("never any span", dict.fromkeys(OF_CHARACTERS, 0.0))
    counts = Counter(tag for tags in sides.tags[0] for tag in tags)
    tag = max(counts, key=lambda one: (counts[one], str(one)))
    said = [[tag] * len(tags) for tags in sides.tags[0]]
    right_N2 = metrics.count_tokens(sides.tags[0], said)
    found = measure_values(lambda w: {"token_accuracy": metrics.token_accuracy(right_N2, w)}, len(said), weights_N)
    return Baseline(f"always {str(tag)!r}", {**(dict.fromkeys(SPANS, 0.0) if sides.spans else {}), **found})


def _notes(sides: _Sides, said: list[list[Any]] | None) -> list[str]:
    notes = []
    if sides.spans is not None and not sides.spans.true_NL.any():
        notes.append("No sentence here has a span, so precision, recall and F1 tell nothing.")
    if sides.spans is not None and sides.spans.true_NL.any() and not sides.spans.said_NL.any():
        notes.append("Not one span was found.")
    if sides.tags is not None:
        notes.append(f"{sum(map(len, said or [])):,} words; intervals resample sentences.")
    return notes
