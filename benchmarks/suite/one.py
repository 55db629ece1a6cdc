"""One table, one system, one seed, in a process of its own: ``run.py`` starts it, a JSON row and an array come back."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.suite import baselines, tables
from benchmarks.suite.table import Table, inner

HEADS = {"classification": "category", "regression": "number"}


def one(
    item: Table,
    system: str,
    seed: int,
    judge: str,
    options: dict[str, Any],
    *,
    members: bool = False,
    only: str | None = None,
) -> tuple[dict, dict[str, np.ndarray]]:
    """The row of a run and, by name of the predictor, how wrong it is for every test row.

    Args:
        members: ask each member alone as well, which reads the test rows once more for each.
        only: modality of the inputs that polyfuse sees; all by default.
    """
    frame = inner(item) if judge == "inner" else item.load()
    if only:
        frame = frame.drop(columns=[c for kind, names in item.inputs(frame).items() if kind != only for c in names])
    truth = frame[frame.split == "test"][item.output].to_numpy()
    started = time.monotonic()
    if system == "baselines":
        found = baselines.run(item, frame, seed)
        said = found.pop("said")
        row: dict[str, Any] = found
    else:
        answer, row = _polyfuse(item, frame, seed, options, members)
        said = {"polyfuse": answer}
        row["test"] = {"polyfuse": baselines.score(item.task, truth, answer)}
    row |= {"seconds": time.monotonic() - started, "cpu_seconds": time.process_time()}
    row |= {"train": int((frame.split == "train").sum()), "tested": len(truth)}
    return row, {name: _errors(item.task, truth, answer) for name, answer in said.items()}


def _errors(task: str, truth: np.ndarray, answer: np.ndarray) -> np.ndarray:
    """1 where a class is wrong; squared error over the variance of the truth: their mean is 1 - accuracy or 1 - R2."""
    if task == "classification":
        return (truth != answer).astype(np.float32)
    return ((truth - answer) ** 2 / truth.var()).astype(np.float32)


def _polyfuse(
    item: Table, frame: pd.DataFrame, seed: int, options: dict[str, Any], each: bool
) -> tuple[np.ndarray, dict[str, Any]]:
    """Zero-config: the table, the output and its kind, the split and what groups its rows."""
    import polyfuse

    model = polyfuse.fit(
        frame,
        outputs=[f"{item.output}={HEADS[item.task]}"],
        split="split",
        group=item.group,
        seed=seed,
        quiet=True,
        **options,
    )
    if model.report["training"].get("interrupted"):
        raise SystemExit("interrupted: no row of it is kept")
    notes, members = list(model.notes), model.report.get("ensemble")
    test = frame[frame.split == "test"].drop(columns=item.output)
    answer = _answer(model, item, test)
    truth = frame[frame.split == "test"][item.output].to_numpy()
    asked = _members(model, item, test) if each else ()
    alone = {name: baselines.score(item.task, truth, said) for name, said in asked}
    facts = {key: value for key, value in model.report["training"].items() if isinstance(value, str | int | float)}
    return answer, {
        "validation": facts.get("quality"),
        "training": facts,
        "notes": notes,
        "members": members,
        "alone": alone,
    }


def _answer(model: Any, item: Table, test: pd.DataFrame) -> np.ndarray:
    answer = model.predict(test)[item.output].to_numpy()
    return answer.astype(str).astype(object) if item.task == "classification" else answer.astype(float)


def _members(model: Any, item: Table, test: pd.DataFrame) -> Iterator[tuple[str, np.ndarray]]:
    """What each member of the ensemble would say alone: for the analysis, never for the model."""
    ensemble = model.bundle.network.ensemble
    if ensemble is None:
        return
    weight, opinions = ensemble.weights(item.output), [o for o in ensemble.opinions if o.output == item.output]
    names = ["network", *(f"{type(o.learner).__name__}({'+'.join(o.readers)})" for o in opinions)]
    kept = weight.clone()
    for at, name in enumerate(names):
        weight.zero_()[at] = 1
        yield name, _answer(model, item, test)
    weight.copy_(kept)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table")
    parser.add_argument("system", choices=["polyfuse", "baselines"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--judge", choices=["inner", "test"], default="inner")
    parser.add_argument("--options", type=json.loads, default={}, help="keywords of polyfuse.fit, as JSON")
    parser.add_argument("--members", action="store_true", help="ask each member of the ensemble alone as well")
    parser.add_argument("--only", metavar="MODALITY", help="of the inputs that polyfuse sees")
    parser.add_argument("--to", type=Path, required=True, help="the row, PATH.json, and its errors beside it, PATH.npz")
    given = parser.parse_args()
    asked = {"members": given.members, "only": given.only}
    row, errors = one(tables()[given.table], given.system, given.seed, given.judge, given.options, **asked)
    given.to.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(given.to.with_suffix(".npz"), **errors)
    row |= {"table": given.table, "system": given.system, "seed": given.seed, "judge": given.judge}
    given.to.with_suffix(".json").write_text(json.dumps(row, indent=1, default=str) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
