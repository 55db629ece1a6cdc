"""Integrated gradients equal captum's and refuse by name what has none; attention is rolled out by its formula."""

import numpy as np
import pandas as pd
import pytest
import torch

import polyfuse as pf
from polyfuse.data.cells.image import Pixels
from polyfuse.explain.attention import rollout
from polyfuse.explain.integrated_gradients import integrate
from polyfuse.explain.rows import explain_records
from polyfuse.explain.value_parts import squares_of
from tests.explain.planted import Planted
from tests.tiny import FAST


def test_they_are_those_of_captum():
    attr = pytest.importorskip("captum.attr")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))

    def forward(a, b):
        return net(torch.cat([a, b.flatten(1)], 1))[:, 0]

    ends = [torch.randn(1, 2), torch.randn(1, 2, 2)], [torch.randn(1, 2), torch.randn(1, 2, 2)]
    own = integrate(forward, *ends, steps=64)
    theirs = attr.IntegratedGradients(forward).attribute(tuple(ends[1]), tuple(ends[0]), n_steps=200)
    for one, other in zip(own, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_what_is_normalised_from_nothing_still_adds_up():
    """A layer norm turns at once behind its blank: evenly spaced steps miss that."""
    value, base = torch.randn(1, 8), torch.zeros(1, 8)
    norm = torch.nn.LayerNorm(8, eps=1e-6)

    def forward(x):
        return norm(x)[:, 0].sigmoid()

    (made,) = integrate(forward, [base], [value], steps=48)
    with torch.no_grad():
        total = float(forward(value) - forward(base))
    assert float(made.sum()) == pytest.approx(total, abs=0.02)


@pytest.mark.parametrize("method", ["integrated_gradients", "attention"])
def test_a_model_without_torch_is_refused(method):
    servant = Planted(lambda row: 1.0, {"n": "number"})
    said = f"{method} looks into a network, which exported folders do not.*planted.*occlusion"
    with pytest.raises(ValueError, match=said):
        explain_records(servant, [{"n": 1}], method=method)


@pytest.fixture(scope="module")
def fixed():
    """A picture read by plain statistics, beside a number."""
    rng = np.random.default_rng(0)
    rows = [{"photo": rng.integers(0, 255, (8, 8, 3)).astype(np.uint8), "n": float(n)} for n in range(30)]
    frame = pd.DataFrame([{**row, "price": row["n"]} for row in rows])
    settings = (*FAST, "ensemble.members=[]")
    options = {"inputs": ["photo=image:statistics", "n"], "settings": settings, "quiet": True}
    return pf.fit(frame, outputs=["price"], **options), frame


def test_an_encoder_without_gradients_is_refused_by_name_and_can_be_left_out(fixed):
    model, frame = fixed
    with pytest.raises(ValueError, match=r"input 'photo'.*Statistics.*occlusion.*inputs="):
        model.explain(frame, 3, method="integrated_gradients")
    (one,) = model.explain(frame, 3, method="integrated_gradients", options={"inputs": ["columns"]}, verbose=False)
    assert one.parts[0].labels == ["n"]
    with pytest.raises(ValueError, match=r"unknown input 'sound'\. Known: "):
        model.explain(frame, 3, method="integrated_gradients", options={"inputs": ["sound"]})
    with pytest.raises(ValueError, match=r"attention: .*input 'photo'.*Statistics has no self-attention"):
        model.explain(frame, 3, method="attention")


def test_members_without_gradients_are_refused_and_the_network_alone_is_explained():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame([{"n": n, "m": float(rng.normal()), "price": 3 * n} for n in rng.normal(size=60)])
    model = pf.fit(
        frame, outputs=["price"], settings=(*FAST, "ensemble.members=[{name: linear, inputs: [columns]}]"), quiet=True
    )
    if model.bundle.network.ensemble is None:
        pytest.skip("the member did not help")
    with pytest.raises(ValueError, match=r"ensemble.*network_alone=true"):
        model.explain(frame, 3, method="integrated_gradients")
    options = {"network_alone": True}
    (one,) = model.explain(frame, 3, method="integrated_gradients", options=options, verbose=False)
    assert one.parts[0].scores.sum() == pytest.approx(one.total, abs=0.05 * abs(one.total) + 1e-3)
    assert model.bundle.network.ensemble is not None
    assert "network's own answer" in one.notes[0]


def test_roll_out_is_its_formula():
    torch.manual_seed(0)
    layers = [torch.rand(1, 4, 4).softmax(-1) for _ in range(3)]
    mask = torch.tensor([[True, True, True, True]])
    flow = np.eye(4)
    for layer in layers:
        flow = (layer[0].numpy() + np.eye(4)) / 2 @ flow
    np.testing.assert_allclose(rollout(layers, mask)[0], flow.mean(0), rtol=1e-5)


@pytest.mark.parametrize(
    ("fit", "across", "down"),
    [
        ("squash", (0, 0.5, 1), (0, 0.5, 1)),
        ("crop", (0.25, 0.5, 0.75), (0, 0.5, 1)),
        ("pad", (0, 0.5, 1), (0, 0.5, 1)),
    ],
)
def test_squares_lie_where_they_were_cut_from(fit, across, down):
    picture = np.zeros((40, 80, 3), np.uint8)
    pixels = Pixels(size=(32, 32), fit=fit)
    edges = (0, 8, 24, 32) if fit == "pad" else (0, 16, 32)
    found = squares_of(pixels, picture, (32, 32), edges, (0, 16, 32))
    spans = np.array(found[2:4] + found[2:4] if fit == "pad" else found)
    np.testing.assert_allclose(spans[:2, 0], across[:2], atol=0.03)
    np.testing.assert_allclose(spans[:2, 2], across[1:], atol=0.03)
    if fit == "pad":  # the middle squares hold the whole height, what is above them nothing
        np.testing.assert_allclose(found[2][1::2], (0, 1), atol=0.06)
        assert found[0][3] - found[0][1] < 0.06
    else:
        np.testing.assert_allclose(spans[[0, 2], 3], down[1:], atol=0.03)
