"""Learning rates, groups of parameters, and unfreezing in stages."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from polyfuse.fusion.concat import Concat
from polyfuse.model.network import Network
from polyfuse.recipe import RecipeError, parse
from polyfuse.recipe.validate import check_recipe
from polyfuse.training.learner import Learner
from polyfuse.training.schedule import Unfreezer, factor, parameter_groups


@given(total=st.integers(1, 500), warmup=st.floats(0, 0.9))
def test_the_rate_rises_then_falls_within_bounds(total, warmup):
    rates = [factor(step, total, warmup) for step in range(total)]
    peak = rates.index(max(rates))
    assert all(0 < rate <= 1 for rate in rates)
    assert all(a <= b + 1e-9 for a, b in itertools.pairwise(rates[: peak + 1]))
    assert all(a >= b - 1e-9 for a, b in itertools.pairwise(rates[peak:]))
    if total * (1 - warmup) > 20:
        assert rates[-1] < 0.1


class Layered(nn.Module):
    width = 4

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))

    def layers_bottom_up(self):
        return [list(layer.parameters()) for layer in self.layers]


class Plain(nn.Linear):
    width = 4


def network(transfer="full"):
    values = {
        "inputs": {
            "a": {"columns": "a", "transfer": transfer, "learning_rate": 0.1, "weight_decay": 0.3},
            "b": {"columns": "b", "learning_rate": 0.2, "weight_decay": 0.4},
        },
        "training": {"learning_rate": 0.5, "weight_decay": 0.6, "layer_decay": 0.5},
    }
    encoders = {"a": Layered(), "b": Plain(4, 4)}
    frozen = frozenset({"a"}) if transfer == "frozen" else frozenset()
    made = Network(encoders, Concat(["a", "b"], 4), {}, [], width=4, slots={"a": 1, "b": 1}, weights={}, frozen=frozen)
    return made, parse(values)


def rates_of(made, recipe, module):
    found = {id(p): (g["lr"], g["weight_decay"]) for g in parameter_groups(made, recipe) for p in g["params"]}
    return [found.get(id(p)) for p in module.parameters()]


def test_every_trainable_parameter_is_in_exactly_one_group():
    for transfer in ("full", "staged", "frozen"):
        made, recipe = network(transfer)
        grouped = [id(p) for g in parameter_groups(made, recipe) for p in g["params"]]
        assert len(grouped) == len(set(grouped))
        assert set(grouped) == {id(p) for p in made.parameters() if p.requires_grad}


def test_layers_nearer_the_input_learn_more_slowly_and_biases_do_not_decay():
    made, recipe = network()
    rates = [rates_of(made, recipe, layer) for layer in made.encoder("a").layers]
    assert [weight[0] for weight, _ in rates] == pytest.approx([0.025, 0.05, 0.1])
    assert all(weight[1] == 0.3 and bias[1] == 0.0 for weight, bias in rates)
    assert rates_of(made, recipe, made.encoder("b")) == [(0.2, 0.4), (0.2, 0.0)]
    assert rates_of(made, recipe, made.fusion.linear) == [(0.5, 0.6), (0.5, 0.0)]


def rated(rates, **more):
    made, recipe = network()
    recipe.training.learning_rates = rates
    return made, recipe


def test_a_part_named_in_learning_rates_learns_at_its_own():
    made, recipe = rated({"inputs.a": 0.01, "inputs.b.bias": 0.02, "fusion": 0.03, "inputs.b.to_width": 0.04})
    rates = [rates_of(made, recipe, layer) for layer in made.encoder("a").layers]
    assert [weight[0] for weight, _ in rates] == pytest.approx([0.0025, 0.005, 0.01])  # layer by layer all the same
    assert rates_of(made, recipe, made.encoder("b")) == [(0.2, 0.4), (0.02, 0.0)]
    assert {rate for rate, _ in rates_of(made, recipe, made.join("a"))} == {0.01}
    assert {rate for rate, _ in rates_of(made, recipe, made.join("b"))} == {0.04}
    assert rates_of(made, recipe, made.fusion.linear) == [(0.03, 0.6), (0.03, 0.0)]
    grouped = [id(p) for g in parameter_groups(made, recipe) for p in g["params"]]
    assert sorted(grouped) == sorted(id(p) for p in made.parameters() if p.requires_grad)


def test_the_optimizer_holds_the_rates_of_parts():
    made, recipe = rated({"inputs.a.layers.2": 0.01, "fusion": 0.03})
    optimizer = Learner(made, recipe, 10).configure_optimizers()["optimizer"]
    rates = {id(p): group["initial_lr"] for group in optimizer.param_groups for p in group["params"]}
    assert [rates[id(layer.weight)] for layer in made.encoder("a").layers] == pytest.approx([0.025, 0.05, 0.01])
    assert rates[id(made.fusion.linear.weight)] == 0.03


def test_what_is_no_part_or_is_not_trained_is_refused():
    with pytest.raises(RecipeError, match=r"nothing that goes by 'inputs\.a\.layers\.7' alone .* known: inputs\.a"):
        parameter_groups(*rated({"inputs.a.layers.7": 0.1}))
    with pytest.raises(RecipeError, match=r"no part 'inputs\.c'; known: inputs\.a, inputs\.b, fusion"):
        check_recipe(rated({"inputs.c": 0.1})[1])


def test_stages_thaw_from_the_top_down():
    made, recipe = network("staged")
    unfreezer = Unfreezer(made, recipe, 60)
    history = []
    for step in range(60):
        unfreezer.step(step)
        history.append([layer.weight.requires_grad for layer in made.encoder("a").layers])
    assert history[0] == [False, False, False]
    assert history[10] == [False, False, True]
    assert history[20] == [False, True, True]
    assert history[30] == [True, True, True]
    assert made.encoder("b").weight.requires_grad
    waiting, _ = network("staged")
    unfreezer = Unfreezer(waiting, recipe, 60)
    unfreezer.release()
    assert all(p.requires_grad for p in waiting.parameters())
