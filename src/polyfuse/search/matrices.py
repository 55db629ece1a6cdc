"""Memory-mapped matrices of an index's vectors, derived from its table and rebuilt when needed.

Each vector lies there twice, in half precision for the scan and in single precision for the second look. Rows are
appended as they come; a commit is a small file that is replaced. What a killed process left behind it is cut off by the
next one, what is damaged is begun anew, and where nothing can be written the matrices are kept in memory.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock, Timeout

FORMAT = 1
FACTS, LOCK, IDS = "facts.json", "lock", "ids"
DEAD = 0.5  # share of rows that the table no longer has from which the matrices are begun anew
WAIT = 600  # seconds for another process that is writing them
TRIES = 5  # of reading them while another process replaces them

Rows = Iterable[tuple[np.ndarray, Mapping[str, np.ndarray]]]
"""Some rows at a time: their ids, and input -> float32 vectors (R, E)."""


class _Unusable(Exception):
    """Nothing is there, or it is damaged."""


@dataclass
class Matrices:
    """Vectors ready to be scanned.

    Args:
        ids_N: the id of every row; the table may have deleted some.
        full, half: input -> (N, E) in float32 and float16.
        generation: a name; rows of one generation keep their number.
    """

    ids_N: np.ndarray
    full: dict[str, np.ndarray]
    half: dict[str, np.ndarray]
    generation: str = ""

    def places(self, ids_R: np.ndarray) -> np.ndarray:
        """The number of every row with these ids, -1 where it is not here."""
        order = np.argsort(self.ids_N, kind="stable")
        found_R = np.searchsorted(self.ids_N, ids_R, sorter=order)
        found_R = order[np.minimum(found_R, len(order) - 1)] if len(order) else np.zeros(len(ids_R), np.int64)
        there_R = self.ids_N[found_R] == ids_R if len(order) else np.zeros(len(ids_R), bool)
        return np.where(there_R, found_R, -1)


@dataclass
class _Written:
    """The committed state: ``parts`` holds start, stop and the checksums of every stretch that was appended at once."""

    generation: str
    rows: int = 0
    parts: list[dict[str, Any]] = field(default_factory=list)


class MatrixFolder:
    """The folder in which one index keeps its matrices.

    Args:
        folder: made where it is absent.
        inputs: names of the matrices.
        size: of a vector.
    """

    def __init__(self, folder: Path, inputs: Sequence[str], size: int):
        self.folder, self.inputs, self.size = folder, list(inputs), size
        self.notes: list[str] = []
        self._sound: set[tuple[str, int]] = set()  # stretches whose checksum was right
        self._bad: set[str] = set()  # generations that were found damaged

    def holding(self, ids_N: np.ndarray, fetch: Callable[[np.ndarray], Rows]) -> Matrices:
        """Matrices that hold at least these rows.

        Args:
            fetch: gives the vectors of some ids, in the order of the table; those that it no longer has are left out.
        """
        found = self._read_committed()
        if found is not None and self._enough(found, ids_N):
            return found
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / LOCK, timeout=WAIT):
                found = self._read_committed()
                if found is None or not self._enough(found, ids_N):
                    found = self._extend(found, ids_N, fetch)
                return found
        except (OSError, Timeout) as error:
            self.notes.append(f"{self.folder} cannot be written ({error}): its vectors are kept in memory for this run")
            return self._in_memory(ids_N, fetch)

    def begin_anew(self, damaged: Matrices | None = None) -> None:
        """Forget what is there; the next search makes it again.

        Args:
            damaged: what was found to be damaged, and is not to be read any more even where it cannot be removed.
        """
        if damaged is not None:
            self._bad.add(damaged.generation)
            self.notes.append(f"{self.folder} was damaged; it is made again")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / LOCK, timeout=WAIT):
                (self.folder / FACTS).unlink(missing_ok=True)
                self._sweep(keep="")
        except (OSError, Timeout) as error:
            self.notes.append(f"{self.folder} cannot be cleared ({error})")

    def _enough(self, found: Matrices, ids_N: np.ndarray) -> bool:
        few = len(found.ids_N) * (1 - DEAD) > len(ids_N) and len(found.ids_N) > 1
        return not few and bool((found.places(ids_N) >= 0).all())

    def _read_committed(self) -> Matrices | None:
        """Read the committed state, if undamaged; another process may replace it at any moment."""
        for _ in range(TRIES):
            try:
                written = self._facts()
                return None if written is None or written.generation in self._bad else self._map_matrices(written)
            except FileNotFoundError:
                continue  # another process has begun a new generation
            except (_Unusable, OSError, ValueError, KeyError, TypeError) as error:
                self.notes.append(f"{self.folder} was damaged ({error}); it is made again")
                return None
        return None

    def _facts(self) -> _Written | None:
        try:
            facts = json.loads((self.folder / FACTS).read_text(encoding="utf8"))
        except FileNotFoundError:
            return None
        if facts["format"] != FORMAT or facts["inputs"] != self.inputs or facts["size"] != self.size:
            raise _Unusable("another format")
        return _Written(str(facts["generation"]), int(facts["rows"]), list(facts["parts"]))

    def _map_matrices(self, written: _Written) -> Matrices:
        place = self.folder / written.generation
        if not place.is_dir():
            raise FileNotFoundError(place)
        ids_N = np.array(_map(place / IDS, np.int64, written.rows, 1)[:, 0])
        half = {
            n: _map(_file(place, at, "half"), np.float16, written.rows, self.size) for at, n in self._enumerate_inputs()
        }
        full = {
            n: _map(_file(place, at, "full"), np.float32, written.rows, self.size) for at, n in self._enumerate_inputs()
        }
        for part in written.parts:
            start, stop = part["rows"]
            if (written.generation, start) in self._sound:
                continue
            kept = [ids_N, *half.values()]  # single precision is compared with half where it is read
            if [zlib.crc32(x[start:stop].data) for x in kept] != part["checksums"]:
                raise _Unusable("a checksum is wrong")
            self._sound.add((written.generation, start))
        return Matrices(ids_N, full, half, written.generation)

    def _enumerate_inputs(self) -> list[tuple[int, str]]:
        return list(enumerate(self.inputs))

    def _extend(self, found: Matrices | None, ids_N: np.ndarray, fetch: Callable[[np.ndarray], Rows]) -> Matrices:
        """The rows that are not here yet appended, or all of them in a new generation."""
        written = None if found is None else self._facts()
        if written is None or found is None or len(found.ids_N) * (1 - DEAD) > len(ids_N):
            written = _Written(secrets.token_hex(6))
            (self.folder / written.generation).mkdir()
            missing = ids_N
        else:
            missing = ids_N[found.places(ids_N) < 0]
        place = self.folder / written.generation
        names = [IDS, *(_file(place, at, "half").name for at, _ in self._enumerate_inputs())]
        wide = dict.fromkeys(names, 2 * self.size) | {IDS: 8}
        wide |= {_file(place, at, "full").name: 4 * self.size for at, _ in self._enumerate_inputs()}
        files: dict[str, BinaryIO] = {}
        sums = dict.fromkeys(names, 0)
        count = 0
        try:
            for name, width in wide.items():
                files[name] = _open_at_row(place / name, written.rows, width)
            for ids_R, vectors in fetch(missing):
                contents = {IDS: ids_R.astype(np.int64).tobytes()}
                for at, name in self._enumerate_inputs():
                    x_RE = np.ascontiguousarray(vectors[name], np.float32)
                    contents[_file(place, at, "half").name] = x_RE.astype(np.float16).tobytes()
                    contents[_file(place, at, "full").name] = x_RE.tobytes()
                for name, content in contents.items():
                    files[name].write(content)
                    if name in sums:
                        sums[name] = zlib.crc32(content, sums[name])
                count += len(ids_R)
        except BaseException:
            if not written.rows:
                shutil.rmtree(place, ignore_errors=True)  # a full disk is not to be kept full
            raise
        finally:
            for file in files.values():
                file.close()
        if count:
            written.parts.append({"rows": [written.rows, written.rows + count], "checksums": [*sums.values()]})
            written.rows += count
        self._commit(written)
        self._sweep(keep=written.generation)
        return self._map_matrices(written)

    def _commit(self, written: _Written) -> None:
        facts = {"format": FORMAT, "inputs": self.inputs, "size": self.size, "generation": written.generation}
        facts |= {"rows": written.rows, "parts": written.parts}
        half = self.folder / (FACTS + ".part")
        half.write_text(json.dumps(facts), encoding="utf8")
        half.replace(self.folder / FACTS)

    def _sweep(self, keep: str) -> None:
        for old in self.folder.iterdir():
            if old.is_dir() and old.name != keep:
                shutil.rmtree(old, ignore_errors=True)  # some systems keep files that another process has mapped

    def _in_memory(self, ids_N: np.ndarray, fetch: Callable[[np.ndarray], Rows]) -> Matrices:
        ids: list[np.ndarray] = [np.zeros(0, np.int64)]
        full: dict[str, list[np.ndarray]] = {n: [np.zeros((0, self.size), np.float32)] for n in self.inputs}
        for ids_R, vectors in fetch(ids_N):
            ids.append(ids_R)
            for name, parts in full.items():
                parts.append(np.asarray(vectors[name], np.float32))
        joined = {name: np.concatenate(parts) for name, parts in full.items()}
        return Matrices(np.concatenate(ids), joined, {name: x.astype(np.float16) for name, x in joined.items()})


def _file(place: Path, at: int, kind: str) -> Path:
    """Of the input of that number: names may hold what files may not."""
    return place / f"{at}.{kind}"


def _map(path: Path, kind: Any, rows: int, size: int) -> np.ndarray:
    """The committed rows of a file; writing to the array changes no file."""
    if os.stat(path).st_size < rows * size * np.dtype(kind).itemsize:
        raise _Unusable(f"{path.name} is too short")
    return np.memmap(path, kind, "c", shape=(rows, size)) if rows else np.zeros((0, size), kind)


def _open_at_row(path: Path, row: int, width: int) -> BinaryIO:
    """A file to append to after so many rows; what lies behind them was never committed."""
    file = path.open("r+b" if path.exists() else "x+b")
    file.truncate(row * width)
    file.seek(row * width)
    return file
