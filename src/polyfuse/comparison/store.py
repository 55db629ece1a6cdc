"""Runs of a comparison on disk, each as it ends, so that a stopped comparison goes on where it was."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from polyfuse.comparison.context import Run
from polyfuse.data.cells.media_files import is_picture_value, is_sound_value
from polyfuse.evaluation.outcome import KEPT, Outcome, to_plain_json

MEDIUM = "base64"  # the key of a picture's or sound's bytes


class Runs:
    """A folder with one JSON file, and one NPZ file of probabilities, per run.

    Args:
        folder: made if absent; None keeps nothing.
        fingerprint: of the work; see ``Stage.fingerprint``.

    Raises:
        ValueError: the folder holds runs of other work.
    """

    def __init__(self, folder: Path | None, fingerprint: str):
        self.folder = folder
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        mark = folder / "comparison.json"
        if mark.exists() and json.loads(mark.read_text(encoding="utf8"))["fingerprint"] != fingerprint:
            raise ValueError(
                f"{folder} holds runs of another comparison (other data, splits, settings or version of polyfuse); "
                "name another folder, or remove it"
            )
        write_json(mark, {"fingerprint": fingerprint})

    def fact(self, key: str, make: Callable[[], Any]) -> Any:
        """A JSON value that is found once: what a comparison that goes on must not measure again."""
        file = self.folder / f"{key}.json" if self.folder else None
        if file is not None and file.exists():
            return json.loads(file.read_text(encoding="utf8"))
        value = make()
        if file is not None:
            write_json(file, value)
        return value

    def get(self, key: str) -> Run | None:
        """The run of that key, if it has ended before."""
        if self.folder is None or not (self.folder / f"{key}.json").exists():
            return None
        found = json.loads((self.folder / f"{key}.json").read_text(encoding="utf8"))
        outcome = found.pop("outcome")
        arrays = self.folder / f"{key}.npz"
        with np.load(arrays) as file:
            outcome |= {name: file[name] for name in file.files}
        outcome |= {k: list(map(_decode_media, outcome[k])) for k in ("target", "value")}
        return Run(outcome=Outcome(**outcome), **found)

    def put(self, key: str, run: Run) -> None:
        """Keep a run; it is there as a whole or not at all."""
        if self.folder is None:
            return
        content: dict[str, Any] = {k: v for k, v in asdict(run).items() if k != "outcome"}
        outcome = run.outcome
        content["outcome"] = {k: getattr(outcome, k) for k in KEPT}
        content["outcome"] |= {k: list(map(_encode_media, getattr(outcome, k))) for k in ("target", "value")}
        arrays = {k: v for k in ("probabilities", "scores", "weights") if (v := getattr(outcome, k)) is not None}
        np.savez_compressed(self.folder / f"{key}.npz", **arrays)
        write_json(self.folder / f"{key}.json", to_plain_json(content))


def _encode_media(value: Any) -> Any:
    """A picture or a sound as text, as JSON cannot hold it otherwise; anything else as it is."""
    if not (is_sound_value(value) or is_picture_value(value)):
        return value
    rate, array = (value["sampling_rate"], value["array"]) if is_sound_value(value) else (None, value)
    array = np.asarray(array)
    content = base64.b64encode(array.tobytes()).decode()
    return {MEDIUM: content, "dtype": array.dtype.str, "shape": list(array.shape), "rate": rate}


def _decode_media(value: Any) -> Any:
    """What ``_encode_media`` wrote."""
    if not (isinstance(value, dict) and MEDIUM in value):
        return value
    array = np.frombuffer(base64.b64decode(value[MEDIUM]), value["dtype"]).reshape(value["shape"])
    return array if value["rate"] is None else {"array": array, "sampling_rate": value["rate"]}


def write_json(file: Path, content: Any) -> None:
    """JSON that is there as a whole or not at all."""
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(content, ensure_ascii=False), encoding="utf8")
    fresh.replace(file)
