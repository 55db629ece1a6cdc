"""Choose the input that the encoder of a head's encoder-decoder checkpoint reads, and how that model is trained."""

from __future__ import annotations

from typing import Any

from polyfuse import registry
from polyfuse.contracts import Companion, ReadsEncoder, offers
from polyfuse.recipe import Recipe, RecipeError, parse

FUSED = "none"  # the input of a head that reads what the fusion gives
RATES = {"full": 1e-5, "lora": 5e-4}  # how much of a checkpoint learns -> peak learning rate
TUNING_STEPS, MOST_EPOCHS, LEAST_EPOCHS = 200, 30, 3  # a checkpoint that can write already learns a table's way in few
BATCH = 8  # rows: what such an encoder gives is long


def assign_companions(recipe: Recipe, rows: int) -> tuple[Recipe, list[str]]:
    """Assign heads made of an encoder-decoder checkpoint their input, and that input the checkpoint's encoder.

    Args:
        recipe: with every input's modality and every output's head.
        rows: that train.

    Raises:
        RecipeError: no such input, an encoder that is not its own, or nothing that could be learnt.
    """
    values, notes = recipe.model_dump(mode="json"), []
    found, read = dict[str, Companion](), set[str]()
    for name, output in values["outputs"].items():
        made: Any = registry.head(output["head"]["name"])
        if not offers(made, ReadsEncoder):
            continue
        keywords = {key: value for key, value in output["head"].items() if key != "name"}
        try:
            wanted = made.companion(**keywords)
        except (ValueError, FileNotFoundError) as error:
            raise RecipeError(f"outputs.{name}.head: {error}") from None
        if wanted is None:
            continue
        item, said = _choose_input(values, name, wanted)
        output["head"] = {"name": output["head"]["name"], **made.reading(item, **keywords)}
        notes.append(said)
        if item != FUSED:
            found[name], read = wanted, {*read, item}
    if found and len(found) == len(values["outputs"]) and not values["objectives"]:
        notes += _checkpoint_only_training(values, found, read, rows)
    elif values["training"]["epochs"] == 0 and values["training"]["steps"] == "auto":
        notes.append("nothing is trained, as training.epochs is 0: what starts from scratch stays random")
    return parse(values), notes


def _choose_input(values: dict[str, Any], name: str, wanted: Companion) -> tuple[str, str]:
    """The input that a head reads as its encoder gives it, or ``none``; and a note. The input gets its encoder."""
    inputs, encoder = values["inputs"], {"name": "pretrained", "path": wanted.path, **wanted.keywords}
    chosen = wanted.input
    if chosen == "auto":
        fitting = [n for n, item in inputs.items() if _fits(item, wanted) and (wanted.needed or len(inputs) == 1)]
        if len(fitting) > 1:
            raise RecipeError(
                f"outputs.{name}.head: the encoder of {wanted.path} could read inputs {', '.join(fitting)}; say which, "
                f"by outputs.{name}.head.decoder.input={fitting[0]}"
            )
        chosen = fitting[0] if fitting else FUSED
    if chosen == FUSED:
        way = f"an input of {wanted.modality} alone, whose encoder is {{name: pretrained, path: {wanted.path}}}"
        if wanted.needed:
            raise RecipeError(
                f"outputs.{name}.head: {wanted.path} answers about what its own encoder reads: give {way}"
            )
        if values["training"]["epochs"] == 0:
            raise RecipeError(
                f"training.epochs: 0 trains nothing, and output {name!r} reads the fused tokens through a projector "
                f"that must be learnt; give {way}, or some epochs"
            )
        return FUSED, (
            f"output {name!r}: {wanted.path} reads the fused tokens through a projector, which must be learnt; as it "
            f"comes it reads {way}"
        )
    try:
        registry.choose(inputs, chosen, "input")
    except ValueError as error:
        raise RecipeError(f"outputs.{name}.head: {error}") from None
    item = inputs[chosen]
    if not _fits(item, wanted):
        raise RecipeError(
            f"outputs.{name}.head: input {chosen!r} is to be read by the encoder of {wanted.path}, which reads "
            f"{wanted.modality}; expected such an input with the encoder {{name: pretrained, path: {wanted.path}}}, "
            "or input: none"
        )
    if wanted.needed and len(item["columns"]) > 1:
        raise RecipeError(
            f"outputs.{name}.head: {wanted.path} reads one {wanted.modality} per row, and input {chosen!r} has columns "
            f"{', '.join(item['columns'])}; give one of them an input of its own"
        )
    if item["encoder"]["name"] == "auto":
        item["encoder"] = encoder
        item["transfer"] = "frozen" if item["transfer"] == "full" else item["transfer"]
    item["encoder"] = {**encoder, **item["encoder"]}
    return chosen, f"output {name!r}: {wanted.path} answers from what its own encoder says of input {chosen!r} alone"


def _fits(item: dict[str, Any], wanted: Companion) -> bool:
    """Whether an input is read by that encoder, or may be, as it names none."""
    part = item["encoder"]
    if isinstance(part, list) or item["modality"] != wanted.modality or item["init_from"]:
        return False
    bare = part["name"] == "auto" and len(part) == 1
    return bare or (part["name"] == "pretrained" and part.get("path") == wanted.path)


def _checkpoint_only_training(
    values: dict[str, Any], found: dict[str, Companion], read: set[str], rows: int
) -> list[str]:
    """Training defaults where only checkpoints are trained: the fusion is unused, and few steps are enough."""
    training = values["training"]
    if values["fusion"]["name"] == "default":
        values["fusion"] = {"name": "concat"}
    idle = all(values["inputs"][name]["transfer"] == "frozen" for name in read)
    unread = [f"input {name!r} has no say: no output reads it" for name in values["inputs"] if name not in read]
    asked = training["steps"] != "auto" or training["epochs"] not in ("auto", 0)
    learning = asked and any(wanted.learns for wanted in found.values())
    if idle and not learning and all(wanted.train == "frozen" for wanted in found.values()):
        if asked:
            name = next(iter(found))
            raise RecipeError(
                f"training: nothing learns, as encoder and decoder of output {name!r} are frozen; set its decoder's "
                "train to lora or full, or training.epochs to 0"
            )
        training["epochs"] = 0
        return [*unread, "nothing is trained: the checkpoint answers as it comes"]
    rates = [RATES[wanted.train] for wanted in found.values() if wanted.train in RATES]
    if training["learning_rate"] == "auto" and rates:
        training["learning_rate"] = min(rates)
    if training["batch_size"] == "auto":
        training["batch_size"] = BATCH
    if training["epochs"] == "auto":
        per_epoch = max(1, -(-rows // training["batch_size"]))
        training["epochs"] = min(MOST_EPOCHS, max(LEAST_EPOCHS, round(TUNING_STEPS / per_epoch)))
    return unread
