"""Decision-level fusion: every input is judged alone, and the judgements are joined.

Kittler et al., On combining classifiers, TPAMI 1998; the product as a sum of logits: Madaan et al., Jointly modeling
inter- and intra-modality dependencies (I2M2), NeurIPS 2024.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from polyfuse.layers.pooling import masked_mean
from polyfuse.records import Fused, Tokens

RULES = ("mean", "product", "weighted")


class Decision(nn.Module):
    """The head applied to each input alone; the model joins their scores and never mixes their tokens.

    Args:
        inputs: names of the inputs.
        width: D of every input and of the result.
        rule: ``product`` of experts (their evidence adds up), ``mean`` of probabilities, or ``weighted``: a mean with
            one learned weight per input. Absent inputs have no say; weights are shared out among the present ones.

    Shapes: each input (B, T_m, D) -> joint (B, 1, D), the mean of the pooled inputs, for embeddings.

    See also: ``concat`` or ``attention`` wherever the answer needs inputs together: a question about a picture cannot
    be answered by voting. ``late`` joins towers before the decision. A mean is steadier against one broken input, and
    lower where some inputs know little: on MOSI .70, below text alone, against .77 of the product (three seeds).
    """

    paper = "Kittler et al., On combining classifiers, TPAMI 1998"
    wants_scores = True

    def __init__(self, inputs: Sequence[str], width: int, *, rule: str = "product"):
        super().__init__()
        del width  # the model owns the heads
        if rule not in RULES:
            raise ValueError(f"rule: expected one of {', '.join(RULES)}, found {rule!r}")
        self.inputs, self.rule = tuple(inputs), rule
        several = rule == "weighted" and len(self.inputs) > 1
        self.weight_M = nn.Parameter(torch.zeros(len(self.inputs))) if several else None

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        """{input: Tokens} -> Fused."""
        pooled_BMD = torch.stack([masked_mean(tokens[n].x_BTD, tokens[n].mask_BT) for n in self.inputs], 1)
        present_BM = self._present(tokens)
        x_BD = masked_mean(pooled_BMD, present_BM)
        return Fused(Tokens(x_BD[:, None], present_BM.any(1, keepdim=True)), dict(tokens))

    def decide(
        self, scores: Mapping[str, Tensor], fused: Fused, combine: Callable[[Tensor, Tensor, str], Tensor]
    ) -> Tensor:
        """Scores of each input alone (B, C) -> scores of all together (B, C), joined as the head's ``combine`` does."""
        scores_BMC = torch.stack([scores[name].float() for name in self.inputs], 1)
        weight_BM = self._weights(self._present(fused.by_input))
        return combine(scores_BMC, weight_BM, "product" if self.rule == "product" else "mean")

    def _present(self, tokens: Mapping[str, Tokens]) -> Tensor:
        return torch.stack([tokens[name].present_B for name in self.inputs], 1)

    def _weights(self, present_BM: Tensor) -> Tensor:
        """(B, M): 1 per expert of a product, else shares of 1; a row without any input asks all of them equally."""
        heard_BM = present_BM | ~present_BM.any(1, keepdim=True)
        if self.rule == "product":
            return heard_BM.float()
        score_M = torch.zeros(len(self.inputs), device=present_BM.device) if self.weight_M is None else self.weight_M
        return score_M.float().expand(heard_BM.shape).masked_fill(~heard_BM, -1e4).softmax(1)
