"""What every head must hold, run over every row of the registry."""

from __future__ import annotations

import inspect
import io

import numpy as np
import pytest
import torch
from torch import nn

from polyfuse import registry
from polyfuse.data.cells.source import Limits
from polyfuse.records import Batch, Cells, Fused, Spec, Tokens

WIDTH, ROWS, LENGTH = 16, 8, 3
CELLS = {
    "target.category": ["a", "b", "c", "a", "b", "c", "a", "a"],
    "target.ordinal": [1, 2, 3, 1, 2, 3, 1, 1],
    "target.labels": [["a"], ["a", "b"], ["c"], ["b", "c"], ["a"], ["c"], ["a", "b", "c"], []],
    "target.number": [1.0, 2.0, 4.0, 8.0, 3.0, 5.0, 9.0, 100.0],
}
every_head = pytest.mark.parametrize("name", list(registry.HEADS))


def made(name, **keywords):
    """A head and the transform of its target, fitted."""
    torch.manual_seed(0)
    kind = registry.head(name)
    spec = kind.wants(**keywords)
    transform = registry.transform(spec.transform)(**spec.keywords)
    transform.fit(CELLS[spec.transform], {"y": "y"}, Limits())
    return kind(name="y", width=WIDTH, **transform.facts(), **keywords), transform


def targets(transform, name, rows, missing=()):
    arrays = transform.encode(CELLS[registry.head(name).wants().transform][:rows], Limits())
    index = torch.arange(rows)
    index[list(missing)] = -1
    fields = {key: torch.from_numpy(values) for key, values in transform.collate(arrays).items()}
    return Batch({}, {"y": Cells(fields, index[:, None])}, torch.arange(rows), torch.ones(rows))


def joint(rows=ROWS, seed=0, mask=None, prefix=0):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, LENGTH, WIDTH, generator=draw)
    mask = torch.ones(rows, LENGTH, dtype=torch.bool) if mask is None else mask
    return Fused(Tokens(x, mask, prefix=prefix), {})


@every_head
def test_what_it_wants_takes_its_own_keywords(name):
    kind = registry.head(name)
    wanted = inspect.signature(kind.wants).parameters
    taken = inspect.signature(kind.__init__).parameters
    assert isinstance(kind.wants(), Spec)
    assert len(wanted) <= 7
    for key, parameter in wanted.items():
        assert taken[key].default == parameter.default
    assert kind.task in registry.JUDGES
    assert isinstance(kind.paper, str)
    assert (kind.__doc__ or "").partition("\n")[0].strip()


@every_head
def test_loss_falls_until_eight_rows_are_learnt_by_heart(name):
    head, transform = made(name, dropout=0.0)
    fused, batch = joint(), targets(transform, name, ROWS)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    first = head.loss(fused, batch).mean().item()
    for _ in range(200):
        optimizer.zero_grad()
        loss = head.loss(fused, batch).mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05 * first
    head.eval()
    value = head.predict(fused, batch).value
    expected = transform.decode(transform.encode(CELLS[head.wants().transform], Limits()))
    if head.task == "number":
        assert value == pytest.approx(expected, rel=0.2)
    else:
        assert value == expected
    assert head.quality(head.scores(fused, batch), batch).mean() > (-0.01 if head.task == "number" else 0.99)


@every_head
def test_missing_targets_have_no_loss_and_no_gradient(name):
    head, transform = made(name)
    head.eval()
    fused = joint()
    fused.tokens.x_BTD.requires_grad_()
    loss_B = head.loss(fused, targets(transform, name, ROWS, missing=(0, 3)))
    assert loss_B.shape == (ROWS,)
    assert (loss_B[[0, 3]] == 0).all()
    assert (loss_B[[1, 2, 4, 5, 6, 7]] > 0).all()
    loss_B.sum().backward()
    gradient = fused.tokens.x_BTD.grad.flatten(1).abs().sum(1)
    assert ((gradient == 0) == (loss_B == 0)).all()


@every_head
def test_no_target_at_all_is_a_loss_of_zero(name):
    head, transform = made(name)
    blank = {key: torch.from_numpy(values) for key, values in transform.collate([transform.blank()]).items()}
    batch = Batch({}, {"y": Cells(blank, torch.full((ROWS, 1), -1))}, torch.arange(ROWS), torch.ones(ROWS))
    loss = head.loss(joint(), batch).sum()
    loss.backward()
    assert loss.item() == 0
    assert all((p.grad == 0).all() for p in head.parameters())


@every_head
def test_a_row_depends_on_itself_alone(name):
    head, transform = made(name)
    head.eval()
    all_B = head.loss(joint(), targets(transform, name, ROWS))
    few_B = head.loss(joint(), targets(transform, name, ROWS, missing=(1, 2)))
    assert torch.equal(all_B[[0, 3, 4]], few_B[[0, 3, 4]])


@every_head
def test_parts_of_loss_and_prediction_are_the_whole(name):
    head, transform = made(name)
    head.eval()
    fused, batch = joint(), targets(transform, name, ROWS)
    scores = head.scores(fused, batch)
    assert scores.shape[0] == ROWS
    assert torch.equal(head.loss(fused, batch), head.loss_of(scores, batch))
    assert head.predict(fused, batch).value == head.decode(scores).value
    assert torch.equal(head.predict(fused, batch).scores, scores)
    assert head.quality(scores, batch).shape == (ROWS,)


@every_head
@pytest.mark.parametrize("pool", ["auto", "mean", "max", "attention"])
@pytest.mark.parametrize("prefix", [0, 1])
def test_masked_tokens_change_nothing_and_empty_rows_are_finite(name, pool, prefix):
    head, _ = made(name, pool=pool)
    head.eval()
    mask = torch.ones(ROWS, LENGTH, dtype=torch.bool)
    mask[:, 2], mask[0] = False, False
    fused, other = joint(mask=mask, prefix=prefix), joint(mask=mask, prefix=prefix)
    other.tokens.x_BTD[~mask] = 7.0
    scores = head.scores(fused, None)
    assert torch.isfinite(scores).all()
    assert torch.allclose(scores, head.scores(other, None))
    assert not torch.allclose(scores[0], scores[1])


@every_head
@pytest.mark.parametrize("pool", ["auto", "attention"])
def test_every_parameter_gets_a_gradient(name, pool):
    head, transform = made(name, pool=pool)
    head.loss(joint(), targets(transform, name, ROWS)).sum().backward()
    assert [key for key, p in head.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@every_head
def test_predictions_survive_saving(name):
    head, _ = made(name)
    nn.init.normal_(next(p for p in head.parameters() if p.ndim == 2))
    if hasattr(head, "set_temperature"):
        head.set_temperature(2.5)
    file = io.BytesIO()
    torch.save(head.state_dict(), file)
    file.seek(0)
    again, _ = made(name)
    again.load_state_dict(torch.load(file))
    head.eval()
    again.eval()
    one, other = head.predict(joint(), None), again.predict(joint(), None)
    assert one.value == other.value
    assert torch.equal(one.scores, other.scores)
    assert all(np.array_equal(one.extra[key], other.extra[key]) for key in one.extra)


@every_head
def test_predictions_have_an_entry_per_row(name):
    head, _ = made(name)
    head.eval()
    found = head.predict(joint(5), None)
    assert len(found.value) == len(found.scores) == 5
    assert all(len(entry) == 5 for entry in found.extra.values())


class Scores(nn.Module):
    """``scores`` as a forward pass of plain tensors."""

    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, x_BTD, mask_BT):
        return self.head.scores(Fused(Tokens(x_BTD, mask_BT), {}), None)


@every_head
@pytest.mark.parametrize("pool", ["auto", "max", "attention"])
def test_scores_export_for_any_batch_and_length(name, pool):
    head, _ = made(name, pool=pool)
    module = Scores(head).eval()
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length")
    example = joint().tokens
    shapes = ({0: batch, 1: length}, {0: batch, 1: length})
    exported = torch.export.export(module, (example.x_BTD, example.mask_BT), dynamic_shapes=shapes).module()
    for rows, tokens in ((1, 1), (2, 5), (7, 3)):
        x, mask = torch.randn(rows, tokens, WIDTH), torch.rand(rows, tokens) < 0.5
        assert torch.allclose(exported(x, mask), module(x, mask), atol=1e-5)


@every_head
def test_bf16_autocast_keeps_losses_finite(name):
    head, transform = made(name)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss_B = head.loss(joint(), targets(transform, name, ROWS))
    assert loss_B.dtype == torch.float32
    assert torch.isfinite(loss_B).all()
    assert head.decode(head.scores(joint(), None).bfloat16()).value
