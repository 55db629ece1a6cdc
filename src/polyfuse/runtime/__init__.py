"""Exported folders run without torch, and what a service asks of any model.

Example:
    >>> from polyfuse.runtime import load
    >>> model = load("house-price-onnx")
    >>> answers, notes = model.predict([{"area": 120, "description": "a house by the sea"}])
"""

from __future__ import annotations

from pathlib import Path

from polyfuse.runtime.folder import ExportError, is_export
from polyfuse.runtime.model import Runtime
from polyfuse.trust import Trust

__all__ = ["ExportError", "Runtime", "is_export", "load"]


def load(folder: str | Path, *, media_root: str | Path | None = None, threads: int = 0, trust: Trust = ()) -> Runtime:
    """An exported folder, ready to answer; torch is not needed.

    Args:
        folder: as ``polyfuse export`` wrote it.
        media_root: folder that paths in cells start from. Without it no path is read, only content: bytes, base64,
            arrays, so that rows from anywhere name no file of this machine.
        threads: that one answer may use; 0 leaves it to onnxruntime.
        trust: packages, modules or ``package.module:Class`` whose code may read cells, where a transform does not come
            with polyfuse.

    Raises:
        ExportError: no exported folder, one of a newer version, or a file that is missing, changed or broken.
        TrustError: it names code that is not in ``trust``; none of it was run.
    """
    return Runtime(folder, media_root=media_root, threads=threads, trust=trust)
