"""Rows explained: the question of each is put to an explainer, and what it found is kept with the cells; no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from polyfuse import registry
from polyfuse.data.cells.items import split_media
from polyfuse.evaluation.rendering import RenderedPage
from polyfuse.explain.attribution import MEDIA, Attribution, Attributions, Explainer, Question, find_label
from polyfuse.explain.contribution import is_missing_input
from polyfuse.runtime.servant import OutputFacts, Record, Servant


@dataclass(frozen=True)
class Explanation:
    """Why a model says what it says of one row and output.

    Args:
        row: its number in the table.
        output: its name.
        label: whose probability is explained, where the output has classes; else None.
        score: that probability, or the number that the model says.
        base: the same with no input at all.
        method: how it was explained.
        parts: the scores.
        total: what the scores of all parts promise to add up to; None where they promise nothing.
        shares: whether the scores are shares of each cell, which sum to 1, and say nothing of the answer.
        notes: what must be known to read them.
        record, kinds: the row that was explained, and column -> what its cells are.
    """

    row: int
    output: str
    label: Any
    score: float
    base: float
    method: str
    parts: list[Attribution]
    total: float | None = None
    shares: bool = False
    notes: list[str] = field(default_factory=list)
    record: Record = field(default_factory=dict, repr=False)
    kinds: Mapping[str, str] = field(default_factory=dict, repr=False)

    def item(self, column: str, slot: int = 0) -> Any:
        """One medium of a cell, or a text."""
        cell = self.record[column]
        return split_media(cell)[slot] if self.kinds.get(column) in MEDIA else cell

    def to_json(self) -> dict[str, Any]:
        """The same as JSON, without the cells."""
        label = self.label.item() if isinstance(self.label, np.generic) else self.label
        found = {"row": self.row, "output": self.output, "label": label, "score": self.score, "base": self.base}
        found |= {"method": self.method, "total": self.total, "shares": self.shares, "notes": list(self.notes)}
        return found | {"parts": [part.to_json() for part in self.parts]}


@dataclass(frozen=True)
class Explanations(RenderedPage):
    """Rows of a table explained; printed they are tables, ``to_html`` writes a page.

    Args:
        model, table: their names.
        rows: an explanation per row and output.
    """

    model: str
    table: str
    rows: list[Explanation]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> Explanation:
        return self.rows[place]

    def __iter__(self) -> Iterator[Explanation]:
        return iter(self.rows)

    def to_json(self) -> dict[str, Any]:
        """The same as JSON, without the cells."""
        return {"model": self.model, "table": self.table, "rows": [one.to_json() for one in self.rows]}


def make_explainer(method: str, options: Mapping[str, Any] | None = None) -> Explainer:
    """The explainer of that name with its options.

    Raises:
        ValueError: no such method or option.
    """
    made = registry.explainer(method)
    try:
        return made(**(options or {}))
    except TypeError as error:
        reason = str(error).replace(f"{made.__name__}.__init__() ", "")
        raise ValueError(f"explainer {method!r}: {reason}") from None


def explain_records(
    servant: Servant,
    records: Sequence[Record],
    *,
    method: str = "contribution",
    output: str | None = None,
    label: Any = None,
    options: Mapping[str, Any] | None = None,
    rows: Sequence[int] | None = None,
) -> list[Explanation]:
    """An explanation per row and output that has scores.

    Args:
        servant: any model, with torch or without.
        records: the rows; media as the content of their files.
        method: a name in ``registry.EXPLAINERS``, or one of your own.
        output: that one alone; all that have scores by default.
        label: the class whose probability is explained; by default that with the highest, row by row.
        options: keywords of the method.
        rows: numbers of the rows, for messages; their places by default.

    Raises:
        ValueError: no such method, option, output or label, an output without scores, a row without any input, or a
            method that needs gradients of a model that has none.
    """
    explainer = make_explainer(method, options)
    numbers = range(len(records)) if rows is None else rows
    found = []
    for number, record in zip(numbers, records, strict=True):
        if all(is_missing_input(facts, record) for facts in servant.inputs.values()):
            raise ValueError(f"row {number}: every input is missing, so there is nothing to explain")
        scores = servant.scores([record], [list(servant.inputs), []])
        asked = _asked(servant, scores, output)
        if label is not None and len(asked) > 1:
            raise ValueError(f"label {label!r}: name the output that has it; outputs: {', '.join(asked)}")
        for name, facts in asked.items():
            at = find_label(name, facts.labels, label, scores[name][0, 0])
            question = Question(servant, record, name, at)
            said: Attributions = explainer.explain(question)
            full, none = (float(scores[name][n, 0, at]) for n in (0, 1))
            what = facts.labels[at] if len(facts.labels) else None
            shown = (said.parts, said.total, said.shares, said.notes, record, question.kinds)
            found.append(Explanation(number, name, what, full, none, method, *shown))
    return found


def _asked(servant: Servant, scores: Mapping[str, np.ndarray], output: str | None) -> dict[str, OutputFacts]:
    """The outputs that are explained.

    Raises:
        ValueError: no such output, or one without scores.
    """
    if output is not None:
        registry.choose(dict(servant.outputs), output, "output")
    names = [name for name in servant.outputs if name in scores] if output is None else [output]
    if (output is not None and output not in scores) or not names:
        head = f"output {output!r} ({servant.outputs[output].head})" if output else "no output"
        hint = "; polyfuse attend shows what its words were written about"
        raise ValueError(
            f"{head} has scores to explain: expected classes, labels, ranks or numbers, not texts, tags, events, "
            "pictures or sounds" + (hint if output and servant.outputs[output].writes else "")
        )
    return {name: servant.outputs[name] for name in names}
