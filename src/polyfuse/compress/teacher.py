"""What a teacher says of rows, and the lessons that a network is given of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from polyfuse import registry
from polyfuse.compress.study import Study
from polyfuse.compress.view import View, view
from polyfuse.contracts import Scores, offers
from polyfuse.data.batches import Rows
from polyfuse.data.cells.transform import Transform
from polyfuse.model.inference import iter_states
from polyfuse.model.network import Network
from polyfuse.model.prepare import columns_of
from polyfuse.records import Batch, Spec, State
from polyfuse.system.device import device_of
from polyfuse.training.fit import TrainingData

BESIDE = "teacher:"  # before the names of inputs that only the teacher reads
VIEWS = ("auto", "once", "each")

Says = Callable[[Batch], View]
"""What a teacher says of the rows of a batch."""


class Once:
    """A teacher that has said of every row what it says, once for all epochs.

    Args:
        network: the teacher, with all that answers beside it.
        rows: the whole table, as the teacher reads it.
        numbers: the rows that it is asked of.
    """

    def __init__(self, network: Network, rows: Rows, numbers: np.ndarray):
        self.place_R = torch.zeros(len(rows), dtype=torch.long)
        self.place_R[torch.from_numpy(numbers)] = torch.arange(len(numbers))
        parts = [view(state) for _, (state,) in iter_states(network, rows, numbers=numbers)]
        self.said: View = _joined(parts)

    def __call__(self, batch: Batch) -> View:
        """What it said."""
        at_B = self.place_R.to(batch.rows_B.device)[batch.rows_B]
        self.said = _each(self.said, lambda tensor: tensor.to(at_B.device))
        return _each(self.said, lambda tensor: tensor[at_B])


class Every:
    """A teacher that looks at every batch as the student sees it, augmented.

    Args:
        network: the teacher.
        own: reader of the teacher -> the name in a batch of the cells that it reads.
    """

    def __init__(self, network: Network, own: Mapping[str, str]):
        self.network, self.own = network, own

    def __call__(self, batch: Batch) -> View:
        """What it says now."""
        self.network.eval()
        with torch.no_grad():
            seen = replace(batch, inputs={reader: batch.inputs[name] for reader, name in self.own.items()})
            return view(self.network(seen))


def _each(found: View, change: Callable[[Tensor], Tensor]) -> View:
    return {k: {n: change(t) for n, t in v.items()} if isinstance(v, Mapping) else change(v) for k, v in found.items()}


def _joined(parts: Sequence[View]) -> View:
    first = parts[0]
    return {
        key: {name: torch.cat([part[key][name] for part in parts]).clone() for name in value}
        if isinstance(value, Mapping)
        else torch.cat([part[key] for part in parts]).clone()
        for key, value in first.items()
    }


class Taught(nn.Module):
    """The loss of some lessons, as an objective of the network that learns.

    Args:
        lessons: each with its weight.
        says: what the teacher says of a batch.
    """

    def __init__(self, lessons: Sequence[tuple[nn.Module, float]], says: Says):
        super().__init__()
        self.lessons, self.weights, self.says = nn.ModuleList(m for m, _ in lessons), [w for _, w in lessons], says

    def represent(self, state: State) -> View:
        """What is compared, row by row."""
        return view(state)

    def loss(self, judged: View, batch: Batch, heads: Mapping[str, Any]) -> Tensor:
        """Scalar: the weighted sum over lessons."""
        wanted = self.says(batch)
        lessons: list[Any] = list(self.lessons)
        found = [
            weight * lesson.loss(judged, wanted, batch, heads)
            for lesson, weight in zip(lessons, self.weights, strict=True)
        ]
        return torch.stack(found).sum()


@dataclass
class Lessons:
    """Lessons of a study's model, for ``training.fit``.

    Args:
        study: whose model teaches.
        names: of the lessons, each with its weight.
        keywords: lesson -> its keywords.
        views: the teacher speaks ``once``, of rows as they are, or of ``each`` batch as the student sees it; ``auto``
            takes the latter where the student's cells are augmented and the teacher reads the same.
    """

    study: Study
    names: Mapping[str, float]
    keywords: Mapping[str, Mapping[str, Any]]
    views: str = "auto"

    def __post_init__(self) -> None:
        self.says: Says | None = None
        network = self.study.bundle.network
        scored = [name for name in network.outputs if offers(network.head(name), Scores)]
        if "logits" in self.names and not scored:
            raise ValueError(
                f"lesson logits: no output has scores ({', '.join(network.outputs)}); take features, relational or "
                "contrastive"
            )

    def known(self, name: str, spec: Spec, columns: Mapping[str, str]) -> Transform | None:
        """The teacher's own, where it reads the same columns in the same way: classes and words have its numbers."""
        teacher = self.study.bundle
        same = teacher.specs.get(name) == spec and columns_of(teacher.recipe).get(name) == dict(columns)
        return teacher.transforms[name] if same else None

    def rows(self, ready: TrainingData) -> Rows:
        """The student's rows; where the teacher looks at every batch, what only it reads stands beside."""
        study, rows = self.study, ready.rows
        teacher = study.bundle.network
        shared = [
            reader
            for reader in teacher.readers
            if reader in rows.augment
            and ready.transforms.get(f"in:{reader}") is study.bundle.transforms[f"in:{reader}"]
        ]
        if self.views == "once" or (self.views == "auto" and not shared):
            if self.says is None:
                split = study.cells.split
                numbers = np.unique(np.concatenate([split.train, split.val]))
                self.says = Once(teacher, study.cells.plain, numbers)
            return rows
        self.says = Every(teacher, {r: r if r in shared else f"{BESIDE}{r}" for r in teacher.readers})
        inputs = study.cells.plain.inputs
        beside = {f"{BESIDE}{r}": inputs[r] for r in teacher.readers if r not in shared}
        return replace(rows, inputs={**rows.inputs, **beside})

    def objective(self, network: Network) -> nn.Module:
        """The lessons of one network; ``rows`` comes before."""
        assert self.says is not None
        widths = network.width, self.study.bundle.network.width
        made = [
            (registry.lesson(name)(*widths, **self.keywords.get(name, {})), weight)
            for name, weight in self.names.items()
        ]
        return Taught(made, self.says).to(device_of(network))
