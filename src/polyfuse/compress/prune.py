"""Channels and hidden units that matter least are cut out, and what is left learns again."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from polyfuse.compress.parts import NothingToDo, Part, Ratio, copied, parameters, parts_of, shares
from polyfuse.compress.study import Study
from polyfuse.compress.tune import tune
from polyfuse.errors import extra
from polyfuse.layers.attention import Attention
from polyfuse.layers.norm import MaskedGroupNorm
from polyfuse.layers.reshaped import difference
from polyfuse.model.bundle import Bundle
from polyfuse.records import Batch, Cells
from polyfuse.system.device import device_of

ROWS = 4  # that go through a part while its layers are followed
GROUP = 8  # channels of a group of group normalisation, which stays so
LEAST = 8  # channels that a layer keeps
BETWEEN = (nn.Dropout, nn.GELU, nn.ReLU, nn.SiLU, nn.Tanh, nn.ELU, nn.LeakyReLU, nn.Sigmoid, nn.Identity)


class Prune:
    """Cuts whole channels and hidden units, those of least magnitude, out of encoders and fusion; the shapes shrink.

    What a layer's channels are tied to in an encoder, other layers, norms and residual paths, is found by following a
    few rows through it (torch-pruning); in attention whole heads go, and hidden units between two linear layers
    everywhere. Frozen encoders and the width between parts stay as they are.

    Args:
        ratio: share of channels that go: one number, or part -> number, such as ``image=0.5,text=0.3``, a part being an
            input, a modality, ``fusion``, or an output.
        epochs: of training afterwards; a share of the recipe's own by default, and 0 for none.
    """

    paper = "Fang et al., DepGraph: Towards Any Structural Pruning, CVPR 2023"
    strengths: Sequence[Mapping[str, Any]] = tuple({"ratio": r} for r in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9))

    def __init__(self, *, ratio: Ratio = 0.5, epochs: float | None = None):
        self.ratio, self.epochs = ratio, epochs

    def compress(self, bundle: Bundle, study: Study) -> tuple[Bundle, str]:
        """The pruned model, and what was done in words."""
        with extra("compress"):
            import torch_pruning  # noqa: F401
        asked, made = shares(self.ratio, bundle, "prune"), copied(bundle)
        before, batch = parameters(made.network), _batch(made, study)
        wanted = [part for part in parts_of(made) if asked[part.path] > 0]
        cut = {part.names[0] for part in wanted if not part.frozen and _prune(made, part, asked[part.path], batch)}
        kept = [name for name in dict.fromkeys(part.names[0] for part in wanted) if name not in cut]
        record = {"kind": "shapes", **difference(bundle.network, made.network)}
        if not record["tensors"]:
            raise NothingToDo(
                "prune: nothing of these parts can be cut at this ratio; name other parts, or take low_rank or distill"
            )
        made = replace(made, changes=[*made.changes, record])
        said = tune(made, study, epochs=self.epochs)
        left = f"; left as they are: {', '.join(kept)}" if kept else ""
        return made, f"{parameters(made.network) / before:.0%} of the parameters stay, {said}{left}"


def _batch(bundle: Bundle, study: Study) -> Batch:
    """A few rows, cells as encoders read them, nothing missing where that can be had."""
    cells = study.read(bundle)
    rows = replace(cells.plain, inputs={n: cells.prepared[f"in:{n}"] for n in bundle.network.readers})
    whole = np.sum([(item.index_RK[study.splits.train] >= 0).all(1) for item in rows.inputs.values()], axis=0)
    numbers = study.splits.train[np.argsort(-whole, kind="stable")[:ROWS]]
    return rows[0, numbers].to(device_of(bundle.network))


class _Read(nn.Module):
    """An encoder and the projection behind it, whose result has the model's width whatever the encoder's is."""

    def __init__(self, encoder: nn.Module, join: nn.Module, cells: Cells):
        super().__init__()
        self.encoder, self.join, self.cells = encoder, join, [cells]

    def forward(self) -> Tensor:
        (cells,) = self.cells
        return self.join(self.encoder(cells.fields, cells.present_U), cells.index_BK).x_BTD


def _prune(bundle: Bundle, part: Part, share: float, batch: Batch) -> bool:
    """Prune one part in place; whether anything of it could be cut."""
    network: Any = bundle.network
    module, before = network.get_submodule(part.path), parameters(network)
    for first, second in _pairs(module):
        _cut_pair(first, second, share)
    for attention in module.modules():
        if type(attention) is Attention:
            _cut_heads(attention, share)
    if part.reader is not None:
        owner: Any = network.get_submodule(part.network.rstrip(".")) if part.network else network
        _prune_encoder(owner, part.reader, share, batch)
    return parameters(network) < before


def _pairs(module: nn.Module) -> list[tuple[nn.Linear, nn.Linear]]:
    """Linear layers that follow each other with nothing between that mixes hidden units."""
    found = []
    for row in module.modules():
        layers = [m for m in row if not isinstance(m, BETWEEN)] if isinstance(row, nn.Sequential) else []
        found += [(a, b) for a, b in pairwise(layers) if type(a) is nn.Linear and type(b) is nn.Linear]
    return found


def _cut_pair(first: nn.Linear, second: nn.Linear, share: float) -> None:
    """Take the hidden units between two layers whose weights in and out are least together."""
    keep = _kept(first.out_features, share, 1)
    size_H = first.weight.detach().norm(dim=1) * second.weight.detach().norm(dim=0)
    at_h = size_H.topk(keep).indices.sort().values
    first.weight = nn.Parameter(first.weight.detach()[at_h].clone())
    if first.bias is not None:
        first.bias = nn.Parameter(first.bias.detach()[at_h].clone())
    second.weight = nn.Parameter(second.weight.detach()[:, at_h].clone())
    first.out_features = second.in_features = keep


def _cut_heads(attention: Attention, share: float) -> None:
    """Take the heads whose values and what is made of them weigh least (Michel et al., NeurIPS 2019); one stays."""
    heads, keep = attention.heads, max(1, math.ceil(attention.heads * (1 - share) - 1e-9))
    if keep >= heads:
        return
    value_HdD = attention.value.weight.detach().unflatten(0, (heads, -1))
    out_HDd = attention.out.weight.detach().unflatten(1, (heads, -1)).transpose(0, 1)
    size_H = value_HdD.flatten(1).norm(dim=1) * out_HDd.flatten(1).norm(dim=1)
    chosen_h = size_H.topk(keep).indices.sort().values
    at_k = torch.arange(attention.out.in_features, device=chosen_h.device).unflatten(0, (heads, -1))[chosen_h].flatten()
    for layer in (attention.query, attention.key, attention.value):
        layer.weight, layer.bias = (nn.Parameter(p.detach()[at_k].clone()) for p in (layer.weight, layer.bias))
        layer.out_features = len(at_k)
    attention.out.weight = nn.Parameter(attention.out.weight.detach()[:, at_k].clone())
    attention.out.in_features, attention.heads = len(at_k), keep


def _kept(width: int, share: float, step: int) -> int:
    """How many of so many channels stay, a multiple of a step."""
    return min(width, max(min(width, LEAST), step * math.ceil(width * (1 - share) / step - 1e-9)))


def _prune_encoder(owner: Any, reader: str, share: float, batch: Batch) -> None:
    """Prune what is tied together through the layers of an encoder, up to the projection behind it, in place."""
    at = f"in_{owner.readers.index(reader)}"
    if at not in owner.joins or owner.join(reader).keep:  # others read what it gives at its own width
        return
    runner = _Read(owner.encoder(reader), owner.join(reader), batch.inputs[reader])
    training = runner.training
    runner.eval()
    roots = [name for name in _roots(runner) if _works(runner, [name], share)]
    if roots and not _works(runner, roots, share):  # each can go alone, and not all together
        taken: list[str] = []
        for name in roots:
            taken += [name] if _works(runner, [*taken, name], share) else []
        roots = taken
    if roots:
        _cut(runner, roots, share)
    runner.train(training)


def _roots(runner: Any) -> list[str]:
    """Layers whose channels may go: those within attention stay, as heads share them evenly; pairs are cut already."""
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d)
    done = {id(layer) for module in runner.modules() if isinstance(module, Attention) for layer in module.modules()}
    done |= {id(first) for first, _ in _pairs(runner)}
    return [n for n, m in runner.encoder.named_modules(prefix="encoder") if isinstance(m, kinds) and id(m) not in done]


def _works(runner: nn.Module, roots: Sequence[str], share: float) -> bool:
    """Whether a part still answers in the same shape, finitely, once these layers are cut, and has become smaller."""
    trial = copy.deepcopy(runner)
    with torch.no_grad():
        wanted = runner().shape
    try:
        _cut(trial, roots, share)
        with torch.no_grad():
            found = trial()
    except Exception:  # whatever a part does that was cut where it must not be
        return False
    return found.shape == wanted and bool(found.isfinite().all()) and parameters(trial) < parameters(runner)


def _cut(runner: nn.Module, roots: Sequence[str], share: float) -> None:
    """Take the channels of least magnitude from some layers, and from all that is tied to them."""
    import torch_pruning as tp

    class Norm(tp.BasePruningFunc):
        """Our own group normalisation, whose groups keep their size."""

        def prune_out_channels(self, layer: Any, idxs: Sequence[int]) -> nn.Module:
            kept = sorted(set(range(len(layer.weight))) - set(idxs))
            layer.weight, layer.bias = (nn.Parameter(p.detach()[kept].clone()) for p in (layer.weight, layer.bias))
            layer.groups = max(1, len(kept) // GROUP) if len(kept) % GROUP == 0 else 1
            return layer

        prune_in_channels = prune_out_channels

        def get_out_channels(self, layer: Any) -> int:
            return len(layer.weight)

        get_in_channels = get_out_channels

    measure = tp.importance.GroupMagnitudeImportance(p=2, normalizer=None, group_reduction="mean")
    with torch.enable_grad():
        graph = tp.DependencyGraph().build_dependency(
            runner,
            example_inputs=(),
            forward_fn=lambda module, _: module(),
            customized_pruners={MaskedGroupNorm: Norm()},
            verbose=False,
        )
    names = {module: path for path, module in runner.named_modules()}
    done: set[str] = set()
    for name in roots:
        if name in done:
            continue
        layer: Any = runner.get_submodule(name)
        width = layer.weight.shape[0]
        everything = list(range(width))
        prune = (
            tp.prune_conv_out_channels if isinstance(layer, (nn.Conv1d, nn.Conv2d)) else tp.prune_linear_out_channels
        )
        group = graph.get_pruning_group(layer, prune, everything)
        tied = {names[dep.target.module] for dep, _ in group if dep.target.module in names}
        done |= {path for path in tied if _gives(group, runner.get_submodule(path))}
        step = GROUP if width % GROUP == 0 else 1
        keep = _kept(width, share, step)
        if keep >= width:
            continue
        score = measure(group)
        chosen = score.argsort()[: width - keep].tolist()
        graph.get_pruning_group(layer, prune, chosen).prune()
        for path in tied:
            module: Any = runner.get_submodule(path)
            if isinstance(module, nn.GroupNorm):
                module.num_groups = module.num_channels // GROUP if module.num_channels % GROUP == 0 else 1


def _gives(group: Any, module: nn.Module) -> bool:
    """Whether a group cuts what a module gives, so that it needs not be cut again by its own name."""
    return any(dep.target.module is module and "out" in dep.handler.__name__ for dep, _ in group)
