"""Transformer formulas in plain NumPy, in float64, one row at a time on its real tokens: fusions are held against them.

A reference is a function ``(weights, row, heads) -> outputs``: ``weights`` by their dotted names, ``row`` and
``outputs`` as {input: (T, D)}, the summary tokens of ``outputs`` under "". It never sees padding or absent inputs.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from polyfuse import registry
from polyfuse.records import Tokens

WIDTH = 8
erf = np.vectorize(math.erf, otypes=[float])


def linear(w, at, x):
    return x @ w[f"{at}.weight"].T + w[f"{at}.bias"]


def norm(w, at, x):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * w[f"{at}.weight"] + w[f"{at}.bias"]


def forward_layer(w, at, x):
    hidden = linear(w, f"{at}.0", x)
    return linear(w, f"{at}.3", hidden * (1 + erf(hidden / math.sqrt(2))) / 2)


def attention(w, at, x, y, heads):
    """softmax(Q K' / sqrt(d)) V per head, joined; 0 where there is nothing to attend to."""
    if not len(y):
        return np.zeros_like(x)
    q, k, v = (np.split(linear(w, f"{at}.{n}", z), heads, -1) for n, z in (("query", x), ("key", y), ("value", y)))
    found = []
    for a, b, c in zip(q, k, v, strict=True):
        scores = np.exp(a @ b.T / math.sqrt(a.shape[-1]))
        found.append(scores / scores.sum(-1, keepdims=True) @ c)
    return linear(w, f"{at}.out", np.concatenate(found, -1))


def block(w, at, x, heads):
    normed = norm(w, f"{at}.norm_attention", x)
    x = x + attention(w, f"{at}.attention", normed, normed, heads)
    return x + forward_layer(w, f"{at}.forward_layer", norm(w, f"{at}.norm_forward", x))


def cross_block(w, at, x, y, heads):
    normed = norm(w, f"{at}.norm_attention", x), norm(w, f"{at}.norm_context", y)
    x = x + attention(w, f"{at}.attention", *normed, heads)
    return x + forward_layer(w, f"{at}.forward_layer", norm(w, f"{at}.norm_forward", x))


def mean(x):
    return x.mean(0) if len(x) else np.zeros(x.shape[-1])


def last(x):
    return x[-1] if len(x) else np.zeros(x.shape[-1])


def joined(w, at, streams, pool=mean):
    """Streams normalised, pooled, joined by a linear layer."""
    normed = {name: norm(w, f"{at}.norms.{m}", x) for m, (name, x) in enumerate(streams.items())}
    summary = linear(w, f"{at}.join", np.concatenate([pool(x) for x in normed.values()]))
    return {"": summary[None], **normed}


def made(name, count, **keywords):
    """The fusion in float64 without dropout, its weights drawn so that no norm, bias or gate stays at its start."""
    torch.manual_seed(0)
    fusion = registry.fusion(name)([f"i{m}" for m in range(count)], WIDTH, dropout=0.0, **keywords).double()
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return fusion


def drawn(count, seed=0):
    """Unequal lengths, holes in the masks; rows with everything, with each input missing, and with nothing."""
    torch.manual_seed(seed)
    present_BM = torch.cat([torch.ones(1, count), 1 - torch.eye(count), torch.zeros(1, count)]).bool()
    found = {}
    for m, length in enumerate((5, 3, 4)[:count]):
        mask_BT = torch.rand(len(present_BM), length) < 0.6
        mask_BT[:, m % length] = True
        mask_BT &= present_BM[:, m, None]
        x_BTD = torch.randn(len(present_BM), length, WIDTH, dtype=torch.float64, requires_grad=True)
        found[f"i{m}"] = Tokens(x_BTD, mask_BT)
    return found


def rows_of(arrays, tokens):
    """{input: (B, T, D)} -> one {input: (real T, D)} per row."""
    masks = {name: t.mask_BT.numpy() for name, t in tokens.items()}
    count = len(next(iter(masks.values())))
    return [{name: arrays[name][b][masks[name][b]] for name in masks} for b in range(count)]


def outputs(fusion, tokens, summaries):
    """What the fusion gives, row by row, as a reference would."""
    fused = fusion(tokens)
    return [
        {"": fused.tokens.x_BTD[b, :summaries]}
        | {name: t.x_BTD[b][tokens[name].mask_BT[b]] for name, t in fused.by_input.items()}
        for b in range(len(fused.tokens.x_BTD))
    ]


def forward_error(fusion, reference, tokens, *, heads=4, summaries=1):
    """The largest difference of any number in any row."""
    weights = {n: p.detach().numpy() for n, p in fusion.named_parameters()}
    rows = rows_of({n: t.x_BTD.detach().numpy() for n, t in tokens.items()}, tokens)
    found = 0.0
    for row, given in zip(rows, outputs(fusion, tokens, summaries), strict=True):
        expected = reference(weights, row, heads)
        assert expected.keys() == given.keys()
        for key, x in given.items():
            assert expected[key].shape == tuple(x.shape)
            found = max([found, *np.abs(expected[key] - x.detach().numpy()).flat])
    return found


def gradient_error(fusion, reference, tokens, *, heads=4, summaries=1, directions=4, step=1e-5):
    """The largest relative difference between autograd's slope and the reference's five-point difference.

    The loss weighs every output at random; each direction moves all weights and all real tokens at once.
    """
    draw = np.random.default_rng(0)
    given = outputs(fusion, tokens, summaries)
    loads = [{key: draw.normal(size=tuple(x.shape)) for key, x in row.items()} for row in given]
    sum(
        (x * torch.from_numpy(load[key])).sum()
        for row, load in zip(given, loads, strict=True)
        for key, x in row.items()
    ).backward()
    weights = {n: (p.detach().numpy(), p.grad.numpy()) for n, p in fusion.named_parameters()}
    arrays = {n: (t.x_BTD.detach().numpy(), t.x_BTD.grad.numpy()) for n, t in tokens.items()}
    assert not any(arrays[n][1][~t.mask_BT.numpy()].any() for n, t in tokens.items()), "padding has a gradient"

    def loss(by, way_w, way_x):
        moved_w = {n: value + by * way_w[n] for n, (value, _) in weights.items()}
        rows = rows_of({n: value + by * way_x[n] for n, (value, _) in arrays.items()}, tokens)
        found = [reference(moved_w, row, heads) for row in rows]
        return sum((x[key] * load[key]).sum() for x, load in zip(found, loads, strict=True) for key in load)

    worst = 0.0
    for _ in range(directions):
        way_w = {n: draw.normal(size=value.shape) for n, (value, _) in weights.items()}
        way_x = {n: draw.normal(size=value.shape) for n, (value, _) in arrays.items()}
        pairs = [(weights[n][1], way_w[n]) for n in weights] + [(arrays[n][1], way_x[n]) for n in arrays]
        slope = sum((gradient * way).sum() for gradient, way in pairs)
        near, far = (loss(by, way_w, way_x) - loss(-by, way_w, way_x) for by in (step, 2 * step))
        expected = (8 * near - far) / (12 * step)
        worst = max(worst, abs(slope - expected) / max(1.0, abs(expected)))
    return worst
