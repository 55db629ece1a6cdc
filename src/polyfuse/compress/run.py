"""A saved or trained model, a table and a chain of methods -> a smaller model in a new folder, measured."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyfuse.compress.chain import Say, compressed, links
from polyfuse.compress.exported import Exported, over
from polyfuse.compress.findings import Compression
from polyfuse.compress.measure import measure
from polyfuse.compress.study import Study, begin
from polyfuse.data.tables import Table
from polyfuse.evaluation.card import card
from polyfuse.evaluation.evaluate import evaluate_rows
from polyfuse.model import bundle as bundles
from polyfuse.model.bundle import Bundle, BundleError
from polyfuse.runtime.folder import MANIFEST, write_manifest
from polyfuse.system.device import device_of


def check_new(folder: str | Path) -> Path:
    """Where a smaller model may go: nothing lies there.

    Raises:
        BundleError: something does, a saved model among it.
    """
    place = Path(folder).expanduser()
    if place.is_symlink() or (place.exists() and not (place.is_dir() and not any(place.iterdir()))):
        raise BundleError(f"{place} exists, and nothing is written over it: name a new folder, or remove it")
    return place


def compress(
    bundle: Bundle,
    table: Table,
    method: str,
    folder: str | Path,
    *,
    name: str,
    same: bool,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    max_drop: float | None = None,
    memory: bool = True,
    source: Path | None = None,
    quiet: bool = False,
    say: Say = lambda _: None,
) -> Compression:
    """Make a model smaller, measure both, and save the smaller one with what was found.

    Args:
        table: read as that of training was.
        method: names with ``+`` between.
        folder: a new one.
        name: of the model.
        same: the table is the one that the model was trained on, as far as names tell.
        settings: method -> keywords.
        max_drop: see ``chain.compressed``.
        memory: measure it, for which each model is loaded in a process of its own.
        source: where the model lies, if it does.
        quiet: no progress bars.
        say: told of every step.

    Raises:
        ValueError: what is asked cannot be; nothing was written.
    """
    place, chain = check_new(folder), links(method, settings)
    study = begin(bundle, table, same=same, quiet=quiet)
    made, done = compressed(chain, study, max_drop=max_drop, say=say)
    keep = FolderKept() if isinstance(made, Exported) else BundleKept()
    with tempfile.TemporaryDirectory() as temporary:
        old = source if source is not None and source.is_dir() else bundles.save(bundle, Path(temporary) / "before")
        check_new(place)
        try:
            keep.write(made, study, place)
            models = [(study.cells, old), (over(made, study), place)]
            (before, after), notes = measure(models, study.judged, memory=memory)
            device, notes = device_of(bundle.network).type, [*study.notes, *notes]
            judged = len(study.judged), study.judged_as
            found = Compression(name, method, done, before, after, *judged, place, notes, device)
            keep.tell(made, found, place)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)  # what lies there is always whole
            raise
    return found


class BundleKept:
    """A smaller model as a saved one."""

    def write(self, made: Any, study: Study, place: Path) -> None:
        """Save it, with an evaluation of its own in place of that of the model it was made of."""
        cells, options = study.read(made), {"name": place.name, "notes": study.notes, "unseen": "skip"}
        report = evaluate_rows(made, study.table, cells.prepared, study.judged, **options)  # type: ignore[arg-type]
        made.report = {**made.report, "evaluation": report.to_json()}
        bundles.save(made, place)

    def tell(self, made: Any, found: Compression, place: Path) -> None:
        """Keep what was found with it."""
        made.report["compression"] = found.to_json()
        notes = [f"made of {found.name} by {found.method}", *found.done, *found.notes]
        made.card = card(made, place.name, notes)
        bundles.save(made, place)


class FolderKept:
    """A smaller model as an exported folder."""

    def write(self, made: Any, study: Study, place: Path) -> None:  # noqa: ARG002 - as every form
        """Put it in its place."""
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(made.folder, place, dirs_exist_ok=True)

    def tell(self, made: Any, found: Compression, place: Path) -> None:  # noqa: ARG002
        """Keep what was found in its manifest."""
        facts = json.loads((place / MANIFEST).read_text(encoding="utf8"))
        own = {key: value for key, value in facts.items() if key != "sha256"}
        write_manifest(place, {**own, "name": place.name, "compression": found.to_json()})
