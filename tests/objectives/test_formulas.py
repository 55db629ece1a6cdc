"""Each objective against its paper's formula, in float64, loss and gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polyfuse.heads.category import Category
from polyfuse.objectives.distill import MutualDistillation
from polyfuse.objectives.gradient_blending import GradientBlending, blending_weights
from polyfuse.objectives.impute import Impute
from polyfuse.objectives.mixup import Mixup
from polyfuse.objectives.ogm_ge import OGMGE, gradient_factors
from polyfuse.objectives.unimodal import Unimodal
from polyfuse.records import Batch, Cells, Fused, State, Tokens

NAMES = ["a", "b"]


def head():
    return Category(name="y", width=4, classes=[0, 1, 2], counts=[1, 1, 1])


def scene(present=((True, True),) * 6, seed=0):
    draw = torch.Generator().manual_seed(seed)
    rows = len(present)
    present_BM = torch.tensor(present)
    encoded = {n: Tokens(torch.randn(rows, 1, 4, generator=draw), present_BM[:, m, None]) for m, n in enumerate(NAMES)}
    alone = {n: torch.randn(rows, 3, generator=draw, dtype=torch.float64).requires_grad_() for n in NAMES}
    fused = torch.randn(rows, 3, generator=draw, dtype=torch.float64).requires_grad_()
    batch = Batch({}, {"y": Cells({"target": torch.arange(rows) % 3}, torch.arange(rows)[:, None])},
                  torch.arange(rows), torch.ones(rows))  # fmt: skip
    return State(encoded, None, {"y": fused}, {"y": alone}), batch, np.arange(rows) % 3, present_BM.numpy()


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def arrays(state):
    return state.scores["y"].detach().numpy(), [state.by_input_scores["y"][n].detach().numpy() for n in NAMES]


def slope(formula, point, direction, step=1e-5):
    return (formula(point + step * direction) - formula(point - step * direction)) / (2 * step)


def test_unimodal_is_the_sum_over_inputs_of_mean_losses_of_present_rows():
    state, batch, y, present = scene(((True, False), (True, True), (False, True), (True, True)))
    objective = Unimodal(NAMES, 4)
    loss = objective.loss(objective.represent(state), batch, {"y": head()})

    def formula(first):
        scores = [first, arrays(state)[1][1]]
        each = [-log_softmax(s)[np.arange(len(y)), y] for s in scores]
        return sum(e[present[:, m]].mean() for m, e in enumerate(each))

    first = arrays(state)[1][0]
    assert loss.item() == pytest.approx(formula(first), rel=1e-5)
    loss.backward()
    direction = np.random.default_rng(0).normal(size=first.shape)
    grad = state.by_input_scores["y"]["a"].grad.numpy()
    assert (grad * direction).sum() == pytest.approx(slope(formula, first, direction), rel=1e-4)


def test_distillation_is_divergence_both_ways_with_fixed_teachers():
    state, batch, *_ = scene()
    objective = MutualDistillation(NAMES, 4, temperature=3.0, back=0.5)
    loss = objective.loss(objective.represent(state), batch, {"y": head()})

    def divergence(student, teacher):
        p, q = log_softmax(teacher / 3), log_softmax(student / 3)
        return 9 * (np.exp(p) * (p - q)).sum(-1).mean()

    fused, alone = arrays(state)
    expected = sum(divergence(a, fused) + 0.5 * divergence(fused, a) for a in alone)
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    loss.backward()
    direction = np.random.default_rng(0).normal(size=fused.shape)
    back = slope(lambda f: sum(0.5 * divergence(f, a) for a in alone), fused, direction)
    assert (state.scores["y"].grad.numpy() * direction).sum() == pytest.approx(back, rel=1e-4)
    forth = slope(lambda a: divergence(a, fused), alone[0], direction)
    assert (state.by_input_scores["y"]["a"].grad.numpy() * direction).sum() == pytest.approx(forth, rel=1e-4)


def test_equal_predictions_have_nothing_to_teach():
    state, batch, *_ = scene()
    state.by_input_scores["y"] = {n: state.scores["y"].clone() for n in NAMES}
    objective = MutualDistillation(NAMES, 4)
    assert objective.loss(objective.represent(state), batch, {"y": head()}).item() == pytest.approx(0, abs=1e-6)


def test_the_input_that_is_ahead_is_slowed_down():
    found = gradient_factors({"a": 0.8, "b": 0.2}, alpha=0.5)
    assert found["a"] == pytest.approx(1 - np.tanh(0.5 * 4.0), rel=1e-5)
    assert found["b"] == 1.0
    three = gradient_factors({"a": 0.6, "b": 0.3, "c": 0.1}, alpha=1.0)
    assert three["a"] == pytest.approx(1 - np.tanh(3.0), rel=1e-5)
    assert three["b"] == 1.0
    assert gradient_factors({"a": 0.5}, alpha=1.0) == {"a": 1.0}


def test_gradients_are_scaled_and_noise_has_their_deviation():
    objective = OGMGE(NAMES, 4, noise=False)
    objective.factors = {"a": 0.25, "b": 1.0}
    parameters = {n: [torch.nn.Parameter(torch.zeros(2000))] for n in NAMES}
    grad = torch.randn(2000)
    for group in parameters.values():
        group[0].grad = grad.clone()
    objective.rebalance(parameters)
    assert torch.equal(parameters["a"][0].grad, grad * 0.25)
    assert torch.equal(parameters["b"][0].grad, grad)
    noisy = OGMGE(NAMES, 4)
    noisy.factors = objective.factors
    for name, factor in noisy.factors.items():  # whoever is not ahead gets noise too
        parameters[name][0].grad = grad.clone()
        noisy.rebalance({name: parameters[name], **{n: [] for n in NAMES if n != name}})
        added = parameters[name][0].grad - grad * factor
        assert added.std() == pytest.approx(grad.std().item(), rel=0.1)


def test_an_input_that_a_batch_lacks_slows_nobody_down():
    state, batch, _, _ = scene(((True, False),) * 6)
    objective = OGMGE(NAMES, 4)
    objective.loss(objective.represent(state), batch, {"y": head()})
    assert objective.factors == {"a": 1.0}


def test_blending_weights_follow_gain_over_squared_overfitting():
    before = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    now = torch.tensor([[0.5, 0.2, 0.5], [0.7, 0.9, 1.2]])
    gain, over = np.array([0.3, 0.1, 0.0]), np.array([0.2, 0.7, 0.7])
    expected = gain / over**2 / (gain / over**2).sum()
    np.testing.assert_allclose(blending_weights(before, now).numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(blending_weights(now, now + 1).numpy(), [1 / 3] * 3)


def test_blending_measures_between_looks_and_reweighs_the_losses():
    state, batch, y, _ = scene()
    objective, heads = GradientBlending(NAMES, 4, every=1), {"y": head()}
    fused, alone = arrays(state)
    each = [-log_softmax(s)[np.arange(len(y)), y].mean() for s in (*alone, fused)]
    first = objective.loss(objective.represent(state), batch, heads).item()
    assert first == pytest.approx(sum(each) - each[-1], rel=1e-5)  # all weights are equal
    objective.eval()
    objective.loss(objective.represent(state), batch, heads)
    objective.after_validation()
    np.testing.assert_allclose(objective.before_2K.numpy(), [each, each], rtol=1e-5)
    objective.weight_K.copy_(torch.tensor([0.5, 0.3, 0.2]))
    again = objective.loss(objective.represent(state), batch, heads).item()
    assert again == pytest.approx(3 * (0.5 * each[0] + 0.3 * each[1] + 0.2 * each[2]) - each[2], rel=1e-5)


def test_imputation_learns_what_one_input_says_of_another_and_stands_in_for_it():
    torch.manual_seed(0)
    objective = Impute(NAMES, 4)
    optimizer = torch.optim.Adam(objective.parameters(), lr=0.01)
    turn = torch.linalg.qr(torch.randn(4, 4))[0]
    batch = Batch({}, {}, torch.arange(64), torch.ones(64))

    def encoded(rows=64, absent=0):
        a = torch.randn(rows, 4)
        present = torch.ones(rows, 1, dtype=torch.bool)
        gone = present & (torch.arange(rows)[:, None] >= absent)
        return {"a": Tokens(a[:, None], present), "b": Tokens((a @ turn)[:, None], gone)}

    losses = []
    for _ in range(400):
        optimizer.zero_grad()
        losses.append(objective.loss(objective.represent(State(encoded())), batch, {}))
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.2 * losses[0]
    whole = encoded(absent=10)
    guesses, known_B = objective.stand_ins(whole)
    truth = whole["a"].x_BTD[:10, 0] @ turn
    assert known_B.all()
    assert (guesses["b"][:10] - truth).pow(2).mean() < 0.3 * truth.pow(2).mean()
    nothing = {n: Tokens(t.x_BTD, torch.zeros_like(t.mask_BT)) for n, t in whole.items()}
    assert not objective.stand_ins(nothing)[1].any()


def test_a_guess_never_reads_the_input_that_it_guesses():
    objective = Impute(["a", "b", "c"], 4)
    draw = {n: Tokens(torch.randn(3, 1, 4), torch.ones(3, 1, dtype=torch.bool)) for n in ("a", "b", "c")}
    before = objective.represent(State(draw))[0]
    draw["b"].x_BTD += 5
    after = objective.represent(State(draw))[0]
    assert torch.equal(before[:, 1], after[:, 1])
    assert not torch.allclose(before[:, 0], after[:, 0])


def test_mixup_is_the_blended_loss_of_blended_rows():
    _, batch, y, _ = scene()
    batch.outputs["y"].index_BK[2] = -1  # no target: no pair of this row counts
    draw = torch.Generator().manual_seed(1)
    h = torch.randn(6, 3, 4, generator=draw)
    judge, objective = head().eval(), Mixup(NAMES, 4, alpha=0.7)
    tokens = Tokens(h, torch.ones(6, 3, dtype=torch.bool))
    torch.manual_seed(5)
    loss = objective.loss(objective.represent(State({}, Fused(tokens, {}))), batch, {"y": judge})

    torch.manual_seed(5)
    b, other = torch.distributions.Beta(0.7, 0.7).sample().item(), torch.randperm(6).numpy()
    pooled = h.mean(1)
    mixed = b * pooled + (1 - b) * pooled[other]
    log = log_softmax(judge.read.out(judge.read.norm(mixed)).detach().numpy().astype(np.float64))
    rows = [r for r in range(6) if r != 2 and other[r] != 2]
    wanted = np.mean([-b * log[r, y[r]] - (1 - b) * log[r, y[other[r]]] for r in rows])
    assert loss.item() == pytest.approx(wanted, rel=1e-5)


def test_mixup_weighs_both_rows_of_a_blend_by_their_own_weight():
    _, batch, y, _ = scene()
    batch.weights_B = torch.tensor([2.0, 0.0, 1.0, 0.5, 0.0, 1.0])
    w = batch.weights_B.numpy()
    h = torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(1))
    judge, objective = head().eval(), Mixup(NAMES, 4, alpha=0.7)
    fused = Fused(Tokens(h, torch.ones(6, 3, dtype=torch.bool)), {})
    torch.manual_seed(5)
    loss = objective.loss(objective.represent(State({}, fused)), batch, {"y": judge})

    torch.manual_seed(5)
    b, other = torch.distributions.Beta(0.7, 0.7).sample().item(), torch.randperm(6).numpy()
    mixed = b * h.mean(1) + (1 - b) * h.mean(1)[other]
    log = log_softmax(judge.read.out(judge.read.norm(mixed)).detach().numpy().astype(np.float64))
    rows = [r for r in range(6) if w[r] + w[other[r]] > 0]
    parts = [-b * w[r] * log[r, y[r]] - (1 - b) * w[other[r]] * log[r, y[other[r]]] for r in rows]
    assert loss.item() == pytest.approx(np.mean(parts), rel=1e-5)


def test_mixup_blends_nothing_while_judging():
    state, batch, _, _ = scene()
    state.fused = Fused(state.encoded["a"], {})
    objective = Mixup(NAMES, 4).eval()
    assert objective.loss(objective.represent(state), batch, {"y": head()}).item() == 0
