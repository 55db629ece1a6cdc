"""One step of an ordered scale: the cumulative link, orders from wherever they come, and the way through a fit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import polyfuse
from polyfuse.data.cells.source import Limits
from polyfuse.data.cells.targets import Ordinal as Target
from polyfuse.heads.ordinal import Ordinal
from polyfuse.records import Fused, Tokens

FAST = ["training.steps=30", "width=16", "preset=plain"]


def head(counts=(5, 3, 2), **keywords):
    torch.manual_seed(0)
    return Ordinal(name="y", width=4, classes=list(range(len(counts))), counts=list(counts), **keywords)


def asked(made, numbers):
    """Scores where the number behind the thresholds is given."""
    made.read.forward = lambda tokens: torch.tensor(numbers)[:, None]
    return made.scores(Fused(Tokens(torch.zeros(len(numbers), 1, 4), torch.ones(len(numbers), 1).bool()), {}), None)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=2, max_size=7), st.lists(st.floats(-60, 60), min_size=1, max_size=5))
def test_scores_are_log_probabilities_of_cumulative_logits(counts, numbers):
    scores_BC = asked(made := head(counts), numbers)
    assert torch.isfinite(scores_BC).all()
    torch.testing.assert_close(scores_BC.exp().sum(1), torch.ones(len(numbers)), atol=1e-4, rtol=1e-4)
    gaps = [] if made.gaps is None else torch.nn.functional.softplus(made.gaps) + 1e-3
    threshold_K = torch.cat([made.first[None], *([made.first + gaps.cumsum(0)] if len(gaps) else [])])
    assert (threshold_K.diff() > 0).all()
    below_BK = (threshold_K - torch.tensor(numbers)[:, None]).sigmoid()
    torch.testing.assert_close(scores_BC.exp().cumsum(1)[:, :-1], below_BK, atol=1e-4, rtol=1e-3)


def test_it_starts_at_the_shares_of_training():
    share_C = asked(head((60, 30, 10)), [0.0]).exp()[0]
    torch.testing.assert_close(share_C, torch.tensor([0.6, 0.3, 0.1]), atol=0.01, rtol=0.01)


def test_the_median_is_the_fewest_steps_off_and_the_mode_most_often_right():
    p_BC = torch.tensor([[0.4, 0.25, 0.35], [0.5, 0.25, 0.25], [0.1, 0.1, 0.8]])
    assert head().decode(p_BC.log()).value == [1, 0, 2]
    assert head(answer="mode").decode(p_BC.log()).value == [0, 0, 2]
    np.testing.assert_allclose(head().decode(p_BC.log()).extra["confidence"], [0.25, 0.5, 0.8], rtol=1e-5)
    with pytest.raises(ValueError, match="median, mode, found 'mean'"):
        head(answer="mean")


def test_several_judges_are_joined_as_probabilities():
    p_BMC = torch.tensor([[[0.6, 0.2, 0.2], [0.2, 0.2, 0.6]]])
    found = head().combine(p_BMC.log(), torch.tensor([[0.25, 0.75]]), "mean").softmax(-1)
    torch.testing.assert_close(found, torch.tensor([[0.3, 0.2, 0.5]]))


@pytest.mark.parametrize(
    ("cells", "order", "classes"),
    [
        (["10", "9", "9", "100"], None, ["9", "10", "100"]),
        ([2.5, 1, 3, 3], None, [1, 2.5, 3]),
        (["mid", "low"], ["low", "mid", "high"], ["low", "mid", "high"]),
        ([3, 1], ["1", "2", "3"], ["1", "2", "3"]),
    ],
)
def test_the_order_is_that_of_numbers_or_the_one_given(cells, order, classes):
    target = Target(order)
    target.fit(cells, {"y": "ordinal"}, Limits())
    assert target.classes == classes
    assert sum(target.counts) == len(cells)
    again = Target(order)
    again.restore(target.state())
    assert [int(code) for code in again.encode(cells, Limits())] == [int(c) for c in target.encode(cells, Limits())]


@pytest.mark.parametrize(
    ("cells", "order", "message"),
    [
        (["low", "high"], None, r"nothing says the order of 'high', 'low'.*head\.order"),
        (["low", "huge"], ["low", "high"], "'huge' is not in its order"),
        (["a", "b"], ["a", "b", "a"], "'a' stands there twice"),
        (["a", "b"], ["a"], "two different labels or more, found 1"),
        (["a", "a"], ["a", "b"], "every training row has the label 'a'"),
    ],
)
def test_orders_that_cannot_be(cells, order, message):
    with pytest.raises(ValueError, match=message):
        Target(order).fit(cells, {"y": "ordinal"}, Limits())


@pytest.fixture(scope="module")
def graded():
    rng = np.random.default_rng(0)
    a = rng.normal(size=240)
    step = np.digitize(a + 0.3 * rng.normal(size=240), [-0.7, 0.7])
    return pd.DataFrame({"a": a, "b": rng.normal(size=240), "grade": np.array(["low", "mid", "high"])[step]})


def test_a_declared_order_is_taken_saved_and_judged(graded, tmp_path):
    scale = pd.CategoricalDtype(["low", "mid", "high"], ordered=True)
    table = graded.assign(grade=graded.grade.astype(scale))
    made = polyfuse.fit(table, outputs=["grade=ordinal"], settings=FAST, to=tmp_path / "m", quiet=True)
    assert made.recipe.outputs["grade"].head.keywords["order"] == ["low", "mid", "high"]
    assert any("from 'low' to 'high'" in note for note in made.notes)
    report = made.evaluation.outputs["grade"]
    assert report.headline[0] == "qwk"
    assert report.metrics["qwk"] > 0.5
    assert report.baseline.metrics["qwk"] == pytest.approx(0, abs=1e-9)
    made.evaluation.to_html(tmp_path / "page.html")
    assert "Weighted kappa" in (tmp_path / "page.html").read_text(encoding="utf8")
    found = polyfuse.load(tmp_path / "m").predict(graded)
    pd.testing.assert_frame_equal(found, made.predict(table))
    assert [c for c in found if "_p_" in c] == ["grade_p_low", "grade_p_mid", "grade_p_high"]
    plain = polyfuse.fit(table, outputs=["grade"], settings=FAST, quiet=True)
    assert any("grade=ordinal would learn" in note for note in plain.notes)


def test_members_and_decisions_answer_with_it(graded):
    words = [f"row {n} is {'much' if g == 'high' else 'little'}" for n, g in enumerate(graded.grade)]
    order = "outputs.grade.head.order=[low, mid, high]"
    options = {"outputs": ["grade=ordinal"], "quiet": True}
    made = polyfuse.fit(graded, settings=["training.steps=10", "ensemble.networks=1", order], **options)
    assert made.bundle.network.ensemble is not None
    assert made.evaluation.outputs["grade"].metrics["qwk"] > 0.5
    settings = [*FAST, order, "objectives=[unimodal, distill]"]
    both = polyfuse.fit(graded.assign(says=words), settings=settings, fusion="decision", **options)
    assert set(both.predict(graded.assign(says=words))["grade"]) <= {"low", "mid", "high"}


def test_without_an_order_the_fit_says_how_to_give_one(graded):
    with pytest.raises(ValueError, match=r"outputs\.grade\.head\.order"):
        polyfuse.fit(graded, outputs=["grade=ordinal"], settings=FAST, quiet=True)
