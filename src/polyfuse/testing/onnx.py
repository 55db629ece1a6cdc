"""Whether what is exported says the same as torch, at any number of rows; runs a graph as ``polyfuse.runtime`` does."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from polyfuse.export.graph import Named, write_graph
from polyfuse.runtime.session import Graph

CLOSE = 1e-4
"""How far a number of an exported graph may lie from that of torch, as a share of numbers above 1."""


def same_in_onnx(module: nn.Module, one: Named, other: Named, given: Sequence[Named], what: str) -> float:
    """Export a module of named tensors, and compare what it says.

    Args:
        module: its ``forward`` takes one dict and gives one; in eval mode.
        one, other: two samples that differ in every axis that is to be free.
        given: what it is asked with.
        what: what messages call it.

    Returns:
        The greatest difference.

    Raises:
        AssertionError: a difference above ``CLOSE``.
        ExportError: it cannot be exported.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.onnx"
        write_graph(module, one, other, path, what)
        graph, worst = Graph(path, threads=1), 0.0
        for sample in given:
            with torch.no_grad():
                expected: Named = module(dict(sample))
            found = graph({name: tensor.numpy() for name, tensor in sample.items()})
            for name, tensor in expected.items():
                worst = max(worst, _apart(tensor, found[name], f"{what}: {name}"))
    return worst


def _apart(expected: Tensor, found: np.ndarray, what: str) -> float:
    wanted = expected.detach().numpy()
    assert wanted.shape == found.shape, f"{what} has shape {found.shape} in ONNX, {wanted.shape} in torch"
    if wanted.dtype.kind != "f":
        assert (wanted == found).all(), f"{what} differs in ONNX"
        return 0.0
    if not wanted.size:
        return 0.0
    apart = float((np.abs(wanted - found) / np.maximum(1, np.abs(wanted))).max())
    assert apart <= CLOSE, f"{what} is {apart:.1e} from that of torch in ONNX, expected {CLOSE:g} at most"
    return apart
