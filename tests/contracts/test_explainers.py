"""What every explainer must hold, run over every row of the registry, on a model whose answers are planted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import polyfuse as pf
from polyfuse import registry
from polyfuse.explain.encoder_values import run_encoder, values_and_baselines
from polyfuse.explain.integrated_gradients import integrate
from tests.contracts.test_encoders import architectures, case, every_encoder, folders_of_checkpoints  # noqa: F401 - fixtures

every_explainer = pytest.mark.parametrize("method", list(registry.EXPLAINERS))
SETTINGS = (
    "training.epochs=16",
    "training.batch_size=16",
    "width=16",
    "preset=plain",
    "ensemble.members=[]",
    "training.modality_dropout=0.25",
)
INPUTS = ["words=text:ngrams", "columns@area,noise,kind=columns:ft_transformer"]
ASKED = {"read": "words", "tags": "words", "price": "area"}  # output -> the column that decides it


@pytest.fixture(scope="module")
def world():
    """One word decides a class and a label, one column a number; the other words and columns are noise."""
    rng, rows = np.random.default_rng(0), []
    for n in range(120):
        words, area = list(rng.permutation(["the", "house", "is", "near"])), float(rng.normal())
        words.insert(int(rng.integers(0, 5)), ("bad", "good")[n % 2])
        row = {
            "words": " ".join(words),
            "area": area,
            "noise": float(rng.normal()),
            "kind": str(rng.choice(list("xyz"))),
        }
        rows.append({**row, "read": "ny"[n % 2], "tags": ("cold", "warm")[n % 2], "price": 3 * area + 10})
    frame = pd.DataFrame(rows)
    frame.loc[0, "words"], frame.loc[1, "area"] = None, None
    options = {"inputs": INPUTS, "settings": SETTINGS, "quiet": True, "split": None}
    return pf.fit(frame, outputs=["read", "tags=labels", "price"], **options), frame


def scores_of(one):
    """Column, word or input -> score; a text is the sum of its words."""
    found = {}
    for part in one.parts:
        if part.column:
            found[part.column] = float(part.scores.sum())
        found |= dict(zip(part.labels, part.scores.tolist(), strict=True))
    return found


@every_explainer
def test_scores_add_up_to_what_is_promised(world, method):
    model, frame = world
    for one in model.explain(frame, [4, 5], method=method, verbose=False):
        assert all(len(part.scores) == len(part.labels or part.spans) for part in one.parts)
        assert all(np.isfinite(part.scores).all() for part in one.parts)
        summed = sum(float(part.scores.sum()) for part in one.parts)
        size = sum(float(np.abs(part.scores).sum()) for part in one.parts)
        if one.total is not None:
            assert summed == pytest.approx(one.total, abs=0.02 * size)
        if one.shares:
            assert [float(part.scores.sum()) for part in one.parts] == pytest.approx([1] * len(one.parts))
            assert min(float(part.scores.min()) for part in one.parts) >= 0


@every_explainer
@pytest.mark.parametrize("output", list(ASKED))
def test_what_decides_has_the_highest_score_and_noise_none(world, method, output):
    model, frame = world
    deciding = ASKED[output]
    own = {"area": "columns"}.get(deciding, deciding) if method == "contribution" else deciding
    checked = 0
    for row in (4, 5, 9, 12):
        (one,) = model.explain(frame, row, method=method, output=output, verbose=False)
        if one.shares:
            return
        scores = scores_of(one)
        most = abs(scores[own])
        little = abs(one.total) < 0.2 if one.total is not None and output != "price" else abs(frame.area[row]) < 0.7
        if little and (output == "price" or one.total is not None):
            continue  # blank cells say nearly the same, or the number is near the mean
        checked += 1
        ignored = [abs(scores[name]) for name in ("noise", "kind") if name in scores]
        assert max([0.0, *ignored]) < 0.35 * most
        if method == "contribution":
            assert own == max(scores, key=lambda name: abs(scores[name]))
        elif deciding == "words":
            assert max((w for w in frame.words[row].split()), key=lambda w: abs(scores[w])) in ("good", "bad")
            assert scores["good" if row % 2 else "bad"] > 0
    assert checked


@every_explainer
def test_missing_cells_are_safe_and_have_no_score(world, method):
    model, frame = world
    for one in model.explain(frame, 0, method=method, verbose=False):
        assert scores_of(one).get("words", 0.0) == 0
    for one in model.explain(
        {**dict.fromkeys(frame.columns), "words": ""} | {"area": 1.0}, method=method, verbose=False
    ):
        assert scores_of(one).get("words", 0.0) == 0
    for one in model.explain(frame, 1, method=method, verbose=False):
        assert all(np.isfinite(part.scores).all() for part in one.parts)


@every_explainer
def test_another_label_is_explained_where_it_is_named(world, method):
    model, frame = world
    said = {}
    for label in ("n", "y"):
        (one,) = model.explain(frame, 4, method=method, output="read", label=label, verbose=False)
        assert one.label == label
        said[label] = np.concatenate([part.scores for part in one.parts])
    np.testing.assert_allclose(said["n"], said["y"] if one.shares else -said["y"], atol=1e-3)


@every_explainer
def test_it_says_what_it_is_and_refuses_what_it_does_not_know(world, method):
    model, frame = world
    (row,) = [row for row in pf.parts("explainers") if row.name == method]
    assert row.summary.endswith((".", ";"))
    assert row.paper
    with pytest.raises(ValueError, match=f"explainer '{method}'.*colour"):
        model.explain(frame, 4, method=method, options={"colour": 3}, verbose=False)


@every_encoder
def test_gradients_of_every_encoder_add_up_or_it_has_none(case):  # noqa: F811
    encoder = case.encoder().eval()
    fields = case.fields((4,))
    present = torch.tensor([True])
    values, baselines = values_and_baselines(encoder, fields, present)
    parameters = any(p.requires_grad for p in encoder.parameters())
    if not values or not parameters:
        assert case.made.__name__ in ("Statistics", "Universal", "UniversalSentenceEncoder") or not parameters
        return
    torch.manual_seed(0)
    weigh_D = torch.randn(encoder.width)

    def forward(*points):
        given = {key: point.flatten(0, 1) for key, point in zip(values, points, strict=True)}
        several = {name: value.repeat(len(points[0]), *[1] * (value.ndim - 1)) for name, value in fields.items()}
        tokens = run_encoder(encoder, several, present.repeat(len(points[0])), given)[0]
        mean_SD = (tokens.x_BTD * tokens.mask_BT[..., None]).sum(1) / tokens.mask_BT.sum(1, keepdim=True)
        return (mean_SD @ weigh_D).tanh()

    own, blank = ([end[key][None].detach() for key in values] for end in (values, baselines))
    made = integrate(forward, blank, own, steps=64)
    with torch.no_grad():
        total = float(forward(*own)[0] - forward(*blank)[0])
    size = sum(float(one.abs().sum()) for one in made)
    assert sum(float(one.sum()) for one in made) == pytest.approx(total, abs=0.02 * size + 1e-3)
