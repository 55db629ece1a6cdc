"""A model without any training behind the protocol of servants, in a worker of its own: what words say, it does."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np

from polyfuse.data.cells import picture, sound
from polyfuse.data.cells.source import BadCell, Limits
from polyfuse.runtime.servant import Answer, InputFacts, OutputFacts
from polyfuse.serve import process, worker

MAIN = f"import sys; sys.path[:0] = {sys.path!r}; from tests.serve.stub import main; main()"


class Stub:
    """``label`` by how bright the picture is, ``price`` by area, ``caption`` by words."""

    name = "stub"
    inputs = {  # noqa: RUF012
        "photo": InputFacts("photo", "image", ("photo",), {"photo": "image"}),
        "sound": InputFacts("sound", "audio", ("sound",), {"sound": "audio"}),
        "words": InputFacts("words", "text", ("words",), {"words": "text"}),
        "columns": InputFacts(
            "columns",
            "columns",
            ("area", "kind", "day"),
            {"area": "number", "kind": "category", "day": "date"},
            {"kind": ["x", "y"]},
        ),
        "vector": InputFacts("vector", "feature", ("vector",), {"vector": "vector"}),
    }
    outputs = {  # noqa: RUF012
        "label": OutputFacts("label", "category", ("a", "b")),
        "price": OutputFacts("price", "number"),
        "caption": OutputFacts("caption", "text", writes=True, reads=("question",)),
    }

    def predict(self, records, *, without=()):
        notes = []
        answers = []
        for record in records:
            words = record.get("words", "")
            if words == "crash":
                os._exit(3)
            if words.startswith("sleep "):
                time.sleep(float(words.split()[1]))
            if words == "fail":
                raise KeyError("secret")
            if words == "refuse":
                raise ValueError("this row is not wanted")
            bright = 0.5
            try:
                if "photo" in record and "photo" not in without:
                    bright = float(np.asarray(picture.decode(record["photo"], Limits())).mean()) / 255
                if "sound" in record:
                    with sound.open_sound(record["sound"], Limits()) as opened:
                        opened.read(0, 100)
            except BadCell:
                notes.append("column 'photo': 1 cell counts as missing")
            if len(record.get("vector", [0, 0])) != 2:
                notes.append("column 'vector': 1 cell counts as missing, expected 2 numbers")
            label = Answer("a" if bright > 0.5 else "b", {"a": bright, "b": 1 - bright}, max(bright, 1 - bright))
            answers.append({"label": label, "price": Answer(10.0 * record.get("area", 0)), "caption": Answer(words)})
        return answers, notes

    def scores(self, records, subsets):
        def chance(record, subset):
            there = {name for name in subset if name in record}
            return 0.5 + 0.3 * ("photo" in there) - 0.1 * ("words" in there)

        p_SN = np.array([[chance(record, subset) for record in records] for subset in subsets], np.float32)
        return {"label": np.stack([p_SN, 1 - p_SN], -1), "price": p_SN[..., None] * 10}

    def embed(self, records, *, input=None):
        def vector(record):
            there = record if input is None else set(self.inputs[input].columns) & record.keys()
            if input == "photo" and self.predict([record])[1]:
                return [np.nan] * 2
            return [len(record.get("words", "")), 1] if there else [np.nan] * 2

        return np.array([vector(record) for record in records], np.float32)

    def stream(self, record, output):
        for n, word in enumerate(record.get("words", "").split()):
            time.sleep(0.05)
            yield f" {word}" if n else word


def main() -> None:
    worker.open_servant = lambda **_: Stub()
    worker.main()


def folder(place: Path, name: str = "stub") -> Path:
    """What looks like a model."""
    (place / name).mkdir(exist_ok=True)
    (place / name / "recipe.yaml").write_text("{}")
    return place / name


def use(monkeypatch) -> None:
    """Let workers hold this model."""
    monkeypatch.setattr(process, "CODE", MAIN)
