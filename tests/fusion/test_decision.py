"""Decision-level fusion: judgements are joined by mean, product or learned weights, among the inputs that are there."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polyfuse.fusion.decision import RULES, Decision
from polyfuse.heads.category import Category
from polyfuse.heads.labels import Labels
from polyfuse.heads.number import Number
from polyfuse.records import Tokens

NAMES = ["a", "b", "c"]
HEADS = {
    "category": Category(name="y", width=4, classes=[0, 1, 2], counts=[1, 1, 1]),
    "labels": Labels(name="y", width=4, classes=[0, 1, 2], counts=[1, 1, 1]),
    "number": Number(name="y", width=4, centre=0.0, spread=1.0, log="none", bounds=(-1.0, 1.0)),
}


def decided(rule, head, scores_BMC, present_BM, weights=None):
    fusion = Decision(NAMES, 4, rule=rule)
    if weights is not None:
        fusion.weight_M.data = torch.tensor(weights)
    tokens = {n: Tokens(torch.randn(len(present_BM), 2, 4), present_BM[:, m, None].expand(-1, 2))
              for m, n in enumerate(NAMES)}  # fmt: skip
    scores = {n: scores_BMC[:, m] for m, n in enumerate(NAMES)}
    return fusion.decide(scores, fusion(tokens), HEADS[head].combine)


def draw(rows=4, classes=3):
    return torch.randn(rows, 3, classes, generator=torch.Generator().manual_seed(0))


PRESENT = torch.tensor([[True, True, True], [True, False, True], [False, False, True], [False, False, False]])


def test_mean_averages_probabilities_of_present_inputs():
    scores = draw()
    found = decided("mean", "category", scores, PRESENT).softmax(-1)
    p = scores.softmax(-1)
    for row, used in enumerate(([0, 1, 2], [0, 2], [2], [0, 1, 2])):
        torch.testing.assert_close(found[row], p[row, used].mean(0))
    yes = decided("mean", "labels", scores, PRESENT).sigmoid()
    torch.testing.assert_close(yes[1], scores.sigmoid()[1, [0, 2]].mean(0))
    number = decided("mean", "number", scores[..., :1], PRESENT)
    torch.testing.assert_close(number[1], scores[1, [0, 2], :1].mean(0))


def test_product_multiplies_them():
    scores = draw()
    found = decided("product", "category", scores, PRESENT).softmax(-1)
    p = scores.softmax(-1)[1, [0, 2]].prod(0)
    torch.testing.assert_close(found[1], p / p.sum())
    odds = decided("product", "labels", scores, PRESENT)
    torch.testing.assert_close(odds[1], scores[1, [0, 2]].sum(0))


def test_learned_weights_are_shared_out_among_present_inputs():
    scores = draw()
    found = decided("weighted", "category", scores, PRESENT, [2.0, 0.0, 1.0]).softmax(-1)
    share = torch.tensor([2.0, 1.0]).softmax(0)
    p = scores.softmax(-1)[1, [0, 2]]
    torch.testing.assert_close(found[1], (share[:, None] * p).sum(0))


@given(st.sampled_from(RULES), st.sampled_from(list(HEADS)), st.integers(0, 2))
def test_an_absent_input_has_no_say(rule, head, absent):
    classes = 1 if head == "number" else 3
    scores, present = draw(classes=classes), torch.ones(4, 3, dtype=torch.bool)
    present[:, absent] = False
    one = decided(rule, head, scores, present)
    scores[:, absent] += 7
    torch.testing.assert_close(decided(rule, head, scores, present), one)
    assert torch.isfinite(one).all()


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="mean, product, weighted"):
        Decision(NAMES, 4, rule="vote")
