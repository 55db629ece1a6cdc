"""Every row of the registry says in ONNX what it says in torch; one of each kind by default, the others are slow."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from polyfuse import registry
from polyfuse.contracts import Scores, offers
from polyfuse.learners.blocks import to_tensors
from polyfuse.testing import encoders, fusions, heads
from polyfuse.testing.onnx import same_in_onnx
from tests.contracts.slow import slow_but
from tests.contracts.test_encoders import CASES, architectures, case, folders_of_checkpoints  # noqa: F401 - fixtures
from tests.learners.tables import FAST, TASKS, table

QUICK = {"columns:mlp", "concat", "category"}
SCORED = [name for name in registry.HEADS if offers(registry.head(name), Scores)]


@pytest.mark.parametrize("named", slow_but(CASES, QUICK))
def test_encoders(case, named):  # noqa: F811
    encoders.runs_in_onnx_with_any_batch_and_length(case)


@pytest.mark.parametrize("name", slow_but(registry.FUSIONS, QUICK))
def test_fusions(name):
    fusions.runs_in_onnx_with_any_subset(fusions.Case(registry.fusion(name)))


@pytest.mark.parametrize("name", slow_but(SCORED, QUICK))
def test_heads(name):
    heads.answers_from_onnx(heads.Case(registry.head(name)))


class _Named(nn.Module):
    def __init__(self, learner):
        super().__init__()
        self.learner = learner

    def forward(self, given):
        return {"scores": self.learner([given["block"]])}


@pytest.mark.slow
@pytest.mark.parametrize("name", registry.LEARNERS)
@pytest.mark.parametrize("task", TASKS)
def test_learners(name, task):
    x_RF, target, classes = table(task)
    learner = registry.learner(name).fitted([x_RF], target, task, classes, seed=0, **FAST[name])
    samples = [{"block": to_tensors([x_RF[:count]])[0].to(torch.float32)} for count in (3, 1, 2, 7)]
    same_in_onnx(_Named(learner).eval(), samples[0], samples[0], samples[1:], name)
