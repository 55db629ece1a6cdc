"""Save and load models as folders: recipe, weights, fitted preprocessing, report and card. No pickle, no class paths.

It is written beside its place and renamed, so that a killed run or a full disk never leaves half a bundle; loading
checks the version and every checksum.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from polyfuse import registry
from polyfuse.contracts import Rebuilds, offers
from polyfuse.data.cells.transform import Transform
from polyfuse.model.ensemble import Ensemble, LearnerMember
from polyfuse.model.network import Network, build
from polyfuse.recipe import Recipe, read_recipe
from polyfuse.records import Spec
from polyfuse.system.device import choose_device, place
from polyfuse.trust import check_trust
from polyfuse.version import __version__

FORMAT = 2  # of a network that is not as its recipe makes it; 1 of any other, so that older versions read these
CHANGES = "changes.json"
LATE = ("offset", "slope", "centre_E", "spread_E")  # buffers that older bundles lack; as they start they change nothing


class BundleError(ValueError):
    """A folder that is no complete bundle, or one of another version."""


@dataclass
class Bundle:
    """A model with all that it needs.

    Args:
        recipe: complete, without any ``auto``.
        network: trained.
        transforms: ``in:NAME`` and ``out:NAME`` -> fitted transform.
        specs: the same names -> what the part asked for; names the files to keep.
        report: training facts and, where there was a test split, its evaluation.
        card: a page about the model, in Markdown.
        changes: what compression made of the network that the recipe describes, in order, as JSON: each the ``kind`` of
            ``registry.CHANGES`` that makes it again, and what that needs.
    """

    recipe: Recipe
    network: Network
    transforms: dict[str, Transform]
    specs: dict[str, Spec]
    report: dict[str, Any] = field(default_factory=dict)
    card: str = ""
    changes: list[dict[str, Any]] = field(default_factory=list)


def count_slots(recipe: Recipe, transforms: Mapping[str, Transform]) -> dict[str, int]:
    """Reader name -> number of cells of a row that are encoded by themselves: columns, and files in one cell."""

    def size(transform: Transform, columns: Sequence[str]) -> int:
        if transform.joint:
            return 1
        return sum(recipe.data.slots.get(c, 1) for c in columns) if transform.media else len(columns)

    return {n: size(transforms[f"in:{n}"], i.columns) for n, i in recipe.readers.items()}


def save(bundle: Bundle, folder: str | Path) -> Path:
    """Write a bundle; replaces an older bundle of that name, and nothing else.

    Raises:
        BundleError: the folder holds something that is no bundle.
        OSError: the disk is full; an older bundle stays as it was.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    folder = Path(folder)
    with _atomic_folder(folder) as place:
        (place / "recipe.yaml").write_text(bundle.recipe.to_yaml(), encoding="utf8")
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in _unshared_state(bundle.network).items()}
        try:
            save_file(weights, place / "weights.safetensors")
        except SafetensorError as error:  # what it makes of a full disk
            raise OSError(errno.EIO, str(error)) from error
        for file, name in _file_names(bundle.recipe).items():
            _save_preprocessing(place / "preprocessing", file, bundle.specs[name], bundle.transforms[name])
        (place / "report.json").write_text(json.dumps(bundle.report, indent=1, ensure_ascii=False), encoding="utf8")
        (place / "card.md").write_text(bundle.card, encoding="utf8")
        if bundle.changes:
            (place / CHANGES).write_text(json.dumps(bundle.changes, indent=1, ensure_ascii=False), encoding="utf8")
        _save_manifest(place, FORMAT if bundle.changes else 1)
    return folder


def _file_names(recipe: Recipe) -> dict[str, str]:
    """File stem -> name: column names make bad file names."""
    inputs = {f"in_{n}": f"in:{name}" for n, name in enumerate(recipe.readers)}
    return inputs | {f"out_{n}": f"out:{name}" for n, name in enumerate(recipe.outputs)}


def _unshared_state(network: Network) -> dict[str, Any]:
    """The state without second names of one tensor, which safetensors refuses."""
    seen: dict[int, str] = {}
    return {n: t for n, t in network.state_dict().items() if t.numel() == 0 or seen.setdefault(t.data_ptr(), n) == n}


def _save_preprocessing(place: Path, file: str, spec: Spec, transform: Transform) -> None:
    place.mkdir(exist_ok=True)
    content = {"transform": spec.transform, "keywords": spec.keywords, "state": transform.state()}
    (place / f"{file}.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf8")
    for name, source in spec.files.items():
        (place / file).mkdir(exist_ok=True)
        shutil.copyfile(source, place / file / name)


def check_folder(folder: str | Path) -> None:
    """Check that a bundle may be written there, before training.

    Raises:
        BundleError: the folder holds something that is no bundle.
    """
    folder = Path(folder)
    if folder.exists() and not (folder.is_dir() and ((folder / "manifest.json").exists() or not any(folder.iterdir()))):
        raise BundleError(f"{folder} exists and is no saved model; name another folder, or remove it")


@contextmanager
def _atomic_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that takes the place of ``folder`` when all went well."""
    check_folder(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    tag = uuid.uuid4().hex[:8]
    place, old = (folder.with_name(f".{folder.name}.{kind}-{tag}") for kind in ("new", "old"))
    try:
        place.mkdir()
        yield place
        if folder.exists():
            os.rename(folder, old)
        os.rename(place, folder)
    except OSError as error:
        raise OSError(
            error.errno, f"cannot save {folder}: {error.strerror}; free space or name another folder"
        ) from error
    finally:
        shutil.rmtree(place, ignore_errors=True)
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
        elif old.exists():
            os.rename(old, folder)


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(place: Path) -> list[Path]:
    return sorted(f for f in place.rglob("*") if f.is_file() and f.name != "manifest.json")


def _save_manifest(place: Path, form: int) -> None:
    sums = {f.relative_to(place).as_posix(): _checksum(f) for f in _files(place)}
    manifest = {"format": form, "polyfuse": __version__, "sha256": sums}
    (place / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf8")


def verify(folder: Path) -> dict[str, Any]:
    """Check version and checksums of a bundle, and return its manifest.

    Raises:
        BundleError: not a bundle, a newer format, or a file that is damaged or missing.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf8"))
    except (OSError, ValueError):
        raise BundleError(f"{folder} is no saved model: it has no readable manifest.json") from None
    if not isinstance(manifest, dict) or not {"format", "polyfuse", "sha256"} <= manifest.keys():
        raise BundleError(f"{folder} is no saved model: its manifest.json names no format, version and checksums")
    if manifest["format"] > FORMAT:
        raise BundleError(f"{folder} was saved by polyfuse {manifest['polyfuse']}; this is {__version__}: update it")
    for name, expected in manifest["sha256"].items():
        path = folder / name
        if not path.is_file() or _checksum(path) != expected:
            state = "damaged" if path.is_file() else "missing"
            raise BundleError(f"{folder}: {name} is {state}; copy the folder again, or train the model again")
    return manifest


def load(folder: str | Path, device: str | torch.device = "auto") -> Bundle:
    """Read a bundle; predictions are the same as before saving.

    Args:
        device: see ``device.choose_device``.

    Raises:
        BundleError: see ``verify``.
        TrustError: it names code of others, which nobody trusts.
        ValueError: no such device, or a part of a name that is not registered here.
    """
    from safetensors.torch import load_file

    folder, chosen = Path(folder), choose_device(device)
    verify(folder)
    recipe = read_recipe(folder)
    specs, transforms = {}, {}
    for file, name in _file_names(recipe).items():
        specs[name], transforms[name] = read_preprocessing(folder, file)
    facts = {name: transform.facts() for name, transform in transforms.items()}
    weights = load_file(folder / "weights.safetensors")
    sizes, files = count_slots(recipe, transforms), folder / "preprocessing"
    network = build(recipe, facts, sizes, files)
    shared = {name: network.encoder(name) for name in network.frozen}
    count = recipe.ensemble.networks if isinstance(recipe.ensemble.networks, int) else 1
    further = [build(recipe, facts, sizes, files, shared) for _ in range(count - 1)]
    network.ensemble = restore_ensemble(further, recipe, weights)
    changes = read_changes(folder)
    _change(network, changes, folder)
    _fill(network, weights, folder)
    report = json.loads((folder / "report.json").read_text(encoding="utf8"))
    card = (folder / "card.md").read_text(encoding="utf8")
    return Bundle(recipe, place(network.eval(), chosen), transforms, specs, report, card, changes)


def read_changes(folder: Path) -> list[dict[str, Any]]:
    """What compression made of the network of a saved model; nothing, as a rule."""
    path = folder / CHANGES
    return json.loads(path.read_text(encoding="utf8")) if path.exists() else []


def _change(network: Network, changes: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Make a network, fresh from its recipe, what compression made of it.

    Raises:
        BundleError: a change that this version does not know, or that does not fit the recipe.
    """
    for record in changes:
        try:
            registry.resolve(registry.choose(registry.CHANGES, record["kind"], "change"))(network, record)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BundleError(f"{folder}: {CHANGES} does not fit the recipe: {error}") from None


def restore_ensemble(further: list[Network], recipe: Recipe, weights: Mapping[str, Any]) -> Ensemble | None:
    """The ensemble that a recipe names, its learners made of their arrays, or None where the network answers alone."""
    members = recipe.ensemble.members or []
    if not further and not members:
        return None
    opinions = []
    for at, member in enumerate(members):
        prefix = f"ensemble.opinions.{at}.learner."
        own = {key[len(prefix) :]: tensor for key, tensor in weights.items() if key.startswith(prefix)}
        opinions.append(LearnerMember(registry.learner(member.name).restored(own), str(member.output), member.readers))
    counts = {name: 1 + sum(member.output == name for member in members) for name in recipe.outputs}
    even = {name: [1.0] * count for name, count in counts.items()}
    return Ensemble(further, opinions, list(recipe.outputs), dict.fromkeys(recipe.outputs, 1.0), even)


def _fill(network: Network, weights: dict[str, Any], folder: Path) -> None:
    missing, unexpected = network.load_state_dict(weights, strict=False)
    tied = set(network.state_dict()) - set(_unshared_state(network))
    late = {name for name in missing if name.rsplit(".", 1)[-1] in LATE}
    wrong = [*(set(missing) - tied - late), *unexpected]
    if wrong:
        raise BundleError(f"{folder}: weights do not fit the recipe: {sorted(wrong)[:5]}")


def read_preprocessing(folder: Path, file: str) -> tuple[Spec, Transform]:
    """Spec and fitted transform of one input or output; ``file`` is its stem, such as ``in_0``."""
    place = folder / "preprocessing"
    content = json.loads((place / f"{file}.json").read_text(encoding="utf8"))
    if registry.is_address(content["transform"]):
        check_trust({f"preprocessing/{file}.json": content["transform"]}, folder)
    transform = registry.transform(content["transform"])(**content["keywords"])
    transform.restore(content["state"])
    kept = sorted((place / file).iterdir()) if (place / file).is_dir() else []
    return Spec(content["transform"], content["keywords"], {f.name: str(f) for f in kept}), transform


@dataclass(frozen=True)
class SavedInput:
    """One input of a saved model, for ``init_from``."""

    modality: str
    encoder: dict[str, Any]
    spec: Spec
    transform: Transform
    weights: dict[str, Any]


def read_initial_inputs(recipe: Recipe) -> dict[str, SavedInput]:
    """Input -> the input of a saved model that its ``init_from`` names.

    Raises:
        BundleError: no such bundle or input.
    """
    return {name: read_input(item.init_from) for name, item in recipe.inputs.items() if item.init_from}


def read_input(address: str) -> SavedInput:
    """The input that ``BUNDLE#INPUT`` names: encoder, preprocessing and encoder weights.

    Raises:
        BundleError: no such bundle or input.
    """
    from safetensors.torch import load_file

    path, _, name = address.rpartition("#")
    folder = Path(path)
    if not path:
        raise BundleError(f"init_from {address!r}: expected BUNDLE#INPUT")
    verify(folder)
    if read_changes(folder):
        raise BundleError(f"init_from {address!r}: {path} was compressed; start from the model that it was made of")
    recipe = read_recipe(folder)
    item = registry.choose(recipe.readers, name, f"input of {path}")
    at = list(recipe.readers).index(name)
    spec, transform = read_preprocessing(folder, f"in_{at}")
    prefix = f"encoders.in_{at}."
    weights = load_file(folder / "weights.safetensors")
    own = {key[len(prefix) :]: tensor for key, tensor in weights.items() if key.startswith(prefix)}
    made = registry.encoder(item.modality, item.part.name)
    rebuilt = made.restored(folder / "preprocessing" / f"in_{at}") if offers(made, Rebuilds) else {}
    encoder = {**item.part.model_dump(), **{k: str(v) for k, v in rebuilt.items()}}
    return SavedInput(item.modality, encoder, spec, transform, own)
