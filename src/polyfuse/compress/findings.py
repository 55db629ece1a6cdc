"""What a compression came to: the model before and after, in one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from polyfuse.evaluation.rendering import Rendered, plain_text


@dataclass(frozen=True)
class Quality:
    """How good one output is: its headline metric and the 95 % interval of that, where there is one."""

    metric: str
    value: float | None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Measured:
    """One model, measured.

    Args:
        outputs: output -> how good it is.
        size: bytes of what it answers with on disk: weights, recipe and preprocessing.
        parameters: numbers that it holds.
        nonzero: those that are not 0.
        milliseconds: rows answered at once -> time of that, cells being ready.
        memory: bytes that a process of its own holds at most while it answers 16 rows; None where it was not measured.
    """

    outputs: Mapping[str, Quality]
    size: int
    parameters: int
    nonzero: int
    milliseconds: Mapping[int, float]
    memory: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            **asdict(self),
            "outputs": {name: asdict(one) for name, one in self.outputs.items()},
            "milliseconds": {str(rows): value for rows, value in self.milliseconds.items()},
        }


@dataclass(frozen=True, repr=False)
class Compression(Rendered):
    """A model made smaller. Printed, it is a table of before and after.

    Args:
        name: of the model that it was made of.
        method: the chain of methods.
        done: what each did, in words.
        before, after: both, measured on the same rows, in turns.
        rows: how many rows the figures come from.
        judged_as: what these are, in words.
        folder: where the new model lies.
        notes: what the reader must know.
        device: where both were timed.
    """

    name: str
    method: str
    done: list[str]
    before: Measured
    after: Measured
    rows: int
    judged_as: str
    folder: Path
    notes: list[str] = field(default_factory=list)
    device: str = "cpu"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, as they are kept with the new model."""
        return {
            "model": self.name,
            "method": self.method,
            "done": self.done,
            "rows": self.rows,
            "judged_on": self.judged_as,
            "device": self.device,
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "notes": self.notes,
        }

    def __repr__(self) -> str:
        return plain_text(self)
