"""Runs every row of ``fusion.md`` on real data and writes that page.

``python benchmarks/fusion.py [TABLE ...] [--to FOLDER]``: every run is kept in FOLDER as it ends, so that a stopped
table goes on; the findings of each table are kept in ``fusion.json``, from which the page is written.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from av_digits import build as av_digits
from common import DATA, ROOT, Results
from fusion_page import page
from torch.nn.modules.module import register_module_forward_pre_hook

import polyfuse as pf
from polyfuse import registry
from polyfuse.comparison.context import Context, Variant
from polyfuse.comparison.findings import Comparison
from polyfuse.data.tables import read_table
from polyfuse.recipe import parse

HOUSES = "concat,late,gated,film,attention,low_rank_tensor,decision,multiplicative"
WHOLE = 8  # epochs of AV digits end to end
MIXED = "concat,sum,late,gated,film,tucker,mfb,embrace,deepset,attention,bottleneck,perceiver"
POOLED = "concat,sum,late,gated,multiplicative,tensor,low_rank_tensor,tucker,mfb,embrace,hierarchical,hybrid"
FEW = {"train": 96, "val": 24, "test": 24}  # rows of AV digits before a large encoder
QUESTIONS = "concat,gated,multiplicative,mfb,film,nl_gate"
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
    """Every fusion over frozen encoders trained per modality, three seeds.

    Measured before `film` lost a hidden layer that its paper does not have.
    """
    frame = av_digits()
    recipe = _av_recipe(_encoders(frame, to), epochs=8)
    return found(pf.compare(recipe, table=frame, seeds=3, unit="sound", to=to / "compare", say=say))


@table
def av_digits_whole(to: Path):
    """The five best of the frozen table on validation, trained end to end, 8 epochs, three seeds."""
    rows = Results("fusion").values["av_digits_frozen"]["fusions"]
    best = sorted(rows, key=lambda row: -(row.get("validation") or 0))[:5]
    inputs = {name: {"columns": name, "modality": name} for name in ("image", "audio")}
    names = [row["fusion"] for row in best]
    frame = av_digits()
    options: dict[str, Any] = {"fusions": names, "seeds": 3, "unit": "sound", "to": to, "say": say}
    return found(pf.compare(_av_recipe(inputs, epochs=WHOLE), table=frame, **options))


@table
def av_digits_missing(to: Path):
    """One input removed, of models that learn for it in different ways, end to end, 8 epochs, three seeds.

    Dropout and token alone cost accuracy here: 8 epochs are short, an encoder learns from the rows that keep its input
    only, and the input that learns faster leaves the other behind. Losses of each input alone end that.
    """
    best = Results("fusion").values["av_digits_whole"]["best"]
    inputs = {name: {"columns": name, "modality": name} for name in ("image", "audio")}
    table, made = read_table(av_digits()), {}
    hidden = {"modality_dropout": 0.3, "missing": "token"}
    for label, training, objectives in (
        ("no dropout", {"modality_dropout": 0.0}, []),
        ("dropout .3 and token", hidden, []),
        ("dropout .3, token and unimodal losses", hidden, [{"name": "unimodal", "weight": 1.0}]),
    ):
        recipe = _av_recipe(inputs, epochs=WHOLE, **training)
        context = Context(parse(recipe.model_dump(mode="json") | {"objectives": objectives}), table)
        runs = [_removed(context, best, seed, to / f"{label}-{seed}.json") for seed in range(3)]
        made[label] = {key: float(np.mean([run[key] for run in runs])) for key in runs[0]}
    return {"fusion": best, "training": made}


def _removed(context: Context, fusion: str, seed: int, kept: Path) -> dict[str, float]:
    """The metric with all inputs and without each, of one training, kept in a file."""
    if not kept.exists():
        run = context.run(Variant("fusion", fusion), seed, context.steps)
        kept.write_text(json.dumps({"all": context.value(run.outcome), **run.without}))
        say(f"{kept.stem}: {kept.read_text()}")
    return json.loads(kept.read_text())


@table
def houses(to: Path):
    """Photos and columns to price, eight methods, five seeds; 48 pixels, 16 channels and 40 epochs, to fit the time.

    Photos add 0.006 to 0.015 to the R2 of six of the eight fusions, never significantly. The photos alone explain a
    fifth of the price at most, learnt from scratch on 375 houses, and much of it (size, quarter) stands in the columns
    already; over 107 test houses with a few very dear ones among them the interval of one R2 is 0.23 wide.
    """
    settings = ("inputs.image.encoder.size=48", "inputs.image.encoder.width=16", "training.epochs=40")
    options: dict[str, Any] = {"outputs": ["price"], "split": "split", "settings": settings}
    return found(pf.compare(DATA / "houses/table.csv", fusions=HOUSES, seeds=5, to=to, say=say, **options))


@table
def easy_vqa(to: Path):
    """A picture and a question to the answer, six methods, three seeds.

    To fit the time pictures at 32 pixels, 16 channels and 64 tokens, width 64; those that attend between all tokens
    take five times as long and are left out. The default settings are in ``foundation.md``.
    """
    picture = ("inputs.image.encoder.size=32", "inputs.image.encoder.width=16", "inputs.image.encoder.depth=2")
    settings = (*picture, "width=64", "training.epochs=7")
    parts = {name: DATA / f"easy_vqa/{name}.csv" for name in ("train", "test")}
    options: dict[str, Any] = {"outputs": ["answer=category"], "media_root": DATA / "easy_vqa", "settings": settings}
    frame = pd.concat([pd.read_csv(path).assign(split=name) for name, path in parts.items()], ignore_index=True)
    return found(pf.compare(frame, fusions=QUESTIONS, seeds=3, split="split", to=to, say=say, **options))


@table
def encode_once(to: Path):
    """Twelve fusions, three seeds, over frozen encoders: seconds with kept tokens, and without, all else equal.

    A third of AV digits with the encoders of the frozen table, small ones for pictures of 28 pixels: the twelve fusions
    that pool, 8 epochs; and twelve of which four read tokens, 50 steps of 64 rows, where with kept tokens the steps of
    attention, bottleneck and perceiver are most of what is left. Then 144 rows with a vision transformer of ViT-S size
    (12 layers of 384, pictures of 224 pixels, random weights), those twelve, 6 steps of 32 rows. Means of three
    seeds differ where half precision grows in training, most in few steps on few rows and under square roots (`mfb`);
    most pooled fusions agree to the row.
    """
    frame = av_digits().iloc[::3]
    inputs = _encoders(frame, to.parent / "av_digits_frozen")
    few = pd.concat([frame[frame.split == side].iloc[:rows] for side, rows in FEW.items()])
    vit = {"name": "pretrained", "path": str(_vit_s(to / "vit-s"))}
    large = {"image": {"columns": "image", "encoder": vit, "transfer": "frozen"}, "audio": inputs["audio"]}
    return {
        "AV digits, pooled": _once_and_again(frame, inputs, to / "pooled", POOLED, epochs=8),
        "AV digits, mixed": _once_and_again(frame, inputs, to / "small", MIXED, steps=50, batch_size=64),
        "ViT-S, mixed": _once_and_again(few, large, to / "large", MIXED, steps=6, batch_size=32),
    }


def _once_and_again(frame: pd.DataFrame, inputs: dict[str, dict], to: Path, fusions: str, **training) -> dict[str, Any]:
    """``auto`` and ``off`` -> seconds, cells encoded and findings of the same comparison; kept in a file."""
    file, kept = to.with_suffix(".json"), {}
    if file.exists():
        return json.loads(file.read_text())
    for cache in ("auto", "off"):
        os.environ["POLYFUSE_CACHE"] = str(to / f"cache-{cache}")
        shutil.rmtree(to, ignore_errors=True)  # of a try that was stopped
        recipe = _av_recipe({n: {**v, "cache": cache, "augment": "none"} for n, v in inputs.items()}, **training)
        with encoded_cells() as count:
            started = time.monotonic()
            made = found(pf.compare(recipe, table=frame, fusions=fusions, seeds=3, unit="sound", say=say))
        kept[cache] = {"seconds": time.monotonic() - started, "encoded": count[0], "fusions": made["fusions"]}
    both = {**kept, "distinct": sum(frame[name].nunique() for name in inputs)}
    file.write_text(json.dumps(both))
    return both


@contextmanager
def encoded_cells() -> Iterator[list[int]]:
    """Counts the cells that go through any encoder."""
    names = [(m, name) for m in ("image", "audio") for name in registry.ENCODERS[m]]
    kinds, count = tuple(registry.encoder(*name) for name in names), [0]

    def add(module, arguments):
        if isinstance(module, kinds):
            count[0] += len(arguments[1])

    hook = register_module_forward_pre_hook(add)
    try:
        yield count
    finally:
        hook.remove()


def _vit_s(to: Path) -> Path:
    """A checkpoint of ViT-S size with random weights."""
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    if not to.exists():
        torch.manual_seed(0)
        config = ViTConfig(hidden_size=384, num_hidden_layers=12, num_attention_heads=6, intermediate_size=1536)
        ViTModel(config).save_pretrained(to)
        ViTImageProcessor().save_pretrained(to)
    return to


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
