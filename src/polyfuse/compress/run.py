"""A saved or trained model, a table and a chain of methods -> a smaller model in a new folder, measured."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyfuse.compress.chain import Say, compressed, links
from polyfuse.compress.findings import Compression
from polyfuse.compress.measure import measure
from polyfuse.compress.study import Study, begin
from polyfuse.data.tables import Table
from polyfuse.evaluation.card import card
from polyfuse.evaluation.evaluate import evaluate_rows
from polyfuse.model import bundle as bundles
from polyfuse.model.bundle import Bundle, BundleError
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
    with tempfile.TemporaryDirectory() as temporary:
        old = source if source is not None and source.is_dir() else bundles.save(bundle, Path(temporary) / "before")
        _judged(made, study, place.name)
        check_new(place)
        try:
            bundles.save(made, place)
            (before, after), notes = measure(
                [(study.cells, old), (study.read(made), place)], study.judged, memory=memory
            )
            device = device_of(bundle.network).type
            notes = [*study.notes, *notes]
            found = Compression(
                name, method, done, before, after, len(study.judged), study.judged_as, place, notes, device
            )
            made.report["compression"] = found.to_json()
            made.card = card(made, place.name, [f"made of {name} by {method}", *done, *notes])
            bundles.save(made, place)
        except BaseException:
            _remove(place)
            raise
    return found


def _remove(place: Path) -> None:
    """Take away a model whose figures could not be found, so that what lies there is always whole."""
    import shutil

    shutil.rmtree(place, ignore_errors=True)


def _judged(made: Bundle, study: Study, name: str) -> None:
    """Give a model the evaluation that is its own, in place of that of the model it was made of."""
    cells = study.read(made)
    report = evaluate_rows(made, study.table, cells.prepared, study.judged, name=name, notes=study.notes, unseen="skip")
    made.report = {**made.report, "evaluation": report.to_json()}
