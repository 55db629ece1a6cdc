"""Rows of ``deploy.py`` on what compression and export come to, and on students that lack an input of their teacher."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from defaults_run import Run, Section
from deploy_run import QUICK, SUBJECTS, row, tabled, trained

from polyfuse.compress.distill import Distill
from polyfuse.compress.study import begin

METHODS: dict[str, dict[str, Any]] = {  # what is made of a model: chain of methods, and their keywords
    "8 bits in ONNX, as they come": {"method": "quantize", "form": "dynamic"},
    "8 bits in ONNX, ranges shown": {"method": "quantize", "form": "static"},
    "distill+prune+quantize": {"method": "distill+prune+quantize", "form": "dynamic", "width": 0.5, "ratio": 0.3},
}
HEAD = ["model", "made", "metric before", "after", "smaller", "faster, 1 row", "faster, 16 rows", "memory, MB"]
AIMS = (
    "To reach: 8 bits in ONNX at least 3 times as fast for one row as eager torch and 3.5 times as small, under one "
    "point lost; the chain at least 5 times as fast and 10 times as small, under two."
)

STUDENTS: dict[str, dict[str, Any]] = {  # all of one recipe, with sound alone, which differ in what they learn of
    "by itself": {"weight": 0.0},
    "softened scores": {"lessons": "logits", "weight": 1.0},
    "joint vector": {"lessons": "features", "weight": 1.0},
    "scores and joint vector": {"lessons": {"logits": 1.0, "features": 1.0}},
    "scores and relations": {"lessons": {"logits": 1.0, "relational": 1.0}},
}


@row
def digits(run: Run) -> Section:
    """AV digits, picture and sound from scratch, ten epochs."""
    return _smaller(run, "AV digits made small", ["digits"])


@row
def houses(run: Run) -> Section:
    """Houses as zero-config makes them, and with networks from scratch."""
    return _smaller(run, "Houses made small", ["houses", "houses, from scratch"])


def _smaller(run: Run, title: str, names: Sequence[str]) -> Section:
    text = (
        "Metrics of test rows (with their 95 % interval), size on disk, medians of turns in which both models answer "
        f"rows whose cells are ready, one thread; peak memory of a process that loads and answers. {AIMS}"
    )
    section = Section(title, text, HEAD)
    for name in names:
        for label, asked in METHODS.items():
            key = f"{names[0]}/{name}/{label}"
            made = run.each(key, lambda seed, name=name, asked=asked: _compressed(run, name, asked, seed))
            if made:
                section.lines.append([name, label, *_figures(made, SUBJECTS[name].column)])
    return section


def _compressed(run: Run, name: str, asked: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """A model of a subject made small, and both measured."""
    to = run.work / "made"
    shutil.rmtree(to, ignore_errors=True)
    fast = {"distill": {"epochs": 1}, "prune": {"epochs": 1}} if run.quick and "+" in asked["method"] else None
    model = trained(run, name, seed)
    return model.compress(tabled(run, name), to=to, settings=fast, verbose=False, **asked).to_json()


def _figures(made: Sequence[Mapping[str, Any]], output: str) -> list[str]:
    """Cells of a line: of the first seed, with how the ratios spread over seeds."""

    def metric(side: str) -> str:
        one = made[0][side]["outputs"][output]
        ends = one["interval"]
        return f"{one['value']:.4g}" + (f" ({ends[0]:.4g} to {ends[1]:.4g})" if ends else "")

    def times(of: Any) -> str:
        found = [of(one["before"]) / of(one["after"]) for one in made]
        return f"{statistics.mean(found):.1f}" + (f" ± {statistics.stdev(found):.1f}" if len(found) > 1 else "")

    name = made[0]["before"]["outputs"][output]["metric"]
    held = [made[0][side]["memory"] for side in ("before", "after")]  # None where a process of its own failed
    memory = " → ".join("not known" if one is None else f"{one / 2**20:.0f}" for one in held)
    faster = [times(lambda one, rows=rows: one["milliseconds"][rows]) for rows in ("1", "16")]
    return [f"{name} {metric('before')}", metric("after"), times(lambda one: one["size"]), *faster, memory]


@row
def students(run: Run) -> Section:
    """Sound alone, taught by picture and sound together."""
    section = Section(
        "A student with sound alone, its teacher with picture and sound",
        "AV digits, test accuracy in percent; all students have one recipe and differ in what they learn of beside the "
        "targets. Beside: by how much taught beats the same student by itself, seed by seed.",
        ["learnt of", "accuracy", "above by itself"],
    )
    made = run.each("students", lambda seed: _students(run, seed))
    if made:
        section.lines.append(["(the teacher)", _percent([one["teacher"] for one in made]), ""])
        for label in STUDENTS:
            apart = [one["students"][label] - one["students"]["by itself"] for one in made]
            shown = "" if label == "by itself" else _percent(apart)
            section.lines.append([label, _percent([one["students"][label] for one in made]), shown])
    return section


def _percent(found: Sequence[float]) -> str:
    spread = f" ± {100 * statistics.stdev(found):.1f}" if len(found) > 1 else ""
    return f"{100 * statistics.mean(found):.1f}{spread}"


def _students(run: Run, seed: int) -> dict[str, Any]:
    """Test accuracy of the teacher and of each student."""
    model = trained(run, "digits", seed)
    read = model._read(tabled(run, "digits"), None, None)
    study = begin(model.bundle, read, same=True)
    found = {}
    for label, asked in STUDENTS.items():
        settings = ["width=128", *(QUICK if run.quick else ())]
        made, _ = Distill(inputs="audio", width=1.0, settings=settings, **asked).compress(model.bundle, study)
        found[label] = study.read(made).judge(study.judged, bootstrap=0)["digit"].metrics["accuracy"]
    judged = study.read(model.bundle).judge(study.judged, bootstrap=0)
    return {"teacher": judged["digit"].metrics["accuracy"], "students": found}


def exported(run: Run, name: str, seed: int) -> Path:
    """The exported folder of a subject's model, and nothing of torch in it."""
    folder = run.work / f"{name}-onnx-{seed}"
    if not folder.exists():
        trained(run, name, seed).export(folder)
    return folder
