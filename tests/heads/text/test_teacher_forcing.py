"""What each option of learning does to the loss: by hand, so that an option that does nothing fails."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polyfuse import registry
from polyfuse.heads.text.teacher_forcing import Learning, References, teacher_forced
from polyfuse.testing import heads
from polyfuse.testing.heads import Case

SIGNS = {"begin": 1, "end": 2, "pad": 0}
TEXTS = References(torch.tensor([[4, 5], [5, 0]]), torch.tensor([2, 1]), torch.tensor([True, False]))
DECODERS = ("transformer", {"name": "gru", "even": 0.0})  # the doubly stochastic loss is of training alone


def fixed(before_NT):
    """Logits of six units that are the same wherever they are asked for."""
    return torch.tensor([0.0, 0.0, 1.0, 0.0, 2.0, 3.0]).expand(*before_NT.shape, 6), None


def test_smoothed_targets_give_every_unit_its_share():
    log = np.array([0.0, 0, 1, 0, 2, 3]) - np.log(3 + np.exp(1) + np.exp(2) + np.exp(3))
    smooth = {unit: -(0.7 * log[unit] + 0.3 * log.mean()) for unit in (2, 4, 5)}
    found = teacher_forced(fixed, TEXTS, Learning(label_smoothing=0.3), **SIGNS, training=True)
    # 4, 5 and the end of the first text; the 5 alone of the second, which was cut
    assert found.tolist() == pytest.approx([(smooth[4] + smooth[5] + smooth[2]) / 3, smooth[5]], abs=1e-5)
    plain = teacher_forced(fixed, TEXTS, Learning(label_smoothing=0.3), **SIGNS, training=False)
    assert plain.tolist() == pytest.approx([-(log[4] + log[5] + log[2]) / 3, -log[5]], abs=1e-5)


@pytest.mark.parametrize(("share", "expected"), [(0.0, [1, 4, 5]), (1 - 1e-9, [1, 5, 5])])
def test_scheduled_sampling_reads_what_the_decoder_itself_would_have_said(share, expected):
    read = []

    def forward(before_NT):
        read.append(before_NT.tolist())
        return fixed(before_NT)

    teacher_forced(forward, TEXTS, Learning(scheduled_sampling=share), **SIGNS, training=True)
    assert read[-1][0] == expected  # its likeliest unit is 5, wherever it is asked
    assert len(read) == (2 if share else 1)
    read.clear()
    teacher_forced(forward, TEXTS, Learning(scheduled_sampling=share), **SIGNS, training=False)
    assert [row[0] for row in read] == [[1, 4, 5]]


def test_half_of_the_units_are_its_own_where_half_are_to_be():
    many, read = References(torch.full((200, 20), 4), torch.full((200,), 20), torch.ones(200, dtype=torch.bool)), []

    def forward(before_NT):
        read.append(before_NT)
        return fixed(before_NT)

    torch.manual_seed(0)
    teacher_forced(forward, many, Learning(scheduled_sampling=0.5), **SIGNS, training=True)
    assert (read[-1][:, 0] == 1).all()
    assert (read[-1][:, 1:] == 5).float().mean().item() == pytest.approx(0.5, abs=0.03)


def losses(decoder, options: dict, cells: list, training: bool = True) -> torch.Tensor:
    case = Case(registry.head("text"), {"decoder": decoder, "learn": options, "dropout": 0.0}, CELLS)
    head, transform = case.made()
    head.train(training)
    case.cells = cells
    return head.loss(heads.random_fused(), case.targets(transform)).detach()


CELLS = [["one", "half a dozen"], "two", ["three", "a b", "four"], "a", "b", "one", "two", "three"]
ALONE = [[cell] if isinstance(cell, str) else cell for cell in CELLS]


@pytest.mark.parametrize("decoder", DECODERS)
def test_all_references_are_their_mean_and_a_drawn_one_is_one_of_them(decoder):
    single = [losses(decoder, {}, [cell[min(n, len(cell) - 1)] for cell in ALONE]) for n in range(3)]
    everyone = losses(decoder, {"references": "all"}, CELLS)
    mean = torch.stack([torch.stack([single[n][row] for n in range(len(ALONE[row]))]).mean() for row in range(8)])
    assert torch.allclose(everyone, mean, atol=1e-5)
    assert torch.allclose(losses(decoder, {}, CELLS, training=False), mean, atol=1e-5)  # validation draws nothing
    case = Case(registry.head("text"), {"decoder": decoder, "dropout": 0.0}, CELLS)
    head, transform = case.made()
    batch, counts = case.targets(transform), np.zeros(3)
    for _ in range(60):
        drawn = head.loss(heads.random_fused(), batch).detach()
        at = [n for n in range(3) if torch.isclose(drawn[2], single[n][2], atol=1e-5)]
        assert len(at) == 1
        assert drawn[1].item() == pytest.approx(single[0][1].item(), abs=1e-5)
        counts[at[0]] += 1
    assert counts.min() > 8


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_head_heeds_its_options(decoder):
    plain = losses(decoder, {}, ["one two three"] * 8)
    assert not torch.allclose(losses(decoder, {"label_smoothing": 0.2}, ["one two three"] * 8), plain)
    assert not torch.allclose(losses(decoder, {"scheduled_sampling": 0.9}, ["one two three"] * 8), plain)
