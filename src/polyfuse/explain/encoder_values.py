"""Where an encoder can be differentiated: its numeric fields, vectors of words and categories, log-mel frames.

Ids have no gradient, so what is looked up by them is taken instead, whether by a module or by a function.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from polyfuse.layers.mel import LogMel

LOOKUPS = (F.embedding, F.embedding_bag)
NO_CONTENT = ("times", "span", "bag_weights")  # fields of numbers that say where, or how much

Values = dict[str, Tensor]
"""``field:NAME``, ``lookup:N`` (the N-th call) or ``mel:N`` -> its value for U cells, (U, ...) or (U * T, ...)."""


class _Lookups(TorchFunctionMode):
    """Remembers what is looked up, and puts other values in its place."""

    def __init__(self, replaced: Mapping[str, Tensor]):
        super().__init__()
        self.found: Values = {}
        self._replaced, self._count = replaced, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in LOOKUPS:
            return func(*args, **(kwargs or {}))
        key, self._count = f"lookup:{self._count}", self._count + 1
        made = func(*args, **(kwargs or {}))
        self.found[key] = self._replaced[key].reshape(made.shape) if key in self._replaced else made
        return self.found[key]


@contextmanager
def _frames(encoder: nn.Module, replaced: Mapping[str, Tensor], found: Values) -> Iterator[None]:
    """The same for log-mel frames."""

    def hook(key: str) -> Any:
        def put(_: nn.Module, __: Any, made: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            found[key] = replaced[key].reshape(made[0].shape) if key in replaced else made[0]
            return found[key], made[1]

        return put

    with ExitStack() as stack:
        for n, module in enumerate(module for module in encoder.modules() if isinstance(module, LogMel)):
            stack.callback(module.register_forward_hook(hook(f"mel:{n}")).remove)
        yield


def run_encoder(
    encoder: nn.Module, fields: Mapping[str, Tensor], present_U: Tensor, replaced: Mapping[str, Tensor] | None = None
) -> tuple[Any, Values]:
    """What an encoder says of some cells, with other values in the place of its own; and the values that it had."""
    given = dict(replaced or {})
    read = {name: given.get(f"field:{name}", value) for name, value in fields.items()}
    found: Values = {}
    lookups = _Lookups(given)
    with _frames(encoder, given, found), lookups:
        tokens = encoder(read, present_U)
    own = {f"field:{name}": value for name, value in read.items()}
    return tokens, own | lookups.found | found


def values_and_baselines(encoder: nn.Module, fields: Mapping[str, Tensor], present_U: Tensor) -> tuple[Values, Values]:
    """The values of some cells that a gradient may be taken by, and what stands there for nothing.

    Pictures have their own mean colour instead, numbers their mean in training, words a vector of zeros, categories
    that of a missing one, frames of a sound the mean of all.
    """
    blank = {name: value if value.is_floating_point() else _blank_ids(name, value) for name, value in fields.items()}
    with torch.no_grad():
        own = run_encoder(encoder, fields, present_U)[1]
        other = run_encoder(encoder, blank, present_U)[1]
    heard = any(key.startswith("mel:") for key in own)
    values, baselines = Values(), Values()
    for key, value in own.items():
        kind, _, name = key.partition(":")
        if kind == "field" and (name in NO_CONTENT or not _is_content(value) or (name == "wave" and heard)):
            continue
        if kind == "lookup" and (other[key].shape != value.shape or torch.equal(other[key], value)):
            continue  # places, kinds of tokens: the same whatever the cell holds
        values[key] = value.float()
        baselines[key] = _baseline(kind, name, values[key], other[key], fields)
    return values, baselines


def _blank_ids(name: str, value: Tensor) -> Tensor:
    return value if name == "lengths" or name in NO_CONTENT or value.dtype == torch.uint8 else torch.zeros_like(value)


def _is_content(value: Tensor) -> bool:
    return value.ndim > 1 and (value.is_floating_point() or value.dtype == torch.uint8)


def _baseline(kind: str, name: str, value: Tensor, other: Tensor, fields: Mapping[str, Tensor]) -> Tensor:
    if kind == "lookup":
        return other.float() if "categories" in fields else torch.zeros_like(value)
    if name in ("pixels", "frames"):
        around = (-1, -2) if name == "pixels" else (1, -1, -2)
        return value.mean(around, keepdim=True).expand_as(value).clone()
    return torch.zeros_like(value)
