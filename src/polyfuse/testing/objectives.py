"""What every objective must hold, on states made by hand."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from polyfuse.contracts import ReadsAgain, offers, says
from polyfuse.heads.category import Category
from polyfuse.heads.number import Number
from polyfuse.layers.join import Join
from polyfuse.layers.masking import Steps
from polyfuse.records import Batch, Cells, State, Tokens
from polyfuse.testing.run import run_all

WIDTH, INPUTS, MOST_KEYWORDS = 8, ["a", "b", "c"], 7


class Case:
    """One objective under test.

    Args:
        made: its class.
        keywords: its own, where it is not tested as it is by default.
    """

    def __init__(self, made: Callable[..., Any], keywords: Mapping[str, Any] | None = None):
        self.kind, self.keywords = made, dict(keywords or {})
        self.again = offers(made, ReadsAgain)

    def made(self) -> Any:
        """A fresh one, always the same."""
        torch.manual_seed(0)
        objective = self.kind(INPUTS, WIDTH, **self.keywords)
        if self.again:
            objective.meet({name: _Plain() for name in INPUTS})
            objective.eval()  # what it changes of its inputs is the same every time
        return objective


class _Plain(nn.Module):
    """An encoder that can be masked, and gives what it reads."""

    def masking(self) -> Steps:
        return Steps(WIDTH)

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> Tokens:
        return Tokens(fields["x"], present_B[:, None].expand(fields["x"].shape[:2]))


class _Reading:
    """As much of a network as reads inputs again."""

    def __init__(self) -> None:
        self.fused, self.plain, self.plainly = {n: (n,) for n in INPUTS}, _Plain(), Join(WIDTH, WIDTH, 1)
        nn.init.eye_(self.plainly.project.weight)

    def encoder(self, name: str) -> nn.Module:  # noqa: ARG002 - all inputs have one
        return self.plain

    def join(self, name: str) -> nn.Module:  # noqa: ARG002
        return self.plainly


def heads() -> dict[str, Any]:
    """A head of a category and one of a number."""
    torch.manual_seed(1)
    return {
        "kind": Category(name="kind", width=WIDTH, classes=["x", "y"], counts=[3, 2]),
        "size": Number(name="size", width=WIDTH, centre=0.0, spread=1.0, log="none", bounds=(-2.0, 2.0)),
    }


def scene(rows: int, present_BM: Tensor | None = None, seed: int = 0) -> tuple[State, Batch]:
    """A state and its batch; rows without an input have no tokens of it. Its key ``class`` is one of two numbers."""
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


def loss_of(objective: Any, state: State, batch: Batch) -> Tensor:
    """The loss of a state; the inputs that it was made of are its tokens themselves."""
    again = offers(objective, ReadsAgain)
    if not again:
        return objective.loss(objective.represent(state), batch, heads())
    inputs = {}
    for name, tokens in state.encoded.items():
        x = tokens.x_BTD if len(batch) else torch.zeros(1, 2, WIDTH)
        at = torch.where(tokens.present_B, torch.arange(len(batch)), -1)[:, None]
        inputs[name] = Cells({"x": x, "lengths": torch.full((len(x),), 2)}, at)
    batch = replace(batch, inputs=inputs)
    torch.manual_seed(2)
    return objective.loss(objective.represent(objective.read_again(state, batch, _Reading())), batch, heads())


def check_objective(made: type, keywords: Mapping[str, Any] | None = None) -> None:
    """Check that a class is an objective as the model needs it.

    Args:
        made: the class.
        keywords: its own, where it is not checked as it is by default; ``{"key": "class"}`` where it needs a key.

    Raises:
        AssertionError: something does not hold; names each check that failed.
    """
    run_all(made, Case(made, keywords), CHECKS)


# ---- the contract


def says_what_it_is_and_takes(case: Case) -> None:
    """It has a line of description and a paper, and takes few keywords."""
    assert (case.kind.__doc__ or "").partition("\n")[0].strip(), "expected a docstring, whose first line is listed"
    assert isinstance(getattr(case.kind, "paper", None), str), "expected paper, a string, which may be empty"
    keywords = [p for p in inspect.signature(case.kind).parameters.values() if p.kind is p.KEYWORD_ONLY]
    assert len(keywords) <= MOST_KEYWORDS, f"expected {MOST_KEYWORDS} keywords at most, found {len(keywords)}"


def finite_with(case: Case, rows: int) -> None:
    """A batch of that many rows has a scalar loss, finite with finite gradients."""
    state, batch = scene(rows)
    loss = loss_of(case.made(), state, batch)
    assert loss.ndim == 0, f"{rows} rows: the loss is {tuple(loss.shape)}, expected a scalar"
    assert torch.isfinite(loss), f"{rows} rows: the loss is {loss.item()}"
    if loss.requires_grad:
        loss.backward()
    for tokens in state.encoded.values():
        assert tokens.x_BTD.grad is None or torch.isfinite(tokens.x_BTD.grad).all(), f"{rows} rows: gradients"
    for vector in state.shared.values():
        assert vector.grad is None or torch.isfinite(vector.grad).all(), f"{rows} rows: gradients"


def empty_and_single_rows_give_finite_losses_and_gradients(case: Case) -> None:
    """No row, one row and several have a finite scalar loss with finite gradients."""
    for rows in (0, 1, 5):
        finite_with(case, rows)


def rows_without_any_input_count_for_nothing(case: Case) -> None:
    """A row without any input has no part in the loss."""
    present = torch.tensor([[True, True, True], [True, True, True], [False, False, False]])
    state, batch = scene(3, present)
    two, few = scene(3, present)
    few.weights_B = torch.tensor([1.0, 1.0, 0.0])
    if says(case.kind, "sums_losses"):  # the fused answer counts in every row that has a target
        few.weights_B = batch.weights_B
        state.by_input_scores = {o: {n: s.clone() for n, s in f.items()} for o, f in state.by_input_scores.items()}
        for scores in state.by_input_scores.values():
            for score_BC in scores.values():
                score_BC.data[2] += 1  # of a row that has no input
    torch.testing.assert_close(loss_of(case.made(), state, batch), loss_of(case.made(), two, few))


def every_parameter_is_trained(case: Case) -> None:
    """Every parameter of its own gets a gradient."""
    objective = case.made()
    loss = loss_of(objective, *scene(6))
    if list(objective.parameters()):
        loss.backward()
        without = [n for n, p in objective.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert without == [], f"without a gradient: {without}"


def state_survives_saving(case: Case) -> None:
    """Another one with the same ``state_dict`` has the same loss."""
    one, two = case.made(), case.made()
    two.load_state_dict(one.state_dict())
    state, batch = scene(4)
    torch.testing.assert_close(loss_of(one, state, batch), loss_of(two, state, batch))


CHECKS = (
    says_what_it_is_and_takes,
    empty_and_single_rows_give_finite_losses_and_gradients,
    rows_without_any_input_count_for_nothing,
    every_parameter_is_trained,
    state_survives_saving,
)
