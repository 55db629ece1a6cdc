"""Compares a fusion with a NumPy reference written from its paper's formula: values, and gradients by differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from polyfuse.records import Tokens

WIDTH = 6
Arrays = dict[str, np.ndarray]
# (arrays of the fusion's parameters and of each input's tokens, mask of each input) -> (B, D)
Reference = Callable[[Arrays, list[np.ndarray]], np.ndarray]


def draw(lengths: Sequence[int], present_BM: torch.Tensor, seed: int = 0, width: int = WIDTH) -> dict[str, Tokens]:
    """Inputs i0, i1, ... in double precision, whose rows have random lengths, or none where absent."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for m, length in enumerate(lengths):
        x_BTD = torch.randn(len(present_BM), length, width, generator=generator, dtype=torch.float64)
        real_B1 = torch.randint(1, length + 1, (len(present_BM), 1), generator=generator) * present_BM[:, m, None]
        found[f"i{m}"] = Tokens(x_BTD, torch.arange(length) < real_B1, grid=(length,))
    return found


def alone(fusion: torch.nn.Module, tokens: dict[str, Tokens]) -> torch.Tensor:
    """The one joint token: (B, D)."""
    return fusion(tokens).tokens.x_BTD[:, 0]


def shaken(fusion: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """The fusion in double precision and eval, with noise on every parameter, so that none sits at a special value."""
    generator = torch.Generator().manual_seed(seed)
    fusion = fusion.double().eval()
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return fusion


def errors(
    fusion: torch.nn.Module,
    reference: Reference,
    tokens: dict[str, Tokens],
    values: Callable[[torch.nn.Module, dict[str, Tokens]], torch.Tensor] = alone,
) -> tuple[float, float]:
    """Largest error of values, and of derivatives along random directions of all parameters and inputs together.

    The derivatives are autograd's against central differences of the reference, relative to the gradient's length.
    """
    leaves = dict(fusion.named_parameters())
    for name, t in tokens.items():
        leaves[name] = t.x_BTD.requires_grad_()
    arrays = {name: leaf.detach().numpy().copy() for name, leaf in leaves.items()}
    masks = [t.mask_BT.numpy() for t in tokens.values()]
    ours = values(fusion, tokens)
    theirs = reference(arrays, masks)
    rng = np.random.default_rng(0)
    weight = rng.standard_normal(theirs.shape)
    gradients = torch.autograd.grad((ours * torch.from_numpy(weight)).sum(), list(leaves.values()))
    length = sum(g.square().sum().item() for g in gradients) ** 0.5
    worst, step = 0.0, 1e-5
    for _ in range(5):
        way = {name: rng.standard_normal(a.shape) for name, a in arrays.items()}
        size = sum((w**2).sum() for w in way.values()) ** 0.5
        way = {name: w / size for name, w in way.items()}
        up, down = (
            (weight * reference({n: a + sign * step * way[n] for n, a in arrays.items()}, masks)).sum()
            for sign in (1, -1)
        )
        slope = sum((g.numpy() * way[n]).sum() for n, g in zip(leaves, gradients, strict=True))
        worst = max(worst, abs(slope - (up - down) / (2 * step)) / max(length, 1e-12))
    return float(np.abs(ours.detach().numpy() - theirs).max()), worst


def pooled(x_BTD: np.ndarray, mask_BT: np.ndarray) -> np.ndarray:
    """Mean of real tokens, row by row; zeros where there are none."""
    rows = [x[m].mean(0) if m.any() else np.zeros(x.shape[1]) for x, m in zip(x_BTD, mask_BT, strict=True)]
    return np.stack(rows)


def normed(x: np.ndarray, scale: np.ndarray | float = 1.0, shift: np.ndarray | float = 0.0) -> np.ndarray:
    """Layer normalisation over the last dimension."""
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * scale + shift


def normed_means(a: Arrays, masks: list[np.ndarray], pool: str = "pool", inputs: Sequence[int] | None = None):
    """Pooled and normalised vector of each input (zeros where absent), and its presence."""
    found = []
    for at, m in enumerate(range(len(masks)) if inputs is None else inputs):
        there = masks[m].any(1)
        x = normed(pooled(a[f"i{m}"], masks[m]), a[f"{pool}.norms.{at}.weight"], a[f"{pool}.norms.{at}.bias"])
        found.append((x * there[:, None], there))
    return found
