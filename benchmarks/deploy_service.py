"""Rows of ``deploy.py`` on the service: what it takes to install and start, and how it bears load."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import deploy_load
import install
from common import ROOT
from defaults_run import Run, Section
from deploy_models import exported
from deploy_run import row, written

STARTS = 5
SECONDS = 60.0
IMPORT = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


@row
def light(run: Run) -> Section:
    """What answers without torch: how much is installed, how long until it imports, and until it is ready."""
    section = Section(
        "What an exported folder needs",
        "A fresh environment with `polyfuse[runtime]` alone, beside one with `polyfuse[train]`: all files of "
        "site-packages, seconds of `import polyfuse.runtime` and of `import polyfuse.model.network`, medians of five "
        "in turn. To reach: ready in under 3 s from an ONNX folder.",
        ["what", "runtime", "train"],
    )
    sizes = None if run.quick else run.kept("light/install", _installs)
    if sizes:
        section.lines.append(
            ["installed, MB", *(f"{sizes[kind]['bytes'] / 1e6:,.0f}" for kind in ("runtime", "train"))]
        )
        section.lines.append(["import, s", *(f"{sizes[kind]['import']:.2f}" for kind in ("runtime", "train"))])
    started = run.kept("light/start", lambda: _starts(run))
    if started:
        shown = f"{statistics.median(started['ready']):.2f} ({max(started['ready']):.2f} at most)"
        section.lines.append(["`polyfuse serve` until `/ready`, s", shown, ""])
        section.lines.append(["memory of the service then, MB", f"{statistics.median(started['memory']):.0f}", ""])
    return section


def _installs() -> dict[str, Any]:
    """Extra -> bytes of site-packages and seconds of an import, in turn."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        pythons = {}
        for extra, first in (("runtime", ()), ("train", ("torch",))):
            folder = Path(place) / extra
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            pythons[extra] = str(folder / "bin/python")
            pip = [pythons[extra], "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            install.run_command([*pip, "-c", str(ROOT / "constraints.txt"), *first, f"{ROOT}[{extra}]"])
            (packages,) = folder.glob("lib/python*/site-packages")
            found[extra] = {"bytes": sum(path.stat().st_size for path in packages.rglob("*") if path.is_file())}
        names = {"runtime": "polyfuse.runtime", "train": "polyfuse.model.network"}
        taken: dict[str, list[float]] = {extra: [] for extra in names}
        for _ in range(STARTS):
            for extra, name in names.items():
                taken[extra].append(float(install.run_command([pythons[extra], "-c", IMPORT.format(name)])))
    for extra, own in taken.items():
        found[extra]["import"] = statistics.median(own)
    return found


def _starts(run: Run) -> dict[str, Any]:
    """Seconds until a service of the exported digits is ready, several times, and its memory."""
    model = str(exported(run, "digits", 0))
    ready, memory = [], []
    for _ in range(1 if run.quick else STARTS):
        command, port = deploy_load.commands(model)["service"]
        begun = time.monotonic()
        with deploy_load.started(command, port) as pid:
            ready.append(time.monotonic() - begun)
            memory.append(deploy_load.memory_of(pid))
    return {"ready": ready, "memory": memory}


@row
def load(run: Run) -> Section:
    """Many clients at once, and more than can be answered."""
    section = Section(
        "A service under load",
        "AV digits as an ONNX folder, 64 clients that wait for each answer and one row a request, rounds of 60 s in "
        "turn. The clients share the machine's cores with the service; who asks directly has them alone. Overload: "
        "three times as many requests as were answered, sent by the clock; its ratio is to the service's own. To "
        "reach: 0.80 and 0.90.",
        ["asked", "rows a second", "ratio", "p50, ms", "p99, ms", "statuses"],
    )
    seconds = 1.0 if run.quick else SECONDS
    made = run.kept("load/digits", lambda: _load(run, seconds))
    if made:
        for name, arm in made["arms"].items():
            figures = [f"{arm['rate']:.0f}", f"{arm['ratio']:.2f}", f"{arm['p50_ms']:.0f}", f"{arm['p99_ms']:.0f}"]
            section.lines.append([name, *figures, json.dumps(arm["statuses"]).replace('"', "")])
        shown = ", ".join(f"{one:.0f}" for one in made["memory_mb"])
        section.below = f"Memory of the service after load and after overload, round by round, MB: {shown}."
    return section


def _load(run: Run, seconds: float) -> dict[str, Any]:
    return deploy_load.measure(str(exported(run, "digits", 0)), str(written(run, "digits")), seconds, 64)
