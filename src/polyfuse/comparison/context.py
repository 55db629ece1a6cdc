"""The context that all runs of a comparison share: table, splits, prepared cells, tokens of frozen encoders."""

from __future__ import annotations

import ast
import hashlib
import json
import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from polyfuse import registry
from polyfuse.contracts import says
from polyfuse.data.batches import Rows
from polyfuse.data.corrupt import default_corruptions
from polyfuse.data.prepare import Prepared
from polyfuse.data.tables import Table
from polyfuse.evaluation.glossary import term
from polyfuse.evaluation.judges import headline, judge
from polyfuse.evaluation.noise import Noises
from polyfuse.evaluation.outcome import Outcome
from polyfuse.evaluation.robustness import robustness
from polyfuse.evaluation.targets import input_modalities, make_outcomes, metric_weights, true_values
from polyfuse.model.bundle import Bundle, read_initial_inputs
from polyfuse.model.inference import predict_subsets
from polyfuse.model.network import Network
from polyfuse.model.prepare import make_rows
from polyfuse.model.token_cache import weights_digest
from polyfuse.recipe import Recipe, RecipeError, defaults, parse
from polyfuse.recipe.outputs import inputs_read_directly
from polyfuse.recipe.resolve import resolve
from polyfuse.system.device import choose_device, device_of
from polyfuse.training.fit import (
    TrainingData,
    build_network,
    encode_frozen_inputs,
    labelled_rows,
    prepare_for_training,
    resolve_query,
    standardize_frozen_tokens,
)
from polyfuse.training.train import planned_steps, train

NOISE = 0.5  # severity at which robustness is compared
NOISED_ROWS = 1000  # test rows that are noised at most: noise spoils every row's own copy of a cell
LATENCY_CALLS = 15
LEARNING = ("encoders", "fusion", "heads", "layers", "objectives", "training", "model", "recipe")


@dataclass(frozen=True)
class Variant:
    """What one line of a comparison trains: a fusion of all inputs, one input alone, or an alignment of inputs."""

    kind: str  # fusion, single or alignment
    name: str

    @property
    def key(self) -> str:
        """Names it in files."""
        return f"{self.kind}-{self.name}"


@dataclass
class Run:
    """One trained network: facts, and what it said of the test rows.

    Args:
        outcome: of the compared output on test rows.
        validation: its metric on validation rows, None without any.
        without: input -> the metric when this input is missing in every row.
        noise, retention: the metric at severity 0.5 in all inputs together, and the share of the advantage left.
        query: the input that an asymmetric fusion asks from.
    """

    outcome: Outcome
    validation: float | None
    parameters: int
    steps: int
    train_seconds: float
    predict_ms: float
    without: dict[str, float | None] = field(default_factory=dict)
    noise: float | None = None
    retention: float | None = None
    query: str | None = None


class Context:
    """A table and a recipe made ready for any number of runs; ``alignments.AlignmentContext`` is for alignments.

    Args:
        recipe: may leave anything open; its fusion is what the variants replace.
        output: name of the compared output; the first by default.
        unit: column whose values are resampled together.
        device: see ``device.choose_device``.

    Raises:
        RecipeError: no output, or no such one.
        ValueError: no such device.
    """

    def __init__(
        self,
        recipe: Recipe,
        table: Table,
        output: str | None = None,
        unit: str | None = None,
        device: str | torch.device = "auto",
    ):
        self.device = choose_device(device)
        self.recipe, self.splits, self.notes = resolve(recipe, table, starts=read_initial_inputs(recipe))
        self.table = table
        self.output = self._compared(output)
        self.unit = unit or self.recipe.data.group
        if self.unit is not None:
            table.require(self.unit)
        self.ready: TrainingData = prepare_for_training(self.recipe, table, self.splits)
        base = build_network(_with_fusion(self.recipe, "concat"), self.ready, device=self.device)
        self.shared: dict[str, nn.Module] = {name: base.encoder(name) for name in sorted(base.frozen)}
        self.kept, said = encode_frozen_inputs(base, self.recipe, self.ready)
        self.notes += [*self.ready.notes, *said]
        self._quoted: str | None = (
            says(base.head(self.output), "metric") if self.output in self.recipe.outputs else None
        )
        self.heard: Noises = {}
        self.split = labelled_rows(self.ready.rows, self.splits)

    kind, base = "fusion", Variant("fusion", "concat")  # of what is compared, and what all else is compared with

    def _compared(self, output: str | None) -> str:
        """The name of what is judged."""
        if not self.recipe.outputs:
            raise RecipeError("comparing needs an output: name one (--output COLUMN), or align inputs (--align A,B)")
        if output is not None:
            registry.choose(self.recipe.outputs, output, "output")
        return output or next(iter(self.recipe.outputs))

    @property
    def singles(self) -> list[Variant]:
        """Single inputs, which all else should beat."""
        needed = inputs_read_directly(self.recipe)
        return [Variant("single", name) for name in self.recipe.inputs if needed <= {name}]

    @property
    def steps(self) -> int:
        """Of one whole training."""
        per_epoch = max(1, -(-len(self.split.train) // int(self.recipe.training.batch_size)))
        return planned_steps(self.recipe, per_epoch)

    @property
    def judgeable(self) -> bool:
        """Whether a test row has a value of the compared output."""
        return bool((self.ready.rows.outputs[self.output].index_RK[self.splits.test, 0] >= 0).any())

    @property
    def judged(self) -> np.ndarray:
        """Test rows, or validation rows of a table without any that can be judged."""
        return self.splits.test if self.judgeable else self.split.val

    @cached_property
    def groups(self) -> list[Hashable] | None:
        """Of the judged rows: those of one unit are resampled together."""
        if self.unit is None:
            return None
        cells = self.table.frame[self.unit].iloc[self.judged]
        return [hashlib.blake2b(v).digest() if isinstance(v, bytes) else str(v) for v in cells]

    @cached_property
    def fingerprint(self) -> str:
        """The same for the same work: a folder of runs of other work must not be gone on with."""
        recipe = self.recipe.model_dump(mode="json")
        recipe["data"]["table"] = None
        found = hashlib.blake2b(json.dumps([recipe, self.output, self.unit], sort_keys=True).encode(), digest_size=16)
        for side in ("train", "val", "test"):
            found.update(getattr(self.splits, side).tobytes())
        for prepared in self.ready.prepared.values():
            found.update(prepared.index_RK.tobytes() + b"".join(prepared.digests))
        for encoder in self.shared.values():
            found.update(weights_digest(encoder).encode())
        found.update(_code().encode() + self._own_code())
        return found.hexdigest()

    def _own_code(self) -> bytes:
        """Names the code of parts that do not come with the package."""
        recipe, kinds = self.recipe, [registry.fusion(name) for name in registry.table_of("fusion")]
        kinds += [registry.encoder(str(item.modality), item.part.name) for item in recipe.readers.values()]
        kinds += [registry.head(output.head.name) for output in recipe.outputs.values()]
        kinds += [registry.objective(objective.name) for objective in recipe.extra_losses]
        return b"".join(registry.own_source(kind) for kind in kinds if isinstance(kind, type))

    def variant_recipe(self, variant: Variant, seed: int, steps: int) -> Recipe:
        """The completed recipe of one run."""
        recipe = (
            _with_fusion(self.recipe, variant.name)
            if variant.kind == "fusion"
            else _single_input_recipe(self.recipe, variant.name)
        )
        recipe.training.seed, recipe.training.steps = seed, steps
        return recipe

    def network(self, variant: Variant, seed: int, steps: int) -> tuple[Network, Recipe, TrainingData]:
        """An untrained network, its recipe, and the cells that it reads."""
        recipe = self.variant_recipe(variant, seed, steps)
        kept, shared = _select_inputs(self.kept, recipe), {n: e for n, e in self.shared.items() if n in recipe.readers}
        network = build_network(recipe, kept, shared, device=self.device)
        standardize_frozen_tokens(network, kept.rows, self.splits.train)
        network, _ = resolve_query(network, recipe, kept, self.splits.train, shared)
        return network, recipe, kept

    def run(self, variant: Variant, seed: int, steps: int, *, whole: bool = True) -> Run:
        """Train one network and judge it.

        Args:
            whole: also measure robustness and missing inputs; a run that may be stopped does without.

        Raises:
            KeyboardInterrupt: Ctrl-C or a polite kill while it trained.
        """
        network, recipe, kept = self.network(variant, seed, steps)
        result = train(network, recipe, kept.rows, self.split, quiet=True)
        if result.interrupted:
            raise KeyboardInterrupt  # a part of a training says nothing of the fusion
        bundle = Bundle(recipe, network, kept.transforms, kept.specs)
        removed = [n for n in recipe.inputs if whole and len(recipe.inputs) > 1]
        keeps = [None, *([n for n in recipe.inputs if n != gone] for gone in removed)]
        outcomes = self._outcomes(bundle, kept, self.judged, keeps)
        val = self._outcomes(bundle, kept, self.split.val, [None])[0] if len(self.split.val) else None
        noise, retention = self._noise(bundle, kept) if whole else (None, None)
        return Run(
            outcome=outcomes[0],
            validation=None if val is None else self.value(val),
            parameters=sum(p.numel() for p in network.parameters()),
            steps=result.steps,
            train_seconds=result.seconds,
            predict_ms=_latency(network, _select_inputs(self.ready, recipe).rows, self.judged),
            without={gone: self.value(found) for gone, found in zip(removed, outcomes[1:], strict=True)},
            noise=noise,
            retention=retention,
            query=says(network.fusion, "query"),
        )

    def _outcomes(self, bundle: Bundle, kept: TrainingData, rows: np.ndarray, keeps: list[Any]) -> list[Outcome]:
        plain = make_rows(kept.prepared, len(self.table), bundle.recipe)
        found = predict_subsets(bundle.network, plain, keeps, numbers=rows)
        weights = metric_weights(self.recipe, self.table, rows)
        return [make_outcomes(bundle, kept.prepared, rows, one, weights)[self.output] for one in found]

    def _noise(self, bundle: Bundle, kept: TrainingData) -> tuple[float | None, float | None]:
        test = self.splits.test
        rows = test[self.ready.rows.outputs[self.output].index_RK[test, 0] >= 0]
        some = np.sort(np.random.default_rng(0).permutation(rows)[:NOISED_ROWS])
        raw = _select_inputs(self.ready, bundle.recipe).prepared
        options: Any = {"severities": (NOISE,), "corruptions": default_corruptions(), "bootstrap": 0, "unseen": "skip"}
        options |= {"kept": kept.prepared, "heard": self.heard, "metrics": {self.output: self.metric}}
        curve = robustness(bundle, self.table, raw, some, **options).together.curves[self.output]
        return curve.points[-1].value, curve.retention

    @cached_property
    def metric(self) -> str:
        """The headline metric of the compared output."""
        head: Any = registry.head(self.recipe.outputs[self.output].head.name)
        targets = true_values(self.ready.prepared[f"out:{self.output}"], self.split.train)
        return headline(Outcome(head.task, targets, [], metric=self._quoted, reads=input_modalities(self.recipe)))[0]

    @property
    def higher(self) -> bool:
        """Whether more of the metric is better."""
        return term(self.metric).higher

    def value(self, outcome: Outcome) -> float | None:
        """The compared metric of an outcome."""
        return judge(outcome, bootstrap=0).metrics[self.metric]


@cache
def _code() -> str:
    """Names the code that decides what is learned: runs of another version are other work, those of other words not."""
    found, root = hashlib.blake2b(digest_size=16), Path(__file__).resolve().parent.parent
    for place in LEARNING:
        for file in sorted([root / place] if place.endswith(".py") else (root / place).rglob("*.py")):
            found.update(normalize_source(file.read_text(encoding="utf8")).encode())
    return found.hexdigest()


def normalize_source(source: str) -> str:
    """What Python code does: without its layout, comments and docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [one for one in body if not _is_text(one)] or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.dump(tree)


def _is_text(statement: ast.stmt) -> bool:
    """Whether a statement is a string that nobody reads."""
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _with_fusion(recipe: Recipe, name: str) -> Recipe:
    """The recipe with another fusion; keywords that the recipe gives its own fusion stay with that one."""
    made = recipe.model_copy(deep=True)
    if registry.FUSION_ALIASES.get(recipe.fusion.name, (recipe.fusion.name, {})) == (name, {}):
        made.fusion.name = name
    elif recipe.fusion.name != name:
        made.fusion = parse({"fusion": defaults.fill_fusion(recipe, name)}).fusion
        alone = [f"outputs.{output}.alone" for output in recipe.outputs]
        made.training.learning_rates = _drop_rates(recipe, "fusion", *alone)  # its modules may be others, or none
    return made


def _drop_rates(recipe: Recipe, *parts: str) -> dict[str, float]:
    """The rates of other parts than these."""
    rates = recipe.training.learning_rates
    return {key: rate for key, rate in rates.items() if not any(f"{key}.".startswith(f"{part}.") for part in parts)}


def _single_input_recipe(recipe: Recipe, name: str) -> Recipe:
    """The recipe with one input."""
    made = _with_fusion(recipe, "concat")
    gone = [part for part in made.rated if part.startswith(("inputs.", "objectives.")) and part != f"inputs.{name}"]
    made.training.learning_rates = _drop_rates(made, *gone, "fusion", "space")
    made.inputs = {name: made.inputs[name]}
    made.objectives = []
    return made


def _select_inputs(ready: TrainingData, recipe: Recipe) -> TrainingData:
    """Only what some of the inputs need."""

    readers = recipe.readers

    def used(found: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in found.items() if not key.startswith("in:") or key[3:] in readers}

    inputs = {name: ready.rows.inputs[name] for name in readers}
    augment = {name: change for name, change in ready.rows.augment.items() if name in inputs}
    rows = replace(ready.rows, inputs=inputs, augment=augment)
    prepared: dict[str, Prepared] = used(ready.prepared)
    return TrainingData(used(ready.specs), used(ready.transforms), prepared, rows)


def without_augmentation(rows: Rows) -> Rows:
    """The inputs of rows as they are."""
    return replace(rows, augment={}, outputs={})


def _latency(network: Network, rows: Rows, numbers: np.ndarray) -> float:
    """Median milliseconds to predict one row from its prepared cells, encoders included."""
    plain = without_augmentation(rows)
    network.eval()
    times = []
    with torch.inference_mode():
        for n in range(LATENCY_CALLS + 3):
            batch = plain[0, numbers[n % len(numbers) :][:1]].to(device_of(network))
            started = time.perf_counter()
            network.predict(batch)
            times.append(time.perf_counter() - started)
    return round(1000 * float(np.median(times[3:])), 3)
