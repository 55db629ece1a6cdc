"""What every compressor and every lesson of a student must hold, on a small model of words and numbers."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from polyfuse.compress.study import Study, begin
from polyfuse.data.tables import read_table
from polyfuse.heads.category import Category
from polyfuse.model import bundle as bundles
from polyfuse.model.bundle import Bundle
from polyfuse.model.inference import predict
from polyfuse.recipe import parse
from polyfuse.records import Batch
from polyfuse.testing.run import run_all
from polyfuse.training.fit import fit

ROWS = 64
RECIPE: dict[str, Any] = {
    "preset": "plain",
    "inputs": {
        "words": {
            "columns": ["words"],
            "modality": "text",
            "encoder": {"name": "transformer", "width": 16, "depth": 1},
        },
        "numbers": {"columns": ["size", "kind"], "encoder": {"name": "mlp", "width": 32}},
    },
    "outputs": {"label": {"column": "label", "head": "category"}},
    "data": {"split": "split"},
    "width": 16,
    "training": {"epochs": 3, "batch_size": 16},
}


class CompressorCase:
    """One compressor under test.

    Args:
        made: its class.
        keywords: its own, where it is not tested as it is by default.
    """

    def __init__(self, made: Callable[..., Any], keywords: Mapping[str, Any] | None = None):
        self.kind, self.keywords = made, dict(keywords or {})
        self.study = _study()
        self.digest = _numbers(self.study.bundle)
        torch.manual_seed(0)
        self.found: Bundle
        self.found, self.said = made(**self.keywords).compress(self.study.bundle, self.study)


@cache
def _study() -> Study:
    """A small trained model and its table."""
    rng = np.random.default_rng(0)
    label = np.arange(ROWS) % 2
    frame = pd.DataFrame(
        {
            "words": [("warm light day" if y else "cold dark night") + f" number {n}" for n, y in enumerate(label)],
            "size": label + rng.normal(0, 0.2, ROWS),
            "kind": rng.choice(["x", "y"], ROWS),
            "label": np.where(label, "yes", "no"),
            "split": np.where(np.arange(ROWS) % 4 < 2, "train", np.where(np.arange(ROWS) % 8 < 4, "val", "test")),
        }
    )
    frame.loc[0, "words"] = frame.loc[5, "size"] = None
    table = read_table(frame)
    fitted = fit(parse(RECIPE), table, quiet=True, device="cpu")
    return begin(fitted.bundle, table, same=True)


def _numbers(bundle: Bundle) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in bundle.network.state_dict().items()}


def _answers(study: Study, bundle: Bundle) -> Any:
    return predict(bundle.network, study.read(bundle).plain, numbers=study.judged)["label"]


def check_compressor(made: Callable[..., Any], keywords: Mapping[str, Any] | None = None) -> None:
    """Whether a class is a compressor, by all checks.

    Args:
        made: the class.
        keywords: its own, where it is not to be tested as it is by default.

    Raises:
        AssertionError: some do not hold; names each.
    """
    run_all(made, CompressorCase(made, keywords), COMPRESSOR_CHECKS)


def left_alone(case: CompressorCase) -> None:
    """The model that is given stays as it is."""
    now = case.study.bundle.network.state_dict()
    assert now.keys() == case.digest.keys()
    changed = [name for name, tensor in case.digest.items() if not torch.equal(tensor, now[name])]
    assert not changed, f"changed: {changed[:3]}"
    assert not case.study.bundle.changes


def same_interface(case: CompressorCase) -> None:
    """The same outputs and classes, and no column that the model does not read."""
    old, new = case.study.bundle, case.found
    assert list(new.recipe.outputs) == list(old.recipe.outputs)
    assert new.transforms["out:label"].facts()["classes"] == old.transforms["out:label"].facts()["classes"]
    read = {column for item in old.recipe.inputs.values() for column in item.columns}
    assert {column for item in new.recipe.inputs.values() for column in item.columns} <= read


def answers_well(case: CompressorCase) -> None:
    """Probabilities are numbers and sum to 1."""
    found = _answers(case.study, case.found).extra["probabilities"]
    assert np.isfinite(found).all()
    assert np.allclose(found.sum(1), 1, atol=1e-4)


def saved_and_loaded(case: CompressorCase) -> None:
    """Saved and loaded it answers the same, bit for bit."""
    with tempfile.TemporaryDirectory() as place:
        bundles.save(case.found, Path(place) / "model")
        again = bundles.load(Path(place) / "model", "cpu")
        found, wanted = (_answers(case.study, one).scores for one in (again, case.found))
    assert torch.equal(found, wanted), f"differs by {(found - wanted).abs().max():.2g}"


def says_what(case: CompressorCase) -> None:
    """It says what it did."""
    assert isinstance(case.said, str)
    assert case.said


def has_strengths(case: CompressorCase) -> None:
    """Every keyword has a default, and every strength is one that it takes."""
    takes = list(inspect.signature(case.kind).parameters.values())
    assert all(p.default is not p.empty for p in takes), "a keyword has no default"
    strengths = list(case.kind.strengths)  # type: ignore[attr-defined]
    assert strengths, "no strengths"
    for strength in strengths:
        case.kind(**strength)


COMPRESSOR_CHECKS = (left_alone, same_interface, answers_well, saved_and_loaded, says_what, has_strengths)


class LessonCase:
    """One lesson under test."""

    def __init__(self, made: Callable[..., Any]):
        self.kind = made
        torch.manual_seed(1)
        self.heads = {"kind": Category(name="kind", width=8, classes=["x", "y", "z"], counts=[3, 2, 1])}

    def made(self) -> Any:
        """A fresh one for a student of width 8 and a teacher of width 12."""
        torch.manual_seed(0)
        return self.kind(8, 12)

    def loss(self, rows: int, seed: int = 0, weights: torch.Tensor | None = None, other: int = 0) -> Any:
        """Loss and the student's tensors, of so many rows; those without weight are drawn by ``other``."""
        weights_B = torch.ones(rows) if weights is None else weights
        student, teacher = _view(rows, 8, seed), _view(rows, 12, seed + 1)
        strange = _view(rows, 8, 99 + other)
        for mine, theirs in ((student, strange), (teacher, _view(rows, 12, 199 + other))):
            for a, b in zip(_leaves(mine), _leaves(theirs), strict=True):
                a.data[weights_B == 0] = b.data[weights_B == 0]
        batch = Batch({}, {}, torch.arange(rows), weights_B)
        return self.made().loss(student, teacher, batch, self.heads), _leaves(student)


def _view(rows: int, width: int, seed: int) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(seed)
    return {
        "scores": {"kind": torch.randn(rows, 3, generator=draw).requires_grad_()},
        "joint": torch.randn(rows, width, generator=draw).requires_grad_(),
        "maps": {"a": torch.rand(rows, 16, generator=draw).requires_grad_()},
    }


def _leaves(view: Mapping[str, Any]) -> list[torch.Tensor]:
    return [view["scores"]["kind"], view["joint"], view["maps"]["a"]]


def check_lesson(made: Callable[..., Any]) -> None:
    """Whether a class is a lesson, by all checks.

    Raises:
        AssertionError: some do not hold; names each.
    """
    run_all(made, LessonCase(made), LESSON_CHECKS)


def teaches(case: LessonCase) -> None:
    """The loss is a number above 0 that reaches the student."""
    loss, leaves = case.loss(6)
    assert loss.ndim == 0
    assert bool(loss.isfinite())
    assert float(loss.detach()) > 0
    loss.backward()
    assert any(leaf.grad is not None and bool(leaf.grad.abs().sum() > 0) for leaf in leaves), "no gradient"
    assert all(leaf.grad is None or bool(leaf.grad.isfinite().all()) for leaf in leaves), "a gradient is not finite"


def safe_with_few(case: LessonCase) -> None:
    """One row, two rows and rows without weight are safe."""
    for weights in (torch.ones(1), torch.ones(2), torch.zeros(3)):
        loss, leaves = case.loss(len(weights), weights=weights)
        assert bool(loss.isfinite()), f"{loss} of {weights.tolist()}"
        if loss.requires_grad:
            loss.backward()
        assert all(leaf.grad is None or bool(leaf.grad.isfinite().all()) for leaf in leaves)


def weightless_rows_have_no_say(case: LessonCase) -> None:
    """What a row of weight 0 holds changes nothing."""
    weights = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0, 1.0])
    one, other = (float(case.loss(6, weights=weights, other=n)[0].detach()) for n in (0, 1))
    assert abs(one - other) < 1e-5, f"{one} and {other}"


LESSON_CHECKS = (teaches, safe_with_few, weightless_rows_have_no_say)
