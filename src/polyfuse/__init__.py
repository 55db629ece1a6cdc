"""polyfuse learns from tables whose cells are text, images, sound, video and numbers.

Example:
    >>> import polyfuse as pf
    >>> model = pf.fit("houses/table.csv", outputs=["price"])
    >>> report = model.evaluate("houses/test.csv")
    >>> model.save("house-price")

Names are resolved when first used, so that importing the package imports no torch.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from polyfuse.errors import extra
from polyfuse.version import __version__ as __version__

__all__ = [
    "Index",
    "Model",
    "Recipe",
    "compare",
    "demo",
    "fit",
    "index",
    "inspect",
    "load",
    "parts",
    "read_recipe",
    "read_table",
    "register",
    "run_service",
]

# Threads that wait for each other spin, and on a busy machine they wait for one that has no core: a small network takes
# ninety times as long. A short spin costs nothing where cores are free (docs/log.md). Read when torch is loaded.
if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
    os.environ["GOMP_SPINCOUNT"] = "1000"

_HOMES = {
    "Index": "polyfuse.search.index",
    "Model": "polyfuse.api",
    "Recipe": "polyfuse.recipe",
    "compare": "polyfuse.api",
    "demo": "polyfuse.api",
    "fit": "polyfuse.api",
    "index": "polyfuse.api",
    "inspect": "polyfuse.api",
    "load": "polyfuse.api",
    "parts": "polyfuse.api",
    "read_recipe": "polyfuse.recipe",
    "read_table": "polyfuse.data.tables",
    "register": "polyfuse.registry",
    "run_service": "polyfuse.serve.service",
}

if TYPE_CHECKING:
    from polyfuse.api import Model, compare, demo, fit, index, inspect, load, parts
    from polyfuse.data.tables import read_table
    from polyfuse.recipe import Recipe, read_recipe
    from polyfuse.registry import register
    from polyfuse.search.index import Index
    from polyfuse.serve.service import run_service
else:  # type checkers read the names above, and know that there are no others

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'polyfuse' has no attribute {name!r}")
        with extra("train"):
            module = importlib.import_module(_HOMES[name])
        value = getattr(module, name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
