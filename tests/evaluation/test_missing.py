"""The missing-modality table: which subsets are asked for, and what of each is kept."""

from __future__ import annotations

from itertools import combinations

import pytest

from polyfuse.evaluation.missing import missing_table, subsets
from polyfuse.evaluation.outcome import Outcome


@pytest.mark.parametrize("many", [1, 2, 3, 4])
def test_every_subset_up_to_four_inputs(many):
    names = list("abcd")[:many]
    expected = {keep for size in range(1, many + 1) for keep in combinations(names, size)}
    assert set(subsets(names)) == expected
    assert len(subsets(names)) == 2**many - 1
    assert subsets(names)[0] == tuple(names)


@pytest.mark.parametrize("many", [5, 7])
def test_above_four_inputs_all_and_each_removed_and_each_alone(many):
    names = list("abcdefg")[:many]
    found = subsets(names)
    assert len(found) == len(set(found)) == 2 * many + 1
    assert {len(keep) for keep in found} == {1, many - 1, many}


def test_each_row_judges_what_the_model_says_without_the_others():
    asked = []

    def predict(keep):
        asked.append(keep)
        right = len(keep)  # the more inputs, the more rows are right
        return {"digit": Outcome("category", [0, 1, 1, 0], [0, 1, 1, 0][:right] + [9] * (4 - right), None, [0, 1, 9])}

    table = missing_table(predict, ["image", "audio", "text"])
    assert asked == subsets(["image", "audio", "text"])
    assert [row["digit"]["accuracy"] for row in table] == [len(keep) / 4 for keep in asked]
    assert table[0]["inputs"] == ["image", "audio", "text"]
    assert {"accuracy", "accuracy_ci", "macro_f1"} <= table[1]["digit"].keys()
