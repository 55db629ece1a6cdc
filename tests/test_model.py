"""The network between the parts: slots, missing inputs, dropout, tokens that stand in, frozen encoders."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from polyfuse.fusion.attention import JointAttention
from polyfuse.fusion.concat import Concat
from polyfuse.layers.join import Join
from polyfuse.model.network import Network
from polyfuse.records import Batch, Cells, Tokens

NAMES = ("a.b", "type")


class Numbers(nn.Module):
    """An encoder of single numbers: T tokens of width 3."""

    width = 3

    def __init__(self, length=2):
        super().__init__()
        self.linear, self.length, self.calls = nn.Linear(1, 3), length, []

    def forward(self, fields, present_B):
        self.calls.append(len(present_B))
        x_BTD = self.linear(fields["x"][:, None, None].expand(-1, self.length, 1))
        return Tokens(x_BTD, present_B[:, None].expand(-1, self.length), grid=(self.length,))


def network(fusion=JointAttention, **options):
    torch.manual_seed(0)
    encoders = {"a.b": Numbers(2), "type": Numbers(3)}
    return Network(
        encoders, fusion(list(encoders), 8), {}, [], width=8, slots={"a.b": 1, "type": 2}, weights={}, **options
    )


def batch(index_a, index_type, cells=4):
    fields = {"x": torch.arange(float(cells))}
    inputs = {"a.b": Cells(fields, torch.tensor(index_a)[:, None]), "type": Cells(fields, torch.tensor(index_type))}
    rows = len(index_a)
    return Batch(inputs, {}, torch.arange(rows), torch.ones(rows))


def test_rows_that_share_a_cell_share_its_encoding():
    made = network().eval()
    encoded = made.encode(batch([0, 0, 3], [[1, 1], [1, 2], [-1, 2]]))
    assert made.encoder("a.b").calls == [4]
    assert torch.equal(encoded["a.b"].x_BTD[0], encoded["a.b"].x_BTD[1])
    assert encoded["type"].x_BTD.shape == (3, 6, 8)
    assert encoded["type"].grid == (2, 3)
    assert encoded["type"].mask_BT.tolist()[2] == [False] * 3 + [True] * 3


def test_slots_of_one_input_are_told_apart():
    join = Join(3, 8, 2)
    tokens = Tokens(torch.randn(1, 2, 3), torch.ones(1, 2, dtype=torch.bool))
    x = join(tokens, torch.tensor([[0, 0]])).x_BTD[0]
    assert not torch.allclose(x[:2], x[2:])


@pytest.mark.parametrize("missing", ["mask", "token"])
def test_rows_without_any_input_are_finite_and_alike(missing):
    made = network(missing=missing).eval()
    state = made(batch([-1, -1, 0], [[-1, -1], [-1, -1], [1, 2]]))
    x = state.fused.tokens.x_BTD
    assert torch.isfinite(x).all()
    assert torch.equal(x[0, 0], x[1, 0])


def test_the_missing_token_is_seen_in_training_and_evaluation_alike_and_learns():
    made = network(missing="token")
    for mode in (True, False):
        made.train(mode)
        state = made(batch([-1, 0], [[1, 1], [2, 2]]))
        assert state.encoded["a.b"].mask_BT[0].sum() == 0
        assert state.fused.by_input["a.b"].mask_BT[0].tolist() == [True, False]
    state.fused.tokens.x_BTD[:, 0].pow(2).sum().backward()
    assert made.absent.grad[0].abs().sum() > 0
    assert made.absent.grad[1].abs().sum() == 0
    masked = network(missing="mask").eval()
    assert masked.absent is None
    assert not masked(batch([-1, 0], [[1, 1], [2, 2]])).fused.by_input["a.b"].mask_BT[0].any()


def test_modality_dropout_hides_inputs_in_training_only_and_never_all():
    made = network(fusion=Concat, modality_dropout=dict.fromkeys(NAMES, 0.7))
    rows = batch([0] * 200, [[1, 2]] * 200)
    encoded = made.encode(rows)
    hidden = made._with_dropout(encoded)
    kept = torch.stack([t.present_B for t in hidden.values()], 1)
    assert kept.any(1).all()
    assert 0.1 < kept[:, 0].float().mean() < 0.9
    assert encoded["a.b"].mask_BT.all()
    made.eval()
    assert all(t.mask_BT.all() for t in made._with_dropout(encoded).values())


def test_dropout_keeps_an_input_that_is_there():
    made = network(fusion=Concat, modality_dropout=dict.fromkeys(NAMES, 0.9))
    hidden = made._with_dropout(made.encode(batch([-1] * 50, [[1, -1]] * 50)))
    assert hidden["type"].present_B.all()


def test_frozen_encoders_stay_in_eval_mode_and_get_no_gradient():
    made = network(frozen=frozenset({"type"})).train()
    assert not made.encoder("type").training
    assert made.encoder("a.b").training
    made(batch([0], [[1, 2]])).fused.tokens.x_BTD.pow(2).sum().backward()
    assert all(p.grad is None for p in made.encoder("type").parameters())
    assert all(p.grad is not None for p in made.encoder("a.b").parameters())


def test_ready_tokens_take_the_place_of_the_encoder():
    made = network().eval()
    rows = batch([0, 1], [[1, 2], [2, 3]])
    expected = made(rows).fused.tokens.x_BTD
    cells = rows.inputs["type"]
    rows.inputs["type"] = Cells(made.encoder("type")(cells.fields, cells.present_U), cells.index_BK)
    calls = len(made.encoder("type").calls)
    assert torch.equal(made(rows).fused.tokens.x_BTD, expected)
    assert len(made.encoder("type").calls) == calls
