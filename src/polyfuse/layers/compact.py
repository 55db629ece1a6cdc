"""Weights held in fewer bits, in memory and on disk, and computed with as the full numbers that they stand for.

Of int8 every output row has a scale of its own: Dettmers et al., LLM.int8(), NeurIPS 2022, of the weights alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HOLDS = (nn.Linear, nn.Embedding, nn.Conv1d, nn.Conv2d)  # modules whose ``weight`` can be held so
FORMS = ("int8", "bf16")


def can_hold(module: nn.Module) -> bool:
    """Whether a module has a weight that can be held in fewer bits, and is not held so already."""
    weight = module._parameters.get("weight")
    return isinstance(module, HOLDS) and weight is not None and weight.is_floating_point() and weight.numel() > 0


def _weight(module: Any) -> Tensor:
    if "weight_bf16" in module._buffers:
        return module.weight_bf16.float()
    scale_O = module.weight_scale
    return module.weight_int8.to(scale_O.dtype) * scale_O.view(-1, *[1] * (module.weight_int8.ndim - 1))


def _looked_up(self: Any, ids: Tensor) -> Tensor:
    """Only the rows that are asked for become full numbers."""
    if "weight_bf16" in self._buffers:
        return F.embedding(ids, self.weight_bf16, self.padding_idx).float()
    rows = F.embedding(ids, self.weight_int8, self.padding_idx)
    return rows.to(self.weight_scale.dtype) * self.weight_scale[ids][..., None]


@cache
def _compact(kind: Any) -> type:
    """The same class, its ``weight`` made from what it holds whenever it is asked for."""
    own: dict[str, Any] = {"weight": property(_weight), "__doc__": kind.__doc__}
    if kind is nn.Embedding:
        own["forward"] = _looked_up
    return type(f"Compact{kind.__name__}", (kind,), own)


def hold(network: nn.Module, paths: Sequence[str], form: str) -> None:
    """Hold the weights of some modules in fewer bits, in place; a weight that several share stays one.

    Args:
        paths: names of the modules.
        form: ``int8``, with a scale per output row, or ``bf16``.
    """
    made: dict[int, dict[str, Tensor]] = {}
    for path in paths:
        module: Any = network.get_submodule(path)
        weight = module._parameters.pop("weight")
        if weight.data_ptr() not in made:
            made[weight.data_ptr()] = _held(weight.detach(), form)
        for name, tensor in made[weight.data_ptr()].items():
            module.register_buffer(name, tensor)
        kind: Any = type(module)
        module.__class__ = _compact(kind)


def _held(weight: Tensor, form: str) -> dict[str, Tensor]:
    if form == "bf16":
        return {"weight_bf16": weight.to(torch.bfloat16)}
    most_O = weight.flatten(1).abs().amax(1).clamp_min(1e-12)
    scale_O = most_O.float() / 127
    rows = weight.float() / scale_O.view(-1, *[1] * (weight.ndim - 1))
    return {"weight_int8": rows.round().clamp(-127, 127).to(torch.int8), "weight_scale": scale_O}


def change(network: nn.Module, record: Mapping[str, Any]) -> None:
    """Hold weights as a saved model does.

    Args:
        record: ``modules``, names of these modules, and ``form``.
    """
    hold(network, record["modules"], record["form"])
