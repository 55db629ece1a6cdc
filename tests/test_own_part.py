"""Parts of one's own: by address, by ``register``, by entry point; saved, and loaded only where they are trusted."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from torch import nn

import polyfuse as pf
from polyfuse import registry
from polyfuse.records import Tokens
from polyfuse.testing import check_encoder, check_fusion, check_head, check_objective
from polyfuse.trust import TrustError, is_trusted, trust_packages
from tests.conftest import PROJECT
from tests.tiny import FAST, write_table

PAGE = (PROJECT / "docs" / "own_part.md").read_text(encoding="utf8")
QUICK = {"training.epochs": 2, "training.batch_size": 16, "width": 16, "preset": "plain"}


def block(name: str) -> str:
    """The code of the page whose first line is ``# name``."""
    return next(code for code in re.findall(r"```\w+\n(.*?)```", PAGE, re.DOTALL) if code.startswith(f"# {name}\n"))


@pytest.fixture
def place(tmp_path, monkeypatch, own_cache):
    """A folder with the page's module, on the path of this process, which forgets it afterwards."""
    for name in ("my_parts.py", "recipe.yaml", "fit.py"):
        (tmp_path / name).write_text(block(name), encoding="utf8")
    write_table(tmp_path, rows=24)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("my_parts", None)


@pytest.fixture
def own_tables(monkeypatch):
    """Tables of parts that are as they were afterwards."""
    monkeypatch.setattr(registry, "_added", set(registry._added))
    for table in [*registry.ENCODERS.values(), *registry.KINDS.values()]:
        for name in table:
            monkeypatch.setitem(table, name, table[name])
    before = {id(t): set(t) for t in [*registry.ENCODERS.values(), *registry.KINDS.values()]}
    yield
    for table in [*registry.ENCODERS.values(), *registry.KINDS.values()]:
        for name in set(table) - before[id(table)]:
            del table[name]


COMMANDS = """
import sys
from polyfuse.cli import main
for line in sys.stdin.read().splitlines():
    sys.argv = line.split()
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
"""


@pytest.mark.slow
def test_the_page_runs(place):
    """From the command line, in a process that finds the module in its working directory alone."""
    own = {**os.environ, "PYTHONPATH": str(PROJECT / "src")}
    lines = [line for line in PAGE.splitlines() if line.startswith("polyfuse ")]
    assert [line.split()[1] for line in lines] == ["fit", "predict"]
    quick = [word for setting in FAST for word in ("--set", setting)]
    lines[0] = " ".join([lines[0], *quick, "--json"])
    code = COMMANDS.replace("import sys", "import sys; sys.path.remove('')", 1)  # as a console script has it
    done = subprocess.run([sys.executable, "-c", code], input="\n".join(lines), env=own, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(pd.read_csv("answers.csv")) == 24
    recipe = yaml.safe_load(Path("stripes/recipe.yaml").read_text(encoding="utf8"))
    assert recipe["inputs"]["eyes"]["encoder"] == {"name": "my_parts:Stripes", "stripes": 3}

    with pytest.raises(TrustError, match=r"my_parts:Stripes.*trust=\['my_parts'\] \(--trust my_parts\)"):
        pf.load("stripes")
    assert "my_parts" not in sys.modules  # nothing of it was run
    for refused in (lambda: pf.read_recipe("stripes"), lambda: pf.read_recipe("stripes/recipe.yaml"),
                    lambda: pf.fit("stripes", quiet=True)):  # fmt: skip
        with pytest.raises(TrustError):
            refused()
    assert "my_parts" not in sys.modules

    table = pd.read_csv("table.csv")
    by_hand = pf.load("stripes", trust=["my_parts"]).predict(table, verbose=False, media_root=place)
    assert list(by_hand.label) == list(pd.read_csv("answers.csv").label)
    with pytest.raises(TrustError):  # trust ends with the call
        pf.load("stripes")
    again = pf.fit("stripes", trust="my_parts:Stripes", quiet=True)
    assert list(again.predict("table.csv", verbose=False).label) == list(by_hand.label)


def test_python_fits_and_starts_from_it(place):
    exec(block("fit.py").replace('to="stripes"', 'to="stripes", quiet=True, settings=QUICK'), {"QUICK": QUICK})
    asked = {"inputs.eyes.init_from": "stripes#eyes", **QUICK}
    further = {"outputs": "label", "inputs": ["eyes@photo=image", "area"], "quiet": True}
    with pytest.raises(TrustError):
        pf.fit("table.csv", settings=asked, **further)
    made = pf.fit("table.csv", settings=asked, trust=["my_parts"], **further)
    assert type(made.bundle.network.encoder("eyes")).__name__ == "Stripes"


def test_the_checks_of_the_page_hold(place):
    from my_parts import Stripes

    check_encoder(Stripes)
    check_encoder(Stripes, {"stripes": 2})


def test_a_registered_name_is_known_everywhere_but_in_other_processes(place, own_tables):
    from my_parts import Stripes

    pf.register("encoder", "image:stripes", Stripes)
    pf.register("encoder", "image:stripes", "my_parts:Stripes")  # again, as a notebook's cell that runs twice
    row = next(row for row in pf.parts("encoders") if row.name == "image:stripes")
    assert row.summary == "The mean colour of some stripes of a picture, each through one linear layer."
    inputs = ["eyes@photo=image:stripes", "area"]
    model = pf.fit("table.csv", outputs="label", inputs=inputs, quiet=True, settings=QUICK, to="named")
    assert list(pf.load("named").predict("table.csv", verbose=False).label) == list(
        model.predict("table.csv", verbose=False).label
    )
    del registry.ENCODERS["image"]["stripes"]
    with pytest.raises(ValueError, match=r"unknown image encoder 'stripes'.*registered first"):
        pf.load("named")


@pytest.mark.parametrize(
    ("kind", "name", "target", "message"),
    [
        ("encoder", "stripes", nn.Linear, "MODALITY:NAME"),
        ("encoder", "smell:stripes", nn.Linear, "unknown modality 'smell'"),
        ("encoder", "image:resnet", nn.Linear, "the package has one of that name"),
        ("fusion", "mean", nn.Linear, "the package has one of that name"),
        ("fuson", "mine", nn.Linear, "did you mean 'fusion'"),
        ("fusion", "mine", "my_parts", "package.module:Class"),
        ("fusion", "mine", nn.Linear(1, 1), "package.module:Class"),
        ("fusion", "a:b", nn.Linear, "without a colon"),
    ],
)
def test_what_cannot_be_registered_is_refused(own_tables, kind, name, target, message):
    with pytest.raises(ValueError, match=message):
        pf.register(kind, name, target)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module_here:Mine", "ModuleNotFoundError.*installed, or lies in the working directory"),
        ("my_parts:Nothing", "AttributeError"),
        ("my_parts:adaptive_avg_pool2d", "expected a class"),
        ("my_parts:Tensor", "Tensor is no encoder"),
    ],
)
def test_an_address_that_leads_nowhere_says_so(place, name, message):
    with pytest.raises(ValueError, match=message):
        pf.fit("table.csv", outputs="label", inputs=[f"eyes@photo=image:{name}"], quiet=True, settings=QUICK)


def test_entry_points_of_installed_packages_bring_parts(place, own_tables, monkeypatch):
    points = [
        EntryPoint("encoder.image.stripes", "my_parts:Stripes", registry.GROUP),
        EntryPoint("encoder.image.resnet", "my_parts:Stripes", registry.GROUP),
        EntryPoint("fusion.mine", "my_parts:Gone", registry.GROUP),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    registry._discover.cache_clear()
    try:
        with pytest.warns(UserWarning, match="encoder.image.resnet .* is left out"):
            assert registry.encoder("image", "stripes").__name__ == "Stripes"
        assert "my_parts:Gone cannot be read" in next(r.summary for r in pf.parts("fusions") if r.name == "mine")
    finally:
        registry._discover.cache_clear()


def test_a_transform_of_ones_own_needs_trust_too(place):
    exec(block("fit.py").replace('to="stripes"', 'to="stripes", quiet=True, settings=QUICK'), {"QUICK": QUICK})
    shutil.copytree("stripes", "other")
    recipe = Path("other/recipe.yaml")
    recipe.write_text(recipe.read_text(encoding="utf8").replace("my_parts:Stripes", "resnet"), encoding="utf8")
    kept = Path("other/preprocessing/in_0.json")
    content = json.loads(kept.read_text(encoding="utf8"))
    kept.write_text(json.dumps({**content, "transform": "evil.module:Transform"}), encoding="utf8")
    from polyfuse.model.bundle import read_preprocessing

    with pytest.raises(TrustError, match=r"evil\.module:Transform"):
        read_preprocessing(Path("other"), "in_0")


def test_trust_is_of_packages_modules_and_classes():
    cases = {"a": True, "a.b": True, "a.b:C": True, "a.b:D": False, "a.bc": False, "b": False, "a.b.c": False}
    for name, trusted in cases.items():
        with trust_packages([name]):
            assert is_trusted("a.b:C") is trusted, name
    assert not is_trusted("a.b:C")
    with pytest.raises(ValueError, match="trust"), trust_packages([""]):
        pass


class Careless(nn.Module):
    """Reads padding, takes absent rows for present, and keeps a layer that no token depends on."""

    paper = ""

    @staticmethod
    def wants(*, width: int = 8):
        from polyfuse.records import Spec

        return Spec("sequence")

    def __init__(self, *, size: int, width: int = 8):
        super().__init__()
        self.width, self.read, self.unused = width, nn.Linear(size, width), nn.Linear(3, 3)

    def forward(self, fields, present_B):
        x_UTD = self.read(fields["x"] - fields["x"].mean(1, keepdim=True))
        return Tokens(x_UTD, torch.ones(x_UTD.shape[:2], dtype=torch.bool), grid=(x_UTD.shape[1],))


def test_the_checks_name_all_that_is_wrong():
    with pytest.raises(AssertionError) as found:
        check_encoder(Careless)
    said = str(found.value)
    assert said.startswith("Careless: ")
    for part in ("Padding and other rows", "present_B", "without a gradient: ['unused.weight', 'unused.bias']"):
        assert part in said


def test_the_checks_run_over_other_kinds():
    check_head(registry.head("number"))
    check_objective(registry.objective("unimodal"))
    check_fusion(registry.fusion("sum"))
    with pytest.raises(AssertionError, match="Linear: 8 of 8 checks"):
        check_fusion(nn.Linear)
