"""Validate a recipe before anything is built: unknown parts and keywords, invalid combinations."""

from __future__ import annotations

import inspect
from functools import partial
from importlib.util import find_spec
from typing import Any

from polyfuse import registry
from polyfuse.contracts import CanBeMasked, Decides, Masks, StandsIn, check_offered, offers, says
from polyfuse.learners.base import Learner
from polyfuse.recipe import InputRecipe, MemberRecipe, NamedPart, ObjectiveRecipe, Recipe, RecipeError, suggest_name
from polyfuse.recipe.outputs import outputs_without_scores


def own_keywords(part: Any, given: set[str]) -> list[str]:
    """Names a caller may set on a part: its keyword-only parameters but those that the model or an alias gives."""
    given = given | set(part.keywords if isinstance(part, partial) else ())
    parameters = inspect.signature(part).parameters.values()
    return [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in given]


def check_recipe(recipe: Recipe) -> None:
    """Check every named part and its keywords, before a tensor is made.

    Raises:
        RecipeError: unknown part, unknown keyword, or an impossible combination.
    """
    if recipe.data.weighted_metrics and recipe.data.weights is None:
        raise RecipeError("data.weighted_metrics: there are no weights; name their column with data.weights")
    if recipe.data.weighted_metrics and not recipe.outputs:
        raise RecipeError(
            "data.weighted_metrics: metrics of outputs count rows by weight, and there is no output; how inputs find "
            "each other is counted by query, so leave it out"
        )
    if "mlflow" in recipe.training.loggers and find_spec("mlflow") is None:
        raise RecipeError("training.loggers: mlflow is not installed: pip install mlflow, or name tensorboard or csv")
    for name, item in recipe.inputs.items():
        for at, part in enumerate(item.encoders):
            where = f"inputs.{name}.encoder" + (f".{at}" if len(item.encoders) > 1 else "")
            if not part.is_auto and item.modality:
                encoder = _resolve_part(lambda i=item, p=part: registry.encoder(i.modality, p.name), where)
                _resolve_part(lambda e=encoder: check_offered("encoder", e), where)
                _check_keywords(part, own_keywords(encoder.wants, set()), where)
                _check_required_keywords(part, encoder.wants, where)
        if len(item.encoders) > 1:
            _check_several(name, item)
    for name, item in recipe.readers.items():
        _check_cache(name, item)
        if not item.fused and item.transfer != "frozen":
            raise RecipeError(
                f"inputs.{name}: what the fusion does not see is not trained; set transfer: frozen, or fused: true"
            )
    for name, own in recipe.reads.items():
        if not any(recipe.readers[reader].fused for reader in own):
            raise RecipeError(f"inputs.{name}: the fusion sees none of its encoders; set fused: true for one")
    for name, output in recipe.outputs.items():
        if not output.head.is_auto:
            head = _resolve_part(lambda o=output: registry.head(o.head.name), f"outputs.{name}.head")
            _resolve_part(lambda h=head: check_offered("head", h), f"outputs.{name}.head")
            _check_keywords(output.head, own_keywords(head.wants, set()), f"outputs.{name}.head")
    if recipe.fusion.name not in ("default", "auto"):
        fusion = _resolve_part(lambda: registry.fusion(recipe.fusion.name), "fusion")
        _resolve_part(lambda: check_offered("fusion", fusion), "fusion")
        _check_keywords(recipe.fusion, own_keywords(fusion, set()), "fusion")
        if offers(fusion, Decides):
            for name in outputs_without_scores(recipe):
                raise RecipeError(
                    f"fusion: {recipe.fusion.name} joins scores of single inputs, and output {name!r} "
                    f"({recipe.outputs[name].head.name}) has none; expected another fusion, such as attention"
                )
            _check_nothing_stands_in(recipe)
            _check_nothing_wants_fusion(recipe)
    for at, objective in enumerate(recipe.extra_losses):
        part = _resolve_part(lambda o=objective: registry.objective(o.name), f"objectives.{at}")
        _resolve_part(lambda p=part: check_offered("objective", p), f"objectives.{at}")
        _check_keywords(objective, own_keywords(part, set()), f"objectives.{at}")
        if says(part, "sums_losses") and {objective.weight, *(o.weight for o in recipe.outputs.values())} != {1.0}:
            raise RecipeError(
                f"objectives.{at}: {objective.name} weighs the losses of inputs and outputs itself; expected every "
                "weight to be 1, its own and those of the outputs"
            )
        if (says(part, "wants_scores") or says(part, "wants_fusion")) and not recipe.outputs:
            raise RecipeError(f"objectives.{at}: {objective.name} judges outputs, and the recipe has none")
        if offers(part, Masks):
            _check_masked(recipe, objective, f"objectives.{at}")
        if says(part, "wants_scores") and recipe.outputs and set(outputs_without_scores(recipe)) == set(recipe.outputs):
            names = ", ".join(map(repr, recipe.outputs))
            raise RecipeError(
                f"objectives.{at}: {objective.name} works on scores of single inputs, and no output has any ({names}); "
                "leave it out"
            )
    asked = bool(recipe.ensemble.members) or recipe.ensemble.networks not in ("auto", 1)
    for name in outputs_without_scores(recipe) if asked else ():
        raise RecipeError(
            f"ensemble: output {name!r} ({recipe.outputs[name].head.name}) has no scores that members could be weighed "
            "by; leave ensemble out"
        )
    for at, member in enumerate(recipe.ensemble.members or []):
        _check_member(recipe, member, f"ensemble.members.{at}")
    if isinstance(recipe.training.modality_dropout, dict):
        for name in recipe.training.modality_dropout:
            _resolve_part(lambda n=name: registry.choose(recipe.inputs, n, "input"), "training.modality_dropout")
    for name in recipe.training.learning_rates:
        if not any(name == part or name.startswith(f"{part}.") for part in recipe.rated):
            raise RecipeError(
                f"training.learning_rates: there is no part {name!r}; known: {', '.join(recipe.rated)}, and modules "
                "inside them"
            )
    if isinstance(recipe.space.pool, dict):
        for name in recipe.space.pool:
            _resolve_part(lambda n=name: registry.choose(recipe.inputs, n, "input"), "space.pool")
    if not recipe.outputs and not recipe.extra_losses:
        raise RecipeError("nothing to learn: name at least one output (--output COLUMN) or objective")


def _check_masked(recipe: Recipe, objective: ObjectiveRecipe, where: str) -> None:
    """Masked inputs need one encoder that supports masking, is trained, and reads cells in every epoch."""
    readers = recipe.readers
    for name in recipe.masked(objective):
        _resolve_part(lambda n=name: registry.choose(recipe.inputs, n, "input"), f"{where}.hide")
        own = [readers[reader] for reader in recipe.reads[name] if readers[reader].fused]
        if any(reader.part.is_auto for reader in own):
            continue  # one that can be masked will be chosen
        way = "give it one that can be masked, or name other inputs in hide"
        if len(own) != 1:
            raise RecipeError(f"{where}: input {name!r} has several encoders, and {objective.name} hides of one; {way}")
        encoder = registry.encoder(str(own[0].modality), own[0].part.name)
        if not offers(encoder, CanBeMasked):
            able = [n for n in registry.ENCODERS[str(own[0].modality)] if _can_be_masked(str(own[0].modality), n)]
            known = f" ({', '.join(able)})" if able else ""
            raise RecipeError(
                f"{where}: input {name!r} is read by {own[0].part.name}, which cannot be masked; give it an encoder "
                f"that can{known}, or name other inputs in hide"
            )
        if own[0].transfer == "frozen":
            raise RecipeError(
                f"{where}: the encoder of input {name!r} is frozen, and {objective.name} would teach it nothing; set "
                f"inputs.{name}.transfer: full, or name other inputs in hide"
            )
    named = recipe.fusion.name not in ("default", "auto")
    if objective.keywords.get("conditioned") and named and offers(registry.fusion(recipe.fusion.name), Decides):
        raise RecipeError(
            f"{where}: {objective.name} guesses from what the fusion makes of all inputs, and the fusion "
            f"{recipe.fusion.name} joins answers alone; expected another fusion, or conditioned: false"
        )


def _can_be_masked(modality: str, name: str) -> bool:
    return offers(registry.encoder(modality, name), CanBeMasked)


def _check_member(recipe: Recipe, member: MemberRecipe, where: str) -> None:
    """A member is a learner on inputs that exist, for an output that exists."""
    made = _resolve_part(lambda: registry.learner(member.name), where)
    if not issubclass(made, Learner):
        raise RecipeError(
            f"{where}: {member.name} is no learner: expected a subclass of polyfuse.learners.base.Learner"
        )
    for name in member.inputs:
        _resolve_part(lambda n=name: registry.choose(recipe.inputs, n, "input"), f"{where}.inputs")
    for name in member.readers:
        _resolve_part(lambda n=name: registry.choose(recipe.readers, n, "encoder of an input"), f"{where}.readers")
    if not member.inputs:
        raise RecipeError(f"{where}.inputs: expected the inputs that {member.name} reads, found none")
    if member.output is not None:
        _resolve_part(lambda: registry.choose(recipe.outputs, member.output, "output"), f"{where}.output")


def _check_nothing_stands_in(recipe: Recipe) -> None:
    """A decision leaves absent inputs out: a token or a guess in their place would vote on nothing."""
    guessing = [o.name for o in recipe.extra_losses if offers(registry.objective(o.name), StandsIn)]
    asked = [f"objective {name}" for name in guessing]
    asked += [f"training.missing: {recipe.training.missing}"] if recipe.training.missing != "mask" else []
    if asked:
        raise RecipeError(
            f"{asked[0]}: the fusion {recipe.fusion.name} leaves absent inputs out of the decision, so "
            "nothing can stand in for them; expected missing: mask, and no objective that guesses"
        )


def _check_nothing_wants_fusion(recipe: Recipe) -> None:
    """A decision joins answers: there is no fused representation for an objective to work on."""
    for objective in recipe.extra_losses:
        if says(registry.objective(objective.name), "wants_fusion"):
            raise RecipeError(
                f"objective {objective.name}: the fusion {recipe.fusion.name} joins answers and makes no "
                "representation of a row; expected another fusion"
            )


def _check_several(name: str, item: InputRecipe) -> None:
    """Several encoders are named one by one, and each starts fresh or from its own checkpoint."""
    if any(part.is_auto for part in item.encoders):
        raise RecipeError(f"inputs.{name}.encoder: of several encoders each is named; expected no auto among them")
    if item.init_from:
        raise RecipeError(
            f"inputs.{name}.init_from: it brings one encoder; expected encoder to be left out, not a list"
        )


def _check_cache(name: str, item: InputRecipe) -> None:
    """Tokens are kept of encoders that do not change, from cells that do not change."""
    if item.cache == "pooled" and item.transfer != "frozen":
        raise RecipeError(f"inputs.{name}.cache: only frozen encoders are pooled; set transfer: frozen, or cache: auto")
    if item.transfer == "frozen" and item.cache != "off" and item.augment not in ("default", "none"):
        raise RecipeError(
            f"inputs.{name}.augment: a frozen encoder sees every cell once, so nothing can vary; set cache: off to "
            "encode augmented cells in every epoch, or augment: none"
        )


def _resolve_part(get: Any, where: str) -> Any:
    try:
        return get()
    except ValueError as error:
        raise RecipeError(f"{where}: {error}") from None


def _check_required_keywords(part: NamedPart, wants: Any, where: str) -> None:
    """Keywords without a default, such as the path of a checkpoint."""
    for keyword, parameter in inspect.signature(wants).parameters.items():
        needed = parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty
        if needed and keyword not in part.keywords:
            raise RecipeError(f"{where}: {part.name} needs {keyword!r}: set {where}.{keyword}")


def _check_keywords(part: NamedPart, known: list[str], where: str) -> None:
    for keyword in part.keywords:
        if keyword not in known:
            raise RecipeError(f"{where}: {part.name} has no keyword {keyword!r}{suggest_name(keyword, known)}")
