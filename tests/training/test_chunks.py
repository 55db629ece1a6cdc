"""A batch in chunks has the gradient of the whole batch, dropout included."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from polyfuse.fusion.concat import Concat
from polyfuse.heads.category import Category
from polyfuse.layers.shared_space import Projection
from polyfuse.model.network import Network
from polyfuse.objectives.clip import Clip
from polyfuse.objectives.mixup import Mixup
from polyfuse.objectives.unimodal import Unimodal
from polyfuse.records import Batch, Cells, Tokens
from polyfuse.training.chunks import Chunks, select_rows

NAMES = ["a", "b"]


class Encoder(nn.Module):
    width = 6

    def __init__(self):
        super().__init__()
        self.linear, self.drop = nn.Linear(3, 6), nn.Dropout(0.4)

    def forward(self, fields, present_B):
        x = self.drop(self.linear(fields["x"]))
        return Tokens(x[:, None], present_B[:, None], grid=(1,))


def network(outputs: bool, seed=0):
    torch.manual_seed(seed)
    heads = {"y": Category(name="y", width=8, classes=[0, 1, 2], counts=[1, 1, 1])} if outputs else {}
    objectives = [(Clip(NAMES, 8), 1.0)]
    alone = {}
    if outputs:
        objectives += [(Unimodal(NAMES, 8), 0.3), (Mixup(NAMES, 8), 0.5)]
        alone = {"y": [Category(name="y", width=8, classes=[0, 1, 2], counts=[1, 1, 1]) for _ in NAMES]}
    return Network(
        {n: Encoder() for n in NAMES}, Concat(NAMES, 8) if outputs else None, heads, objectives, width=8,
        slots=dict.fromkeys(NAMES, 1), weights={"y": 2.0}, space={n: Projection(8, 5, dropout=0.2) for n in NAMES},
        input_heads=alone,
    ).train()  # fmt: skip


def batch(rows=11, seed=1):
    draw = torch.Generator().manual_seed(seed)
    index = {"a": torch.randint(-1, 6, (rows, 1), generator=draw), "b": torch.arange(rows)[:, None]}
    inputs = {n: Cells({"x": torch.randn(max(rows, 6), 3, generator=draw)}, at) for n, at in index.items()}
    target = Cells({"target": torch.randint(0, 3, (rows,), generator=draw)}, torch.arange(rows)[:, None])
    target.index_BK[3] = -1
    weights = torch.rand(rows, generator=draw) + 0.5
    return Batch(inputs, {"y": target}, torch.arange(rows), weights)


def gradients(made):
    return {n: p.grad.clone() for n, p in made.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("outputs", [False, True])
@pytest.mark.parametrize("rows", [1, 4, 5, 11])
@pytest.mark.parametrize("weightless", [[], [0, 1, 2, 3, 6], range(11)], ids=["weighed", "some without", "all without"])
def test_the_gradient_is_that_of_the_whole_batch(outputs, rows, weightless):
    made, data = network(outputs).eval(), batch()  # without dropout there is a whole batch to compare with
    data.weights_B[torch.tensor(weightless, dtype=torch.long)] = 0.0
    made.training = True  # objectives and losses as in training
    made.objectives.train()
    torch.manual_seed(3)  # what mixup draws
    torch.stack(list(made.losses(made(data), data).values())).sum().backward()
    whole = gradients(made)
    made.zero_grad()
    chunks = Chunks(made, data, rows)
    torch.manual_seed(3)
    torch.stack(list(chunks.losses().values())).sum().backward()
    chunks.backward()
    found = gradients(made)
    assert set(found) == set(whole)
    for name, gradient in whole.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-5, msg=name)


def test_the_second_pass_draws_what_the_first_drew_and_leaves_the_draws_alone():
    made, data = network(False), batch()
    torch.manual_seed(7)
    chunks = Chunks(made, data, 4)
    loss = torch.stack(list(chunks.losses().values())).sum()
    after = torch.get_rng_state()
    first = [leaf.detach().clone() for leaf in chunks.leaves]
    loss.backward()
    chunks.backward()
    assert torch.equal(torch.get_rng_state(), after)
    torch.manual_seed(7)
    again = Chunks(made, data, 4)
    again.losses()
    assert all(torch.equal(one, two) for one, two in zip(first, again.leaves, strict=True))


def test_a_part_holds_the_cells_of_its_rows_and_no_others():
    data = batch()
    data.own["y"] = Cells({"x": torch.arange(11.0)}, torch.arange(11)[:, None])
    some = select_rows(data, torch.tensor([2, 5, 7]))
    for name in NAMES:
        whole, cells = data.inputs[name], some.inputs[name]
        for row, at in zip([2, 5, 7], cells.index_BK[:, 0].tolist(), strict=True):
            before = int(whole.index_BK[row, 0])
            assert (before < 0) == (at < 0)
            if at >= 0:
                assert torch.equal(cells.fields["x"][at], whole.fields["x"][before])
        assert len(cells.fields["x"]) <= 3
    assert some.own["y"].fields["x"].tolist() == [2, 5, 7]  # what a head reads itself goes along
