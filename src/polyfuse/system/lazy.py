"""Lazy imports: modules that are imported at first use, so that a command loads only what it needs.

Only what users call has such modules: the front door, which knows everything and of which a call uses a part, and an
index of rows. Where a package of the extra ``train`` is absent, the error has the line that installs it.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from polyfuse.errors import extra


class LazyModule(ModuleType):
    """A module that is imported at its first attribute access.

    Args:
        name: such as ``polyfuse.training.fit``.

    Example:
        >>> later = LazyModule("json")
        >>> later.dumps([1])
        '[1]'
    """

    def __getattr__(self, name: str) -> object:
        with extra("train"):
            module = importlib.import_module(self.__name__)
        return getattr(module, name)
