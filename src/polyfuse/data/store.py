"""Cache of arrays on disk, keyed by content: media are decoded once, then memory-mapped by every later run.

A store is a folder with one growing file of bytes and an SQLite index. Reading maps the file, so that the arrays cost
page cache and no memory of the process; writing happens under a file lock, so that two processes may share a store.
Every array has a checksum: one that is damaged counts as not stored, and is made again.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from filelock import FileLock

from polyfuse.data.cells.source import content_digest
from polyfuse.system.cache import cache_root

__all__ = [
    "FallbackStore",
    "MemoryStore",
    "Store",
    "StoredCells",
    "cache_root",
    "evict",
    "fingerprint",
    "recently_used_bytes",
]

IN_USE = 3600  # seconds since its last use for which a store is not evicted
FORMAT = 2  # part of every fingerprint: raise it when a store's layout changes, or what a transform's code gives
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)

Row: TypeAlias = tuple[int, str, str, int]
"""Of one array: its place in the file, dtype, shape as JSON, and checksum."""


class DamagedStore(OSError):
    """The index of a store is damaged."""


def fingerprint(*parts: Any) -> str:
    """A name for whatever made the arrays: the same for equal JSON, different after any change."""
    return content_digest(json.dumps([FORMAT, *parts], sort_keys=True, default=str)).hex()


class Store:
    """A cache of arrays in one folder.

    Args:
        folder: made if absent; begun anew where its index is damaged.
        writable: False reads what is there, and writes and locks nothing.

    Raises:
        OSError: the folder cannot be used.

    Attributes:
        notes: what was found damaged.

    Example:
        >>> store = Store(tmp_path / "store")
        >>> store.put([(b"key", np.arange(3))])
        >>> store.view([b"key"])[0]
        array([0, 1, 2])
    """

    def __init__(self, folder: Path, writable: bool = True):
        self.folder, self.writable = folder, writable
        self.notes: list[str] = []
        self._file = folder / "cells.bin"
        self._sound: set[bytes] = set()  # keys whose arrays were checked
        self._damaged: set[bytes] = set()
        if not writable:
            self._check()
            return
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / "lock")
        with self._lock:
            try:
                self._check()
            except DamagedStore:
                self.notes.append(f"the cache {folder} was damaged; it is begun anew")
                for name in ("index.sqlite", "index.sqlite-journal", "cells.bin"):
                    (folder / name).unlink(missing_ok=True)
                self._check()
            self._file.touch()
        os.utime(folder)

    def _check(self) -> None:
        """Make the index where it is absent.

        Raises:
            DamagedStore: it is no index of a store.
        """
        columns = "key BLOB PRIMARY KEY, start, dtype, shape, checksum"
        with self._index() as index:
            if self.writable:
                index.execute(f"CREATE TABLE IF NOT EXISTS cells ({columns}) WITHOUT ROWID")
            index.execute("SELECT start, dtype, shape, checksum FROM cells LIMIT 1").fetchall()
            if index.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise DamagedStore(errno.EIO, "damaged index", str(self.folder))

    @contextmanager
    def _index(self) -> Iterator[sqlite3.Connection]:
        """The open index, committed where all goes well.

        Raises:
            OSError: whatever SQLite has to complain of.
        """
        place = self.folder / "index.sqlite"
        try:
            name = str(place) if self.writable else f"{place.resolve().as_uri()}?mode=ro&immutable=1"
            with closing(sqlite3.connect(name, timeout=60, uri=not self.writable)) as index, index:
                index.execute("PRAGMA synchronous = OFF")  # what a power cut leaves is checked before it is used
                yield index
        except sqlite3.Error as error:
            kind = DamagedStore if getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGED else OSError
            raise kind(errno.EIO, f"SQLite: {error}", str(place)) from error

    def known(self, keys: Sequence[bytes]) -> set[bytes]:
        """The keys whose arrays are stored and undamaged; each array is checked once."""
        found = self._find(keys)
        unchecked = [key for key in found if key not in self._sound and key not in self._damaged]
        if unchecked:
            content = _map_file(self._file)
            for key in unchecked:
                (self._sound if _is_whole(content, found[key]) else self._damaged).add(key)
        bad = found.keys() & self._damaged
        if bad:
            self.notes.append(f"the cache {self.folder} is damaged: {len(bad):,} of its cells are made again")
        return found.keys() - bad

    def put(self, items: Iterable[tuple[bytes, np.ndarray]]) -> None:
        """Append arrays; a key that another process wrote meanwhile is kept as it is, unless it is damaged.

        Raises:
            OSError: the disk is full; what was stored before stays readable.
        """
        if not self.writable:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self.folder))
        with self._lock, self._index() as index, self._file.open("ab") as file:
            for key, array in items:
                start = file.seek(0, os.SEEK_END)
                padding = -start % 16
                content = np.ascontiguousarray(array).tobytes()
                file.write(b"\0" * padding + content)
                dtype, shape = array.dtype.str, json.dumps(array.shape)
                row = (key, start + padding, dtype, shape, _checksum(content, dtype, shape))
                how = "REPLACE" if key in self._damaged else "IGNORE"
                index.execute(f"INSERT OR {how} INTO cells VALUES (?, ?, ?, ?, ?)", row)
                self._damaged.discard(key)
            file.flush()

    def _find(self, keys: Sequence[bytes]) -> dict[bytes, Row]:
        found: dict[bytes, Row] = {}
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


def _map_file(file: Path) -> np.ndarray:
    """The bytes of a file, not read."""
    empty = file.stat().st_size == 0
    return np.zeros(0, np.uint8) if empty else np.memmap(file, dtype=np.uint8, mode="r")


def _checksum(content: Any, dtype: str, shape: str) -> int:
    return zlib.crc32(content, zlib.crc32(f"{dtype}{shape}".encode()))


def _is_whole(content: np.ndarray, row: Row) -> bool:
    """Whether an array is what was stored: a file that was cut, or overwritten with zeros, tells."""
    start, dtype, shape, checksum = row
    try:
        size = np.dtype(dtype).itemsize * int(np.prod(json.loads(shape), dtype=np.int64))
        own = content[start : start + size]
        return len(own) == size and _checksum(own, dtype, shape) == checksum
    except (TypeError, ValueError):  # no such dtype or shape
        return False


class StoredCells(Sequence):
    """A sequence of read-only arrays inside one mapped file; pickles as a path, so workers map it themselves."""

    def __init__(self, file: Path, rows: Sequence[Row]):
        self._file = file
        self._starts = np.array([row[0] for row in rows], dtype=np.int64)
        kinds: dict[tuple[str, str], int] = {}
        self._kind = np.array([kinds.setdefault((row[1], row[2]), len(kinds)) for row in rows], dtype=np.int32)
        self._kinds = [(np.dtype(dtype), tuple(json.loads(shape))) for dtype, shape in kinds]
        self._bytes = _map_file(file)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_bytes"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._bytes = _map_file(self._file)

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, at):
        dtype, shape = self._kinds[self._kind[at]]
        return np.ndarray(shape, dtype, self._bytes, int(self._starts[at]))  # type: ignore[arg-type]


class MemoryStore:
    """A ``Store`` in memory, for small tables without a cache folder."""

    def __init__(self) -> None:
        self._arrays: dict[bytes, np.ndarray] = {}

    def known(self, keys: Sequence[bytes]) -> set[bytes]:
        """The keys that are stored."""
        return {key for key in keys if key in self._arrays}

    def put(self, items: Sequence[tuple[bytes, np.ndarray]]) -> None:
        """Keep arrays."""
        self._arrays.update(items)

    def view(self, keys: Sequence[bytes]) -> Sequence[np.ndarray]:
        """The arrays of these keys, in order."""
        return [self._arrays[key] for key in keys]


class FallbackStore:
    """A store on disk as far as one can be had; what it cannot take stays in memory.

    Args:
        folder: of the store; None keeps everything in memory.
        what: what it holds, for notes.

    Attributes:
        notes: what the user should know: that the disk could not be used and why, or what was damaged.
    """

    def __init__(self, folder: Path | None, what: str):
        self.folder, self._what = folder, what
        self._disk: Store | None = None
        self._memory = MemoryStore()
        self._said: list[str] = []
        if folder is None:
            return
        try:
            self._disk = Store(folder)
        except OSError as error:
            self._note_failure(error)
            self._disk = self._open_read_only(folder)

    @property
    def writable(self) -> bool:
        """Whether there is a place on disk that can be written."""
        return self._disk is not None and self._disk.writable

    @property
    def notes(self) -> list[str]:
        return list(dict.fromkeys([*self._said, *(self._disk.notes if self._disk else [])]))

    @staticmethod
    def _open_read_only(folder: Path) -> Store | None:
        """Open the store in a folder that cannot be written, such as one that came with a container."""
        try:
            return Store(folder, writable=False)
        except OSError:
            return None

    def _note_failure(self, error: OSError) -> None:
        root = self.folder.parent.parent if self.folder else None
        self._said.append(
            f"the cache {root} cannot be used ({error.strerror or error}): {self._what} are kept in memory, and made "
            "again by the next run; free space, or name another folder in POLYFUSE_CACHE"
        )

    def known(self, keys: Sequence[bytes]) -> set[bytes]:
        """The keys that are stored."""
        return self._memory.known(keys) | self._on_disk(keys)

    def _on_disk(self, keys: Sequence[bytes]) -> set[bytes]:
        try:
            return self._disk.known(keys) if self._disk else set()
        except OSError as error:
            self._note_failure(error)
            self._disk = None
            return set()

    def put(self, items: Iterable[tuple[bytes, np.ndarray]]) -> None:
        """Keep arrays."""
        made = list(items)
        if self._disk is not None and self._disk.writable:
            try:
                self._disk.put(made)
                return
            except OSError as error:
                self._note_failure(error)
                self._disk = self._open_read_only(self._disk.folder)
        self._memory.put(made)

    def view(self, keys: Sequence[bytes]) -> Sequence[np.ndarray]:
        """The arrays of these keys, in order.

        Raises:
            KeyError: a key is not kept.
        """
        if self._disk is None:
            return self._memory.view(keys)
        apart = self._memory.known(keys)
        stored = self._disk.view([key for key in keys if key not in apart])
        if not apart:
            return stored
        rest = iter(stored)
        return [self._memory.view([key])[0] if key in apart else next(rest) for key in keys]


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


def recently_used_bytes(root: Path, but: Path) -> int:
    """Bytes of the stores that ``evict`` would spare as recently used, ``but`` not counted."""
    return sum(size for folder, (size, used) in _stores(root).items() if folder != but and time.time() - used < IN_USE)


def _stores(root: Path) -> dict[Path, tuple[int, float]]:
    """Folder of each store -> its bytes and when it was used last."""
    folders = [f for f in root.iterdir() if (f / "cells.bin").exists()] if root.exists() else []
    return {
        f: (sum(_size_and_time(x)[0] for x in (f / "cells.bin", f / "index.sqlite")), _size_and_time(f)[1])
        for f in folders
    }


def _size_and_time(path: Path) -> tuple[int, float]:
    """Bytes and time of last use; nothing where another process has just removed it."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0.0
    return found.st_size, found.st_mtime
