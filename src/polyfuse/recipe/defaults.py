"""Fill in the defaults of a recipe from the columns and the size of the table.

The numbers were measured on small real tables (see ``benchmarks/foundation.md``); each is a starting point, and every
one can be set in the recipe.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import pandas as pd

from polyfuse import registry
from polyfuse.contracts import Decides, Masks, ReadsEveryWord, offers
from polyfuse.recipe import InputRecipe, Recipe, RecipeError, parse, presets
from polyfuse.recipe.language import texts_of
from polyfuse.recipe.outputs import outputs_without_scores, picture_columns, text_outputs, word_columns
from polyfuse.recipe.timing import timed_inputs

SINGLE = frozenset({"statistics", "universal"})  # encoders whose tokens are few: nothing to look for among them
OWN = (
    "transfer",
    "augment",
    "learning_rate",
    "weight_decay",
    "cache",
    "fused",
)  # what an encoder may say of its training
# modality -> peak learning rate and weight decay of its encoder
TUNING = {
    "text": (2e-3, 0.01),
    "image": (2e-3, 0.05),
    "audio": (2e-3, 0.05),
    "video": (2e-3, 0.05),
    "columns": (3e-3, 0.01),
    "vector": (1e-3, 0.05),
    "sequence": (1e-3, 0.05),
}
PRETRAINED = {"full": (5e-5, 0.01), "staged": (5e-5, 0.01), "lora": (5e-4, 0.0), "frozen": (1e-3, 0.01)}
# modality -> steps after which a model trained on it alone gains no more; the most demanding input decides
STEPS = {"text": 600, "image": 1000, "audio": 1000, "video": 1000, "columns": 1500, "vector": 500, "sequence": 1000}
WRITING_STEPS = 3000  # steps after which a head that writes has learnt to spell
TOGETHER_STEPS = 2000  # steps after which words and what they ask about have learnt to act on each other
TRUSTED_VALIDATION = 1000  # rows from which validation may choose the weights: 349 chose worse than the last
NOISY = 0.5  # dropout of fusion and heads over ready-made features
MASKED = {  # encoder from scratch of an input that is masked and names none: one that can be
    "text": "transformer",
    "image": "resnet",
    "audio": "spectrogram_cnn",
    "columns": "mlp",
    "sequence": "sequence",
}
READY, READY_STEPS = 0.3, 100  # dropout and steps of a fusion over checkpoints that stay as they are: more overfits
LOUD = 2.0  # scale of n-grams for many rows
SMALL_PICTURES = {"width": 16, "largest": 64}  # of a residual net, for few rows: the larger one learns them by heart
FEW = 500  # training rows from which that is no longer so, and each input gains from answering alone as well
ALONE = {"name": "unimodal", "weight": 0.3}  # keeps the slower inputs learning once a faster one suffices
MANY = 5000  # training rows from which fusions of tokens beat pooled ones, and hiding words costs more than it gives


def fill_encoders(recipe: Recipe, rows: int, table: pd.DataFrame | None = None) -> tuple[Recipe, list[str]]:
    """Name the encoders of every input, their rates and decays, and say what a preset could not have.

    Args:
        recipe: with every input's modality.
        rows: that train.
        table: whose texts the choice may depend on.

    Raises:
        RecipeError: no encoder for a modality, or a preset that cannot be.
    """
    preset, notes = presets.choose_preset(recipe)
    values = recipe.model_dump(mode="json")
    values["preset"] = preset
    masked = {n for o in recipe.extra_losses if offers(registry.objective(o.name), Masks) for n in recipe.masked(o)}
    for name, item in values["inputs"].items():
        if isinstance(item["encoder"], dict) and item["encoder"]["name"] == "auto":
            if name in masked and item["modality"] in MASKED:
                item["encoder"] = {**item["encoder"], "name": MASKED[item["modality"]]}
            else:
                facts: dict[str, Any] = {"writes": bool(text_outputs(recipe)), "seconds": recipe.training.time}
                facts["tagged"] = any(column in item["columns"] for column in word_columns(recipe).values())
                facts["timed"] = any(name in names for names in timed_inputs(recipe).values())
                facts["placed"] = any(column in item["columns"] for column in picture_columns(recipe).values())
                if item["modality"] == "text" and table is not None:
                    facts["texts"] = texts_of(table, item["columns"])
                item["encoder"], said = _default_encoders(name, item, preset, rows, **facts)
                notes += said
        if any(item["columns"] == [column] for column in word_columns(recipe).values()) and not item["init_from"]:
            for part in _parts(item):
                _read_every_word(item["modality"], part)
        several = isinstance(item["encoder"], list)
        for part in _parts(item):
            own = {key: item[key] for key in OWN} | {key: part[key] for key in OWN if key in part}
            own["learning_rate"] = values["training"]["learning_rates"].get(f"inputs.{name}", own["learning_rate"])
            (part if several else item).update(_encoder_training(item["modality"], part, own))
    return parse(values), notes


def _read_every_word(modality: str, part: dict[str, Any]) -> None:
    """Set an encoder of words that are tagged to cut no text."""
    made: Any = registry.encoder(modality, part["name"])
    if offers(made, ReadsEveryWord):
        own = {key: value for key, value in part.items() if key not in ("name", *OWN)}
        part.update(made.word_by_word(**own))


def _default_encoders(name: str, item: dict[str, Any], preset: str, rows: int, **facts: Any) -> tuple[Any, list[str]]:
    """The encoders of an input that names none, with the keywords that it gives."""
    modality, keywords = item["modality"], {k: v for k, v in item["encoder"].items() if k != "name"}
    if modality not in presets.SCRATCH:
        known = ", ".join(sorted(registry.ENCODERS))
        raise RecipeError(f"inputs.{name}: there is no encoder for {modality} yet (known: {known}); leave it out")
    if keywords or item["init_from"] or item["transfer"] != "full" or item["cache"] != "auto":
        return {
            "name": presets.scratch_encoder(
                modality, **{of: facts[of] for of in ("writes", "tagged", "timed", "placed")}
            ),
            **keywords,
        }, []  # what is said is said of one encoder
    parts, notes = presets.preset_encoders(modality, preset, rows, **facts)
    return (parts if len(parts) > 1 else parts[0]), notes


def _encoder_training(modality: str, part: Mapping[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """Default training settings of an encoder."""
    transfer = "frozen" if part["name"] in presets.FIXED else said["transfer"]
    rate, decay = PRETRAINED[transfer] if part["name"] in presets.KNOWING or transfer == "frozen" else TUNING[modality]
    once = transfer == "frozen" and said["cache"] != "off" and said["augment"] == "default"
    return {
        **said,
        "transfer": transfer,
        "learning_rate": rate if said["learning_rate"] == "auto" else said["learning_rate"],
        "weight_decay": decay if said["weight_decay"] == "auto" else said["weight_decay"],
        "augment": "none" if once else said["augment"],  # its cells are encoded once
    }


def fill_sizes(recipe: Recipe, train: int, val: int) -> Recipe:
    """Fill in what depends on the numbers of training and validation rows."""
    values = recipe.model_dump(mode="json")
    if recipe.fusion.name in ("default", "auto"):  # whoever asked for auto has chosen by now, or goes on to choose
        values["fusion"]["name"] = _fusion(recipe, train)
    values["fusion"] = {**fill_fusion(recipe, values["fusion"]["name"]), **values["fusion"]}
    if _features(recipe):
        for output in values["outputs"].values():
            if "dropout" in inspect.signature(registry.head(output["head"]["name"]).wants).parameters:  # type: ignore[attr-defined]
                output["head"] = {"dropout": NOISY, **output["head"]}
    _fill(values, {"width": 128})
    if values["objectives"] is None:
        values["objectives"] = [ALONE] if _each_alone(recipe, values["fusion"]["name"], train) else []
    if train < FEW:
        _few_rows(values)
    if train >= MANY:
        _many_rows(values)
    training = values["training"]
    _fill(training, {"batch_size": _batch_size(train), "learning_rate": 1e-3, "weight_decay": 0.01})
    several = len(recipe.inputs) > 1
    _fill(training, {"modality_dropout": _modality_dropout(recipe) if several else 0.0})
    if training["select"] == "auto":
        training["select"] = "best" if val >= TRUSTED_VALIDATION else "last"
    per_epoch = max(1, -(-train // training["batch_size"]))
    steps = _steps(recipe, train)
    _fill(training, {"epochs": min(150, max(5, round(steps / per_epoch)))})
    return parse(values)


def _steps(recipe: Recipe, train: int) -> int:
    modalities = [str(item.modality) for item in recipe.inputs.values()]
    alone = max(STEPS[modality] for modality in modalities)
    if outputs_without_scores(recipe):
        return max(alone, WRITING_STEPS)
    if _ready(recipe):
        return min(alone, READY_STEPS)
    asked = "text" in modalities and sum(_tokens(recipe)) > 1
    return TOGETHER_STEPS if asked and train >= MANY else alone


def _each_alone(recipe: Recipe, name: str, train: int) -> bool:
    """Whether each input is to answer alone as well: several, of which something is learnt, from some thousand rows.

    Fewer rows are learnt by heart by the input that explains least; where words ask about pictures, neither answers
    alone. Over ready-made features it is the fusion that overfits, and a decision takes each input's answer anyway.
    """
    learnt = any(item.transfer != "frozen" for item in recipe.readers.values())
    several = len(recipe.inputs) > 1 and bool(set(recipe.outputs) - set(outputs_without_scores(recipe)))
    return (
        several
        and learnt
        and FEW <= train < MANY
        and not _features(recipe)
        and not offers(registry.fusion(name), Decides)
    )


def _parts(item: dict[str, Any]) -> list[dict[str, Any]]:
    return item["encoder"] if isinstance(item["encoder"], list) else [item["encoder"]]


def _few_rows(values: dict[str, Any]) -> None:
    """Pictures are seen small and by few channels, which also takes a third of the time."""
    for item in values["inputs"].values():
        for part in _parts(item):
            if part["name"] == "resnet" and not item["init_from"]:
                part.update({**SMALL_PICTURES, **part})


def _many_rows(values: dict[str, Any]) -> None:
    """Texts keep all their words, and words speak up from the start, where rows are many enough to learn from both."""
    for item in values["inputs"].values():
        if item["modality"] == "text":
            for said in [item, *_parts(item)]:
                said.update({"augment": "none"} if said.get("augment") == "default" else {})
            for part in _parts(item):
                if part["name"] == "ngrams" and not item["init_from"]:
                    part.update({"scale": LOUD, **part})


def fill_fusion(recipe: Recipe, name: str) -> dict[str, Any]:
    """A fusion with the keywords that suit the inputs: what comes ready-made needs heavy dropout."""
    takes = inspect.signature(registry.fusion(name)).parameters
    dropout = NOISY if _features(recipe) else READY if _ready(recipe) else None
    return {"name": name, **({"dropout": dropout} if dropout and "dropout" in takes else {})}


def _ready(recipe: Recipe) -> bool:
    """Whether every input is read by a checkpoint that is never trained."""
    return all(i.part.name == "pretrained" and i.transfer == "frozen" for i in recipe.readers.values())


def _features(recipe: Recipe) -> bool:
    return all(item.modality in ("vector", "sequence") for item in recipe.inputs.values())


def _fill(section: dict[str, Any], choices: Mapping[str, Any]) -> None:
    section.update({key: value for key, value in choices.items() if section[key] == "auto"})


def _fusion(recipe: Recipe, train: int) -> str:
    """What reads tokens needs several inputs, one of them with tokens, and rows enough to learn where to look.

    Of two token inputs, the longer one modulated by the other learns in a third of the time of joint attention.
    """
    if _ready(recipe):
        return "attention"
    tokens = _tokens(recipe)
    if len(tokens) == 1 or not any(tokens) or train < MANY:
        return "concat"
    return "film" if tokens == [True, True] else "attention"


def _tokens(recipe: Recipe) -> list[bool]:
    """Of each input, whether it is read as many tokens."""
    readers = recipe.readers
    return [any(_many(readers[reader]) for reader in own if readers[reader].fused) for own in recipe.reads.values()]


def _many(reader: InputRecipe) -> bool:
    single = reader.part.name in SINGLE or reader.cache == "pooled"
    return reader.modality in ("text", "image", "audio", "sequence") and not single


def _batch_size(train: int) -> int:
    for rows, size in ((FEW, 32), (3000, 64)):
        if train < rows:
            return size
    return 128


def _modality_dropout(recipe: Recipe) -> float:
    """Noisy ready-made features overfit together; everything else gets a little, for robustness to missing inputs."""
    return 0.3 if _features(recipe) else 0.1
