"""Alarms of an alignment: each is raised by what it is for, and by nothing that learnt well."""

from __future__ import annotations

import logging
import math

import numpy as np
import pytest
import torch
from torch import nn

import polyfuse as pf
from polyfuse import registry
from polyfuse.layers.shared_space import Projection
from polyfuse.metrics.spectrum import spectrum
from polyfuse.model.network import Network
from polyfuse.records import Batch, Cells, Tokens
from polyfuse.training.alignment_checks import check_batches
from tests.tiny import FAST, write_table

NAMES, SIZE, ROWS = ["a", "b"], 12, 64


class Ready(nn.Module):
    """Vectors as they are."""

    width = SIZE

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(SIZE, SIZE, bias=False)
        nn.init.eye_(self.linear.weight)

    def forward(self, fields, present_B):
        return Tokens(self.linear(fields["x"])[:, None], present_B[:, None])


def network(name="clip", **keywords):
    torch.manual_seed(0)
    objective = registry.objective(name)(NAMES, SIZE, **keywords)
    space = {n: Projection(SIZE, SIZE) for n in NAMES}
    made = Network(
        {n: Ready() for n in NAMES}, None, {}, [(objective, 1.0)], width=SIZE, slots=dict.fromkeys(NAMES, 1),
        weights={}, space=space,
    )  # fmt: skip
    for join in made.joins.values():
        nn.init.eye_(join.project.weight)
        nn.init.zeros_(join.project.bias)
    for part in made.space.values():
        part.layers = nn.Sequential(nn.Linear(SIZE, SIZE, bias=False))
        nn.init.eye_(part.layers[0].weight)
    return made


def batch(one, two, keys=None):
    cells = {n: Cells({"x": x}, torch.arange(len(x))[:, None]) for n, x in zip(NAMES, (one, two), strict=True)}
    return Batch(cells, {}, torch.arange(len(one)), torch.ones(len(one)), keys or {})


def spread(seed=0):
    return torch.randn(ROWS, SIZE, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("name", "keywords"),
    [("clip", {}), ("siglip", {}), *(("triplet", {"negatives": n}) for n in ("semihard", "hardest", "all"))],
)
def test_inputs_that_do_not_find_each_other_are_at_chance(name, keywords):
    notes, facts = check_batches(network(name, **keywords), [batch(spread(0), spread(1))])
    assert [note for note in notes if "hardly find each other" in note and name in note]
    notes, facts = check_batches(made := network(name, **keywords), [batch(spread(), spread())])
    if name == "siglip":  # as training would leave it: what is alike is far above the bias
        made.objectives[0].log_scale.data.fill_(math.log(40.0))
        made.objectives[0].bias.data.fill_(-30.0)
        notes, facts = check_batches(made, [batch(spread(), spread())])
    assert notes == []
    found = facts["losses"][f"0:{name}"]
    assert found["loss"] < 0.5 * found["chance"]


def test_chance_is_the_logarithm_of_the_batch():
    _, facts = check_batches(network(), [batch(spread(0), spread(1))])
    assert facts["losses"]["0:clip"]["chance"] == pytest.approx(math.log(ROWS), rel=1e-5)
    _, facts = check_batches(network("supcon", key="k"), [batch(spread(0), spread(1), {"k": torch.arange(ROWS) % 8})])
    assert facts["losses"]["0:supcon"]["chance"] == pytest.approx(math.log(2 * ROWS - 1), rel=1e-5)


def test_a_collapsed_space_is_told_by_its_spectrum():
    point = torch.ones(ROWS, SIZE) + 0.01 * spread()
    line = spread()[:, :1] * torch.ones(1, SIZE) + 0.02 * spread(2)
    for x, said in ((point, "nearly the same"), (line, "effective rank")):
        notes, facts = check_batches(network("vicreg"), [batch(x, x)])
        assert sum(said in note for note in notes) == 2, notes  # of both inputs
        assert facts["spectrum"]["a"]["possible"] == SIZE
    notes, facts = check_batches(network("vicreg"), [batch(spread(), spread())])
    assert notes == []
    assert facts["spectrum"]["a"]["effective_rank"] > 0.8 * SIZE


def test_few_kinds_of_things_are_no_collapse():
    """Two classes need one direction, where the column of classes is the key."""
    kinds = {"k": torch.arange(ROWS) % 2}
    x = (kinds["k"][:, None] * 2.0 - 1) * torch.eye(SIZE)[:1] + 0.01 * spread()
    assert check_batches(network("supcon", key="k"), [batch(x, x, kinds)])[0] == []
    assert any("collapsed" in note for note in check_batches(network("supcon"), [batch(x, x)])[0])


def test_a_temperature_at_its_bound_is_told_and_can_come_back():
    made = network(floor=0.02)
    clip = made.objectives[0]
    clip.log_scale.data.fill_(9.0)
    notes, _ = check_batches(made, [batch(spread(), spread())])
    assert sum("bound of 0.02" in note for note in notes) == 1
    made.train()
    given = batch(spread(0), spread(1))
    made.losses(made(given), given)["0:Clip"].backward()
    assert clip.log_scale.item() == pytest.approx(math.log(50.0), rel=1e-5)
    assert clip.log_scale.grad.item() > 0, "where rows are not told apart, a higher temperature loses less"
    clip.log_scale.data.fill_(math.log(30.0))
    assert not any("bound" in note for note in check_batches(made, [batch(spread(), spread())])[0])


def test_the_effective_rank_is_that_of_its_definition():
    values = np.diag([3.0, 2.0, 1.0])
    x = np.concatenate([values, -values]) / np.sqrt(2)
    share = np.array([3, 2, 1]) / 6
    assert spectrum(x).effective_rank == pytest.approx(np.exp(-(share * np.log(share)).sum()))
    assert spectrum(x).first_share == pytest.approx(9 / 14)
    assert spectrum(np.ones((5, 3)) / np.sqrt(3)).effective_rank == 0
    with pytest.raises(ValueError, match="one vector at least"):
        spectrum(np.zeros((0, 3)))


def test_alarms_are_in_the_log_the_notes_and_the_report(tmp_path, caplog):
    table = write_table(tmp_path, rows=40)
    options = {"inputs": ["words@words=text", "area@area=columns"], "align": "words,area", "split": "split"}
    still = [*FAST, "training.learning_rate=0", "inputs.words.learning_rate=0", "inputs.area.learning_rate=0"]
    with caplog.at_level(logging.WARNING, "polyfuse"):
        model = pf.fit(table, settings=still, to=tmp_path / "m", verbose=True, **options)
    said = [note for note in model.notes if "hardly find each other" in note]
    assert len(said) == 1
    assert said[0] in caplog.text
    assert said[0] in model.evaluation.meta["notes"]
    assert "hardly find each other" in model.evaluation.to_html(tmp_path / "r.html").read_text(encoding="utf8")
    facts = pf.load(tmp_path / "m").facts["alignment"]
    assert facts["losses"]["0:clip"]["loss"] > 0.9 * facts["losses"]["0:clip"]["chance"]
    assert set(facts["spectrum"]) == {"words", "area"}
