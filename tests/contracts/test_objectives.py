"""What every objective must hold, run over every row of the registry."""

from __future__ import annotations

import inspect

import pytest
import torch

from polyfuse import registry
from polyfuse.heads.category import Category
from polyfuse.heads.number import Number
from polyfuse.records import Batch, Cells, State, Tokens

WIDTH, INPUTS = 8, ["a", "b", "c"]
every = pytest.mark.parametrize("name", list(registry.OBJECTIVES))


def made(name):
    torch.manual_seed(0)
    keywords = {"key": "class"} if name == "supcon" else {}  # without classes each row is alone with its own cells
    return registry.objective(name)(INPUTS, WIDTH, **keywords)


def heads():
    torch.manual_seed(1)
    return {
        "kind": Category(name="kind", width=WIDTH, classes=["x", "y"], counts=[3, 2]),
        "size": Number(name="size", width=WIDTH, centre=0.0, spread=1.0, log="none", bounds=(-2.0, 2.0)),
    }


def scene(rows, present_BM=None, seed=0):
    """A state and its batch; rows without an input have no tokens of it."""
    draw = torch.Generator().manual_seed(seed)
    present_BM = torch.ones(rows, 3, dtype=torch.bool) if present_BM is None else present_BM
    encoded = {
        n: Tokens(torch.randn(rows, 2, WIDTH, generator=draw).requires_grad_(), present_BM[:, m, None].expand(-1, 2))
        for m, n in enumerate(INPUTS)
    }
    sizes = {"kind": 2, "size": 1}
    alone = {o: {n: torch.randn(rows, c, generator=draw).requires_grad_() for n in INPUTS} for o, c in sizes.items()}
    fused = {o: torch.randn(rows, c, generator=draw).requires_grad_() for o, c in sizes.items()}
    index = torch.arange(rows)[:, None]
    outputs = {
        "kind": Cells({"target": torch.arange(max(rows, 1)) % 2}, index),
        "size": Cells({"target": torch.linspace(-1, 1, max(rows, 1))}, index),
    }
    keys = {"class": torch.arange(rows) % 2}
    batch = Batch({}, outputs, torch.arange(rows), torch.ones(rows), keys)
    shared = {n: torch.randn(rows, 6, generator=draw).requires_grad_() for n in INPUTS}
    return State(encoded, None, fused, alone, shared), batch


def loss_of(objective, state, batch):
    return objective.loss(objective.represent(state), batch, heads())


@every
def test_what_it_is_called_and_takes(name):
    kind = registry.objective(name)
    assert (kind.__doc__ or "").partition("\n")[0].strip()
    assert isinstance(kind.paper, str)
    keywords = [p for p in inspect.signature(kind).parameters.values() if p.kind is p.KEYWORD_ONLY]
    assert len(keywords) <= 7


@every
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_empty_and_single_rows_give_finite_losses_and_gradients(name, rows):
    state, batch = scene(rows)
    loss = loss_of(made(name), state, batch)
    assert loss.ndim == 0
    assert torch.isfinite(loss)
    if loss.requires_grad:
        loss.backward()
    for tokens in state.encoded.values():
        assert tokens.x_BTD.grad is None or torch.isfinite(tokens.x_BTD.grad).all()
    for vector in state.shared.values():
        assert vector.grad is None or torch.isfinite(vector.grad).all()


@every
def test_rows_without_any_input_count_for_nothing(name):
    present = torch.tensor([[True, True, True], [True, True, True], [False, False, False]])
    state, batch = scene(3, present)
    two, few = scene(3, present)
    few.weights_B = torch.tensor([1.0, 1.0, 0.0])
    if name == "gradient_blending":  # the fused answer counts in every row that has a target
        few.weights_B = batch.weights_B
        state.by_input_scores = {o: {n: s.clone() for n, s in f.items()} for o, f in state.by_input_scores.items()}
        for scores in state.by_input_scores.values():
            for score_BC in scores.values():
                score_BC.data[2] += 1  # of a row that has no input
    torch.testing.assert_close(loss_of(made(name), state, batch), loss_of(made(name), two, few))


@every
def test_every_parameter_is_trained(name):
    objective = made(name)
    loss = loss_of(objective, *scene(6))
    if list(objective.parameters()):
        loss.backward()
        assert [n for n, p in objective.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@every
def test_state_survives_saving(name):
    one, two = made(name), made(name)
    two.load_state_dict(one.state_dict())
    state, batch = scene(4)
    torch.testing.assert_close(loss_of(one, state, batch), loss_of(two, state, batch))
