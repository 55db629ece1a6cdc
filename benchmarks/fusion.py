"""Runs every row of ``fusion.md`` on real data and writes that page.

``python benchmarks/fusion.py [TABLE ...] [--to FOLDER]``: every run is kept in FOLDER as it ends, so that a stopped
table goes on; the findings of each table are kept in ``fusion.json``, from which the page is written.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from av_digits import build as av_digits
from common import DATA, ROOT, Results
from fusion_page import page

import polyfuse as pf
from polyfuse import registry
from polyfuse.comparison.findings import Comparison
from polyfuse.recipe import parse

HOUSES = "concat,late,gated,film,attention,low_rank_tensor,decision,bottleneck"
QUESTIONS = "concat,film,attention,multiplicative,mfb,co_attention"
TABLES: dict[str, Callable[[Path], Any]] = {}


def table(make):
    """Register a table of the page; given a folder, it gives JSON."""
    TABLES[make.__name__] = make
    return make


def say(text: str) -> None:
    print(" ", text, file=sys.stderr, flush=True)


def found(comparison: Comparison) -> dict[str, Any]:
    shape = comparison.to_json()
    shape["meta"].pop("inputs", None)
    return shape


def mosi_frame() -> pd.DataFrame:
    arrays = np.load(DATA / "cmu_mosi/features.npz")
    frames = []
    for split in ("train", "test"):
        values = {name: list(arrays[f"{name}_{split}"]) for name in ("text", "audio", "video")}
        frames.append(pd.DataFrame({**values, "label": arrays[f"label_{split}"], "split": split}))
    return pd.concat(frames, ignore_index=True)


@table
def cmu_mosi(to: Path):
    """Every fusion, five seeds, fixed settings: the features saw the training labels, so no row can choose by them.

    A row is one vector per input: attention over a single key has nothing to choose.
    """
    settings = ("data.fractions=[1,0,0]",)
    options: dict[str, Any] = {"outputs": ["label=category"], "split": "split", "settings": settings}
    return found(pf.compare(mosi_frame(), seeds=5, to=to, say=say, **options))


def _encoders(frame: pd.DataFrame, to: Path) -> dict[str, dict]:
    """An encoder per modality, trained on it alone, then frozen."""
    for name in ("image", "audio"):
        if not (to / name).exists():
            pf.fit(frame, outputs=["digit=category"], inputs=[name], split="split", to=to / name, quiet=True)
    return {
        name: {"columns": name, "init_from": f"{to / name}#{name}", "transfer": "frozen"} for name in ("image", "audio")
    }


def _av_recipe(inputs: dict[str, dict], **training) -> pf.Recipe:
    return parse(
        {
            "inputs": inputs,
            "outputs": {"digit": {"column": "digit", "head": "category"}},
            "data": {"split": "split"},
            "training": training,
        }
    )


@table
def av_digits_frozen(to: Path):
    """Every fusion over frozen encoders trained per modality, three seeds."""
    frame = av_digits()
    recipe = _av_recipe(_encoders(frame, to), epochs=8)
    return found(pf.compare(recipe, table=frame, seeds=3, unit="sound", to=to / "compare", say=say))


@table
def av_digits_whole(to: Path):
    """The five best of the frozen table on validation, trained end to end, three seeds."""
    rows = Results("fusion").values["av_digits_frozen"]["fusions"]
    best = sorted(rows, key=lambda row: -(row.get("validation") or 0))[:5]
    inputs = {name: {"columns": name, "modality": name} for name in ("image", "audio")}
    names = [row["fusion"] for row in best]
    frame = av_digits()
    options: dict[str, Any] = {"fusions": names, "seeds": 3, "unit": "sound", "to": to, "say": say}
    return found(pf.compare(_av_recipe(inputs), table=frame, **options))


@table
def av_digits_missing(to: Path):
    """One input removed from fused models with and without modality dropout and the learned token, end to end."""
    rows = Results("fusion").values["av_digits_whole"]
    best, frame = rows["best"], av_digits()
    inputs = {name: {"columns": name, "modality": name} for name in ("image", "audio")}
    made = {}
    for label, training in {
        "plain": {"modality_dropout": 0.0},
        "dropout": {"modality_dropout": 0.3},
        "dropout and token": {"modality_dropout": 0.3, "missing": "token"},
    }.items():
        recipe = _av_recipe(inputs, **training)
        options: dict[str, Any] = {"fusions": [best], "seeds": 3, "unit": "sound", "to": to / label, "say": say}
        made[label] = found(pf.compare(recipe, table=frame, **options))
    return made


@table
def houses(to: Path):
    """Photos and columns to price, eight methods, five seeds; photos at 48 pixels and 20 epochs, to fit the time."""
    settings = ("inputs.image.encoder.size=48", "inputs.image.encoder.width=16", "training.epochs=40")
    options: dict[str, Any] = {"outputs": ["price"], "split": "split", "settings": settings}
    return found(pf.compare(DATA / "houses/table.csv", fusions=HOUSES, seeds=5, to=to, say=say, **options))


@table
def easy_vqa(to: Path):
    """A picture and a question to the answer, six methods, three seeds."""
    parts = {name: DATA / f"easy_vqa/{name}.csv" for name in ("train", "test")}
    options: dict[str, Any] = {"outputs": ["answer=category"], "media_root": DATA / "easy_vqa"}
    frame = pd.concat([pd.read_csv(path).assign(split=name) for name, path in parts.items()], ignore_index=True)
    return found(pf.compare(frame, fusions=QUESTIONS, seeds=3, split="split", to=to, say=say, **options))


@table
def encode_once(to: Path):
    """Twelve fusions, three seeds, over frozen encoders: seconds with kept tokens, and without."""
    frame = av_digits()
    names = ["concat", "sum", "late", "gated", "film", "tucker", "mfb", "embrace", "deepset", "attention",
             "bottleneck", "perceiver"]  # fmt: skip
    inputs = _encoders(frame, to.parent / "av_digits_frozen")
    seconds = {}
    for cache in ("auto", "off"):
        os.environ["POLYFUSE_CACHE"] = str(to / f"cache-{cache}")
        recipe = _av_recipe({n: {**item, "cache": cache} for n, item in inputs.items()}, steps=100)
        started = time.monotonic()
        made = found(pf.compare(recipe, table=frame, fusions=names, seeds=3, unit="sound", say=say))
        seconds[cache] = {"seconds": time.monotonic() - started, "fusions": made["fusions"]}
    return seconds


@table
def cost(_: Path):
    """Forward and backward at one size, each in a process of its own, interleaved with ``concat``."""
    rows = {}
    for name in [n for n in registry.FUSIONS if n != "decision"]:  # which mixes nothing of its own
        base, rows[name] = _measured("concat"), _measured(name)
        if "seconds" in rows[name]:
            rows[name]["ratio"] = rows[name]["seconds"] / base["seconds"]
        say(f"{name}: {rows[name]}")
    return rows


def _measured(name: str) -> dict[str, Any]:
    script = [sys.executable, str(ROOT / "benchmarks/fusion_cost.py"), name]
    return json.loads(subprocess.run(script, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", help=f"some of {', '.join(TABLES)}; all by default")
    parser.add_argument("--to", help="folder of the runs", default=str(Path(tempfile.gettempdir()) / "polyfuse-fusion"))
    arguments = parser.parse_args()
    results = Results("fusion")
    for name in arguments.tables or TABLES:
        started = time.monotonic()
        folder = Path(arguments.to) / name
        folder.mkdir(parents=True, exist_ok=True)
        results.get(name, lambda n=name, f=folder: TABLES[n](f))
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        docs = {n: inspect.getdoc(make) or "" for n, make in TABLES.items()}
        (ROOT / "benchmarks/fusion.md").write_text(page(results.values, docs), encoding="utf8")


if __name__ == "__main__":
    main()
