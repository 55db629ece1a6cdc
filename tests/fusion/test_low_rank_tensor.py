"""Low-rank tensor fusion against its paper, both as products and as the full tensor that they factorise."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.fusion.low_rank_tensor import LowRankTensor
from tests.fusion.cases import inputs
from tests.fusion.parity import WIDTH, alone, draw, errors, normed_means, shaken


def factors(a, m, rank):
    """W_mr of every r, the column of the 1 first: (R, D, 1 + D)."""
    column, rest = a[f"factors.{m}.bias"], a[f"factors.{m}.weight"]
    return np.concatenate([column.reshape(rank, WIDTH, 1), rest.reshape(rank, WIDTH, WIDTH)], 2)


def products(a, masks):
    """sum_r w_r prod_m W_mr [1; x_m] + b."""
    found, rank = normed_means(a, masks), len(a["mix_R"])
    out = np.zeros((len(found[0][0]), WIDTH)) + a["bias_D"]
    for r in range(rank):
        term = np.full_like(out, a["mix_R"][r])
        for m, (x, _) in enumerate(found):
            term = term * (np.concatenate([np.ones((len(x), 1)), x], 1) @ factors(a, m, rank)[r].T)
        out = out + term
    return out


def whole(a, masks):
    """The tensor itself, sum_r w_r W_0r x W_1r, against the outer product of two inputs."""
    (x, _), (y, _) = normed_means(a, masks)
    rank = len(a["mix_R"])
    tensor = np.einsum("r,rdi,rdj->dij", a["mix_R"], factors(a, 0, rank), factors(a, 1, rank))
    x, y = (np.concatenate([np.ones((len(v), 1)), v], 1) for v in (x, y))
    return np.einsum("dij,bi,bj->bd", tensor, x, y) + a["bias_D"]


@settings(max_examples=15, deadline=None)
@given(tokens=inputs(), rank=st.integers(1, 5))
def test_the_papers_formula(tokens, rank):
    value, gradient = errors(shaken(LowRankTensor(list(tokens), WIDTH, rank=rank)), products, tokens)
    assert value < 1e-11
    assert gradient < 1e-8


@settings(max_examples=10, deadline=None)
@given(tokens=inputs(2, 2), rank=st.integers(1, 5))
def test_it_is_a_tensor_fusion_of_that_rank(tokens, rank):
    value, gradient = errors(shaken(LowRankTensor(list(tokens), WIDTH, rank=rank)), whole, tokens)
    assert value < 1e-11
    assert gradient < 1e-8


def test_every_factor_is_a_parameter():
    fusion = LowRankTensor(["a", "b", "c"], WIDTH, rank=4)
    names = {name for name, _ in fusion.named_parameters()}
    assert {f"factors.{m}.{part}" for m in range(3) for part in ("weight", "bias")} | {"mix_R", "bias_D"} <= names


def test_products_of_many_inputs_start_at_scale_one():
    torch.manual_seed(0)
    present = torch.ones(200, 5, dtype=torch.bool)
    fusion = LowRankTensor([f"i{m}" for m in range(5)], 64).double().eval()
    assert 0.3 < alone(fusion, draw([1] * 5, present, width=64)).std() < 3
