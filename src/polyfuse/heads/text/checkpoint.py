"""What decoders made of a checkpoint share: how much of it learns, its tokenizer, and what it keeps between steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from polyfuse.heads.text.decode import Cache
from polyfuse.layers.lora import inject

TRAINED = ("frozen", "lora", "full")


@dataclass(frozen=True)
class Spelling:
    """How a checkpoint spells texts.

    Args:
        files: name -> path of what a saved model keeps of it.
        tokenizer: its ``tokenizer.json``.
        end: the id that ends a text.
        lead: what stands before every text that it learns or writes.
        room: units that it has positions for; None where there is no such limit.
    """

    files: dict[str, str]
    tokenizer: str
    end: int
    lead: str = ""
    room: int | None = None


def check_train(train: str) -> None:
    """Whether so much of a checkpoint can learn.

    Raises:
        ValueError: none of the three.
    """
    if train not in TRAINED:
        raise ValueError(f"train: expected {', '.join(TRAINED)}, found {train!r}")


def set_trainable(model: Any, train: str) -> Any:
    """The model, of which nothing learns, adapters on its linear layers, or all."""
    if train == "lora":
        inject(model)
    elif train == "frozen":
        model.requires_grad_(False)
    return model


def projector(width: int, size: int, dropout: float) -> nn.Sequential:
    """Fused tokens -> vectors of the width of a checkpoint: a layer between, as LLaVA has it."""
    return nn.Sequential(nn.Linear(width, size), nn.GELU(), nn.Dropout(dropout), nn.Linear(size, size))


def flatten_cache(layers: Sequence[Any], mark: str = "") -> Cache:
    """Keys and values of every layer of a cache of transformers, by name."""
    return {
        f"{mark}{what}_{n}": getattr(layer, f"{what}s") for n, layer in enumerate(layers) for what in ("key", "value")
    }


def unflatten_cache(cache: Cache, mark: str = "") -> list[tuple[Tensor, Tensor]]:
    """Keys and values of every layer, as such a cache begins with."""
    count = sum(name.startswith(f"{mark}key_") for name in cache)
    return [(cache[f"{mark}key_{n}"], cache[f"{mark}value_{n}"]) for n in range(count)]
