"""Learning rates: warm-up and cosine over the steps, and a rate for every group of parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from polyfuse.contracts import HasLayers, offers
from polyfuse.model.network import Network
from polyfuse.recipe import Recipe, RecipeError


def factor(step: float, total: int, warmup: float) -> float:
    """Share of the peak rate at a step: linear warm-up, then half a cosine down to 1 % (Loshchilov, Hutter, 2017)."""
    rise = max(1.0, warmup * total)
    if step < rise:
        return (step + 1) / (rise + 1)
    progress = min(1.0, (step - rise) / max(1.0, total - rise))
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))


def dropout_share(schedule: str, progress: float) -> float:
    """Share of the modality dropout at a point of training from 0 to 1: ``constant``, or it ``rise``s or ``fall``s."""
    return {"constant": 1.0, "rise": progress, "fall": 1.0 - progress}[schedule]


@dataclass
class Stage:
    """One layer of an encoder: its parameters, from the input (0) up, and how many layers it has in all."""

    reader: str
    depth: int
    layers: int
    parameters: list[nn.Parameter]


def stages(network: Network) -> list[Stage]:
    """The layers of every trainable encoder, from the bottom up; encoders that name none are one layer."""
    found = []
    for name in network.readers:
        if name in network.frozen:
            continue
        encoder = network.encoder(name)
        named = encoder.layers_bottom_up() if offers(encoder, HasLayers) else [list(encoder.parameters())]
        layers = [[p for p in layer if p.requires_grad] for layer in named]
        kept = [layer for layer in layers if layer]
        found += [Stage(name, depth, len(kept), layer) for depth, layer in enumerate(kept)]
    return found


def parameter_groups(network: Network, recipe: Recipe) -> list[dict]:
    """Groups for AdamW: each encoder layer at its own rate, all else at the model's; no decay of biases and norms.

    Raises:
        RecipeError: ``training.learning_rates`` names what is not there, or is not trained.
    """
    training = recipe.training
    own = rates_by_name(network, recipe)
    owned: set[int] = set()
    groups: list[dict] = []
    readers, inputs = recipe.readers, _input_of(network)
    for stage in stages(network):
        item = readers[stage.reader]
        fresh = [p for p in stage.parameters if id(p) not in owned]
        owned.update(map(id, fresh))
        base = training.learning_rates.get(f"inputs.{inputs[stage.reader]}", item.learning_rate)
        rate = float(base) * training.layer_decay ** (stage.layers - 1 - stage.depth)
        for parameters, given in _group_by_rate(fresh, own, skip=f"inputs.{inputs[stage.reader]}"):
            groups += _with_and_without_decay(parameters, rate if given is None else given, float(item.weight_decay))
    rest = [p for p in network.parameters() if p.requires_grad and id(p) not in owned]
    for parameters, given in _group_by_rate(rest, own):
        rate = float(training.learning_rate) if given is None else given
        groups += _with_and_without_decay(parameters, rate, float(training.weight_decay))
    return groups


def rates_by_name(network: Network, recipe: Recipe) -> dict[int, tuple[str, float]]:
    """Id of a parameter -> the longest name in ``training.learning_rates`` that it goes by, and that name's rate.

    Raises:
        RecipeError: a name by which nothing goes that is trained.
    """
    rates, found = recipe.training.learning_rates, {}
    for parameter, name in _parameter_paths(network) if rates else ():
        fitting = [key for key in rates if parameter.requires_grad and f"{name}.".startswith(f"{key}.")]
        if fitting:
            key = max(fitting, key=len)
            found[id(parameter)] = (key, float(rates[key]))
    used = {key for key, _ in found.values()}
    for key in rates:
        if key not in used:
            raise RecipeError(
                f"training.learning_rates: nothing that goes by {key!r} alone is trained; known: "
                f"{', '.join(recipe.rated)}, and modules inside them"
            )
    return found


def _parameter_paths(network: Network) -> Iterator[tuple[nn.Parameter, str]]:
    """Every parameter, with the name of its part in the recipe and its own inside it."""
    inputs = _input_of(network)
    places: list[tuple[str, nn.Module | None]] = []
    for reader, name in inputs.items():
        places.append((f"inputs.{name}", network.encoder(reader)))
        key = f"in_{network.readers.index(reader)}"
        places += [(f"inputs.{name}.to_width", network.joins[key])] if key in network.joins else []
    for n, name in enumerate(network.outputs):
        places += [(f"outputs.{name}", network.head(name)), (f"outputs.{name}.alone", network.input_heads[f"out_{n}"])]
    places += [(f"objectives.{n}", objective) for n, objective in enumerate(network.objectives)]
    for part, module in (*places, ("fusion", network.fusion), ("space", network.space)):
        for inside, parameter in module.named_parameters() if module is not None else ():
            yield parameter, f"{part}.{inside}"


def _input_of(network: Network) -> dict[str, str]:
    """Reader -> its input."""
    return {reader: name for name, own in network.reads.items() for reader in own}


def _group_by_rate(
    parameters: list[nn.Parameter], own: dict[int, tuple[str, float]], skip: str = ""
) -> Iterator[tuple[list[nn.Parameter], float | None]]:
    """Parameters with the rate that is theirs by name, or None.

    Args:
        skip: a name by which the rate has been chosen already, layer by layer.
    """
    groups: dict[float | None, list[nn.Parameter]] = {}
    for parameter in parameters:
        key, rate = own.get(id(parameter), ("", 0.0))
        groups.setdefault(None if key in ("", skip) else rate, []).append(parameter)
    for given, chosen in groups.items():
        yield chosen, given


def _with_and_without_decay(parameters: list[nn.Parameter], rate: float, decay: float) -> Iterator[dict]:
    for flat in (False, True):
        chosen = [p for p in parameters if (p.ndim <= 1) == flat]
        if chosen:
            yield {"params": chosen, "lr": rate, "weight_decay": 0.0 if flat else decay}


class Unfreezer:
    """Trains an encoder in stages: fusion and heads first, then its layers from the top down.

    The last layer joins when half of the steps are done (gradual unfreezing, Howard and Ruder, ULMFiT, ACL 2018).
    """

    def __init__(self, network: Network, recipe: Recipe, total: int):
        staged = {name for name, item in recipe.readers.items() if item.transfer == "staged"}
        self._waiting = [s for s in stages(network) if s.reader in staged]
        self._starts = [round(total * 0.5 * (s.layers - s.depth) / s.layers) for s in self._waiting]
        for stage in self._waiting:
            _set(stage, False)

    def step(self, step: int) -> None:
        """Let the layers train whose time has come."""
        for at in [at for at, start in enumerate(self._starts) if step >= start][::-1]:
            _set(self._waiting.pop(at), True)
            self._starts.pop(at)

    def release(self) -> None:
        """Let everything train; for saving, where what is trainable must not depend on when training stopped."""
        self.step(2**62)


def _set(stage: Stage, trainable: bool) -> None:
    for parameter in stage.parameters:
        parameter.requires_grad_(trainable)
