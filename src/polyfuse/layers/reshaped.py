"""A network whose tensors have other sizes than its recipe gives them, as pruning leaves them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

SIZES = (  # what modules say of their own sizes
    "in_channels", "out_channels", "groups", "in_features", "out_features", "num_channels", "num_groups",
    "num_features", "normalized_shape", "embedding_dim", "heads",
)  # fmt: skip


def sizes(network: nn.Module) -> tuple[dict[str, list[int]], dict[str, dict[str, Any]]]:
    """Tensor -> its shape, and module -> what it says of its sizes, each by name."""
    shapes = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    said = {}
    for path, module in network.named_modules():
        values = {name: getattr(module, name) for name in SIZES if name in vars(module)}
        said[path] = {n: list(v) if isinstance(v, tuple) else v for n, v in values.items()}
    return shapes, said


def difference(before: nn.Module, after: nn.Module) -> dict[str, Any]:
    """What ``change`` needs to make the sizes of one network those of another of the same modules."""
    (old_shapes, old), (shapes, said) = sizes(before), sizes(after)
    return {
        "tensors": {name: shape for name, shape in shapes.items() if old_shapes[name] != shape},
        "sizes": {path: values for path, values in said.items() if old[path] != values},
    }


def change(network: nn.Module, record: Mapping[str, Any]) -> None:
    """Give tensors the sizes that a saved model has; their numbers are still to be filled.

    Args:
        record: see ``difference``.
    """
    for path, values in record["sizes"].items():
        module = network.get_submodule(path)
        for name in values.keys() & set(SIZES):
            setattr(module, name, tuple(values[name]) if isinstance(values[name], list) else values[name])
    for name, shape in record["tensors"].items():
        path, _, leaf = name.rpartition(".")
        owner = network.get_submodule(path)
        old: Tensor = getattr(owner, leaf)
        new = old.detach().new_zeros(shape)
        learnt = isinstance(old, nn.Parameter)
        setattr(owner, leaf, nn.Parameter(new, requires_grad=old.requires_grad) if learnt else new)
