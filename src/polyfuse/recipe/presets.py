"""Presets: the encoders of inputs that name none, by modality and number of training rows.

A preset is shorthand for fields of the recipe, which are saved with the model. The choices were measured out of fold on
many small tables (``benchmarks/defaults.md``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from polyfuse.encoders.hub import find
from polyfuse.recipe import InputRecipe, NamedPart, Recipe, RecipeError
from polyfuse.recipe.language import NO_TEXTS, Texts
from polyfuse.starter.package_files import StarterError, verified_files
from polyfuse.starter.parts import PARTS

# modality -> encoder from scratch
SCRATCH = {
    "text": "ngrams",
    "image": "resnet",
    "audio": "spectrogram_cnn",
    "video": "frames",
    "columns": "mlp",
    "vector": "vectors",
    "sequence": "sequence",
}
IN_ORDER = {**SCRATCH, "text": "gru"}  # of those, for outputs that write texts
TAGGED = "words"  # of texts whose words are tagged
# of recordings of which events are told: what keeps their time, however long they are
TIMED: dict[str, dict[str, Any]] = {
    "audio": {"name": "windows"},
    "video": {"name": "frames", "over_time": "attention", "frames": 32},
}
PLACED = "pyramid"  # of pictures in whose pixels an output answers
FIXED = frozenset({"statistics", "universal"})  # encoders that are never trained
KNOWING = frozenset({"pretrained", "efficientnet_lite", "universal"})  # encoders that come with what they know
# training rows from which a net from scratch reads pictures and sounds. It is then alone in the network: beside a
# thousand ready numbers, which can be learnt by heart, it stops to learn; those are for the members
SCRATCH_PICTURES = {"scratch": 500, "starter": 2000, "best": 2000}  # by preset: a pretrained net sees more in few
SCRATCH_SOUNDS = 1000
SCRATCH_VIDEOS = 1000
MANY = 5000  # training rows from which words meet pictures token by token, where a sentence vector has no place
# words of English texts up to which MiniLM reads them all: some six minutes of one core with AVX2
READABLE = 300_000
READ_PER_SECOND = 500  # of them, so that a time budget is not spent on reading
STARTER = {"text": "universal", "image": "efficientnet-lite0"}  # modality -> starter part that helps most tables


MINILM = {"name": "pretrained", "path": "starter:minilm", "transfer": "frozen", "cache": "pooled"}


@dataclass(frozen=True)
class HubPart:
    """A checkpoint of the Hugging Face Hub that ``best`` takes where it can be reached.

    Args:
        megabytes: of its weights.
    """

    name: str
    licence: str
    megabytes: int


BEST = {
    "text": HubPart("intfloat/multilingual-e5-small", "MIT", 471),
    "image": HubPart("facebook/dinov2-small", "Apache-2.0", 88),
    "audio": HubPart("openai/whisper-tiny", "Apache-2.0", 151),
}


def choose_preset(recipe: Recipe) -> tuple[str, list[str]]:
    """Choose the preset of a recipe; with notes.

    Raises:
        RecipeError: ``starter`` was asked for by name and a part of it is not installed; a preset that the recipe
            itself contradicts.
    """
    asked = recipe.preset
    if asked == "scratch":
        _check_scratch(recipe)
    wanted = {STARTER[m] for m in (i.modality for i in recipe.inputs.values()) if m in STARTER and _is_open(recipe, m)}
    lacking = {} if asked in ("plain", "scratch") else {name: why for name in sorted(wanted) if (why := _problem(name))}
    if not lacking:
        return "starter" if asked == "auto" else asked, []
    said = "; ".join(f"{name}: {why}" for name, why in lacking.items())
    if asked == "auto":
        return "scratch", [f"encoders learn from scratch, as pretrained parts cannot be used ({said})"]
    raise RecipeError(f"preset {asked}: it needs parts that cannot be used ({said}); or take --preset scratch")


def _problem(name: str) -> str:
    """Why a starter part cannot be used, with the line that installs it; empty where it can."""
    part = PARTS[name]
    try:
        verified_files(part)
    except StarterError as error:
        return str(error)
    return ""


def _is_open(recipe: Recipe, modality: str | None) -> bool:
    """Whether an input of that modality leaves its encoder to the preset."""
    return any(i.modality == modality and i.encoders[0].is_auto for i in recipe.inputs.values())


def _check_scratch(recipe: Recipe) -> None:
    for name, item in recipe.inputs.items():
        known = [part.name for part in item.encoders if knowing(part)]
        if known:
            raise RecipeError(
                f"preset scratch: inputs.{name}.encoder is {known[0]}, which comes with pretrained weights; expected "
                "encoders from scratch, or another preset"
            )


def preset_encoders(
    modality: str,
    preset: str,
    rows: int,
    *,
    writes: bool = False,
    tagged: bool = False,
    timed: bool = False,
    placed: bool = False,
    texts: Texts = NO_TEXTS,
    seconds: float | None = None,
) -> tuple[list[dict[str, Any]], list[str]]:
    """The encoders of an input under a settled preset, and notes on what could not be had.

    Args:
        rows: that train.
        writes: a text is written, for which an input is kept in its order and places instead of summed up.
        tagged: of a text, that its words are tagged, for which capitals and places are kept.
        timed: of a recording, that events in it are told, for which its time is kept.
        placed: of pictures, that an output answers in their pixels, for which a fine grid is kept.
        texts: of the input, where it has any.
        seconds: that the whole training may take; None for as many as it needs.
    """
    if timed and modality in TIMED:
        return [dict(TIMED[modality])], []
    scratch: dict[str, Any] = {"name": scratch_encoder(modality, writes, tagged, placed=placed)}
    if preset == "plain" or modality not in CHOICES or tagged or placed:
        return [scratch], []
    notes: list[str] = []
    parts = _sequence_encoder(modality, scratch, preset) if writes else CHOICES[modality](scratch, preset, rows)
    if modality == "text" and preset != "scratch" and texts.english and not writes:
        most = READABLE if seconds is None else min(READABLE, READ_PER_SECOND * seconds)
        if texts.words <= most:
            parts = [*parts, {**MINILM, "fused": rows < MANY}]
        else:
            notes = [
                f"starter:minilm, which knows English, is left out: reading {texts.words:,} words would take minutes; "
                "a list of encoders that names it has it"
            ]
    if preset == "best" and modality in BEST:
        found, more = _from_hub(modality, {} if writes else {"cache": "pooled", "fused": False})
        parts, notes = parts + found, notes + more
    return parts, notes


def scratch_encoder(
    modality: str, writes: bool = False, tagged: bool = False, timed: bool = False, placed: bool = False
) -> str:
    """The encoder from scratch of an input; what is asked of it as in ``preset_encoders``."""
    if timed and modality in TIMED:
        return str(TIMED[modality]["name"])
    return TAGGED if tagged else PLACED if placed else (IN_ORDER if writes else SCRATCH)[modality]


def _sequence_encoder(modality: str, scratch: dict[str, Any], preset: str) -> list[dict[str, Any]]:
    """The encoder of token sequences for text outputs: words in order, picture regions, moments of a sound."""
    if modality == "video":
        return [{**scratch, "over_time": "attention"}]
    if preset == "scratch" or modality == "audio":
        return [scratch]
    if modality == "image":
        return [{"name": "efficientnet_lite", "transfer": "frozen"}]
    return [scratch, {"name": "universal"}]


def _text(scratch: dict[str, Any], preset: str, rows: int) -> list[dict[str, Any]]:
    return [scratch] if preset == "scratch" else [scratch, {"name": "universal", "fused": rows < MANY}]


def _image(scratch: dict[str, Any], preset: str, rows: int) -> list[dict[str, Any]]:
    known = [] if preset == "scratch" else [{"name": "efficientnet_lite", "transfer": "frozen", "cache": "pooled"}]
    return _media(scratch, [*known, {"name": "statistics"}], rows >= SCRATCH_PICTURES[preset])


def _audio(scratch: dict[str, Any], preset: str, rows: int) -> list[dict[str, Any]]:  # noqa: ARG001
    return _media(scratch, [{"name": "statistics"}], rows >= SCRATCH_SOUNDS)


def _video(scratch: dict[str, Any], preset: str, rows: int) -> list[dict[str, Any]]:
    seen = {"name": "efficientnet_lite", "size": 128}
    known = [] if preset == "scratch" else [{"name": "frames", "image": seen, "transfer": "frozen", "cache": "pooled"}]
    return _media(scratch, [*known, {"name": "statistics"}], rows >= SCRATCH_VIDEOS)


def _media(scratch: dict[str, Any], known: list[dict[str, Any]], many: bool) -> list[dict[str, Any]]:
    """The pretrained encoder alone, or beside a network from scratch, which alone the fusion sees."""
    return [scratch, *({**part, "fused": False} for part in known)] if many else known


CHOICES: Mapping[str, Any] = {"text": _text, "image": _image, "audio": _audio, "video": _video}


def _from_hub(modality: str, aside: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """The Hub's checkpoint for a modality, frozen, or a note that it cannot be had."""
    part = BEST[modality]
    try:
        find(part.name)
    except FileNotFoundError as error:
        return [], [f"preset best goes on without {part.name} ({part.megabytes} MB, {part.licence}): {error}"]
    return [{"name": "pretrained", "path": part.name, "transfer": "frozen", **aside}], []


def knows_before_training(reader: InputRecipe) -> bool:
    """Whether an encoder says something before it is trained."""
    return reader.part.name in FIXED or knowing(reader.part)


def knowing(part: NamedPart) -> bool:
    """Whether an encoder comes with what it knows, itself or what it reads the pictures of a video by."""
    inner = part.keywords.get("image") or {}
    return part.name in KNOWING or (inner if isinstance(inner, str) else inner.get("name")) in KNOWING
