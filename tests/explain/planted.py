"""Servants by formula, so that it is known which part of which cell decides."""

from __future__ import annotations

import numpy as np

from polyfuse.data.cells.source import is_missing
from polyfuse.explain.attribution import Question
from polyfuse.runtime.servant import InputFacts, OutputFacts


class Planted:
    """A model whose number is a function of the row, and whose classes are 'no' and 'yes' with that probability.

    Args:
        says: row -> number.
        kinds: column -> kind; every column is an input of its own.
    """

    name = "planted"

    def __init__(self, says, kinds):
        self.says, self.asked = says, 0
        modality = {kind: kind for kind in ("text", "image", "audio", "video")}
        self.inputs = {c: InputFacts(c, modality.get(k, "columns"), (c,), {c: k}) for c, k in kinds.items()}
        self.outputs = {"kind": OutputFacts("kind", "category", ["no", "yes"]), "size": OutputFacts("size", "number")}

    def scores(self, records, subsets):
        self.asked += len(records) * len(subsets)
        rows = [[{c: r.get(c) if c in keep else None for c in self.inputs} for r in records] for keep in subsets]
        size_SN = np.array([[float(self.says(row)) for row in some] for some in rows])
        return {"kind": np.stack([1 - size_SN, size_SN], 2), "size": size_SN[..., None]}

    def question(self, record, output="size", place=0):
        return Question(self, record, output, place)


def has(row, column):
    return not is_missing(row[column])
