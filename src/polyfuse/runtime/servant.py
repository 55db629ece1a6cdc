"""What a service asks of a model, be it a bundle with torch or an exported folder without it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

Record = Mapping[str, Any]
"""One row, column -> cell: a text, number or boolean, the bytes of a file, a list of such where a column holds several,
or None. A column that is not there is a missing cell."""


@dataclass(frozen=True)
class InputFacts:
    """An input, as one who fills it must know it.

    Args:
        name: of the input.
        modality: ``text``, ``image``, ``audio``, ``columns``, ``feature`` or ``video``.
        columns: that it reads, in order.
        kinds: column -> ``text``, ``image``, ``audio``, ``number``, ``category``, ``date`` or ``vector``.
        choices: column -> the values that training saw, where they are few.
    """

    name: str
    modality: str
    columns: tuple[str, ...]
    kinds: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, Sequence[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class OutputFacts:
    """An output, as one who reads it must know it.

    Args:
        name: of the output.
        head: its registered name, such as ``category``.
        labels: its classes, in the order of probabilities; none for a number or a text.
        writes: whether its answer comes piece by piece (``stream``).
        reads: columns that the head reads itself, beside the inputs.
    """

    name: str
    head: str
    labels: Sequence[Any] = ()
    writes: bool = False
    reads: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What a model says of one row and output.

    Args:
        value: the label, labels, number or text, or the bytes of a picture (PNG) or sound (WAV).
        probabilities: label -> probability, where the head has them.
        confidence: of the value, 0 to 1, where the head has one.
    """

    value: Any
    probabilities: Mapping[Any, float] | None = None
    confidence: float | None = None


class Servant(Protocol):
    """A model that answers rows, however it is kept. One call at a time: whoever serves sees to it."""

    name: str
    inputs: Mapping[str, InputFacts]
    outputs: Mapping[str, OutputFacts]

    def predict(
        self, records: Sequence[Record], *, without: Collection[str] = ()
    ) -> tuple[list[dict[str, Answer]], list[str]]:
        """For each row, output -> answer; and what is to be said of cells that could not be read.

        Args:
            without: names of inputs that count as missing in every row.
        """

    def scores(self, records: Sequence[Record], subsets: Sequence[Collection[str]]) -> dict[str, np.ndarray]:
        """Output -> (S, N, C) float32: probabilities or numbers for each subset of inputs that stay.

        Outputs that have no such scores, texts, pictures and sounds, are left out. What ``explain`` asks: encoders run
        once, whatever the number of subsets.
        """

    def embed(self, records: Sequence[Record], *, input: str | None = None) -> np.ndarray:
        """(N, D) float32 vectors of one input, or of all together; NaN where a row has nothing to embed."""

    def stream(self, record: Record, output: str) -> Iterator[str]:
        """The text of one output, piece by piece.

        Raises:
            ValueError: the output does not write.
        """
