"""The cache folder of decoded media, tokens and converted checkpoints. Imports nothing of ours."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """Folder of all stores: ``$POLYFUSE_CACHE``, or ``~/.cache/polyfuse``; a user without a home has it under ``/``."""
    own, home = os.environ.get("POLYFUSE_CACHE"), os.path.expanduser("~")
    return Path(own) if own else Path("/" if home == "~" else home) / ".cache" / "polyfuse"
