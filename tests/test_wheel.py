"""The package as others get it: a wheel, installed where the repository cannot be seen, shows, lists and learns."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import polyfuse as pf
from tests.conftest import PROJECT

pytestmark = pytest.mark.slow

SOURCES = ("pyproject.toml", "README.md", "LICENSE", "src")


def run(command: list[object], folder: Path) -> str:
    """Standard output of a command that knows nothing of this process but where its cache is."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environment["POLYFUSE_CACHE"] = str(folder / "cache")
    done = subprocess.run([*map(str, command)], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built by ``python -m build`` through a source distribution, from a copy, so that the sources stay as they are."""
    pytest.importorskip("build", reason="build is not installed: pip install 'polyfuse[dev]'")
    copy, out = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("dist")
    for name in SOURCES:
        if (PROJECT / name).is_dir():
            shutil.copytree(PROJECT / name, copy / name, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
        else:
            shutil.copy(PROJECT / name, copy / name)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (found,) = out.glob("*.whl")
    assert list(out.glob("*.tar.gz"))
    return found


@pytest.fixture(scope="module")
def elsewhere(wheel, tmp_path_factory) -> Path:
    """An environment that holds the wheel, and borrows the other packages of this one by a path alone.

    A folder named in a ``.pth`` file is searched, but its own ``.pth`` files are not read: an editable install of the
    repository stays out of sight.
    """
    folder = tmp_path_factory.mktemp("elsewhere")
    venv.create(folder / "env", with_pip=True)
    python = folder / "env/bin/python"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]
    run([*pip, wheel], folder)
    (packages,) = (folder / "env").glob("lib/python*/site-packages")
    paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (packages / "borrowed.pth").write_text("\n".join(paths) + "\n", encoding="utf8")
    return folder


def test_the_wheel_holds_every_file_of_the_package(wheel):
    package = PROJECT / "src" / "polyfuse"
    ours = {f"polyfuse/{p.relative_to(package).as_posix()}" for p in package.rglob("*") if p.is_file()}
    ours = {name for name in ours if "__pycache__" not in name}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == ours


def test_it_is_installed_outside_the_repository(elsewhere):
    where = run([elsewhere / "env/bin/python", "-c", "import polyfuse; print(polyfuse.__file__)"], elsewhere)
    assert Path(where.strip()).is_relative_to(elsewhere)


def test_it_says_its_version(elsewhere):
    assert run([elsewhere / "env/bin/polyfuse", "--version"], elsewhere) == f"polyfuse {pf.__version__}\n"


def test_it_lists_every_part(elsewhere):
    found = json.loads(run([elsewhere / "env/bin/polyfuse", "list", "--json"], elsewhere))
    kinds = ("encoders", "fusions", "heads", "objectives", "learners")
    assert [row["name"] for row in found] == [row.name for kind in kinds for row in pf.parts(kind)]


def test_its_demo_learns(elsewhere):
    found = json.loads(run([elsewhere / "env/bin/polyfuse", "demo", "--to", "demo", "--json"], elsewhere))
    assert found["outputs"]["digit"]["accuracy"] > 0.6
    assert (elsewhere / "demo/report.html").exists()
    command = ["predict", "demo/model", "demo/table.parquet", "--to", "answers.csv"]
    run([elsewhere / "env/bin/polyfuse", *command], elsewhere)
    assert (elsewhere / "answers.csv").exists()
