"""Weighted statistics along time: what is left of a sound once its order is forgotten, and a little of its order.

A weight of 0 is padding, so that its frames count for nothing; a row whose weights are all 0 gives 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

SMALL = 1e-6


def normalize_weights(weight_UN1: Tensor) -> Tensor:
    """Weights that sum to 1 along time, or to 0 where all are 0: (U, N, 1) -> (U, N, 1)."""
    return weight_UN1 / weight_UN1.sum(1, keepdim=True).clamp_min(SMALL)


def mean(x_UNF: Tensor, weight_UN1: Tensor) -> Tensor:
    """Weighted mean along time: (U, N, F), (U, N, 1) -> (U, F)."""
    return (x_UNF * normalize_weights(weight_UN1)).sum(1)


def deviation(x_UNF: Tensor, weight_UN1: Tensor) -> Tensor:
    """Weighted standard deviation along time: (U, N, F), (U, N, 1) -> (U, F)."""
    centred_UNF = x_UNF - mean(x_UNF, weight_UN1)[:, None]
    return (mean(centred_UNF.square(), weight_UN1) + SMALL).sqrt()


def root_mean_square_change(x_UNF: Tensor, weight_UN1: Tensor) -> Tensor:
    """Root of the mean squared difference of neighbouring frames, weighted: (U, N, F), (U, N, 1) -> (U, F).

    Both neighbours must have weight, so that the step into silence or padding does not count.
    """
    step_UNF = x_UNF[:, 1:] - x_UNF[:, :-1]
    return (mean(step_UNF.square(), weight_UN1[:, 1:] * weight_UN1[:, :-1]) + SMALL).sqrt()


def quantiles(x_UNF: Tensor, mask_UN: Tensor, levels: tuple[float, ...]) -> Tensor:
    """Quantiles of real frames along time, linear between ranks: (U, N, F), (U, N) -> (U, levels * F)."""
    ordered_UNF = x_UNF.masked_fill(~mask_UN[..., None], torch.finfo(x_UNF.dtype).max).sort(1).values
    last_U11 = (mask_UN.sum(1).clamp_min(1) - 1)[:, None, None].to(x_UNF.dtype)
    found = []
    for level in levels:
        place_U1F = (level * last_U11).expand(-1, 1, x_UNF.shape[2])
        below, above = (ordered_UNF.gather(1, at.long()) for at in (place_U1F.floor(), place_U1F.ceil()))
        found.append((below + (above - below) * (place_U1F - place_U1F.floor()))[:, 0])
    return torch.cat(found, 1) * mask_UN.any(1, keepdim=True)


def course(x_UNF: Tensor, weight_UN1: Tensor, parts: int) -> Tensor:
    """How each part of the weight's span differs from the mean of all parts: (U, N, F), (U, N, 1) -> (U, parts * F).

    Parts are soft (Gaussian) and equal in weight, not in time: with loudness as weight, silence at the ends moves none.
    """
    reached_UN1 = (weight_UN1.cumsum(1) - weight_UN1 / 2) / weight_UN1.sum(1, keepdim=True).clamp_min(SMALL)
    centre_P = (torch.arange(parts, device=x_UNF.device) + 0.5) / parts
    near_UNP = torch.exp(-0.5 * ((reached_UN1 - centre_P) * 2 * parts).square()) * weight_UN1
    of_UPF = (near_UNP / near_UNP.sum(1, keepdim=True).clamp_min(SMALL)).transpose(1, 2) @ x_UNF
    return (of_UPF - of_UPF.mean(1, keepdim=True)).flatten(1)


def correlations(x_UNF: Tensor, weight_UN1: Tensor, *, floor: float) -> Tensor:
    """Correlation over time of each pair of features: (U, N, F), (U, N, 1) -> (U, F (F - 1) / 2).

    Args:
        floor: added to each deviation, so that what hardly moves does not correlate.
    """
    centred_UNF = x_UNF - mean(x_UNF, weight_UN1)[:, None]
    joint_UFF = (centred_UNF * normalize_weights(weight_UN1)).transpose(1, 2) @ centred_UNF
    deviation_UF = deviation(x_UNF, weight_UN1) + floor
    joint_UFF = joint_UFF / (deviation_UF[:, :, None] * deviation_UF[:, None])
    one, other = torch.triu_indices(x_UNF.shape[2], x_UNF.shape[2], 1, device=x_UNF.device)
    return joint_UFF[:, one, other]
