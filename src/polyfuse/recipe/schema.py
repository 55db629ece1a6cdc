"""Schema of recipes: every field that defines a model, typed and validated.

What is left out is ``auto`` and filled in by ``defaults`` from the table; the filled-in recipe is saved with the model,
so that fitting it again gives the same model.
"""

from __future__ import annotations

import difflib
import re
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from polyfuse import registry

Auto = Literal["auto"]
Chance = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class RecipeError(ValueError):
    """An invalid recipe: says where, what was expected and how to correct it."""


def _seconds(value: Any) -> Any:
    """``"90s"``, ``"5m"``, ``"1h"`` or a number of seconds -> seconds."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|m|h|)\s*", value)
    if not match:
        raise ValueError(f"expected a time such as 90s, 5m or 1h, found {value!r}")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def _as_part(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _as_encoders(value: Any) -> Any:
    """One encoder by name or with keywords, or several; a list of one is that one."""
    if isinstance(value, list):
        value = [_as_part(item) for item in value]
        return value[0] if len(value) == 1 else value
    return _as_part(value)


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _as_parts(value: Any) -> Any:
    """``auto`` -> None, still to be chosen; names, alone or in a list, -> parts."""
    if value == "auto":
        return None
    value = _as_list(value)
    return [_as_part(item) for item in value] if isinstance(value, list) else value


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_assignment=True)


class NamedPart(BaseModel):
    """A part by name, with its keywords beside it: ``{name: resnet, depth: 3}``, or just ``resnet``.

    Args:
        name: as ``polyfuse list`` shows it; ``auto`` leaves the choice to the table.
    """

    model_config = ConfigDict(extra="allow")
    name: str = "auto"

    @property
    def is_auto(self) -> bool:
        """Whether the name is still to be chosen; keywords may be set before it is."""
        return self.name == "auto"

    @property
    def keywords(self) -> dict[str, Any]:
        """Everything but the name."""
        return dict(self.model_extra or {})


Part = Annotated[NamedPart, BeforeValidator(_as_part)]
Transfer = Literal["full", "frozen", "staged", "lora"]
Augment = Literal["default", "none", "strong"] | list[dict[str, Any]]
Keeping = Literal["auto", "pooled", "off"]
Pool = Literal["mean", "max", "attention"]


class EncoderRecipe(NamedPart):
    """An encoder by name, with its keywords; what it says of its training wins over what its input says.

    Args:
        name: as ``polyfuse list encoders`` shows it; ``auto`` leaves the choice to the preset.
        transfer, augment, learning_rate, weight_decay, cache, fused: as of ``InputRecipe``, for this encoder alone.
    """

    transfer: Transfer | None = None
    augment: Augment | None = None
    learning_rate: Auto | NotNegative | None = None
    weight_decay: Auto | NotNegative | None = None
    cache: Keeping | None = None
    fused: bool | None = None

    @model_serializer(mode="wrap")
    def _drop_unset(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in plain(self).items() if value is not None}

    @property
    def own(self) -> dict[str, Any]:
        """Its own training settings."""
        said = {name: getattr(self, name) for name in EncoderRecipe.model_fields if name != "name"}
        return {name: value for name, value in said.items() if value is not None}


class LimitsRecipe(_Section):
    """Limits of cells: larger ones count as broken; of long texts the beginning is read.

    Args:
        bytes: of one file.
        pixels: of one picture.
        seconds: of one sound.
        characters: of one text.
    """

    bytes: int = Field(256_000_000, gt=0)
    pixels: int = Field(100_000_000, gt=0)
    seconds: float = Field(7200.0, gt=0)
    characters: int = Field(20_000, gt=0)


class DataRecipe(_Section):
    """The table, and how it is read and split.

    Args:
        table: path or paths; relative ones start from the recipe's folder, and ``$NAME`` is a variable of the
            environment.
        media_root: folder that paths in cells start from, itself from the recipe's; the table's own by default.
        where: a pandas query that keeps rows.
        split: a column with train / val / test; made by ``fractions`` when absent.
        group: a column whose values never stand on two sides of a made split.
        order: a column of dates or numbers: the oldest rows train, later ones validate, the latest test, and members
            of an ensemble are judged on rows later than those that they were fitted on.
        folds: judge every row once, by a model trained without its fold, and train the final model on all rows;
            instead of a split.
        weights: a column of numbers, 0 and above: how much each row counts in training.
        weighted_metrics: rows count by their weights in metrics as well.
        fractions: shares of train, val and test in a made split.
        explode: columns of lists (captions of a picture): a row per entry. Rows made of one never part in a made split.
        draw: which of these rows an epoch of training sees: ``all``, or ``one`` of each, drawn anew.
        columns: columns to gather into inputs, beside those of named inputs; every usable one when none is named.
        modalities: column -> modality, over what is inferred.
        formats: column -> how its numbers are written (``point`` or ``comma`` before decimals) or its dates
            (``day_first``, ``month_first``), over what the column itself shows.
        slots: column -> how many files of one of its cells are read, where cells hold several.
        max_broken: share of a column's cells that may be unreadable.
        limits: what is too large to read.
    """

    table: Annotated[list[str], BeforeValidator(_as_list)] = []
    media_root: str | None = None
    where: str | None = None
    split: str | None = None
    group: str | None = None
    order: str | None = None
    folds: Annotated[int, Field(ge=2)] | None = None
    weights: str | None = None
    weighted_metrics: bool = False
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    explode: Annotated[list[str], BeforeValidator(_as_list)] = []
    draw: Literal["all", "one"] = "all"
    columns: Annotated[list[str], BeforeValidator(_as_list)] = []
    modalities: dict[str, str] = {}
    formats: dict[str, Literal["point", "comma", "day_first", "month_first"]] = {}
    slots: dict[str, Count] = {}
    max_broken: float = Field(0.2, ge=0, le=1)
    limits: LimitsRecipe = LimitsRecipe()


class InputRecipe(_Section):
    """One input: columns that share an encoder.

    Args:
        columns: names; several photo columns become several slots of one input. Without any, the other fields
            apply to the input of that name that is made from the table by default.
        modality: of all its columns; inferred when absent.
        encoder: ``auto``, a part, or a list of parts, whose tokens then stand side by side.
        transfer: what of the encoder is trained: all, nothing, layers from the top down in stages, or adapters.
        init_from: ``BUNDLE#INPUT``: take encoder, preprocessing and weights from a saved model, looked for
            beside the recipe, then from the working directory, as is the ``path`` of an encoder.
        augment: ``default``, ``none``, ``strong`` or a list of transforms; in training only.
        learning_rate: peak rate of the encoder.
        weight_decay: of the encoder.
        cache: with ``transfer: frozen``, every cell is encoded once and its tokens are kept on disk for all epochs and
            later runs (``auto``), not at all (``off``), or only their mean (``pooled``), which then is all that the
            fusion sees.
        fused: whether the fusion sees the encoder's tokens; without, only members of the ensemble read it, which takes
            an encoder that is not trained.
    """

    columns: Annotated[list[str], BeforeValidator(_as_list)] = []
    modality: str | None = None
    encoder: Annotated[EncoderRecipe | list[EncoderRecipe], BeforeValidator(_as_encoders)] = EncoderRecipe(name="auto")
    transfer: Transfer = "full"
    init_from: str | None = None
    augment: Augment = "default"
    learning_rate: Auto | NotNegative = "auto"
    weight_decay: Auto | NotNegative = "auto"
    cache: Keeping = "auto"
    fused: bool = True

    @property
    def encoders(self) -> list[EncoderRecipe]:
        """Its encoders; one, as a rule."""
        return self.encoder if isinstance(self.encoder, list) else [self.encoder]

    @property
    def named(self) -> str:
        """Its encoders by name."""
        return " + ".join(encoder.name for encoder in self.encoders)

    @property
    def part(self) -> EncoderRecipe:
        """The encoder of an input that has one, as every reader does."""
        assert isinstance(self.encoder, EncoderRecipe)
        return self.encoder


class OutputRecipe(_Section):
    """One output: the column it fills, its head, and the weight of its loss.

    Args:
        column: name of the column that is learnt.
        head: ``category``, ``labels`` or ``number``, with keywords; ``auto`` follows the column.
        weight: of its loss among those of other outputs and objectives.
    """

    column: str
    head: Part = NamedPart(name="auto")
    weight: float = Field(1.0, ge=0)


class ObjectiveRecipe(NamedPart):
    """An objective (auxiliary loss) by name, with its weight and keywords.

    Args:
        name: as ``polyfuse list objectives`` shows it.
        weight: of its loss among those of outputs and other objectives.
    """

    name: str
    weight: float = Field(1.0, ge=0)


class SpaceRecipe(_Section):
    """The space that alignments share: one vector per input, whatever its length.

    Args:
        size: of a vector.
        hidden: units of a layer between the tokens' mean and the vector; 0 for none.
        dropout: before each linear layer.
        pool: how tokens become one vector: their ``mean``, ``max``, or a mean by learned ``attention``; one for all, or
            input -> how, by the mean for those not named.
        input_dropout: of what the encoders of aligned inputs say, before it is projected to ``width``.
        activation: of the tokens' mean, in place of its normalisation; ``gelu`` makes a perceptron of what projects
            tokens to ``width`` and what projects these to the vector, ``width`` the units between.
    """

    size: Count = 256
    hidden: int = Field(0, ge=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    input_dropout: float = Field(0.0, ge=0, lt=1)
    pool: Pool | dict[str, Pool] = "mean"
    activation: Literal["none", "gelu"] = "none"

    def pooled_by(self, name: str) -> Pool:
        """How the tokens of an input become one vector."""
        return self.pool.get(name, "mean") if isinstance(self.pool, dict) else self.pool


class MemberRecipe(NamedPart):
    """A classical learner over what some inputs hold before any training; its keywords are its settings.

    Args:
        name: as ``polyfuse list learners`` shows it.
        inputs: whose features it reads, joined where there are several.
        readers: of these inputs' encoders, by the names of ``Recipe.readers``; all that have features when left out.
        output: what it answers; every output when absent.
    """

    name: str
    inputs: Annotated[list[str], BeforeValidator(_as_list)]
    readers: Annotated[list[str], BeforeValidator(_as_list)] = []
    output: str | None = None


class EnsembleRecipe(_Section):
    """The ensemble beside the network: its members, and how they are weighed.

    Args:
        members: ``auto`` tries the learners that suit each input, and drops those that do not help; none where the
            recipe names a fusion itself, so that this fusion answers.
        folds: parts of the rows that train and validate; each row is judged by members that did not see it.
        networks: how many are trained, each without one of the folds, in turn, and answer together; with 1 it trains on
            the training rows and is judged on validation rows. ``auto`` is one per fold, or as many as train within
            some minutes.
    """

    members: Annotated[list[MemberRecipe] | None, BeforeValidator(_as_parts)] = None
    folds: int = Field(5, ge=2)
    networks: Auto | Count = "auto"


class TrainingRecipe(_Section):
    """How the model is trained; ``auto`` follows the size of the table.

    Args:
        epochs: passes over the training rows; 0 leaves everything as it comes, checkpoints that are whole.
        steps: optimizer steps; where it is a number it wins over ``epochs``.
        batch_size: rows per step.
        chunk: rows that pass through the network together, where a batch is larger than memory holds; objectives still
            compare all rows of the batch (gradient caching). None for all.
        learning_rate: peak rate of fusion and heads.
        weight_decay: of fusion and heads.
        warmup: share of the steps in which the rate rises; then it falls as a cosine.
        clip: norm to which gradients are clipped; 0 for never.
        select: which weights are kept: the ``best`` on validation, or the ``last``.
        judge: what ``best`` goes by: the ``quality`` of the answers (accuracy, say), or the ``loss``, which fewer rows
            tell.
        patience: share of all epochs without improvement after which training stops (with ``select: best``).
        average: share of the steps over which weights are averaged, exponentially; validation and the model that is
            kept see the averages. 0 for none.
        precision: ``32`` or ``bf16`` autocast.
        missing: absent inputs are masked, or replaced by a learned ``token``.
        modality_dropout: probability of hiding an input of a row, in training; one for all, or input -> probability.
        modality_dropout_schedule: ``constant``, or it ``rise``s from 0 or ``fall``s to 0 linearly while training.
        learning_rates: part -> its peak rate, over any other: ``inputs.NAME`` (encoders and what projects their
            tokens), ``fusion``, ``outputs.NAME``, ``objectives.N``, ``space``, or a module inside one, such as
            ``outputs.caption.decoder.model``; the longest name that fits counts.
        layer_decay: factor on the rate per layer of a pretrained encoder, from the top down.
        time: seconds, or ``5m``: speed is measured, and the number of steps fixed once in ``steps``.
        calibrate: fit a temperature on validation rows.
        views: looks at every row while it is judged, the first as it is, the others with its inputs augmented as in
            training (several crops of a picture, shifts of a sound); their answers are averaged.
        loggers: where losses and metrics are written while training, beside the model: ``tensorboard``, ``csv``
            (``metrics.csv``) and ``mlflow``, any of them or none.
        checkpoint: least seconds between two checkpoints from which a killed run can go on.
        workers: processes that make batches; 0 is right unless augmentation is heavy.
        seed: fixes everything random.
    """

    epochs: Auto | NotNegative = "auto"
    steps: Auto | Count = "auto"
    batch_size: Auto | Count = "auto"
    chunk: Count | None = None
    learning_rate: Auto | NotNegative = "auto"
    weight_decay: Auto | NotNegative = "auto"
    warmup: float = Field(0.2, ge=0, lt=1)
    clip: float = Field(1.0, ge=0)
    select: Literal["auto", "best", "last"] = "auto"
    judge: Literal["quality", "loss"] = "quality"
    patience: float = Field(0.35, gt=0, le=1)
    average: float = Field(0.0, ge=0, lt=1)
    precision: Literal["32", "bf16"] = "32"
    missing: Literal["mask", "token"] = "mask"
    modality_dropout: Auto | Chance | dict[str, Chance] = "auto"
    modality_dropout_schedule: Literal["constant", "rise", "fall"] = "constant"
    learning_rates: dict[str, NotNegative] = {}
    layer_decay: float = Field(0.8, gt=0, le=1)
    time: Annotated[Positive | None, BeforeValidator(_seconds)] = None
    calibrate: bool = True
    views: Count = 1
    loggers: Annotated[list[Literal["tensorboard", "csv", "mlflow"]], BeforeValidator(_as_list)] = ["tensorboard"]
    checkpoint: float = Field(20.0, ge=0)
    workers: int = Field(0, ge=0)
    seed: int = Field(0, ge=0)


class Recipe(_Section):
    """A whole model. ``outputs`` may be empty: then objectives alone train the encoders and no fusion is built.

    Args:
        data: which table, how it is read and split.
        inputs: name -> the columns of an input and its encoder; one per modality is made of the usable columns where
            none is named.
        outputs: name -> the column of an output and its head.
        fusion: ``default`` follows the size of the table; ``auto`` compares all fusions on validation rows and takes
            the best, for about as long as six trainings.
        objectives: extra losses; ``auto``, as when left out, lets each of several inputs answer alone as well, from 500
            to 5,000 rows.
        width: D of the tokens that reach the fusion.
        space: what aligned inputs share, where an objective aligns inputs.
        ensemble: who answers beside the network.
        training: how long, how fast, and what is kept.
        preset: what is taken where nothing is named. ``plain``: one encoder from scratch per input, and a network that
            answers alone. ``scratch``: plain statistics and members beside it. ``starter``: pretrained parts as
            well; so does ``auto`` where they are installed. ``best``: all that helps, more networks among it.
    """

    preset: Literal["auto", "plain", "scratch", "starter", "best"] = "auto"
    data: DataRecipe = DataRecipe()
    inputs: dict[str, InputRecipe] = {}
    fusion: Part = NamedPart(name="default")
    outputs: dict[str, OutputRecipe] = {}
    objectives: Annotated[list[ObjectiveRecipe] | None, BeforeValidator(_as_parts)] = None
    width: Auto | Count = "auto"
    space: SpaceRecipe = SpaceRecipe()
    ensemble: EnsembleRecipe = EnsembleRecipe()
    training: TrainingRecipe = TrainingRecipe()

    @property
    def reads(self) -> dict[str, list[str]]:
        """Input -> its readers, one per encoder: the first is called as the input, a further one INPUT+ENCODER."""
        found: dict[str, list[str]] = {}
        for name, item in self.inputs.items():
            names = [name]
            for encoder in item.encoders[1:]:
                called = [f"{name}+{encoder.name}", *(f"{name}+{encoder.name}{n}" for n in range(2, 99))]
                names.append(next(n for n in called if n not in names))
            found[name] = names
        return found

    @property
    def readers(self) -> dict[str, InputRecipe]:
        """Reader -> its input with that encoder alone, and what the encoder says of its own training."""
        found = {}
        for name, item in self.inputs.items():
            for reader, encoder in zip(self.reads[name], item.encoders, strict=True):
                found[reader] = item.model_copy(update={"encoder": encoder, **encoder.own})
        return found

    @property
    def keys(self) -> list[str]:
        """Columns whose equal values make rows the same to an objective."""
        return list(dict.fromkeys(o.keywords["key"] for o in self.extra_losses if o.keywords.get("key")))

    def masked(self, objective: ObjectiveRecipe) -> list[str]:
        """Names of the inputs of which an objective that masks hides something; all by default."""
        return _as_list(objective.keywords.get("hide")) or list(self.inputs)

    @property
    def addresses(self) -> dict[str, str]:
        """Field -> ``package.module:Class``, for every part that is named by where its code lies."""
        parts = {f"inputs.{n}.encoder": encoder.name for n, i in self.readers.items() for encoder in [i.part]}
        parts |= {f"outputs.{n}.head": o.head.name for n, o in self.outputs.items()} | {"fusion": self.fusion.name}
        parts |= {f"objectives.{n}": o.name for n, o in enumerate(self.extra_losses)}
        parts |= {f"ensemble.members.{n}": m.name for n, m in enumerate(self.ensemble.members or [])}
        return {where: name for where, name in parts.items() if registry.is_address(name)}

    @property
    def rated(self) -> list[str]:
        """Parts that may have a learning rate of their own."""
        names = [f"inputs.{name}" for name in self.inputs] + [f"outputs.{name}" for name in self.outputs]
        return [*names, "fusion", "space", *(f"objectives.{n}" for n in range(len(self.extra_losses)))]

    @property
    def extra_losses(self) -> list[ObjectiveRecipe]:
        """The objectives; none while they are still to be chosen."""
        return self.objectives or []

    def to_yaml(self) -> str:
        """The recipe as YAML, without what is at its default of None."""
        import yaml

        return yaml.safe_dump(self.model_dump(mode="json", exclude_none=True), sort_keys=False, allow_unicode=True)


def parse(values: dict[str, Any], name: str = "recipe") -> Recipe:
    """A recipe from plain values.

    Raises:
        RecipeError: a field is unknown or has a wrong value; suggests the nearest name.
    """
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        lines = [_explain_error(e["loc"], e["msg"], e["type"], e.get("input")) for e in error.errors()]
        raise RecipeError(f"{name}: " + "; ".join(dict.fromkeys(lines))) from None


def _explain_error(loc: tuple[int | str, ...], message: str, kind: str, value: Any) -> str:
    where = ".".join(str(part) for part in loc)
    if kind == "extra_forbidden":
        return f"{where}: no such field{suggest_name(str(loc[-1]), _fields_at(loc[:-1]))}"
    message = message.removeprefix("Value error, ")  # what pydantic puts before a message of our own
    return f"{where}: {message}" + ("" if ", found " in message else f", found {value!r}")


def _fields_at(loc: tuple[int | str, ...]) -> list[str]:
    sections: dict[str, type[BaseModel]] = {
        "data": DataRecipe,
        "inputs": InputRecipe,
        "outputs": OutputRecipe,
        "ensemble": EnsembleRecipe,
        "training": TrainingRecipe,
    }
    if loc[-1:] == ("limits",):
        return list(LimitsRecipe.model_fields)
    return list(sections.get(str(loc[0]), Recipe).model_fields) if loc else list(Recipe.model_fields)


def suggest_name(name: str, known: list[str]) -> str:
    """``; did you mean 'x'?``, or all that is known."""
    found = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {found[0]!r}?" if found else f"; known: {', '.join(known)}"
