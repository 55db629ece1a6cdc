"""FiLM: one input's tokens, each feature scaled and shifted by what the other inputs say. Perez et al., AAAI 2018."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from polyfuse.layers.inputs import NormedMeans, choose_input, one_token, pad_absent_rows, replace_values
from polyfuse.layers.pooling import masked_max
from polyfuse.records import Fused, Tokens


class _Layer(nn.Module):
    """x + W' relu(gamma(y) * norm(W x) + beta(y)), with gamma = 1 + G y and beta = H y."""

    def __init__(self, width: int, context: int, dropout: float):
        super().__init__()
        self.inner, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)  # the modulation is its scale and shift
        # no bias: nothing to go by, nothing modulated
        self.modulate = nn.Linear(context, 2 * width, bias=False)
        self.drop = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor, context_BX: Tensor) -> Tensor:
        """Tokens and what modulates them -> tokens."""
        gamma_B1D, beta_B1D = self.modulate(context_BX)[:, None].chunk(2, -1)
        film_BTD = (1 + gamma_B1D) * self.norm(self.inner(x_BTD)) + beta_B1D
        return x_BTD + self.out(self.drop(film_BTD.relu()))


class FiLM(nn.Module):
    """The tokens of one input through residual layers whose features are scaled and shifted by all the others pooled.

    The others are averaged over their tokens, normalised and joined; gamma and beta are linear in them. An absent one
    contributes zeros; without any, gamma is 1 and beta 0. The result is the largest value of each feature over the
    tokens, as in the paper: what was asked for may be small. Where the modulated input itself is absent, one token of
    zeros stands in, so that the others still speak. A single input modulates itself.

    Args:
        inputs: names of the inputs.
        width: D of every input and of the result.
        query: the input that is modulated; ``auto`` is the first.
        depth: modulated layers, at least 1.
        dropout: inside the layers, in training.

    Shapes: each input (B, T_m, D) -> joint (B, 1, D), the largest of the modulated tokens, feature by feature; they
    themselves stand in ``by_input``.

    Raises:
        ValueError: ``query`` names no input, or there is no layer.

    See also: ``nl_gate`` where what matters is in single tokens of the others rather than in their mean.
    """

    paper = "Perez et al.: FiLM, AAAI 2018"

    def __init__(self, inputs: Sequence[str], width: int, *, query: str = "auto", depth: int = 2, dropout: float = 0.1):
        super().__init__()
        if depth < 1:
            raise ValueError(f"depth: expected at least 1, found {depth}")
        self.inputs = tuple(inputs)
        self.query = choose_input(self.inputs, query)
        others = [name for name in self.inputs if name != self.query] or [self.query]
        self.context = NormedMeans(others, width)
        self.layers = nn.ModuleList(_Layer(width, width * len(others), dropout) for _ in range(depth))

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        """{input: Tokens} -> Fused."""
        context_BMD, present_BM = self.context(tokens)
        seen = pad_absent_rows(tokens[self.query])
        x_BTD = seen.x_BTD
        for layer in self.layers:
            x_BTD = layer(x_BTD, context_BMD.flatten(1))
        some_B1 = present_BM.any(1, keepdim=True) | tokens[self.query].present_B[:, None]
        fused = one_token(masked_max(x_BTD, seen.mask_BT), some_B1, tokens)
        fused.by_input[self.query] = replace_values(tokens[self.query], x_BTD)
        return fused
