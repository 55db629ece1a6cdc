"""What every learner must hold, run over every row of the registry."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse import registry
from polyfuse.learners.blocks import predict_scores, to_tensors
from tests.learners.tables import FAST, TASKS, table, words

LEARNERS = list(registry.LEARNERS)
every = pytest.mark.parametrize("name", LEARNERS)
tasks = pytest.mark.parametrize("task", TASKS)


def fitted(name, blocks, target, task, classes, seed=0):
    return registry.learner(name).fitted(blocks, target, task, classes, seed=seed, **FAST[name])


@every
@settings(max_examples=15, deadline=None)
@given(
    task=st.sampled_from(TASKS),
    rows=st.integers(1, 40),
    columns=st.integers(1, 5),
    classes=st.integers(2, 4),
    constant=st.booleans(),
    holes=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_table_gives_finite_scores(name, task, rows, columns, classes, constant, holes, seed):
    """Few rows, classes that no row has, columns that never vary or hold no number."""
    x_RF, target, classes = table(task, rows, columns, classes, seed)
    x_RF[:, 0] = 3e6 if constant else x_RF[:, 0]
    if holes:
        x_RF[:: max(rows // 3, 1), -1] = np.nan
        x_RF[rows // 2, -1] = np.inf
    found_RC = predict_scores(fitted(name, [x_RF], target, task, classes), [x_RF])
    assert found_RC.shape == (rows, classes)
    assert np.isfinite(found_RC).all()


@every
@tasks
def test_it_learns(name, task):
    x_RF, target, classes = table(task, 400, noise=0.0)
    setting = {**FAST[name], **({"rounds": 60} if name == "boosting" else {})}
    learner = registry.learner(name).fitted([x_RF[:300]], target[:300], task, classes, seed=0, **setting)
    found_RC, truth = predict_scores(learner, [x_RF[300:]]), target[300:]
    if task == "number":
        assert np.corrcoef(found_RC[:, 0], truth)[0, 1] > 0.8
    elif task == "labels":
        assert ((found_RC > 0) == truth).mean() > 0.8
    else:
        assert (found_RC.argmax(1) == truth).mean() > 0.8


@every
@tasks
def test_restored_from_its_arrays_it_says_the_same(name, task):
    x_RF, target, classes = table(task)
    learner = fitted(name, [x_RF], target, task, classes)
    learner.temperature.fill_(1.5)
    again = registry.learner(name).restored(dict(learner.state_dict()))
    assert torch.equal(learner(to_tensors([x_RF])), again(to_tensors([x_RF])))
    assert not list(learner.parameters())


@every
@tasks
def test_the_same_seed_gives_the_same_learner(name, task):
    x_RF, target, classes = table(task)
    first, second = (fitted(name, [x_RF], target, task, classes, seed=3).state_dict() for _ in range(2))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


@every
def test_a_row_does_not_see_its_neighbours(name):
    x_RF, target, classes = table("category")
    learner = fitted(name, [x_RF], target, "category", classes)
    alone = torch.cat([learner(to_tensors([row[None]])) for row in x_RF[:9]])
    torch.testing.assert_close(alone, learner(to_tensors([x_RF]))[:9], atol=1e-5, rtol=1e-5)


@every
@tasks
def test_several_blocks_are_one(name, task):
    x_RF, target, classes = table(task)
    whole = fitted(name, [x_RF], target, task, classes)
    if name == "linear":
        pytest.skip("weighs blocks by their size")
    parted = fitted(name, [x_RF[:, :1], x_RF[:, 1:]], target, task, classes)
    assert np.array_equal(predict_scores(whole, [x_RF]), predict_scores(parted, [x_RF[:, :1], x_RF[:, 1:]]))


@every
def test_sparse_blocks_are_taken_or_refused(name):
    blocks, target = [words(), table("category")[0]], table("category")[1]
    if registry.learner(name).sparse:
        assert np.isfinite(predict_scores(fitted(name, blocks, target, "category", 3), blocks)).all()
        return
    with pytest.raises(ValueError, match="dense blocks only"):
        fitted(name, blocks, target, "category", 3)


@every
@tasks
def test_candidates_can_be_fitted_and_end_where_it_would_take_too_long(name, task):
    kind = registry.learner(name)
    x_RF, target, classes = table(task, 120)
    found = kind.candidates(task, 120, 4, classes)
    assert found
    learner = kind.fitted([x_RF], target, task, classes, seed=0, **found[0])
    assert np.isfinite(predict_scores(learner, [x_RF])).all()
    assert kind.candidates(task, 10**7, 10**5, 100) == []


@pytest.mark.slow  # the tests of export run them as a model's
@every
@tasks
def test_exports_with_any_batch(name, task):
    x_RF, target, classes = table(task)
    learner = fitted(name, [x_RF], target, task, classes)
    rows = torch.export.Dim("rows", min=1, max=4096)
    program = torch.export.export(learner, (to_tensors([x_RF[:3]]),), dynamic_shapes=([{0: rows}],)).module()
    for batch in (1, 2, 7):
        part = to_tensors([x_RF[:batch]])
        torch.testing.assert_close(program(part), learner(part), atol=1e-5, rtol=1e-5)


@every
@tasks
def test_weights_decide_between_rows_that_disagree(name, task):
    """The same cells twice, with two answers: the heavy rows are believed, rows of weight 0 are not there."""
    x_RF, target, classes = table(task, 60, noise=0.0)
    other = {"category": lambda t: (t + 1) % classes, "labels": lambda t: 1 - t, "number": lambda t: -t}[task](target)
    both, weights = np.concatenate([target, other]), np.repeat([19.0, 1.0], 60)
    kind, twice = registry.learner(name), [np.concatenate([x_RF, x_RF])]
    heavy = kind.fitted(twice, both, task, classes, seed=0, weights=weights, **FAST[name])
    light = kind.fitted(twice, both, task, classes, seed=0, weights=weights[::-1], **FAST[name])
    heavy_RC, light_RC = (predict_scores(learner, [x_RF]) for learner in (heavy, light))
    truth_RC = np.eye(classes)[target] if task == "category" else target.reshape(len(target), -1)
    assert ((heavy_RC - light_RC) * (truth_RC - truth_RC.mean(0))).sum() > 0
    alone = kind.fitted([x_RF], target, task, classes, seed=0, weights=np.full(60, 7.0), **FAST[name])
    without = kind.fitted(twice, both, task, classes, seed=0, weights=np.repeat([7.0, 0.0], 60), **FAST[name])
    np.testing.assert_array_equal(predict_scores(alone, [x_RF]), predict_scores(without, [x_RF]))
    plain = kind.fitted([x_RF], target, task, classes, seed=0, **FAST[name])
    np.testing.assert_allclose(predict_scores(alone, [x_RF]), predict_scores(plain, [x_RF]), atol=1e-3)
