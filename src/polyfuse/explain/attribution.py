"""What explainers are asked and what they give: scores of inputs and of parts of cells, with where these lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from polyfuse.data.cells.items import split_media
from polyfuse.data.cells.source import is_missing
from polyfuse.runtime.servant import Record, Servant

MEDIA = ("image", "audio", "video")
AT_ONCE = 64  # changed rows of one call


@dataclass(frozen=True)
class Attribution:
    """Scores of the parts of one cell, of several columns, or of all inputs.

    Args:
        kind: ``image``, ``text``, ``audio``, ``video``, ``column`` or ``inputs``.
        column: whose cell it is; nothing of columns and inputs.
        scores: one per part (P,); above 0 speaks for the answer, below 0 against it.
        spans: where each part lies: characters of a text, seconds of a sound or video, ``(left, top, right, bottom)``
            as shares of a picture's width and height; nothing of columns and inputs.
        labels: what each part is called: the word, the column, the input.
        slot: which of several media in the cell.
        errors: standard error of each score, where there is one.
    """

    kind: str
    column: str
    scores: np.ndarray
    spans: Sequence[tuple[float, ...]] = ()
    labels: Sequence[str] = ()
    slot: int = 0
    errors: np.ndarray | None = None

    def to_json(self) -> dict[str, Any]:
        """The same as JSON."""
        found: dict[str, Any] = {"kind": self.kind, "column": self.column, "slot": self.slot}
        found |= {"scores": [round(float(score), 6) for score in self.scores], "labels": list(self.labels)}
        found |= {"spans": [[round(float(end), 4) for end in span] for span in self.spans]}
        return found | ({} if self.errors is None else {"errors": [round(float(one), 6) for one in self.errors]})


@dataclass(frozen=True)
class Attributions:
    """What an explainer found of one row and output.

    Args:
        parts: the scores.
        total: what the scores of all parts promise to add up to; None where they promise nothing.
        notes: what must be known to read them.
        shares: whether the scores are shares of each cell, which sum to 1, and say nothing of the answer.
    """

    parts: list[Attribution]
    total: float | None = None
    shares: bool = False
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Question:
    """One row and output that are to be explained.

    Args:
        servant: the model.
        record: the row; a medium is the content of its file, or a list of such where a cell holds several.
        output: its name.
        place: of the label that is explained among the scores of the output; 0 of a number.
    """

    servant: Servant
    record: Record
    output: str
    place: int = 0

    def ask(self, records: Sequence[Record]) -> np.ndarray:
        """The score that is explained in rows like this one (N,)."""
        everything = [list(self.servant.inputs)]
        parts = [
            self.servant.scores(records[at : at + AT_ONCE], everything)[self.output][0, :, self.place]
            for at in range(0, len(records), AT_ONCE)
        ]
        return np.concatenate(parts).astype(float) if parts else np.zeros(0)

    def ask_subsets(self, subsets: Sequence[frozenset[str]]) -> np.ndarray:
        """The score of this row where some inputs alone stay (S,)."""
        return self.servant.scores([self.record], subsets)[self.output][:, 0, self.place].astype(float)

    @property
    def kinds(self) -> dict[str, str]:
        """Column -> what its cells are, of all that inputs read."""
        return {column: kind for facts in self.servant.inputs.values() for column, kind in facts.kinds.items()}

    @property
    def present(self) -> dict[str, str]:
        """The same of the columns that this row has a cell of."""
        return {column: kind for column, kind in self.kinds.items() if not is_missing(self.record.get(column))}

    def items(self, column: str) -> list[Any]:
        """The media or texts of a cell, those that are missing as None."""
        cell = self.record.get(column)
        several = split_media(cell) if self.present.get(column) in MEDIA else [cell]
        return [None if is_missing(item) else item for item in several]

    def with_item(self, column: str, slot: int, item: Any) -> Record:
        """The row with another medium, or text, in one place of a cell."""
        cell = self.record[column]
        changed = [*cell[:slot], item, *cell[slot + 1 :]] if isinstance(cell, list) else item
        return {**self.record, column: changed}


class Explainer(Protocol):
    """A method that says why a model says what it says; ``__init__`` takes its keywords, all by name."""

    paper: str

    def explain(self, question: Question) -> Attributions:
        """Scores of the inputs of a row, or of the parts of its cells."""


def find_label(output: str, labels: Sequence[Any], label: Any, score_C: np.ndarray) -> int:
    """Where the explained label stands among those of an output: the asked one, or that with the highest score.

    Raises:
        ValueError: no such label, or an output without any.
    """
    if label is None:
        return int(np.argmax(score_C)) if len(labels) else 0
    known = [str(one) for one in labels]
    if str(label) not in known:
        listed = ", ".join(known[:12]) + ("…" if len(known) > 12 else "")
        raise ValueError(f"output {output!r} has no label {label!r}. Known: {listed or 'none, it is a number'}.")
    return known.index(str(label))
