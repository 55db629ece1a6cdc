"""From a recipe and a table to a trained model: columns understood, cells prepared, the network built and trained."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import pandas as pd
import torch
from torch import nn

from polyfuse import registry
from polyfuse.contracts import says
from polyfuse.data.batches import Rows
from polyfuse.data.cells.frame import Frame
from polyfuse.data.cells.transform import Transform
from polyfuse.data.prepare import Prepared, Reading, fit_transform
from polyfuse.data.splits import Splits
from polyfuse.data.tables import Table
from polyfuse.model import bundle as bundles
from polyfuse.model.bundle import Bundle, read_initial_inputs
from polyfuse.model.network import Network, build
from polyfuse.model.prepare import (
    augmentations,
    columns_of,
    make_rows,
    note_missing_targets,
    note_truncated,
    prediction_notes,
    prepare_all,
    read_options,
    sample_weights,
)
from polyfuse.model.token_cache import encode_once
from polyfuse.recipe import Recipe, RecipeError, parse
from polyfuse.recipe.outputs import picture_readers
from polyfuse.recipe.resolve import resolve, row_groups, row_times
from polyfuse.records import Spec
from polyfuse.system.device import choose_device, device_of, place
from polyfuse.system.messages import show_bars
from polyfuse.system.process import Interrupted
from polyfuse.training import reward
from polyfuse.training.alignment_checks import check_alignments
from polyfuse.training.masked_evaluation import evaluate_guesses
from polyfuse.training.resume import resume_hint, start_or_resume
from polyfuse.training.train import Result, Split
from polyfuse.training.train_members import train_together

JUDGING_SHARE = 0.4  # of a time budget, at most, that training leaves for judging
Judging: TypeAlias = Callable[[Bundle, Table, dict[str, Prepared], np.ndarray], float]
"""Seconds that judging a model on some rows takes, network trained or not."""

SETTLED = 1000  # training rows by which the tokens of encoders that never change are standardised


class Teaching(Protocol):
    """What a network learns beside its recipe, of a model that is there already; it is no part of what is saved."""

    def known(self, name: str, spec: Spec, columns: Mapping[str, str]) -> Transform | None:
        """A transform that is fitted already, by what it is for, what its part asks for and its columns."""

    def rows(self, ready: TrainingData) -> Rows:
        """The rows to learn from: those of the recipe, with what the teacher reads beside."""

    def objective(self, network: Network) -> nn.Module:
        """A further loss for a network; its rows are those of ``rows``."""


@dataclass
class Fitted:
    """A trained model, and the rows it was trained on.

    Args:
        prepared: ``in:NAME`` and ``out:NAME`` -> cells of the whole table.
        judged: rows that tell how good the model is: of the test split, else of validation.
        notes: what the user should know.
    """

    bundle: Bundle
    table: Table
    splits: Splits
    prepared: dict[str, Prepared]
    result: Result
    judged: np.ndarray
    notes: list[str] = field(default_factory=list)


def fit(
    recipe: Recipe,
    table: Table,
    *,
    splits: Splits | None = None,
    run: Path | None = None,
    resume: bool = False,
    quiet: bool = False,
    started: float | None = None,
    device: str | torch.device = "auto",
    judging: Judging | None = None,
    teaching: Teaching | None = None,
) -> Fitted:
    """Train the model that a recipe describes on a table.

    Args:
        recipe: may leave anything ``auto``.
        splits: instead of those that the recipe describes, of a model that is judged elsewhere where no row tests.
        run: folder for checkpoints and TensorBoard event files.
        resume: go on from the run's last checkpoint.
        started: ``time.monotonic()`` from which a time budget counts.
        device: where everything computes that is a network; see ``device.choose_device``.
        judging: how long the judging takes that follows, for which a time budget leaves room.
        teaching: what is learnt of another model.

    Raises:
        ValueError: what is asked cannot be; nothing was trained.
    """
    started, where = time.monotonic() if started is None else started, choose_device(device)
    elsewhere = splits is not None
    recipe, splits, notes = resolve(recipe, table, splits, starts=read_initial_inputs(recipe))
    with show_bars(not quiet):
        ready = prepare_for_training(recipe, table, splits, teaching)
    read = time.monotonic()
    network = build_network(recipe, ready, device=where)
    ready, kept = encode_frozen_inputs(network, recipe, ready)
    standardize_frozen_tokens(network, ready.rows, splits.train)
    network, said = resolve_query(network, recipe, ready, splits.train)
    notes += [*ready.notes, *kept, *said]
    if run is not None:
        recipe, said = start_or_resume(recipe, run, resume)
        notes += said
    split = labelled_rows(ready.rows, splits)
    has_R = has_target(ready.rows)
    tested = bool(has_R[splits.test].any())
    judged = splits.test if tested else split.val
    deadline, share = started + recipe.training.time if recipe.training.time else None, 0.0
    if deadline is not None and judging is not None:
        bundle = Bundle(recipe, network, ready.transforms, ready.specs)
        known_first = judged[np.argsort(~has_R[judged], kind="stable")]  # timed on few: some that can be judged
        share, said = _reserve_evaluation_time(judging, bundle, table, ready.prepared, known_first, deadline)
        deadline -= share
        notes += said
    notes += _note_unlabelled(recipe, ready.rows, splits)
    notes += _note_unused_stand_ins(network, ready.rows, split)
    shared = {name: network.encoder(name) for name in network.frozen}

    def further(seed: int) -> Network:
        own = recipe.model_copy(deep=True)
        own.training.seed = seed
        made = build_network(own, ready, shared, device=where)
        standardize_frozen_tokens(made, ready.rows, splits.train)
        return taught(made, teaching)

    learnt = ready.rows if teaching is None else teaching.rows(ready)
    network = taught(network, teaching)
    encoded, line = time.monotonic(), row_times(recipe, table)
    try:
        trained = train_together(
            network,
            recipe,
            learnt,
            split,
            further,
            groups_R=row_groups(recipe, table),
            block_R=None if line is None else line.block_N,
            spare=not tested and not elsewhere,
            run=run,
            resume=resume,
            quiet=quiet,
            deadline=deadline,
            judging=share,
        )
    except KeyboardInterrupt as stop:  # while learners were fitted or weighed, or a second one
        raise Interrupted(f"before there was a model; {resume_hint(run, recipe.training.checkpoint)}") from stop
    spent = {"reading": read - started, "encoding": encoded - read, "training": time.monotonic() - encoded}
    network, result = trained.network, trained.result
    for made in (network, *(network.ensemble.networks if network.ensemble is not None else ())):
        untaught(made, teaching)
    notes += [*trained.notes, *reward.note_reward_stages(network, result.planned)]
    plain = replace(ready.rows, augment={})
    said, aligned = check_alignments(network, recipe, plain, split.train)
    notes += said
    looked_at, numbers = ("validation", split.val) if len(split.val) else ("training", split.train)
    said, masked = evaluate_guesses(network, plain, numbers, looked_at)
    notes += said
    if result.planned < result.unhurried:
        enough = result.planned * int(recipe.training.batch_size) >= len(split.train)
        notes.append(
            f"the time budget had room for {result.planned:,} of {result.unhurried:,} steps"
            + ("" if enough else ", less than one pass over the training rows: give it more")
        )
    if result.shortened:
        notes.append(
            f"steps took longer than they were measured to: {result.steps:,} of {result.planned:,} were taken so that "
            "the time budget holds, and the rates fell faster; the recipe fitted again takes as many and repeats this "
            "model nearly, not exactly"
        )
    if result.interrupted:
        way = resume_hint(run, recipe.training.checkpoint)
        notes.append(f"interrupted after {result.steps} of {result.planned} steps; {way}")
    counts = {side: len(getattr(splits, side)) for side in ("train", "val", "test")}
    seconds = {name: round(value, 2) for name, value in spent.items()}
    report: dict[str, Any] = {"training": {**result.facts(), "rows": counts}, "seconds": seconds}
    report |= {name: found for name, found in (("alignment", aligned), ("masked", masked)) if found}
    report |= {"ensemble": trained.report} if network.ensemble is not None else {}
    made = Bundle(recipe, network, ready.transforms, ready.specs, report)
    return Fitted(made, table, splits, ready.prepared, result, judged, notes)


def taught(network: Network, teaching: Teaching | None) -> Network:
    """The network with the loss of what it is taught among its objectives, until ``untaught``."""
    if teaching is not None:
        network.objectives.append(teaching.objective(network).to(device_of(network)))
        network.objective_weights.append(1.0)
    return network


def untaught(network: Any, teaching: Teaching | None) -> None:
    """The network as its recipe makes it again."""
    if teaching is not None:
        network.objectives = network.objectives[:-1]
        network.objective_weights.pop()


def _note_unlabelled(recipe: Recipe, rows: Rows, splits: Splits) -> list[str]:
    """A note per output that no test row has a value of; ``note_missing_targets`` counts those that lack one."""
    return [
        f"output {name!r}: no test row has a value of {output.column!r} that can be judged; its figures cannot come "
        "from the test split"
        for name, output in recipe.outputs.items()
        if len(splits.test) and not (rows.outputs[name].index_RK[splits.test, 0] >= 0).any()
    ]


def _reserve_evaluation_time(
    judging: Judging, bundle: Bundle, table: Table, prepared: dict[str, Prepared], rows: np.ndarray, deadline: float
) -> tuple[float, list[str]]:
    """Seconds of a time budget that are left for judging, and what to say where it takes more than that."""
    if not len(rows) or not bundle.recipe.outputs:
        return 0.0, []
    left = max(0.0, deadline - time.monotonic())
    needed = judging(bundle, table, prepared, rows)
    if needed <= JUDGING_SHARE * left:
        return needed, []
    said = (
        f"judging {len(rows):,} rows takes about {needed:.0f} s, more than {JUDGING_SHARE:.0%} of what is left of the "
        "time budget, which will not hold; fewer test rows take less"
    )
    logging.getLogger("polyfuse").warning(said)  # before the time is spent
    return JUDGING_SHARE * left, [said]


def standardize_frozen_tokens(network: Network, rows: Rows, numbers: np.ndarray) -> None:
    """Standardise single tokens of encoders that never change by some training rows: their scale is their own."""
    some = np.random.default_rng(0).permutation(numbers)[:SETTLED]
    seen = {reader for own in network.fused.values() for reader in own}
    plain = Rows({name: rows.inputs[name] for name in sorted(network.frozen & seen)}, {}, rows.count)
    if not plain.inputs or not len(some):
        return
    network.eval()
    with torch.inference_mode():
        batch = plain[0, some].to(device_of(network))
        for name, cells in batch.inputs.items():
            tokens: Any = network.read(name, cells).fields
            if tokens.x_BTD.shape[1] == 1 and tokens.mask_BT.any():
                network.join(name).settle(tokens.x_BTD[tokens.mask_BT])


def _note_unused_stand_ins(network: Network, rows: Rows, split: Split) -> list[str]:
    """A note where tokens are to stand in for missing inputs and training shows none that is missing."""
    hidden = any(network.modality_dropout.values())
    missing = any((cells.index_RK[split.train] < 0).all(1).any() for cells in rows.inputs.values())
    if network.absent is None or hidden or missing:
        return []
    return [
        "training.missing: token: no input is missing in training, and modality_dropout is 0, so that the tokens in "
        "place of missing inputs learn nothing"
    ]


@dataclass
class TrainingData:
    """All that a completed recipe needs of a table before a network is built.

    Args:
        specs, transforms, prepared: ``in:NAME`` and ``out:NAME`` -> what the part asked for, fitted, and its cells.
        rows: the same cells as rows, with augmentation.
        notes: what of the table is not read, or not learnt from.
    """

    specs: dict[str, Spec]
    transforms: dict[str, Transform]
    prepared: dict[str, Prepared]
    rows: Rows
    notes: list[str] = field(default_factory=list)


def prepare_for_training(
    recipe: Recipe, table: Table, splits: Splits, teaching: Teaching | None = None
) -> TrainingData:
    """Fit the transforms on training rows and read every cell of the table."""
    specs, reading = _specs(recipe), read_options(recipe, table)
    transforms = _fit_transforms(recipe, specs, table, splits, reading, teaching)
    prepared = prepare_all(recipe, transforms, table, reading)
    rows = rows_for_training(recipe, prepared, table, splits)
    sides = {"train": splits.train, "validate": splits.val, "test": splits.test}
    notes = note_missing_targets(prepared, table, sides) + prediction_notes(prepared, table)
    notes += dict.fromkeys(note for transform in transforms.values() for note in getattr(transform, "notes", ()))
    return TrainingData(
        specs, transforms, prepared, rows, notes + note_truncated(recipe, prepared, table, splits.train, reading)
    )


def rows_for_training(recipe: Recipe, prepared: Mapping[str, Prepared], table: Table, splits: Splits) -> Rows:
    """Prepared cells as rows to learn from: with augmentation, weights and keys."""
    return replace(
        make_rows(prepared, len(table), recipe),
        augment=augmentations(recipe, prepared),
        weights_R=sample_weights(recipe, table, np.concatenate([splits.train, splits.val])),
        keys=_key_numbers(recipe, table),
        origin_R=table.rows_N if recipe.data.draw == "one" else None,
    )


def _key_numbers(recipe: Recipe, table: Table) -> dict[str, np.ndarray]:
    """Column that an objective asked for -> a number per row, -1 where its cell is empty."""
    return {name: pd.factorize(table.require(name).astype(object))[0].astype(np.int64) for name in recipe.keys}


def encode_frozen_inputs(network: Network, recipe: Recipe, ready: TrainingData) -> tuple[TrainingData, list[str]]:
    """The same with tokens in place of the cells of frozen encoders."""
    prepared, notes = encode_once(network, recipe, ready.prepared)
    inputs = {name: prepared[f"in:{name}"] for name in ready.rows.inputs}
    augment = {name: change for name, change in ready.rows.augment.items() if inputs[name].assemble is None}
    return replace(ready, prepared=prepared, rows=replace(ready.rows, inputs=inputs, augment=augment)), notes


def build_network(
    recipe: Recipe,
    ready: TrainingData,
    encoders: Mapping[str, nn.Module] | None = None,
    *,
    device: torch.device = torch.device("cpu"),
) -> Network:
    """A fresh network by the recipe's seed, weights of other models taken where the recipe says so.

    Args:
        encoders: input name -> an encoder to share instead of making one.
        device: where it goes; its weights are the same on all.
    """
    torch.manual_seed(recipe.training.seed)
    facts = {name: transform.facts() for name, transform in ready.transforms.items()}
    network = build(recipe, facts, bundles.count_slots(recipe, ready.transforms), encoders=encoders)
    for name, item in recipe.readers.items():
        if item.init_from and name not in (encoders or {}):
            _load_start_weights(
                network.encoder(name), bundles.read_input(item.init_from).weights, f"inputs.{name}", item.init_from
            )
    return place(network, device)


def _load_start_weights(encoder: nn.Module, weights: Mapping[str, Any], where: str, source: str) -> None:
    """Take the weights of another model's encoder; adapters (``transfer: lora``) may be new, around the old layers.

    Raises:
        RecipeError: the weights are of another shape, or have adapters where this encoder has none.
    """
    wanted = encoder.state_dict()
    inside = {".base_layer.".join(key.rsplit(".", 1)): key for key in weights if key not in wanted}
    renamed = {new if new in wanted else key: weights[key] for new, key in inside.items()}
    given = {key: tensor for key, tensor in weights.items() if key in wanted} | renamed
    tied = {wanted[key].data_ptr() for key in given if key in wanted}  # a bundle keeps one name of a shared tensor
    lacking = {key for key in wanted if key not in given and wanted[key].data_ptr() not in tied}
    missing = [key for key in lacking if ".lora_" not in key]
    unexpected = [key for key in given if key not in wanted]
    if any(".lora_" in key for key in unexpected):
        raise RecipeError(f"{where}.init_from: {source} was trained with adapters; set {where}.transfer: lora")
    if missing or unexpected:
        raise RecipeError(f"{where}.init_from: weights of {source} do not fit: {[*missing, *unexpected][:5]}")
    encoder.load_state_dict(given, strict=False)


def resolve_query(
    network: Network,
    recipe: Recipe,
    ready: TrainingData,
    train_rows: np.ndarray,
    encoders: Mapping[str, nn.Module] | None = None,
) -> tuple[Network, list[str]]:
    """The network whose fusion asks from the input with the most tokens, where the recipe leaves that open.

    The choice is written into the recipe, so that loading and fitting again repeat it.

    Args:
        encoders: those that the network was built with.
    """
    taken = says(network.fusion, "query")
    if taken is None or recipe.fusion.keywords.get("query", "auto") != "auto":
        return network, []
    lengths = _token_counts(network, ready.rows, train_rows)
    query = max(lengths, key=lambda name: lengths[name])
    recipe.fusion = parse({"fusion": {**recipe.fusion.model_dump(), "query": query}}).fusion
    found = network
    if query != taken:
        found = build_network(recipe, ready, encoders, device=device_of(network))
        standardize_frozen_tokens(found, ready.rows, train_rows)
    counts = ", ".join(f"{name} {length:.0f}" for name, length in lengths.items())
    return found, [f"{recipe.fusion.name} asks from input {query!r}, which has the most tokens ({counts} per row)"]


def _token_counts(network: Network, rows: Rows, numbers: np.ndarray) -> dict[str, float]:
    """Mean number of real tokens per row and input, over some rows."""
    some = np.random.default_rng(0).permutation(numbers)[:64]
    plain = replace(rows, augment={})
    network.eval()
    with torch.inference_mode():
        encoded = network.encode(plain[0, some].to(device_of(network)))
    return {name: float(tokens.mask_BT.sum(1).float().mean()) for name, tokens in encoded.items()}


def _specs(recipe: Recipe) -> dict[str, Spec]:
    specs = {}
    for name, item in recipe.readers.items():
        encoder = registry.encoder(item.modality, item.part.name)  # type: ignore[arg-type]
        specs[f"in:{name}"] = encoder.wants(**item.part.keywords)  # type: ignore[attr-defined]
    for name, output in recipe.outputs.items():
        specs[f"out:{name}"] = registry.head(output.head.name).wants(**output.head.keywords)  # type: ignore[attr-defined]
    return specs


def _fit_transforms(
    recipe: Recipe,
    specs: Mapping[str, Spec],
    table: Table,
    splits: Splits,
    reading: Reading,
    teaching: Teaching | None = None,
) -> dict[str, Transform]:
    """Fitted on training rows; an input that starts from another model keeps that model's preprocessing."""
    made, readers, columns_by_name = {}, recipe.readers, columns_of(recipe)
    for name in specs:
        columns = columns_by_name[name]
        source = readers[name[3:]].init_from if name.startswith("in:") else None
        known = teaching.known(name, specs[name], columns) if teaching is not None else None
        if source:
            made[name] = bundles.read_input(source).transform
        elif known is not None:
            made[name] = known
        else:
            made[name] = fit_transform(specs[name], table.frame, columns, splits.train, reading)
    for output, reader in picture_readers(recipe).items():
        target: Any = made[f"out:{output}"]
        target.see_as(_frame_of(made[f"in:{reader}"], reader, output), reader)
    return made


def _frame_of(transform: Any, reader: str, output: str) -> Frame:
    """How an input sees pictures, in whose pixels an output answers.

    Raises:
        RecipeError: its transform cannot say.
    """
    if not hasattr(transform, "frame"):
        raise RecipeError(
            f"output {output!r} answers in pixels, and the encoder of input {reader!r} does not say how it sees them; "
            "expected one that reads image.pixels"
        )
    return transform.frame()


def labelled_rows(rows: Rows, splits: Splits) -> Split:
    """The training and validation rows that have at least one target to learn from."""
    has_R = has_target(rows)
    return Split(*(numbers[has_R[numbers]] for numbers in (splits.train, splits.val)))


def has_target(rows: Rows) -> np.ndarray:
    """True for each row with a target of at least one output, and for every row where there are no outputs."""
    if not rows.outputs:
        return np.ones(rows.count, dtype=bool)
    return np.any([prepared.index_RK[:, 0] >= 0 for prepared in rows.outputs.values()], axis=0)
