"""Starter parts: small pretrained models that come as packages of the Python registry, and so work offline.

``starter:NAME`` stands wherever the name of a checkpoint may. ``find`` gives the folder of such a checkpoint: the files
of the package are checked against known SHA-256 sums before anything is read, then converted once into a Hugging Face
folder under the cache. No package is ever imported for that, and nothing here needs torch until it converts.
"""

from __future__ import annotations

from polyfuse.starter.folders import PREFIX, find, is_name
from polyfuse.starter.package_files import StarterError
from polyfuse.starter.parts import PARTS, StarterPart
from polyfuse.starter.states import StarterState, states

__all__ = ["PARTS", "PREFIX", "StarterError", "StarterPart", "StarterState", "find", "is_name", "states"]
