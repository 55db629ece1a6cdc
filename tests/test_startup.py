"""Verbs import what they use: looking needs no torch, prediction nothing that trains. Nothing here asserts a time."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest

import polyfuse as pf
from polyfuse.system.lazy import LazyModule
from tests.conftest import PROJECT
from tests.tiny import FAST, write_table

pytestmark = pytest.mark.usefixtures("own_cache")

TRAINING = ("lightning", "lightning_fabric", "pytorch_lightning", "torchmetrics", "sklearn", "tensorboard")
PAGES = ("matplotlib", "jinja2")
OPTIONAL = ("transformers", "peft", "kornia", "audiomentations", "datasets", "scipy")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A table with every modality, and a model of it."""
    folder = tmp_path_factory.mktemp("startup")
    table = write_table(folder, rows=24)
    pf.fit(table, outputs=["label"], split="split", to=folder / "m", settings=FAST, quiet=True)
    return table, folder / "m"


def loaded(code: str, *arguments: object) -> set[str]:
    """The top-level packages in a fresh process after some code."""
    code = f"import sys\n{code}\nprint('|'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stderr.strip().splitlines()[-1].split("|")}


LOOK = """
import polyfuse as pf
from polyfuse.cli import main
for words in (["list"], ["starter"], ["inspect", sys.argv[1]]):
    sys.argv[1:] = words
    try:
        main()
    except SystemExit as end:
        assert not end.code
[getattr(pf, name) for name in pf.__all__]
pf.read_table(words[1])
"""


def test_looking_reading_a_table_and_every_public_name_import_no_torch(saved):
    assert not loaded(LOOK, saved[0]) & {"torch", *TRAINING, *PAGES, *OPTIONAL}


def test_loading_and_predicting_import_nothing_that_trains(saved, tmp_path):
    code = "import polyfuse as pf\nmodel = pf.load(sys.argv[1])\nmodel.predict(sys.argv[2])\nmodel.embed(sys.argv[2])"
    found = loaded(code, saved[1], saved[0])
    assert "torch" in found
    assert not found & {*TRAINING, *PAGES, *OPTIONAL}


def test_judging_imports_nothing_that_trains(saved):
    found = loaded("import polyfuse as pf\npf.load(sys.argv[1]).evaluate(sys.argv[2])", saved[1], saved[0])
    assert not found & {*TRAINING, *PAGES}


BARE = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pandas", "torch", "pyarrow", "yaml", "safetensors", "transformers", "lightning"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from polyfuse.cli import main
main()
"""


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [(["--help"], 0, ""), (["starter"], 0, ""), (["list"], 2, "pandas"), (["demo"], 2, "pandas")],
)
def test_a_bare_install_names_the_line_that_completes_it(words, status, said):
    done = subprocess.run([sys.executable, "-c", BARE, *words], capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert not said or f"error: this needs {said}: pip install 'polyfuse[train]'" in done.stderr


def test_what_the_bare_install_imports_is_among_its_dependencies():
    core = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
    packages = {name.partition(">")[0] for name in core}
    assert {"filelock", "pydantic", "typer", "rich", "numpy"} <= packages


def test_a_later_module_is_imported_by_its_first_attribute():
    code = "from polyfuse.system.lazy import LazyModule\nlater = LazyModule('colorsys')\n"
    code += "assert 'colorsys' not in sys.modules\n"
    assert "colorsys" in loaded(code + "assert later.rgb_to_hsv(0, 0, 0)[2] == 0")
    assert not hasattr(LazyModule("json"), "nothing")
