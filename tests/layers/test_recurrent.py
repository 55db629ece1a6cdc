from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from polyfuse.layers import recurrent
from polyfuse.layers.positions import length_mask
from polyfuse.layers.recurrent import Bidirectional, OneWay, reversed_positions

KINDS = {"gru": nn.GRU, "lstm": nn.LSTM}


@given(lengths=st.lists(st.integers(0, 6), min_size=1, max_size=4))
def test_reversal_turns_real_tokens_round_and_is_its_own_inverse(lengths):
    order = reversed_positions(length_mask(torch.tensor(lengths), 6))
    for row, length in enumerate(lengths):
        assert order[row].tolist() == [*reversed(range(length)), *range(length, 6)]
        assert order[row][order[row]].tolist() == list(range(6))


def reference(net: Bidirectional, kind: str, depth: int) -> nn.Module:
    """Torch's own two-way net with the same weights."""
    found = KINDS[kind](5, 4, num_layers=depth, batch_first=True, bidirectional=True)
    weights = {}
    for layer in range(depth):
        for side, suffix in ((net.ahead, ""), (net.back, "_reverse")):
            for name, value in side[layer].net.state_dict().items():
                weights[name.replace("_l0", f"_l{layer}{suffix}")] = value
    found.load_state_dict(weights)
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth", [1, 2])
@settings(max_examples=10, deadline=None)
@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4), seed=st.integers(0, 1000))
def test_equals_torch_on_packed_sequences(kind, depth, lengths, seed):
    torch.manual_seed(seed)
    net, x = Bidirectional(5, 4, kind=kind, depth=depth), torch.randn(len(lengths), 6, 5)
    found = net(x, length_mask(torch.tensor(lengths), 6))
    packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
    expected, _ = nn.utils.rnn.pad_packed_sequence(reference(net, kind, depth)(packed)[0], batch_first=True)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(found[row, :length], expected[row, :length], atol=1e-5, rtol=1e-4)


def looped(combine, carry, xs):
    """What ``scan`` promises, in plain Python; the contract test of encoders runs the real one."""
    found = []
    for x in xs:
        carry, y = combine(carry, x)
        found.append(y)
    return carry, torch.stack(found)


@pytest.mark.parametrize("kind", KINDS)
def test_the_scan_of_exported_files_equals_the_fused_net(kind, monkeypatch):
    layer, x = OneWay(5, 4, kind=kind), torch.randn(3, 6, 5)
    fused = layer(x)
    monkeypatch.setattr(recurrent, "scan", looped)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    torch.testing.assert_close(layer(x), fused, atol=1e-6, rtol=1e-5)


def test_an_empty_row_is_finite():
    net = Bidirectional(5, 4)
    x = net(torch.randn(2, 3, 5), torch.tensor([[False, False, False], [True, True, False]]))
    assert torch.isfinite(x).all()


def test_dropout_acts_between_layers_in_training_only():
    torch.manual_seed(0)
    x, mask = torch.randn(2, 4, 5), torch.ones(2, 4, dtype=torch.bool)
    deep, shallow = Bidirectional(5, 4, depth=2, dropout=0.5), Bidirectional(5, 4, depth=1, dropout=0.5)
    assert not torch.equal(deep(x, mask), deep(x, mask))
    assert torch.equal(shallow(x, mask), shallow(x, mask))
    assert torch.equal(deep.eval()(x, mask), deep(x, mask))


class Watched(nn.Module):
    """Stands for a fused net; notes the type of what it reads and whether autocast would narrow it."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append((x.dtype, torch.is_autocast_enabled("cpu")))
        return x, None


@pytest.mark.parametrize("able", [True, False])
def test_autocast_reaches_the_fused_net_only_where_the_processor_can(able, monkeypatch):
    monkeypatch.setattr(recurrent, "supports_dtype", lambda kind, dtype: able)
    layer = OneWay(5, 4, kind="lstm")
    layer.net = Watched()
    with torch.autocast("cpu", torch.bfloat16):
        layer(torch.randn(2, 3, 5).bfloat16())
    assert layer.net.seen == [(torch.bfloat16, True) if able else (torch.float32, False)]


@pytest.mark.parametrize("kind", KINDS)
def test_where_the_processor_cannot_autocast_changes_nothing(kind, monkeypatch):
    monkeypatch.setattr(recurrent, "supports_dtype", lambda kind, dtype: False)
    layer, x = OneWay(5, 4, kind=kind), torch.randn(3, 6, 5)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x)
    assert torch.equal(found, layer(x))


def test_the_processor_is_asked_once_without_a_random_draw(monkeypatch):
    tried = []

    class Lacking(nn.LSTM):
        def forward(self, *_):
            tried.append(torch.is_autocast_enabled("cpu"))
            raise RuntimeError("could not create a primitive descriptor")

    monkeypatch.setitem(recurrent.LAYERS, "lacking", Lacking)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert not any(recurrent.supports_dtype("lacking", torch.bfloat16) for _ in range(3))
    assert tried == [True]
    assert torch.equal(torch.get_rng_state(), before)


def test_without_autocast_the_processor_is_not_asked(monkeypatch):
    monkeypatch.setattr(recurrent, "supports_dtype", lambda *_: pytest.fail("asked"))
    OneWay(5, 4)(torch.randn(2, 3, 5))


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="gru, lstm"):
        Bidirectional(5, 4, kind="rnn")
