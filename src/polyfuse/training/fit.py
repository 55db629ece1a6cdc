"""From a recipe and a table to a trained model: columns understood, cells prepared, the network built and trained."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from polyfuse import bundle as bundles
from polyfuse import registry
from polyfuse.bundle import Bundle
from polyfuse.data.batches import Rows
from polyfuse.data.cells.transform import Transform
from polyfuse.data.prepare import Prepared, Reading, fit_transform
from polyfuse.data.splits import Splits, groups_of
from polyfuse.data.tables import Table
from polyfuse.data.timeline import timeline
from polyfuse.encoded import encode_once
from polyfuse.model import Network, build
from polyfuse.reading import changes_of, columns_of, prepare_all, reading_of, rows_of, summary, weights_of
from polyfuse.recipe import Recipe, RecipeError, parse
from polyfuse.records import Spec
from polyfuse.training.complete import complete
from polyfuse.training.resume import begun
from polyfuse.training.together import train_together
from polyfuse.training.train import Result, Split

SETTLED = 1000  # training rows by which the tokens of encoders that never change are standardised


@dataclass
class Fitted:
    """A trained model, and the rows it was trained on.

    Args:
        prepared: ``in:NAME`` and ``out:NAME`` -> cells of the whole table.
        notes: what the user should know.
    """

    bundle: Bundle
    table: Table
    splits: Splits
    prepared: dict[str, Prepared]
    result: Result
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
) -> Fitted:
    """Train the model that a recipe describes on a table.

    Args:
        recipe: may leave anything ``auto``.
        splits: instead of those that the recipe describes, of a model that is judged elsewhere where no row tests.
        run: folder for checkpoints and TensorBoard event files.
        resume: go on from the run's last checkpoint.
        started: ``time.monotonic()`` from which a time budget counts.

    Raises:
        ValueError: what is asked cannot be; nothing was trained.
    """
    started = time.monotonic() if started is None else started
    elsewhere = splits is not None
    recipe, splits, notes = complete(recipe, table, splits)
    ready = prepare_for_training(recipe, table, splits)
    network = build_network(recipe, ready)
    ready, kept = encoded_once(network, recipe, ready)
    settle(network, ready.rows, splits.train)
    network, said = asked(network, recipe, ready, splits.train)
    notes += [*kept, *said]
    if run is not None:
        recipe, said = begun(recipe, run, resume)
        notes += said
    deadline = started + recipe.training.time if recipe.training.time else None
    split = labelled(ready.rows, splits)
    notes += _idle_tokens(network, ready.rows, split)
    shared = {name: network.encoder(name) for name in network.frozen}

    def further(seed: int) -> Network:
        own = recipe.model_copy(deep=True)
        own.training.seed = seed
        made = build_network(own, ready, shared)
        settle(made, ready.rows, splits.train)
        return made

    trained = train_together(
        network,
        recipe,
        ready.rows,
        split,
        further,
        groups_R=_groups(recipe, table),
        block_R=_blocks(recipe, table),
        spare=not len(splits.test) and not elsewhere,
        run=run,
        resume=resume,
        quiet=quiet,
        deadline=deadline,
    )
    network, result = trained.network, trained.result
    notes += trained.notes
    notes += dict.fromkeys(note for cells in ready.prepared.values() for note in summary(cells, table))
    if result.planned < result.unhurried:
        enough = result.planned * int(recipe.training.batch_size) >= len(split.train)
        notes.append(
            f"the time budget had room for {result.planned:,} of {result.unhurried:,} steps"
            + ("" if enough else ", less than one pass over the training rows: give it more")
        )
    if result.interrupted:
        how = f"go on with: polyfuse fit {run} --resume --to {run.with_suffix('')}" if run else "give a folder (to=...)"
        notes.append(f"interrupted after {result.steps} of {result.planned} steps; {how}")
    counts = {side: len(getattr(splits, side)) for side in ("train", "val", "test")}
    report: dict[str, Any] = {"training": {**result.facts(), "rows": counts}}
    report |= {"ensemble": trained.report} if network.ensemble is not None else {}
    made = Bundle(recipe, network, ready.transforms, ready.specs, report)
    return Fitted(made, table, splits, ready.prepared, result, notes)


def _groups(recipe: Recipe, table: Table) -> np.ndarray | None:
    """A number per row for its group, where the recipe names a column of groups."""
    if recipe.data.group is None:
        return None
    return groups_of(table.frame[recipe.data.group])


def _blocks(recipe: Recipe, table: Table) -> np.ndarray | None:
    """The stretch of time of each row, where the recipe names a column to order rows by."""
    if recipe.data.order is None:
        return None
    return timeline(table.frame[recipe.data.order], _groups(recipe, table)).block_N


def settle(network: Network, rows: Rows, numbers: np.ndarray) -> None:
    """Standardise single tokens of encoders that never change by some training rows: their scale is their own."""
    some = np.random.default_rng(0).permutation(numbers)[:SETTLED]
    seen = {reader for own in network.fused.values() for reader in own}
    plain = Rows({name: rows.inputs[name] for name in sorted(network.frozen & seen)}, {}, rows.count)
    if not plain.inputs or not len(some):
        return
    network.eval()
    with torch.inference_mode():
        batch = plain[0, some].to(next(network.parameters()).device)
        for name, cells in batch.inputs.items():
            tokens: Any = network.read(name, cells).fields
            if tokens.x_BTD.shape[1] == 1 and tokens.mask_BT.any():
                network.join(name).settle(tokens.x_BTD[tokens.mask_BT])


def _idle_tokens(network: Network, rows: Rows, split: Split) -> list[str]:
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
class Ready:
    """All that a completed recipe needs of a table before a network is built.

    Args:
        specs, transforms, prepared: ``in:NAME`` and ``out:NAME`` -> what the part asked for, fitted, and its cells.
        rows: the same cells as rows, with augmentation.
    """

    specs: dict[str, Spec]
    transforms: dict[str, Transform]
    prepared: dict[str, Prepared]
    rows: Rows


def prepare_for_training(recipe: Recipe, table: Table, splits: Splits) -> Ready:
    """Fit the transforms on training rows and read every cell of the table."""
    specs, reading = _specs(recipe), reading_of(recipe, table)
    transforms = _transforms(recipe, specs, table, splits, reading)
    prepared = prepare_all(recipe, transforms, table, reading)
    weights = weights_of(recipe, table, np.concatenate([splits.train, splits.val]))
    rows = replace(rows_of(prepared, len(table), recipe), augment=changes_of(recipe, prepared), weights_R=weights)
    return Ready(specs, transforms, prepared, rows)


def encoded_once(network: Network, recipe: Recipe, ready: Ready) -> tuple[Ready, list[str]]:
    """The same with tokens in place of the cells of frozen encoders."""
    prepared, notes = encode_once(network, recipe, ready.prepared)
    inputs = {name: prepared[f"in:{name}"] for name in ready.rows.inputs}
    augment = {name: change for name, change in ready.rows.augment.items() if inputs[name].assemble is None}
    return replace(ready, prepared=prepared, rows=replace(ready.rows, inputs=inputs, augment=augment)), notes


def build_network(recipe: Recipe, ready: Ready, encoders: Mapping[str, nn.Module] | None = None) -> Network:
    """A fresh network by the recipe's seed, weights of other models taken where the recipe says so.

    Args:
        encoders: input name -> an encoder to share instead of making one.
    """
    torch.manual_seed(recipe.training.seed)
    facts = {name: transform.facts() for name, transform in ready.transforms.items()}
    network = build(recipe, facts, bundles.slots(recipe, ready.transforms), encoders=encoders)
    for name, item in recipe.readers.items():
        if item.init_from and name not in (encoders or {}):
            _start(network.encoder(name), bundles.read_input(item.init_from).weights, f"inputs.{name}", item.init_from)
    return network


def _start(encoder: nn.Module, weights: Mapping[str, Any], where: str, source: str) -> None:
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


def asked(
    network: Network,
    recipe: Recipe,
    ready: Ready,
    train_rows: np.ndarray,
    encoders: Mapping[str, nn.Module] | None = None,
) -> tuple[Network, list[str]]:
    """The network whose fusion asks from the input with the most tokens, where the recipe leaves that open.

    The choice is written into the recipe, so that loading and fitting again repeat it.

    Args:
        encoders: those that the network was built with.
    """
    taken = getattr(network.fusion, "query", None)
    if taken is None or recipe.fusion.keywords.get("query", "auto") != "auto":
        return network, []
    lengths = _token_counts(network, ready.rows, train_rows)
    query = max(lengths, key=lambda name: lengths[name])
    recipe.fusion = parse({"fusion": {**recipe.fusion.model_dump(), "query": query}}).fusion
    found = network
    if query != taken:
        found = build_network(recipe, ready, encoders)
        settle(found, ready.rows, train_rows)
    counts = ", ".join(f"{name} {length:.0f}" for name, length in lengths.items())
    return found, [f"{recipe.fusion.name} asks from input {query!r}, which has the most tokens ({counts} per row)"]


def _token_counts(network: Network, rows: Rows, numbers: np.ndarray) -> dict[str, float]:
    """Mean number of real tokens per row and input, over some rows."""
    some = np.random.default_rng(0).permutation(numbers)[:64]
    plain = replace(rows, augment={})
    network.eval()
    with torch.inference_mode():
        encoded = network.encode(plain[0, some].to(next(network.parameters()).device))
    return {name: float(tokens.mask_BT.sum(1).float().mean()) for name, tokens in encoded.items()}


def _specs(recipe: Recipe) -> dict[str, Spec]:
    specs = {}
    for name, item in recipe.readers.items():
        encoder = registry.encoder(item.modality, item.part.name)  # type: ignore[arg-type]
        specs[f"in:{name}"] = encoder.wants(**item.part.keywords)  # type: ignore[attr-defined]
    for name, output in recipe.outputs.items():
        specs[f"out:{name}"] = registry.head(output.head.name).wants(**output.head.keywords)  # type: ignore[attr-defined]
    return specs


def _transforms(
    recipe: Recipe, specs: Mapping[str, Spec], table: Table, splits: Splits, reading: Reading
) -> dict[str, Transform]:
    """Fitted on training rows; an input that starts from another model keeps that model's preprocessing."""
    made, readers = {}, recipe.readers
    for name, columns in columns_of(recipe).items():
        source = readers[name[3:]].init_from if name.startswith("in:") else None
        if source:
            made[name] = bundles.read_input(source).transform
        else:
            made[name] = fit_transform(specs[name], table.frame, columns, splits.train, reading)
    return made


def labelled(rows: Rows, splits: Splits) -> Split:
    """The training and validation rows that have at least one target to learn from."""
    if not rows.outputs:
        return Split(splits.train, splits.val)
    has_R = np.any([prepared.index_RK[:, 0] >= 0 for prepared in rows.outputs.values()], axis=0)
    return Split(*(numbers[has_R[numbers]] for numbers in (splits.train, splits.val)))
