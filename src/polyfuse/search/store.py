"""The durable table of an index: vectors, metadata and pictures to show, in LanceDB, a version per change.

Every change is one commit: a killed process leaves the version before it. Rows carry random ids, so that two processes
may add at once without asking each other.
"""

from __future__ import annotations

import errno
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from polyfuse.errors import extra

TABLE = "rows"
IDS = 2**62
FEW, PART = 10_000, 2**14  # rows asked for by id; rows read at once
VECTOR, THERE, THUMB, TABLE_ID = "vector of ", "has ", "thumbnail of ", "table id"
READING = timedelta(hours=1)  # for which another process may still read an older version
RETRIES = 20  # of a change that met another one


class SearchError(ValueError):
    """An index that cannot be read, or a question that it cannot answer."""


def new_ids(count: int) -> np.ndarray:
    """Random row ids, int64 from 0."""
    return np.array([secrets.randbelow(IDS) for _ in range(count)], np.int64)


class Store:
    """The table of one index.

    Args:
        place: folder, or the address of an object store that LanceDB takes.

    Raises:
        SearchError: no table there, or one that cannot be read.
    """

    def __init__(self, place: str | Path):
        with extra("search"):
            import lancedb

        self.place = str(place)
        try:
            self._table = lancedb.connect(self.place).open_table(TABLE)
        except Exception as error:  # LanceDB raises ValueError, OSError or its own
            raise SearchError(f"{self.place}: no index can be read there ({_short(error)})") from None

    @classmethod
    def create(cls, place: str | Path, rows: Any) -> Store:
        """A new table with these rows (an Arrow table).

        Raises:
            SearchError: there is one already.
        """
        with extra("search"):
            import lancedb

        try:
            lancedb.connect(str(place)).create_table(TABLE, rows)
        except Exception as error:  # as when one is opened
            raise SearchError(f"{place}: no index can be made there ({_short(error)}){_hint(error)}") from None
        return cls(place)

    @property
    def version(self) -> int:
        """Number of the newest change, whoever made it."""
        with self._reading():
            self._table.checkout_latest()
            return self._table.version

    def __len__(self) -> int:
        with self._reading():
            self._table.checkout_latest()
            return self._table.count_rows()

    @property
    def columns(self) -> list[str]:
        """Names of all columns."""
        return list(self._table.schema.names)

    def read(self, columns: Iterable[str], ids: np.ndarray | None = None) -> Any:
        """Some columns as an Arrow table, of all rows or of those with these ids."""
        asked = self._table.search().select(list(columns))
        if ids is not None:
            asked = asked.where(f"id IN ({', '.join(map(str, ids.tolist()))})") if len(ids) else asked.where("false")
        count = max(1, len(self))
        with self._reading():
            return asked.limit(count).to_arrow()

    def parts(self, columns: Iterable[str], ids: np.ndarray) -> Iterator[Any]:
        """Some columns of the rows with these ids as Arrow record batches, in the order of the table.

        Few rows are asked for by their ids; many are read with all others, and these left out.
        """
        import pyarrow as pa
        import pyarrow.compute

        columns = list(columns)
        if len(ids) <= FEW:
            yield from self.read(columns, ids).to_batches() if len(ids) else ()
            return
        wanted, count = pa.array(ids), max(1, len(self))
        with self._reading():
            batches = iter(self._table.search().select(columns).limit(count).to_batches(PART))
        while True:
            with self._reading():
                batch = next(batches, None)
            if batch is None:
                return
            yield batch.filter(pa.compute.is_in(batch.column("id"), wanted))

    def add(self, rows: Any) -> list[str]:
        """Append rows, an Arrow table; when this returns they are on disk.

        Returns:
            What is to be said: of columns that the index does not have, and of those that the rows lack.
        """
        known = set(self.columns)
        more = [name for name in rows.schema.names if name not in known]
        less = [name for name in self.columns if name not in rows.schema.names and not name.startswith(THUMB)]
        self._change(lambda: self._table.add(rows.drop_columns(more) if more else rows))
        new = [name for name in more if not name.startswith(THUMB)]
        notes = [f"columns that the index does not have are left out: {', '.join(new)}"] if new else []
        return notes + ([f"columns of the index that these rows lack are missing: {', '.join(less)}"] if less else [])

    def delete(self, ids: np.ndarray) -> int:
        """Delete rows by id; how many there were."""
        done = 0
        for start in range(0, len(ids), 10_000):
            part = ids[start : start + 10_000]
            before = len(self.read(["id"], part))
            self._change(lambda part=part: self._table.delete(f"id IN ({', '.join(map(str, part.tolist()))})"))
            done += before - len(self.read(["id"], part))
        return done

    def compact(self) -> None:
        """Merge small files and drop deleted rows; versions that nobody can be reading any more go."""
        self._change(lambda: self._table.optimize(cleanup_older_than=READING))

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Around what reads the table: a file of it that is gone or damaged is told with what to do."""
        try:
            yield
        except Exception as error:  # LanceDB raises OSError, RuntimeError or its own
            raise SearchError(
                f"{self.place} cannot be read ({_short(error)}): a file of it may be damaged or gone; put it back from "
                "a copy, or make the index again"
            ) from None

    def _change(self, change: Any) -> None:
        for attempt in range(RETRIES):
            try:
                change()
                return
            except Exception as error:  # a commit that met another one has no class of its own in LanceDB
                if "onflict" not in str(error) or attempt == RETRIES - 1:
                    raise SearchError(f"{self.place}: nothing was changed ({_short(error)}){_hint(error)}") from None
                self._table.checkout_latest()


def arrow(
    ids: np.ndarray,
    vectors: dict[str, tuple[np.ndarray, np.ndarray]],
    frame: pd.DataFrame,
    thumbs: dict[str, list[bytes | None]],
    table: int = 0,
) -> Any:
    """Rows as they are stored.

    Args:
        table: a number for the table that they come from, as numbers of rows are its own.
        vectors: input -> unit vectors (R, E), and which rows have one.
        frame: metadata.
        thumbs: input -> pictures to show, JPEG or PNG.
    """
    import pyarrow as pa

    columns: dict[str, Any] = {"id": pa.array(ids), TABLE_ID: pa.array(np.full(len(ids), table, np.int64))}
    for name, (x_RE, there_R) in vectors.items():
        flat = pa.array(np.ascontiguousarray(x_RE, np.float32).ravel())
        columns[VECTOR + name] = pa.FixedSizeListArray.from_arrays(flat, x_RE.shape[1])
        columns[THERE + name] = pa.array(there_R)
    for name in frame:
        columns[str(name)] = _array(frame[name])
    for name, pictures in thumbs.items():
        columns[THUMB + name] = pa.array(pictures, pa.binary())
    return pa.table(columns)


def _array(series: pd.Series) -> Any:
    import pyarrow as pa

    try:
        found = pa.Array.from_pandas(series)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        found = pa.array([None if v is None else str(v) for v in series])
    return found.cast(pa.string()) if pa.types.is_null(found.type) else found


def _hint(error: Exception) -> str:
    full = getattr(error, "errno", None) == errno.ENOSPC or "no space left" in str(error).lower()
    return ": the disk is full, make room and try again" if full else ""


def _short(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
