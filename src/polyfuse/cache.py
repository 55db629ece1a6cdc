"""Where polyfuse keeps what it computed once: decoded media, tokens, converted checkpoints. Imports nothing of ours."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """Folder of all stores: ``$POLYFUSE_CACHE``, or ``~/.cache/polyfuse``."""
    return Path(os.environ.get("POLYFUSE_CACHE") or Path.home() / ".cache" / "polyfuse")
