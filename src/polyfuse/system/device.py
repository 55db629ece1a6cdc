"""Choose devices by name, such as ``auto`` or ``cuda:1``.

A network lies on one device; batches, tokens and timings follow it (``device_of``).
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import nn

KINDS = ("cpu", "cuda", "mps")
Placed = TypeVar("Placed", bound=nn.Module)


def choose_device(name: str | torch.device | None = "auto") -> torch.device:
    """The device of that name.

    Args:
        name: ``auto`` (or None) takes a GPU where there is one, else the processor; ``cpu``, ``cuda``, ``cuda:N`` and
            ``mps`` mean themselves.

    Raises:
        ValueError: no such device here; says which there are.
    """
    there = available()
    if name is None or name == "auto":
        return torch.device(there[0])
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(
            f"device {str(name)!r}: expected auto, {', '.join(KINDS)} or a numbered one such as cuda:0"
        ) from None
    if device.type == "cuda" and device.type in there and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ValueError(f"device {name}: there are {count}, cuda:0 to cuda:{count - 1}")
    if device.type not in there:
        known = device.type in KINDS
        why = f"torch {torch.__version__} finds none here" if known else f"expected auto, {', '.join(KINDS)}"
        raise ValueError(f"device {name}: {why}; take {' or '.join([*there, 'auto'])}")
    return device


def available() -> list[str]:
    """The kinds of devices that are there, the fastest first."""
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return [kind for kind, there in found.items() if there]


def device_of(network: nn.Module) -> torch.device:
    """The device of a network's weights."""
    return next(network.parameters()).device


def place(network: Placed, device: torch.device) -> Placed:
    """The network, moved in place; a device without double precision keeps none."""
    return (network.float() if device.type == "mps" else network).to(device)


def trainer_options(device: torch.device) -> dict[str, Any]:
    """Trainer arguments with which Lightning uses that one device."""
    return {"accelerator": device.type, "devices": 1 if device.index is None else [device.index]}


def generators(device: torch.device) -> list[torch.device]:
    """Devices, besides the processor, whose random draws a measurement on this one has to give back."""
    return [device] if device.type == "cuda" else []
