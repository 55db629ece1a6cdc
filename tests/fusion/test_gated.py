"""The gated multimodal unit against its paper, and its gates."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings

from polyfuse.fusion.gated import Gated
from tests.fusion.cases import inputs
from tests.fusion.parity import WIDTH, alone, draw, errors, normed_means, shaken


def unit(a, masks):
    """z tanh(W x) + (1 - z) tanh(V y) with z = sigmoid(U [x; y]): two inputs, both present."""
    (x, _), (y, _) = normed_means(a, masks)
    z = 1 / (1 + np.exp(-np.concatenate([x, y], 1) @ a["gate.weight"].T))
    h1, h2 = (np.tanh(v @ a[f"values.{m}.weight"].T + a[f"values.{m}.bias"]) for m, v in enumerate((x, y)))
    return z * h1 + (1 - z) * h2


def softmaxed(a, masks):
    """N inputs: per row, a softmax over the present inputs alone, the last input's score being 0."""
    found = normed_means(a, masks)
    joined = np.concatenate([x for x, _ in found], 1)
    score = (joined @ a["gate.weight"].T if "gate.weight" in a else np.zeros((len(joined), 0))).reshape(
        len(joined), len(found) - 1, WIDTH
    )
    score = np.concatenate([score, np.zeros((len(joined), 1, WIDTH))], 1)
    out = np.zeros((len(joined), WIDTH))
    for row in range(len(joined)):
        there = [m for m, (_, present) in enumerate(found) if present[row]]
        total = sum(np.exp(score[row, m]) for m in there)
        for m in there:
            h = np.tanh(a[f"values.{m}.weight"] @ found[m][0][row] + a[f"values.{m}.bias"])
            out[row] += np.exp(score[row, m]) / total * h
    return out


def test_two_inputs_are_the_papers_unit():
    tokens = draw([3, 2], torch.ones(4, 2, dtype=torch.bool))
    value, gradient = errors(shaken(Gated(list(tokens), WIDTH)), unit, tokens)
    assert value < 1e-12
    assert gradient < 1e-8


@settings(max_examples=15, deadline=None)
@given(tokens=inputs())
def test_any_inputs_are_a_softmax_over_those_present(tokens):
    value, gradient = errors(shaken(Gated(list(tokens), WIDTH)), softmaxed, tokens)
    assert value < 1e-12
    assert gradient < 1e-8


@settings(max_examples=15, deadline=None)
@given(tokens=inputs())
def test_gates_sum_to_one_over_present_inputs(tokens):
    fusion = shaken(Gated(list(tokens), WIDTH))
    pooled_BMD, present_BM = fusion.pool(tokens)
    gates_BMD = fusion.gates(pooled_BMD, present_BM)
    torch.testing.assert_close(gates_BMD.sum(1), present_BM.any(1)[:, None].expand(-1, WIDTH).double())
    assert not gates_BMD[~present_BM].any()


def test_nothing_present_is_zero():
    tokens = draw([2, 2], torch.zeros(2, 2, dtype=torch.bool))
    assert not alone(shaken(Gated(list(tokens), WIDTH)), tokens).any()
