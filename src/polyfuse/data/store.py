"""Arrays on disk, keyed by content: media are decoded and resized once, then memory-mapped by every later run.

A store is a folder with one growing file of bytes and an SQLite index. Reading maps the file, so that the arrays cost
page cache and no memory of the process; writing happens under a file lock, so that two processes may share a store.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from polyfuse.cache import cache_root
from polyfuse.data.cells.source import digest

__all__ = ["MemoryStore", "Store", "StoredCells", "cache_root", "evict", "fingerprint", "spared"]

IN_USE = 3600  # seconds since its last use for which a store is not evicted
FORMAT = 1  # part of every fingerprint: raise it when a transform's code changes what it gives


def fingerprint(*parts: Any) -> str:
    """A name for whatever made the arrays: the same for equal JSON, different after any change."""
    return digest(json.dumps([FORMAT, *parts], sort_keys=True, default=str)).hex()


class Store:
    """One folder of arrays.

    Args:
        folder: made if absent.

    Example:
        >>> store = Store(tmp_path / "store")
        >>> store.put([(b"key", np.arange(3))])
        >>> store.view([b"key"])[0]
        array([0, 1, 2])
    """

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._file = folder / "cells.bin"
        self._lock = FileLock(folder / "lock")
        with self._lock, self._index() as index:
            index.execute("CREATE TABLE IF NOT EXISTS cells (key BLOB PRIMARY KEY, start, dtype, shape) WITHOUT ROWID")
            self._file.touch()
        os.utime(folder)

    def _index(self) -> sqlite3.Connection:
        return sqlite3.connect(self.folder / "index.sqlite", timeout=60)

    def known(self, keys: Sequence[bytes]) -> set[bytes]:
        """Those of the keys that are stored."""
        return set(self._find(keys))

    def put(self, items: Iterable[tuple[bytes, np.ndarray]]) -> None:
        """Append arrays; a key that another process wrote meanwhile is kept as it is.

        Raises:
            OSError: the disk is full; what was stored before stays readable.
        """
        with self._lock, self._index() as index, self._file.open("ab") as file:
            for key, array in items:
                start = file.seek(0, os.SEEK_END)
                padding = -start % 16
                file.write(b"\0" * padding + np.ascontiguousarray(array).tobytes())
                row = (key, start + padding, array.dtype.str, json.dumps(array.shape))
                index.execute("INSERT OR IGNORE INTO cells VALUES (?, ?, ?, ?)", row)
            file.flush()

    def _find(self, keys: Sequence[bytes]) -> dict[bytes, tuple[int, str, str]]:
        found: dict[bytes, tuple[int, str, str]] = {}
        with self._index() as index:
            for at in range(0, len(keys), 500):
                some = keys[at : at + 500]
                query = f"SELECT * FROM cells WHERE key IN ({','.join('?' * len(some))})"
                found.update({key: rest for key, *rest in index.execute(query, some)})  # type: ignore[misc]
        return found

    def view(self, keys: Sequence[bytes]) -> StoredCells:
        """The arrays of these keys, in order, mapped and not read.

        Raises:
            KeyError: a key is not stored.
        """
        found = self._find(keys)
        return StoredCells(self._file, [found[key] for key in keys])


class StoredCells(Sequence):
    """A sequence of read-only arrays inside one mapped file; pickles as a path, so workers map it themselves."""

    def __init__(self, file: Path, rows: Sequence[tuple[int, str, str]]):
        self._file = file
        self._starts = np.array([row[0] for row in rows], dtype=np.int64)
        kinds: dict[tuple[str, str], int] = {}
        self._kind = np.array([kinds.setdefault((row[1], row[2]), len(kinds)) for row in rows], dtype=np.int32)
        self._kinds = [(np.dtype(dtype), tuple(json.loads(shape))) for dtype, shape in kinds]
        self._map()

    def _map(self) -> None:
        empty = self._file.stat().st_size == 0
        self._bytes = np.zeros(0, np.uint8) if empty else np.memmap(self._file, dtype=np.uint8, mode="r")

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_bytes"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._map()

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, at):
        dtype, shape = self._kinds[self._kind[at]]
        return np.ndarray(shape, dtype, self._bytes, int(self._starts[at]))  # type: ignore[arg-type]


class MemoryStore:
    """What ``Store`` does, in memory: for small tables without a cache folder."""

    def __init__(self) -> None:
        self._arrays: dict[bytes, np.ndarray] = {}

    def known(self, keys: Sequence[bytes]) -> set[bytes]:
        """Those of the keys that are kept."""
        return {key for key in keys if key in self._arrays}

    def put(self, items: Sequence[tuple[bytes, np.ndarray]]) -> None:
        """Keep arrays."""
        self._arrays.update(items)

    def view(self, keys: Sequence[bytes]) -> Sequence[np.ndarray]:
        """The arrays of these keys, in order."""
        return [self._arrays[key] for key in keys]


def evict(root: Path, limit_bytes: int, keep: Path | None = None) -> list[Path]:
    """Remove the stores used longest ago until all of them fit, sparing ``keep`` and those used in the last hour.

    Returns:
        The folders that were removed.
    """
    stores = _stores(root)
    total, removed = sum(size for size, _ in stores.values()), []
    for folder, (size, used) in sorted(stores.items(), key=lambda item: item[1][1]):
        if total <= limit_bytes:
            break
        if folder == keep or time.time() - used < IN_USE:
            continue
        shutil.rmtree(folder, ignore_errors=True)
        total -= size
        removed.append(folder)
    return removed


def spared(root: Path, but: Path) -> int:
    """Bytes of the stores that ``evict`` would spare as used lately, one of them not counted."""
    return sum(size for folder, (size, used) in _stores(root).items() if folder != but and time.time() - used < IN_USE)


def _stores(root: Path) -> dict[Path, tuple[int, float]]:
    """Folder of each store -> its bytes and when it was used last."""
    folders = [f for f in root.iterdir() if (f / "cells.bin").exists()] if root.exists() else []
    return {f: (sum(_state(x)[0] for x in (f / "cells.bin", f / "index.sqlite")), _state(f)[1]) for f in folders}


def _state(path: Path) -> tuple[int, float]:
    """Bytes and time of last use; nothing where another process has just removed it."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0.0
    return found.st_size, found.st_mtime
