"""Tucker fusion against the full core tensor that its products factorise."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.fusion.tucker import Tucker
from tests.fusion.cases import inputs
from tests.fusion.parity import WIDTH, alone, draw, errors, normed_means, shaken


def sides(a, masks):
    """tanh(U_m x_m) of each input, and its slices' factors (rank, size, size)."""
    for m, (x, there) in enumerate(normed_means(a, masks)):
        size = len(a[f"project.{m}.bias"])
        side = np.tanh(x @ a[f"project.{m}.weight"].T + a[f"project.{m}.bias"])
        yield side, a[f"core.{m}.weight"].reshape(-1, size, size), there


def core(a, masks):
    """core x1 tanh(U x) x2 tanh(V y) x3 O, with the core built in full: two inputs, both present."""
    (x, m, _), (y, n, _) = sides(a, masks)
    tensor = np.einsum("rki,rkj->ijk", m, n)
    return np.einsum("ijk,bi,bj,ok->bo", tensor, x, y, a["out.weight"]) + a["out.bias"]


def products(a, masks):
    """O sum_r prod_m M_mr tanh(U_m x_m), over the present inputs of each row."""
    found = list(sides(a, masks))
    rank, size = found[0][1].shape[:2]
    rows = []
    for row in range(len(found[0][0])):
        z = np.zeros(size)
        for r in range(rank):
            term = np.ones(size)
            for side, slices, there in found:
                if there[row]:
                    term = term * (slices[r] @ side[row])
            z += term
        rows.append(a["out.weight"] @ z + a["out.bias"])
    return np.stack(rows)


def test_two_inputs_are_a_tucker_decomposition():
    tokens = draw([3, 2], torch.ones(4, 2, dtype=torch.bool))
    value, gradient = errors(shaken(Tucker(list(tokens), WIDTH, size=4, rank=3)), core, tokens)
    assert value < 1e-11
    assert gradient < 1e-8


@settings(max_examples=15, deadline=None)
@given(tokens=inputs(), size=st.integers(1, 5), rank=st.integers(1, 4))
def test_any_inputs_are_products_of_those_present(tokens, size, rank):
    value, gradient = errors(shaken(Tucker(list(tokens), WIDTH, size=size, rank=rank)), products, tokens)
    assert value < 1e-11
    assert gradient < 1e-8


def test_products_of_many_inputs_start_at_scale_one():
    torch.manual_seed(0)
    present = torch.ones(200, 5, dtype=torch.bool)
    fusion = Tucker([f"i{m}" for m in range(5)], 64).double().eval()
    assert 0.3 < alone(fusion, draw([1] * 5, present, width=64)).std() < 3
