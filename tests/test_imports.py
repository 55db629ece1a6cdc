"""The layer rules: code depends only downwards, siblings never import each other, heavy packages load inside use."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

import polyfuse
from polyfuse import registry
from scripts.rooms import LAYERS

ROOT = Path(polyfuse.__file__).parent

RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
CELLS_MAY_IMPORT = {"cv2", "numpy", "PIL", "soundfile", "soxr", "tokenizers", "av"}
HEAVY = {
    "transformers",
    "kornia",
    "audiomentations",
    "matplotlib",
    "peft",
    "jinja2",
    "torchmetrics",
    "safetensors",
    "sklearn",
    "scipy",
    "gguf",
    "lancedb",
    "faiss",
}

OWN_FRAMEWORK = {"sklearn": {"sklearn"}}  # estimators inherit from scikit-learn's; nothing else imports that module


def dotted(path: Path) -> str:
    """The name of a module within the package."""
    return ".".join(part for part in path.relative_to(ROOT).with_suffix("").parts if part != "__init__")


FILES = {dotted(path): path for path in sorted(ROOT.rglob("*.py"))}


@cache
def parsed() -> dict[str, ast.Module]:
    """The modules as trees, in the process that asks for them: this takes seconds."""
    return {name: ast.parse(path.read_text(encoding="utf8")) for name, path in FILES.items()}


def unit(module: str) -> str:
    """The row of LAYERS that a module belongs to."""
    if module.startswith(("encoders.hub", "encoders.checkpoint")):  # what heads made of checkpoints read as well
        return "encoders.hub"
    if module == "data.cells" or module.startswith("data.cells."):
        return "data.cells"
    return module.split(".")[0]


def imported(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the layer they come from"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} if node.module else set()
    return names


def ours(tree: ast.AST) -> set[str]:
    units = set()
    for name in imported(tree):
        if name == "polyfuse" or name.startswith("polyfuse."):
            rest = name.removeprefix("polyfuse").removeprefix(".")
            if rest and not rest.startswith("__"):
                units.add(unit(rest))
    return units & RANK.keys()


@pytest.mark.parametrize("module", [m for m in FILES if m])
def test_imports_point_downwards(module):
    own = unit(module)
    assert own in RANK, f"{module}: add it to LAYERS"
    for other in ours(parsed()[module]):
        assert other == own or RANK[other] < RANK[own], f"{module} imports {other}, which is not below it"


@cache
def arrows() -> dict[str, set[str]]:
    """Module -> modules that it imports, wherever in the file and for whom; the front is ``""``."""
    found = {}
    for module, tree in parsed().items():
        named = set()
        for name in imported(tree):
            if name == "polyfuse" or name.startswith("polyfuse."):
                inside = name.removeprefix("polyfuse").removeprefix(".")
                named.add(inside if inside in FILES else inside.rpartition(".")[0])
        found[module] = named - {module}
    return found


def test_no_circle_among_files():
    """Layer by layer: a file whose imports are all gone goes as well; what never goes stands in a circle."""
    left = dict(arrows())
    while free := {module for module, named in left.items() if not named & left.keys()}:
        left = {module: named for module, named in left.items() if module not in free}
    assert left == {}, "these files import each other, or one that does: " + ", ".join(sorted(left))


@pytest.mark.parametrize("module", [m for m in FILES if m and unit(m) not in ("cli", "__main__")])
def test_nobody_below_imports_the_front(module):
    assert "" not in arrows()[module], "the front knows everything: import the module that holds what is needed"


def test_records_know_nothing_of_how_they_are_shown():
    drawing = {"evaluation.terminal", "evaluation.html", "evaluation.robustness_page", "evaluation.figures"}
    drawing |= {"comparison.terminal", "comparison.page", "comparison.plot"}
    for name, places in registry.RENDERERS.items():
        records = [m for m, tree in parsed().items() if any(getattr(n, "name", "") == name for n in tree.body)]
        assert len(records) == 1
        assert not arrows()[records[0]] & drawing
        for target in places.values():
            assert callable(registry.resolve(target))


@pytest.mark.parametrize("module", [m for m in FILES if unit(m) == "data.cells"])
def test_cells_need_neither_torch_nor_pandas(module):
    for name in imported(parsed()[module]):
        top = name.split(".")[0]
        allowed = top in CELLS_MAY_IMPORT or top in sys.stdlib_module_names or name.startswith("polyfuse.data.cells")
        assert allowed, f"{module} imports {name}"


@pytest.mark.parametrize("module", FILES)
def test_heavy_packages_are_imported_inside_use(module):
    top_level = {
        n.split(".")[0]
        for s in parsed()[module].body
        if isinstance(s, (ast.Import, ast.ImportFrom))
        for n in imported(s)
    }
    assert not top_level & (HEAVY - OWN_FRAMEWORK.get(module, set()))


@pytest.mark.parametrize("module", FILES)
def test_own_modules_are_not_imported_inside_functions(module):
    for node in ast.walk(parsed()[module]):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert not {n for n in imported(node) if n.split(".")[0] == "polyfuse"}, f"{module}.{node.name}"


def test_modules_that_come_later_are_imported_for_the_type_checker_too():
    """So that an arrow is seen by the rules above, and an editor completes."""
    calls = [
        (module, node.args[0].value)
        for module, tree in parsed().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "LazyModule"
    ]
    assert calls
    for module, name in calls:
        assert name in imported(parsed()[module]), f"{module}: {name}"


def test_import_brings_no_torch():
    code = "import sys, polyfuse, polyfuse.cli, polyfuse.starter; "
    code += "sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_what_the_package_promises_is_no_module_of_the_same_name():
    """A subpackage imported on the way would take the place of a function of its name."""
    code = "import polyfuse, types; polyfuse.fit; assert all(callable(getattr(polyfuse, n)) for n in polyfuse.__all__)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_packages_that_break_others_are_absent():
    assert [name for name in ("torchvision", "torchaudio", "torch_fidelity") if find_spec(name)] == []


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "1000"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None"), ({"GOMP_SPINCOUNT": "7"}, "7")],
)
def test_waiting_threads_spin_shortly_unless_the_user_says_otherwise(given, spins):
    kept = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    code = "import polyfuse, os; print(os.environ.get('GOMP_SPINCOUNT'))"
    found = subprocess.run([sys.executable, "-c", code], env=kept | given, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == spins
