"""Two-way recurrent nets in which padding cannot reach a real token, and which export with any batch and length.

GRU: Cho et al., EMNLP 2014. LSTM: Hochreiter and Schmidhuber, Neural Computation 1997. Two-way: Schuster and Paliwal,
IEEE Transactions on Signal Processing 1997. Packed sequences do not export, so a net of two one-way nets reads the
tokens, the second one in an order reversed by gather. Training and inference use torch's fused kernels; while
exporting, the same weights run as a scan over time, because torch unrolls the fused ones to one fixed length. Where a
processor has no kernel for numbers of half the size, they run in float32.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch._higher_order_ops import scan


def reversed_positions(mask_BT: Tensor) -> Tensor:
    """Positions that reverse each row's real tokens and leave its padding in place: (B, T) -> (B, T); its own inverse.

    >>> reversed_positions(torch.tensor([[True, True, True, False]]))
    tensor([[2, 1, 0, 3]])
    """
    place_1T = torch.arange(mask_BT.shape[1], device=mask_BT.device)[None]
    return torch.where(mask_BT, mask_BT.sum(1, keepdim=True) - 1 - place_1T, place_1T)


LAYERS: dict[str, Any] = {"gru": nn.GRU, "lstm": nn.LSTM}


@cache
def supports_dtype(kind: str, dtype: torch.dtype) -> bool:
    """Whether this processor runs the fused net of a kind in ``dtype`` under autocast; tried once, on one number.

    oneDNN has an LSTM in bfloat16 only where the processor has instructions for it, and says so by failing.
    """
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        net = LAYERS[kind](1, 1, batch_first=True)
        try:
            with torch.autocast("cpu", dtype):
                net(torch.zeros(1, 1, 1))
        except RuntimeError:
            return False
    return True


class OneWay(nn.Module):
    """One recurrent layer from left to right: (B, T, size) -> (B, T, hidden).

    Args:
        kind: ``gru`` or ``lstm``.
    """

    def __init__(self, size: int, hidden: int, *, kind: str = "gru"):
        super().__init__()
        if kind not in LAYERS:
            raise ValueError(f"unknown recurrent kind {kind!r}; known: {', '.join(LAYERS)}")
        self.kind = kind
        self.step, self.states = {"gru": (_gru_step, 1), "lstm": (_lstm_step, 2)}[kind]
        self.net = LAYERS[kind](size, hidden, batch_first=True)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Shapes: (B, T, size) -> (B, T, hidden)."""
        return self._scanned(x_BTD) if torch.compiler.is_exporting() else self._fused(x_BTD)

    def _fused(self, x_BTD: Tensor) -> Tensor:
        narrow = x_BTD.device.type == "cpu" and torch.is_autocast_enabled("cpu")
        if not narrow or supports_dtype(self.kind, torch.get_autocast_dtype("cpu")):
            return self.net(x_BTD)[0]
        with torch.autocast("cpu", enabled=False):
            return self.net(x_BTD.float())[0]

    def _scanned(self, x_BTD: Tensor) -> Tensor:
        """What ``self.net`` gives, step by step, so that the length stays free in an exported file."""
        net, step = self.net, self.step
        weight, bias = net.weight_hh_l0, net.bias_hh_l0
        gates_TBG = nn.functional.linear(x_BTD, net.weight_ih_l0, net.bias_ih_l0).transpose(0, 1)
        start_BH = gates_TBG.new_zeros(x_BTD.shape[0], net.hidden_size)

        def combine(carry: tuple[Tensor, ...], gates_BG: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
            carry = step(gates_BG, nn.functional.linear(carry[0], weight, bias), carry)
            return carry, carry[0].clone()  # a scan refuses outputs that share memory

        carry = tuple(start_BH.clone() for _ in range(self.states))
        return scan(combine, carry, gates_TBG)[1].transpose(0, 1)


def _gru_step(input_BG: Tensor, recurrent_BG: Tensor, carry: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    input_reset, input_update, input_new = input_BG.chunk(3, -1)
    reset, update, new = recurrent_BG.chunk(3, -1)
    update = (input_update + update).sigmoid()
    new = (input_new + (input_reset + reset).sigmoid() * new).tanh()
    return (new + update * (carry[0] - new),)


def _lstm_step(input_BG: Tensor, recurrent_BG: Tensor, carry: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    write, forget, new, show = (input_BG + recurrent_BG).chunk(4, -1)
    cell = forget.sigmoid() * carry[1] + write.sigmoid() * new.tanh()
    return show.sigmoid() * cell.tanh(), cell


class Bidirectional(nn.Module):
    """Reads tokens in both directions; each result token is the two readings side by side.

    Args:
        size: width of the tokens that come in.
        hidden: width of each direction; the result is ``2 * hidden`` wide.
        kind: ``gru`` or ``lstm``.
        depth: layers; each reads both directions of the one before.
        dropout: of each layer's input but the first's, in training.

    See also:
        ``attention.Block`` for long sequences and for speed on accelerators.
    """

    def __init__(self, size: int, hidden: int, *, kind: str = "gru", depth: int = 1, dropout: float = 0.0):
        super().__init__()
        sizes = [size] + [2 * hidden] * (depth - 1)
        self.ahead = nn.ModuleList(OneWay(n, hidden, kind=kind) for n in sizes)
        self.back = nn.ModuleList(OneWay(n, hidden, kind=kind) for n in sizes)
        self.drop = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """Shapes: (B, T, size), (B, T) -> (B, T, 2 * hidden). Real tokens come first in each row."""
        order_BT = reversed_positions(mask_BT)
        for layer, (ahead, back) in enumerate(zip(self.ahead, self.back, strict=True)):
            x_BTD = self.drop(x_BTD) if layer else x_BTD
            back_BTD = _reorder(back(_reorder(x_BTD, order_BT)), order_BT)
            x_BTD = torch.cat([ahead(x_BTD), back_BTD], -1)
        return x_BTD


def _reorder(x_BTD: Tensor, order_BT: Tensor) -> Tensor:
    # not take_along_dim, which fixes batch and length in an exported file
    return x_BTD.gather(1, order_BT[..., None].expand(-1, -1, x_BTD.shape[-1]))
