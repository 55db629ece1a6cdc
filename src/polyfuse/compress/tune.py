"""A network that was cut learns again for a while, of the targets and of the model that it was made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from polyfuse.compress.study import Study
from polyfuse.compress.teacher import Lessons
from polyfuse.contracts import Scores, offers
from polyfuse.model.bundle import Bundle
from polyfuse.model.network import Network
from polyfuse.recipe import Recipe
from polyfuse.training.fit import TrainingData, taught, untaught
from polyfuse.training.train import planned_steps, train

SHARE = 0.3  # of the recipe's own steps
RATE = 0.5  # of its peak learning rates


def tune(
    bundle: Bundle, study: Study, *, epochs: float | None = None, masks: Mapping[str, Tensor] | None = None
) -> str:
    """Train a bundle's networks on, in place; those of a study's own model teach, where they have scores.

    Args:
        epochs: passes over the training rows; a share of the recipe's own by default, and 0 for none.
        masks: name of a parameter -> where it may differ from 0.

    Returns:
        What was done, in words.
    """
    if epochs == 0:
        return "not trained afterwards"
    network, ensemble = bundle.network, bundle.network.ensemble
    held = _holding(network, masks or {})
    own: list[Any] = [network, *(ensemble.networks if ensemble is not None else [])]
    network.ensemble = None  # each learns by itself
    steps = 0
    try:
        for at, one in enumerate(own):
            recipe = tuning(bundle.recipe, study, epochs, seed=at, alone=ensemble is None)
            steps += _tuned(one, recipe, bundle, study)
    finally:
        for handle in held:
            handle.remove()
        network.ensemble = ensemble
        network.eval()
    return f"trained on for {steps:,} steps"


def tuning(recipe: Recipe, study: Study, epochs: float | None, *, seed: int = 0, alone: bool = True) -> Recipe:
    """The recipe of that training: shorter, and at lower rates."""
    own = recipe.model_copy(deep=True)
    settings = own.training
    size = int(settings.batch_size)
    per_epoch = max(1, -(-len(study.cells.split.train) // size))
    total = max(1, round(SHARE * planned_steps(recipe, per_epoch))) if epochs is None else round(epochs * per_epoch)
    settings.steps, settings.time, settings.seed = max(1, total), None, settings.seed + seed
    settings.learning_rate = RATE * float(settings.learning_rate)
    settings.learning_rates = {name: RATE * rate for name, rate in settings.learning_rates.items()}
    settings.calibrate = settings.calibrate and alone
    for item in own.inputs.values():
        said: list[Any] = [item, *(item.encoder if isinstance(item.encoder, list) else [])]
        for one in said:  # of several encoders each says its own
            if isinstance(one.learning_rate, float | int):
                one.learning_rate = RATE * one.learning_rate
    return own


def _tuned(network: Network, recipe: Recipe, bundle: Bundle, study: Study) -> int:
    """Train one network; how many steps that took."""
    cells = study.read(bundle)
    rows, teacher = cells.learnt(recipe), study.bundle.network
    lessons = None
    if any(offers(teacher.head(name), Scores) for name in teacher.outputs):
        lessons = Lessons(study, {"logits": 1.0}, {}, "once")
        rows = lessons.rows(TrainingData(bundle.specs, bundle.transforms, cells.prepared, rows))
    taught(network, lessons)
    try:
        result = train(network, recipe, rows, cells.split, quiet=study.quiet)
    finally:
        untaught(network, lessons)
    return result.steps


def _holding(network: nn.Module, masks: Mapping[str, Tensor]) -> list[Any]:
    """Let no gradient reach what is 0: where neither it nor a momentum moves a weight, decay leaves it there too."""
    parameters = dict(network.named_parameters())

    def holding(mask: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda gradient: gradient * mask.to(gradient.device, gradient.dtype)

    return [
        parameters[name].register_hook(holding(mask)) for name, mask in masks.items() if parameters[name].requires_grad
    ]
