"""The steps of the ``Dockerfile`` without Docker: an environment with ``polyfuse[runtime]`` alone serves an export."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import tomllib
import venv
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import httpx
import pytest
from packaging.requirements import Requirement

import polyfuse as pf
from tests.conftest import PROJECT
from tests.serve.conftest import coded
from tests.tiny import FAST, write_table

PACKAGE = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf8"))["project"]
EXTRAS: dict[str, list[str]] = PACKAGE["optional-dependencies"]


def test_the_runtime_holds_what_serves_and_nothing_that_trains():
    assert "polyfuse[serve]" in EXTRAS["runtime"]
    named = " ".join([*EXTRAS["runtime"], *EXTRAS["serve"]])
    assert not re.search("torch|pandas|transformers|scikit", named)


def test_the_image_is_slim_has_no_rights_and_asks_for_its_health():
    lines = (PROJECT / "Dockerfile").read_text(encoding="utf8")
    assert "[runtime]" in lines
    assert re.search(r"^USER \d+$", lines, re.MULTILINE)
    assert "HEALTHCHECK" in lines
    assert "/ready" in lines
    assert all("slim" in line for line in lines.splitlines() if line.startswith("FROM"))


def test_the_service_imports_nothing_that_trains():
    code = "import sys, polyfuse.serve.service, polyfuse.serve.worker, polyfuse.cli; "
    code += "sys.exit(', '.join({'torch', 'pandas', 'transformers', 'sklearn'} & sys.modules.keys()) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def needed(name: str, found: dict[str, str]) -> None:
    """The packages that one needs, with the versions that are here, those that they need included."""
    try:
        if name in found:
            return
        found[name] = version(name)
    except PackageNotFoundError:
        return
    for text in requires(name) or ():
        wanted = Requirement(text)
        if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
            needed(wanted.name.lower().replace("_", "-"), found)


@pytest.mark.slow
def test_an_environment_with_the_runtime_alone_serves_an_export(tmp_path):
    table = write_table(tmp_path)
    model = pf.fit(table, outputs=["label", "price"], split="split", settings=FAST, quiet=True)
    model.export(tmp_path / "onnx")
    row = {"words": "bright loud morning", "area": 2}
    gone = dict.fromkeys(("photo", "sound", "kind"))
    expected = model.predict([row | gone], verbose=False)
    venv.create(tmp_path / "env", with_pip=True)
    pip = [tmp_path / "env/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pinned: dict[str, str] = {}
    for text in [*EXTRAS["runtime"], *EXTRAS["serve"], *PACKAGE["dependencies"]]:
        if not text.startswith("polyfuse"):
            needed(Requirement(text).name.lower(), pinned)
    (tmp_path / "pins.txt").write_text("\n".join(f"{name}=={at}" for name, at in pinned.items()), encoding="utf8")
    done = subprocess.run([*pip, "-c", tmp_path / "pins.txt", f"{PROJECT}[runtime]"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    listed = subprocess.run([*pip[:3], "list", "--format=json"], capture_output=True, text=True, check=True).stdout
    names = {row["name"].lower() for row in json.loads(listed)}
    assert not names & {"torch", "pandas", "transformers", "scikit-learn", "lightning"}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    command = [tmp_path / "env/bin/polyfuse", "serve", f"houses={tmp_path / 'onnx'}", "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path)
    try:
        first = process.stderr.readline()
        assert first.startswith("{"), first + process.stderr.read()
        address = json.loads(first)["address"]
        end = time.monotonic() + 120
        while httpx.get(f"{address}ready", timeout=60).status_code != 200:
            assert time.monotonic() < end
            time.sleep(0.1)
        answer = httpx.post(f"{address}v1/predict", json={"row": row}, timeout=60).json()["answers"][0]
        assert answer["label"]["value"] == expected.label[0]
        assert answer["price"]["value"] == pytest.approx(expected.price[0], rel=1e-4)
        row["photo"] = coded((Path(tmp_path) / "7.png").read_bytes())
        explained = httpx.post(f"{address}v1/explain", json={"row": row}, timeout=60).json()["explanations"][0]
        assert explained["label"]["contributions"]["audio"] == 0
        assert httpx.get(address).status_code == 200
    finally:
        process.terminate()
        assert process.wait(60) == 0
