"""``polyfuse export --format onnx``: a folder of ONNX graphs, preprocessing and a manifest, which runs without torch.

One graph per input, one that joins them, one per decoder that writes unit by unit: the runtime encodes once, whatever
subsets of inputs it is asked about, and masks inputs between the two (docs/adr/0011).
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from polyfuse.contracts import Portable, Scores, StepsApart, offers
from polyfuse.export.graph import Named, write_graph
from polyfuse.export.parts import Form, Input, Joint, Step
from polyfuse.export.samples import ROWS, reader_sample
from polyfuse.layers.features import Bag
from polyfuse.model import bundle as bundles
from polyfuse.model.bundle import Bundle
from polyfuse.model.network import Network
from polyfuse.recipe import Recipe
from polyfuse.runtime.folder import ExportError, is_export, write_manifest
from polyfuse.system.device import device_of
from polyfuse.system.device import place as placed

FEW = 50  # values of a category that are listed as choices


def to_onnx(
    model: Any, folder: str | Path, *, name: str | None = None, overwrite: bool = False, once: bool = False
) -> Path:
    """Write a trained model as a folder that ``polyfuse.runtime`` answers from.

    Args:
        model: a model, its bundle, or the folder of a saved one.
        folder: to write; it must not exist.
        name: of the model; that of its folder by default.
        overwrite: take the place of an older export; nothing else is ever replaced.
        once: accept one look at every row where the model averages several augmented ones (``training.views``).

    Raises:
        ExportError: a part that cannot be exported, by name, or a folder that is in the way.

    Example:
        >>> to_onnx("house-price", "house-price-onnx")
    """
    bundle = bundles.load(model, "cpu") if isinstance(model, (str, Path)) else getattr(model, "bundle", model)
    named = Path(model).name if isinstance(model, (str, Path)) else getattr(model, "name", "model")
    target = Path(folder)
    _check_place(target, overwrite)
    check(bundle, once=once)
    network, device = bundle.network, device_of(bundle.network)
    training = network.training
    made = target.with_name(f".{target.name}.new-{uuid.uuid4().hex[:8]}")
    made.mkdir(parents=True)
    try:
        placed(network.eval(), torch.device("cpu"))
        write_manifest(made, {"name": name or named, **_written(bundle, made)})
        if target.exists():
            shutil.rmtree(target)
        made.rename(target)
    finally:
        placed(network.train(training), device)
        shutil.rmtree(made, ignore_errors=True)
    return target


def _check_place(folder: Path, overwrite: bool) -> None:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not is_export(folder):
        raise ExportError(f"{folder} exists and is no exported model; name another folder, or remove it")
    if not overwrite:
        raise ExportError(f"{folder} exists; name another folder, or replace it with overwrite=True (--overwrite)")


def check(bundle: Bundle, *, once: bool = False) -> None:
    """Whether all parts of a model can be exported, asked before anything is traced.

    Raises:
        ExportError: names the part, and why not.
    """
    recipe, network = bundle.recipe, bundle.network
    for name in network.outputs:
        head: Any = network.head(name)
        kind = recipe.outputs[name].head.name
        if not offers(head, Portable):
            known = "heads with scores and texts do" if not offers(head, Scores) else "it has no portable()"
            raise ExportError(f"output {name!r}: the head {kind} cannot be exported: {known}")
        try:
            head.portable()
        except ValueError as error:
            raise ExportError(f"output {name!r}: the head {kind} cannot be exported: {error}") from None
    if recipe.training.views > 1 and not once and any(item.augment for item in recipe.readers.values()):
        raise ExportError(
            f"training.views is {recipe.training.views}: the model averages what it says of augmented rows, and "
            "augmentation is not exported; accept one look at every row with once=True (--once)"
        )


def _written(bundle: Bundle, place: Path) -> dict[str, Any]:
    """What the manifest says; graphs and preprocessing are written on the way."""
    recipe, network = bundle.recipe, bundle.network
    sizes = bundles.slots(recipe, bundle.transforms)
    inputs, one, other = {}, dict[str, torch.Tensor](), dict[str, torch.Tensor]()
    forms: dict[str, list[Form]] = {}
    bags: dict[str, int] = {}
    for name in network.inputs:
        part = Input(network, name).eval()
        first, second = _samples(bundle, part, sizes)
        what, file = f"input {name!r} ({recipe.inputs[name].named})", f"{part.key.replace('i', 'in_')}.onnx"
        for kept, given in zip((one, other), write_graph(part, first, second, place / file, what), strict=True):
            kept |= given
        with torch.no_grad():
            pairs = zip(part.heard(first)[1], part.heard(second)[1], strict=True)
            forms[name] = [Form.of(a, b, what) for a, b in pairs]
            blocks = part.blocks(first)
        bags |= {reader: block.size for reader, block in blocks.items() if isinstance(block, Bag)}
        readers = [_reader(bundle, reader, key, place) for reader, key in part.readers.items()]
        inputs[name] = {"key": part.key, "graph": file, **_input(bundle, name), "readers": readers}
    joint, outputs = None, {}
    if network.outputs:
        joint = "joint.onnx"
        made = _joined(network, forms, bags, one, other, place / joint)
        outputs = {name: _output(bundle, name, made, place) for name in network.outputs}
    return {
        "width": network.width,
        "inputs": inputs,
        "joint": joint,
        "outputs": outputs,
        "reading": {
            "limits": recipe.data.limits.model_dump(),
            "slots": dict(recipe.data.slots),
            "formats": dict(recipe.data.formats),
        },
        "recipe": json.loads(recipe.model_dump_json()),
        "report": _excerpt(bundle.report),
    }


def _samples(bundle: Bundle, part: Input, sizes: Mapping[str, int]) -> tuple[Named, Named]:
    one, other = dict[str, torch.Tensor](), dict[str, torch.Tensor]()
    for reader, key in part.readers.items():
        modality = str(bundle.recipe.readers[reader].modality)
        first, second = reader_sample(bundle.transforms[f"in:{reader}"], modality, key, sizes[reader])
        one, other = one | first, other | second
    return one, other


def _joined(
    network: Network, forms: dict[str, list[Form]], bags: dict[str, int], one: Named, other: Named, path: Path
) -> tuple[Named, Named]:
    part = Joint(network, forms, bags).eval()
    taken = [key for key in one if not key.endswith(".shared")]
    what = f"what joins the inputs ({type(network.fusion).__name__} and {', '.join(map(repr, network.outputs))})"
    return write_graph(part, {k: one[k] for k in taken}, {k: other[k] for k in taken}, path, what)


def _reader(bundle: Bundle, reader: str, key: str, place: Path) -> dict[str, Any]:
    """What a reader reads, its transform being written as JSON."""
    spec, transform = bundle.specs[f"in:{reader}"], bundle.transforms[f"in:{reader}"]
    (place / "preprocessing").mkdir(exist_ok=True)
    file = f"preprocessing/{key}.json"
    content = {"transform": spec.transform, "keywords": spec.keywords, "state": transform.state()}
    (place / file).write_text(json.dumps(content, ensure_ascii=False), encoding="utf8")
    return {"key": key, "columns": list(bundle.recipe.readers[reader].columns), "preprocessing": file}


def _input(bundle: Bundle, name: str) -> dict[str, Any]:
    recipe: Recipe = bundle.recipe
    item, choices = recipe.inputs[name], dict[str, list[Any]]()
    for reader in recipe.reads[name]:
        state = bundle.transforms[f"in:{reader}"].state()
        known = {c: own["known"] for c, own in state.get("columns", {}).items() if "known" in own}
        choices |= {column: values for column, values in known.items() if len(values) <= FEW}
    kinds = {column: recipe.data.modalities[column] for column in item.columns}
    return {"modality": item.modality, "columns": list(item.columns), "kinds": kinds, "choices": choices}


def _output(bundle: Bundle, name: str, made: tuple[Named, Named], place: Path) -> dict[str, Any]:
    """How an output answers; the graph of its decoder's step is written where it has one."""
    head: Any = bundle.network.head(name)
    key, answers = f"o{bundle.network.outputs.index(name)}", head.portable()
    if answers["form"] == "text" and offers(head.decoder, StepsApart):
        answers["step"] = f"{key.replace('o', 'out_')}_step.onnx"
        kept = [{n.removeprefix(f"{key}."): t for n, t in one.items() if n.startswith(f"{key}.")} for one in made]
        one, other = (_step_sample(head.decoder, own, length) for own, length in zip(kept, (3, 5), strict=True))
        write_graph(Step(head.decoder).eval(), one, other, place / answers["step"], f"output {name!r}")
    part = bundle.recipe.outputs[name]
    return {"key": key, "column": part.column, "head": part.head.name, "answers": answers}


def _step_sample(decoder: Any, kept: Named, length: int) -> Named:
    """What a step takes after so many units."""
    grown = {
        name: torch.zeros(ROWS, *(length if size == 0 else size for size in shape))
        for name, shape in decoder.empty().items()
    }
    return {"ids": torch.zeros(ROWS, dtype=torch.long), **kept, **grown}


def _excerpt(report: Mapping[str, Any]) -> dict[str, Any]:
    """What was measured of the model, without single rows."""
    judged = report.get("evaluation") or {}
    return {key: judged[key] for key in ("rows", "outputs", "alignment") if key in judged}
