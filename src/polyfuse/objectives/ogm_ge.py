"""On-the-fly gradient modulation: inputs that learn faster than the others are slowed down.

Peng et al., Balanced multimodal learning via on-the-fly gradient modulation, CVPR 2022.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from polyfuse.objectives.per_input import Alone, single_input_losses, single_input_scores
from polyfuse.records import Batch, State


class OGMGE(nn.Module):
    """Gradients of an encoder whose input is ahead are scaled by k = 1 - tanh(alpha * rho), then noise is added.

    rho is how sure the input alone is of the truth over how sure the others are on average, as a ratio; k is 1 for an
    input that is not ahead. The paper reads "how sure" off blocks of a linear classifier over concatenated inputs,
    which only that fusion has; here heads on each input alone tell it, learning from encodings they cannot change.

    Args:
        inputs: names of the inputs.
        width: D of the encoded inputs.
        alpha: strength of the modulation.
        noise: add Gaussian noise of the gradient's own deviation (generalisation enhancement).

    See also: ``unimodal``, simpler and often as good; ``gradient_blending`` weighs losses instead of gradients.
    """

    paper = "Peng et al., Balanced multimodal learning via on-the-fly gradient modulation, CVPR 2022"
    wants_scores = True
    watches = True  # the heads learn, the encoders do not learn from them

    def __init__(self, inputs: Sequence[str], width: int, *, alpha: float = 0.5, noise: bool = True):
        super().__init__()
        del width  # the model owns the heads
        if alpha < 0:
            raise ValueError(f"expected alpha >= 0, found {alpha}")
        self.inputs, self.alpha, self.noise = tuple(inputs), alpha, noise
        self.factors: dict[str, float] = {}

    def represent(self, state: State) -> Alone:
        """Scores of each input alone."""
        return single_input_scores(state)

    def loss(self, judged: Alone, batch: Batch, heads: Mapping[str, Any]) -> Tensor:
        """Scalar that trains the watching heads; the factors of ``rebalance`` are found on the way."""
        found = single_input_losses(judged, batch, heads)
        if not found:
            return batch.weights_B.new_zeros(())
        totals = {name: torch.stack([by_input[name] for by_input in found.values()]).sum() for name in self.inputs}
        # the geometric mean of the probabilities of the truth; for other losses, how fitting the answer is. An input
        # that no row of the batch has says nothing of how far it is
        there = [n for n in self.inputs if any(bool(by_input[n][1].any()) for by_input in judged.values())]
        sure = {name: float(torch.exp(-totals[name].detach() / len(found))) for name in there}
        self.factors = gradient_factors(sure, self.alpha)
        return torch.stack(list(totals.values())).sum()

    def rebalance(self, parameters: Mapping[str, list[nn.Parameter]]) -> None:
        """Scale the gradients of each input's encoder, in place; called between backward and the optimizer's step."""
        for name, factor in self.factors.items():
            for parameter in parameters[name]:
                if parameter.grad is None:
                    continue
                deviation = parameter.grad.std() if parameter.grad.numel() > 1 else parameter.grad.new_zeros(())
                parameter.grad.mul_(factor)
                if self.noise:  # for every input, ahead or not, as in the paper's update
                    parameter.grad.add_(torch.randn_like(parameter.grad) * deviation)


def gradient_factors(sure: Mapping[str, float], alpha: float) -> dict[str, float]:
    """Input -> factor on its gradients, from how sure each alone is of the truth."""
    found = {}
    for name, own in sure.items():
        others = [value for other, value in sure.items() if other != name]
        ratio = own / max(sum(others) / len(others), 1e-8) if others else 1.0
        found[name] = float(1 - torch.tanh(torch.tensor(alpha * ratio))) if ratio > 1 else 1.0
    return found
