"""What every fusion must hold, run over every row of the registry."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from polyfuse import registry
from polyfuse.layers.readout import Readout
from polyfuse.records import Fused, Tokens

WIDTH = 16
FUSIONS = list(registry.FUSIONS)


def make(name, lengths):
    torch.manual_seed(0)
    return registry.fusion(name)([f"i{m}" for m in range(len(lengths))], WIDTH)


def tokens(lengths, present_BM, seed=0):
    """Inputs of those lengths; each row's real tokens fill a random part of T, absent inputs none of it."""
    draw = torch.Generator().manual_seed(seed)
    found = {}
    for m, (length, present_B) in enumerate(zip(lengths, present_BM.T, strict=True)):
        x = torch.randn(len(present_BM), length, WIDTH, generator=draw)
        span = torch.rand(len(present_BM), length, 2, generator=draw)
        real_B = torch.randint(1, length + 1, (len(present_BM), 1), generator=draw) * present_B[:, None]
        found[f"i{m}"] = Tokens(x, torch.arange(length) < real_B, grid=(length,), prefix=m % 2, span_BT2=span)
    return found


def summary(fused: Fused):
    t = fused.tokens
    return torch.cat(
        [
            (t.x_BTD * t.mask_BT[..., None]).sum(1),
            *((i.x_BTD * i.mask_BT[..., None]).sum(1) for i in fused.by_input.values()),
        ],
        -1,
    )


cases = st.lists(st.integers(1, 7), min_size=1, max_size=5).flatmap(
    lambda lengths: st.tuples(
        st.just(lengths),
        st.lists(st.lists(st.booleans(), min_size=len(lengths), max_size=len(lengths)), min_size=1, max_size=4),
    )
)


@pytest.mark.parametrize("name", FUSIONS)
@settings(max_examples=25, deadline=None)
@given(case=cases)
def test_any_subset_of_one_to_five_inputs_gives_finite_tokens(name, case):
    lengths, present = case
    fusion = make(name, lengths)
    given_tokens = tokens(lengths, torch.tensor(present))
    fused = fusion(given_tokens)
    assert fused.tokens.x_BTD.shape[0] == len(present)
    assert fused.tokens.width == WIDTH
    assert torch.isfinite(fused.tokens.x_BTD).all()
    assert list(fused.by_input) == list(given_tokens)
    for key, before in given_tokens.items():
        after = fused.by_input[key]
        assert after.x_BTD.shape == before.x_BTD.shape
        assert torch.equal(after.mask_BT, before.mask_BT)
        assert (after.grid, after.prefix) == (before.grid, before.prefix)
        assert torch.equal(after.span_BT2, before.span_BT2)
        assert torch.isfinite(after.x_BTD[after.mask_BT]).all()


@pytest.mark.parametrize("lengths", [[3], [3, 2], [3, 2, 4, 2, 5]], ids=["one", "two", "five"])
@pytest.mark.parametrize("name", FUSIONS)
def test_every_parameter_is_trained(name, lengths):
    """Through what heads read, within two steps: a gate that starts closed opens in the first."""
    fusion, read = make(name, lengths), Readout(WIDTH, 3)
    if not list(fusion.parameters()):
        return  # its heads learn
    # 16 rows, some with several real tokens of every input: the softmax over a single one trains nothing
    batch = tokens(lengths, torch.ones(16, len(lengths), dtype=torch.bool))
    optimizer = torch.optim.SGD(fusion.parameters(), lr=0.1)
    trained = set()
    for _ in range(2):
        optimizer.zero_grad()
        read(fusion(batch).tokens).pow(2).sum().backward()
        trained |= {n for n, p in fusion.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
        optimizer.step()
    untrained = {n for n, _ in fusion.named_parameters()} - trained
    # a shift of all keys changes no softmax
    assert {n for n in untrained if not n.endswith("key.bias")} == set()


@pytest.mark.parametrize("name", FUSIONS)
def test_every_tensor_that_trains_is_registered(name):
    """A factor kept in a plain list would be neither trained nor saved."""
    fusion = make(name, [3, 2])
    known = {id(p) for p in fusion.parameters()}
    for module in fusion.modules():
        for value in vars(module).values():
            items = value if isinstance(value, (list, tuple)) else [value]
            assert all(id(item) in known for item in items if isinstance(item, nn.Parameter))
            assert not any(isinstance(item, nn.Module) for item in items if isinstance(value, (list, tuple)))


@pytest.mark.parametrize("name", FUSIONS)
def test_a_row_does_not_see_its_neighbours_nor_padding(name):
    present = torch.tensor([[True, True, False], [True, False, True], [False, False, False]])
    fusion = make(name, [4, 3, 2]).eval()
    whole = tokens([4, 3, 2], present)
    everything = summary(fusion(whole))
    for row in range(3):
        alone = {k: Tokens(t.x_BTD[row:][:1], t.mask_BT[row:][:1]) for k, t in whole.items()}
        torch.testing.assert_close(summary(fusion(alone))[0], everything[row], atol=1e-5, rtol=1e-4)
    padded = {}
    for k, t in whole.items():
        x = torch.where(t.mask_BT[..., None], t.x_BTD, 9.0)
        padded[k] = Tokens(torch.cat([x, torch.full((3, 2, WIDTH), 9.0)], 1), nn.functional.pad(t.mask_BT, (0, 2)))
    # what stands in padding and in absent inputs must not matter
    torch.testing.assert_close(summary(fusion(padded)), everything, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", FUSIONS)
def test_evaluation_is_deterministic_and_survives_saving(name):
    present = torch.ones(3, 2, dtype=torch.bool)
    fusion, copy = make(name, [4, 3]).eval(), registry.fusion(name)(["i0", "i1"], WIDTH).eval()
    copy.load_state_dict(fusion.state_dict())
    batch = tokens([4, 3], present)
    assert torch.equal(summary(fusion(batch)), summary(fusion(batch)))
    assert torch.equal(summary(fusion(batch)), summary(copy(batch)))


@pytest.mark.parametrize("name", FUSIONS)
def test_bf16_autocast_is_finite(name):
    with torch.autocast("cpu", torch.bfloat16):
        fused = make(name, [4, 3])(tokens([4, 3], torch.tensor([[True, True], [False, False]])))
    assert torch.isfinite(fused.tokens.x_BTD).all()


@pytest.mark.parametrize("name", FUSIONS)
def test_exports_with_any_batch_and_length(name):
    fusion = make(name, [5, 4]).eval()
    batch, first, second = (torch.export.Dim(n, min=1, max=64) for n in ("batch", "first", "second"))
    dims = {f"i{m}": [{0: batch, 1: length}, {0: batch, 1: length}] for m, length in enumerate((first, second))}

    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.fusion = fusion

        def forward(self, parts):
            fused = self.fusion({key: Tokens(x, mask) for key, (x, mask) in parts.items()})
            return fused.tokens.x_BTD

    def parts(rows, lengths):
        made = tokens(lengths, torch.ones(rows, 2, dtype=torch.bool), seed=rows)
        return {key: [t.x_BTD, t.mask_BT] for key, t in made.items()}

    program = torch.export.export(Plain(), (parts(3, [5, 4]),), dynamic_shapes=(dims,)).module()
    for rows, lengths in ((1, [5, 4]), (2, [1, 7]), (7, [6, 2])):
        sample = parts(rows, lengths)
        torch.testing.assert_close(program(sample), Plain()(sample), atol=1e-5, rtol=1e-4)
