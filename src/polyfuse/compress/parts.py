"""The parts of a network that a method may treat differently: encoders by input, fusion, heads."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from polyfuse.model.bundle import Bundle

SCALE = "weight_scale"

Ratio = float | str | Mapping[str, float]
"""One number for all, or part -> its own (``image=0.5,text=0.3``)."""


class NothingToDo(ValueError):
    """A setting so weak that the model would stay as it is."""


@dataclass(frozen=True)
class Part:
    """A part of a network.

    Args:
        names: by which it is called: an input and its modality, ``fusion``, or an output.
        path: of its module.
        network: path of its network; nothing for the first.
        reader: of an encoder.
        frozen: nothing of it is trained.
    """

    names: tuple[str, ...]
    path: str
    network: str = ""
    reader: str | None = None
    frozen: bool = False


def copied(bundle: Bundle) -> Bundle:
    """The same model with a network of its own, to be changed."""
    return replace(bundle, network=copy.deepcopy(bundle.network), changes=list(bundle.changes))


def parts_of(bundle: Bundle) -> list[Part]:
    """All parts, those of further networks as well; an encoder that several networks share comes once."""
    network, recipe = bundle.network, bundle.recipe
    owners: list[tuple[str, Any]] = [("", network)]
    if network.ensemble is not None:
        owners += [(f"ensemble.networks.{n}.", other) for n, other in enumerate(network.ensemble.networks)]
    found, seen = list[Part](), set[int]()
    for prefix, owner in owners:
        for name, readers in recipe.reads.items():
            for reader in readers:
                at, called = owner.readers.index(reader), (name, str(recipe.inputs[name].modality))
                if id(owner.encoder(reader)) not in seen:
                    seen.add(id(owner.encoder(reader)))
                    frozen = reader in owner.frozen
                    found.append(Part(called, f"{prefix}encoders.in_{at}", prefix, reader, frozen))
                if f"in_{at}" in owner.joins:
                    found.append(Part(called, f"{prefix}joins.in_{at}", prefix))
        found += [Part(("fusion",), f"{prefix}fusion", prefix)] if owner.fusion is not None else []
        for at, name in enumerate(owner.outputs):
            found += [Part((name, "heads"), f"{prefix}{own}.out_{at}", prefix) for own in ("heads", "input_heads")]
    return found


def shares(ratio: Ratio, bundle: Bundle, method: str) -> dict[str, float]:
    """Path of a part -> its ratio; parts that are not named have none where some are, and the one number otherwise.

    Raises:
        ValueError: no such part, or no share from 0 to below 1.
    """
    found = parts_of(bundle)
    given = _parsed(ratio, method) if isinstance(ratio, str) else ratio
    if isinstance(given, Mapping):
        known = list(dict.fromkeys(name for part in found for name in part.names))
        for name in given:
            if name not in known:
                raise ValueError(f"{method}: there is no part {name!r}; known: {', '.join(known)}")
    named = given if isinstance(given, Mapping) else {}
    plain = 0.0 if isinstance(given, Mapping) else float(given)
    for name, value in {"": plain, **named}.items():
        if not 0 <= value < 1:
            raise ValueError(
                f"{method}: ratio {name}{'=' if name else ''}{value:g}: expected a share from 0 to below 1"
            )
    return {part.path: next((float(named[name]) for name in part.names if name in named), plain) for part in found}


def _parsed(text: str, method: str) -> float | dict[str, float]:
    try:
        if "=" not in text:
            return float(text)
        pairs = [item.rsplit("=", 1) for item in text.split(",")]
        return {name.strip(): float(value) for name, value in pairs}
    except ValueError:
        raise ValueError(f"{method}: ratio {text!r}: expected a number, or PART=NUMBER with commas") from None


def parameters(module: nn.Module) -> int:
    """Numbers that a module holds, each once; not the scales of weights in fewer bits, which stand for no others."""
    return sum(tensor.numel() for tensor in tensors(module))


def tensors(module: nn.Module) -> list[Tensor]:
    """What a module holds, each once, but for the scales of weights in fewer bits."""
    found = {t.data_ptr(): t for name, t in module.state_dict().items() if t.numel() and not name.endswith(SCALE)}
    return list(found.values())
