"""Small models of AV digits: a student with sound alone, taught and by itself, and whole chains of methods.

    python benchmarks/deploy_compress.py                              # 6,000 training rows, 5 seeds
    python benchmarks/deploy_compress.py --easy --rows 800 --seeds 2 --epochs 12

Results go to ``deploy_compress.json`` as they come, so that a stopped run goes on; ``--fresh`` forgets them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import av_digits
import pandas as pd
from common import machine, spread

import polyfuse as pf
from polyfuse.compress.distill import Distill
from polyfuse.compress.study import begin

STUDENTS: dict[str, dict[str, Any]] = {  # all of one recipe, which differ in what they learn of
    "alone": {"weight": 0.0},
    "logits": {"lessons": "logits", "weight": 1.0},
    "features": {"lessons": "features", "weight": 1.0},
    "logits and features": {"lessons": {"logits": 1.0, "features": 1.0}},
    "logits and relational": {"lessons": {"logits": 1.0, "relational": 1.0}},
    "logits and contrastive": {"lessons": {"logits": 1.0, "contrastive": 0.3}},
}
CHAINS: dict[str, dict[str, Any]] = {
    "quantize": {},
    "prune+quantize": {"ratio": 0.5},
    "distill+quantize": {"width": 0.5},
    "distill+prune+quantize": {"width": 0.5, "ratio": 0.3},
}


def teacher(frame: pd.DataFrame, seed: int, epochs: float | None) -> pf.Model:
    """Picture and sound together, networks from scratch."""
    settings = ["preset=plain", *([f"training.epochs={epochs}"] if epochs else [])]
    inputs = ["image=image", "audio=audio"]
    options: dict[str, Any] = {"split": "split", "seed": seed, "settings": settings, "quiet": True, "device": "cpu"}
    return pf.fit(frame, outputs=["digit=category"], inputs=inputs, **options)


def students(frame: pd.DataFrame, model: pf.Model, epochs: float | None, names: list[str]) -> dict[str, float]:
    """Test accuracy of each student with sound alone."""
    study = begin(model.bundle, model._read(frame, None, None), same=True)
    found = {}
    for name in names:
        method = Distill(inputs="audio", width=1.0, epochs=epochs, settings="width=128", **STUDENTS[name])
        made, _ = method.compress(model.bundle, study)
        found[name] = study.read(made).judge(study.judged, bootstrap=0)["digit"].metrics["accuracy"]
        print(f"  {name}: {found[name]:.4f}", flush=True)
    return found


def chains(frame: pd.DataFrame, model: pf.Model, epochs: float | None) -> dict[str, Any]:
    """Each chain, measured."""
    found = {}
    with tempfile.TemporaryDirectory() as place:
        model.save(Path(place) / "teacher")
        for at, (method, keywords) in enumerate(CHAINS.items()):
            settings = {"distill": {"epochs": epochs}} if epochs and method.startswith("distill") else None
            done = model.compress(
                frame, method=method, to=Path(place) / str(at), settings=settings, verbose=False, **keywords
            )
            print(done, flush=True)
            found[method] = done.to_json()
    return found


def main() -> None:
    """Run what is not there yet, and print it."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--rows", type=int, default=6000, help="that train; a fifth as many validate")
    asked.add_argument("--seeds", type=int, default=5)
    asked.add_argument("--epochs", type=float)
    asked.add_argument("--easy", action="store_true", help="less noise, for few rows")
    asked.add_argument("--students", default=",".join(STUDENTS), help="with commas")
    asked.add_argument("--no-chains", action="store_true")
    asked.add_argument("--fresh", action="store_true")
    asked.add_argument("--to", type=Path, default=Path(__file__).with_suffix(".json"))
    given = asked.parse_args()
    av_digits.SIZES.update(train=given.rows, val=given.rows // 5)
    if given.easy:
        av_digits.SIZES["test"], av_digits.NOISE, av_digits.SNR = 1000, 0.3, (-6.0, 6.0)
    frame = av_digits.build().reset_index(drop=True)
    kept = json.loads(given.to.read_text()) if given.to.exists() and not given.fresh else {}
    name = f"{given.rows} rows, {given.epochs or 'auto'} epochs{', easy' if given.easy else ''}"
    known = kept.setdefault(name, {"machine": machine()})
    for seed in range(given.seeds):
        own = known.setdefault(f"seed {seed}", {})
        wanted = [name for name in given.students.split(",") if name not in own.get("students", {})]
        chained = not given.no_chains and "chains" not in own and seed == 0
        if not wanted and not chained:
            continue
        model = teacher(frame, seed, given.epochs)
        own["teacher"] = model.evaluation.outputs["digit"].metrics["accuracy"]
        print(f"seed {seed}: picture and sound {own['teacher']:.4f}", flush=True)
        own.setdefault("students", {}).update(students(frame, model, given.epochs, wanted))
        given.to.write_text(json.dumps(kept, indent=1) + "\n")
        if chained:
            own["chains"] = chains(frame, model, given.epochs)
        given.to.write_text(json.dumps(kept, indent=1) + "\n")
    seeds = [own for name, own in known.items() if name.startswith("seed")]
    for student in seeds[0]["students"]:
        print(f"{student}: {spread([own['students'][student] for own in seeds if student in own['students']])}")


if __name__ == "__main__":
    main()
