"""The folder of an index: its model, the vectors of rows, their metadata and thumbnails.

The table in it is durable; the matrices that queries scan, and what finds rows without looking at all of them, are
derived from it, follow its changes, and may be removed at any time.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from polyfuse.data.query import query_mask
from polyfuse.search.matrices import Matrices, MatrixFolder
from polyfuse.search.store import TABLE_ID, THERE, THUMB, VECTOR, SearchError, Store, arrow, new_ids
from polyfuse.system.lazy import LazyModule

if TYPE_CHECKING:
    from polyfuse.search import approximate as approximating
    from polyfuse.search import scan
else:  # which need torch
    scan, approximating = LazyModule("polyfuse.search.scan"), LazyModule("polyfuse.search.approximate")

FORMAT = 1
FACTS, MODEL, TABLE, DERIVED = "index.json", "model", "table", "derived"
APPROXIMATE_FROM = 1_000_000  # rows from which an index is asked approximately; chosen by no measurement yet
TRIES = 5  # of reading a table while other processes change it
Vectors = dict[str, tuple[np.ndarray, np.ndarray]]


@dataclass
class _Loaded:
    """One version of the table in memory, ready to be searched.

    Args:
        frame: metadata, with ``id``, in the order of the matrices (R rows).
        origin_R: a number per row of a table; rows made of one list share it.
        there: input -> whether a row has it (R,).
        place_R: the row of the matrices (N) of every row; those of deleted rows are left out.
    """

    version: int
    frame: pd.DataFrame
    origin_R: np.ndarray
    there: dict[str, np.ndarray]
    matrices: Matrices
    place_R: np.ndarray
    scans: dict[str, scan.Scan]

    def keep_N(self, keep_R: np.ndarray) -> np.ndarray:
        """Which rows of the matrices may be found."""
        if len(self.place_R) == len(self.matrices.ids_N):
            return keep_R
        kept_N = np.zeros(len(self.matrices.ids_N), bool)
        kept_N[self.place_R[keep_R]] = True
        return kept_N


class IndexFolder:
    """Rows on disk that can be searched by their aligned inputs.

    Every change is on disk when it returns, and seen by the next search of any process.

    Args:
        place: the folder.
        store: its table.
        facts: ``fingerprint`` of the model, ``inputs`` (name -> modality), ``size`` of a vector.
    """

    def __init__(self, place: Path, store: Store, facts: Mapping[str, Any]):
        self.place, self.store, self.facts = place, store, dict(facts)
        self._matrices = MatrixFolder(place / DERIVED, list(facts["inputs"]), int(facts["size"]))
        self._loaded: _Loaded | None = None
        self._indexes: dict[tuple[str, str], Any] = {}  # generation and input -> what finds rows approximately

    @classmethod
    def create(
        cls, place: str | Path, facts: Mapping[str, Any], parts: Iterable[Any], keep_model: Callable[[Path], Any]
    ) -> IndexFolder:
        """A new index, its model written into it first and its facts last, so that a half one is none.

        Args:
            parts: its rows as Arrow tables, one at least.

        Raises:
            SearchError: the folder holds something.
        """
        place = Path(place)
        half = place / (FACTS + ".part")
        if half.exists() and not (place / FACTS).exists():
            raise SearchError(f"{place} holds an index whose making was broken off: remove it, or name another folder")
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise SearchError(f"{place} holds something already: an index needs a new or empty folder")
        place.mkdir(parents=True, exist_ok=True)
        half.write_text(json.dumps({"format": FORMAT, **facts}, indent=1) + "\n", encoding="utf8")
        try:
            keep_model(place / MODEL)
            rows = iter(parts)
            store = Store.create(place / TABLE, next(rows))
            for part in rows:
                store.add(part)
            half.replace(place / FACTS)
        except BaseException:  # a kill leaves what the next try names; everything else leaves nothing
            for own in (place / MODEL, place / TABLE):
                shutil.rmtree(own, ignore_errors=True)
            half.unlink(missing_ok=True)
            raise
        return cls(place, store, facts)

    @classmethod
    def open(cls, place: str | Path) -> IndexFolder:
        """The index in a folder.

        Raises:
            SearchError: no index there, a damaged one, or one of a newer format.
        """
        place = Path(place)
        try:
            facts = json.loads((place / FACTS).read_text(encoding="utf8"))
        except FileNotFoundError:
            raise SearchError(
                f"{place} holds no index: make one with polyfuse index MODEL TABLE --to {place}"
            ) from None
        except (OSError, ValueError) as error:
            raise SearchError(f"{place / FACTS} is damaged ({error}): make the index again") from None
        if not isinstance(facts, dict) or facts.get("format") != FORMAT:
            raise SearchError(f"{place / FACTS} is no index of format {FORMAT}: make the index again")
        return cls(place, Store(place / TABLE), facts)

    def __len__(self) -> int:
        return len(self.store)

    @property
    def notes(self) -> list[str]:
        """Notes on derived files, such as damage that was repaired."""
        return self._matrices.notes

    @property
    def inputs(self) -> dict[str, str]:
        """Aligned input -> its modality."""
        return dict(self.facts["inputs"])

    @property
    def columns(self) -> list[str]:
        """Names of the metadata, ``row`` and ``id`` among them."""
        return [n for n in self.store.columns if not n.startswith((VECTOR, THERE, THUMB)) and n != TABLE_ID]

    def add(self, vectors: Vectors, frame: pd.DataFrame, thumbs: Mapping[str, list[bytes | None]]) -> np.ndarray:
        """Add rows; returns their ids."""
        ids = new_ids(len(frame))
        self.store.add(arrow(ids, vectors, frame, dict(thumbs)))
        return ids

    def delete(self, *, ids: Iterable[int] = (), where: str | None = None) -> int:
        """Delete rows by id, or those that an expression keeps; how many there were.

        Raises:
            SearchError: an expression that cannot be used.
        """
        chosen = list(ids)
        if where is not None:
            loaded = self._load_newest()
            chosen += loaded.frame.id[self._filter_rows(loaded, where)].tolist()
        return self.store.delete(np.array(sorted(set(chosen)), np.int64)) if chosen else 0

    def compact(self, approximate: bool | None = None) -> None:
        """Drop what deleted rows and older versions still take on disk, and make anew what is derived.

        Args:
            approximate: also make what finds rows approximately; by default from ``APPROXIMATE_FROM`` rows on, where
                faiss is installed.

        Raises:
            ImportError: that was asked for, and faiss is not installed.
        """
        self.store.compact()
        if len(self._load_newest().place_R) < len(self._load_newest().matrices.ids_N):
            self._matrices.begin_anew()
            self._loaded = None
        self.prepare(approximate)

    def prepare(self, approximate: bool | None = None) -> None:
        """Make what is derived, so that the next search need not; arguments as for ``compact``."""
        loaded = self._load_newest()
        if approximate is None:
            approximate = len(loaded.frame) >= APPROXIMATE_FROM and approximating.is_installed()
        if approximate:
            questions = [loaded.matrices.full[n][loaded.place_R[there]] for n, there in loaded.there.items()]
            for at, name in enumerate(self.inputs):
                if len(loaded.place_R):
                    approximating.build(self._index_file(loaded, at), loaded.scans[name], questions)
            self._indexes.clear()

    def vectors_of(self, id: int) -> dict[str, np.ndarray]:
        """Input -> the vector of a row that is here, where it has one.

        Raises:
            SearchError: no such row.
        """
        loaded = self._load_newest()
        at = np.flatnonzero(loaded.frame.id.to_numpy() == id)
        if not len(at):
            raise SearchError(f"{self.place} has no row with id {id}")
        row = loaded.place_R[at[0]]
        return {n: np.array(x_NE[row]) for n, x_NE in loaded.matrices.full.items() if loaded.there[n][at[0]]}

    def row_id(self, row: int) -> int:
        """The id of the row of that number, as the table had it that it came from; of rows of one list, the first.

        Raises:
            SearchError: no such row, or one in each of several tables.
        """
        loaded = self._load_newest()
        at = np.flatnonzero((loaded.frame["row"] == row).to_numpy())
        tables = len(np.unique(loaded.origin_R[at]))
        if tables != 1:
            what = "no row" if not tables else f"{tables} rows of different tables"
            raise SearchError(f"{self.place} has {what} of number {row}; an id names one")
        return int(loaded.frame.id.iloc[at[0]])

    def search(
        self,
        query_E: np.ndarray,
        *,
        find: Sequence[str],
        k: int = 10,
        where: str | None = None,
        but: int | None = None,
        approximate: bool | None = None,
    ) -> pd.DataFrame:
        """The rows nearest to a vector, best first; rows of one list that are found by the same cell are one.

        Args:
            query_E: of any length but 0.
            find: inputs whose vectors are compared; a row counts by the best of them.
            k: how many; fewer where there are not as many.
            where: an expression of the metadata that keeps rows, such as ``year > 2010``.
            but: id of a row that is not to be found, nor others of its list.
            approximate: True looks at the likeliest rows alone, False at all; by default at all below
                ``APPROXIMATE_FROM`` rows, and above where nothing else was made (``prepare``).

        Returns:
            ``score`` (cosine), ``found`` (the input that it was found by), and all metadata.

        Raises:
            SearchError: an input that is not here, ``k`` below 1, or an expression that cannot be used.
        """
        if k < 1:
            raise SearchError(f"k={k}: expected at least 1")
        unknown = [name for name in find if name not in self.inputs]
        if unknown or not find:
            raise SearchError(
                f"find: expected some of {', '.join(self.inputs)}; found {unknown[0] if unknown else 'none'}"
            )
        for again in (True, False):
            try:
                return self._nearest(query_E / _length(query_E), find, k, where, but, approximate)
            except scan.DamagedVectors as error:
                if not again:
                    raise SearchError(
                        f"{self.place}: {error}, though they were just made: make the index again"
                    ) from None
                self._matrices.begin_anew(self._load_newest().matrices)
                self._loaded = None
        raise AssertionError

    def _nearest(
        self, query_E: np.ndarray, find: Sequence[str], k: int, where: str | None, but: int | None, quick: bool | None
    ) -> pd.DataFrame:
        loaded = self._load_newest()
        if not len(loaded.frame):
            raise SearchError(f"{self.place} has no rows: add some, polyfuse index {self.place} TABLE")
        keep_R = self._filter_rows(loaded, where) if where else np.ones(len(loaded.frame), bool)
        if but is not None:
            asked_for = loaded.frame.id.to_numpy() == but
            keep_R = keep_R & ~np.isin(loaded.origin_R, loaded.origin_R[asked_for])
        best: dict[int, tuple[float, str]] = {}
        for name in find:
            for row, score in self._distinct(loaded, name, query_E, k, keep_R, quick):
                best[row] = max(best.get(row, (-2.0, "")), (score, name))
        order = sorted(best, key=lambda row: (-best[row][0], row))[:k]
        found = loaded.frame.iloc[order].reset_index(drop=True)
        found.insert(0, "found", [best[row][1] for row in order])
        found.insert(0, "score", [best[row][0] for row in order])
        return found

    def _distinct(
        self, loaded: _Loaded, name: str, query_E: np.ndarray, k: int, keep_R: np.ndarray, quick: bool | None
    ) -> list[tuple[int, float]]:
        """The k nearest rows by one input with their scores, each cell of a list's rows once."""
        keep_R = keep_R & loaded.there[name]
        asked, most = k, int(keep_R.sum())
        kept_N = loaded.keep_N(keep_R)
        index = None if quick is False else self._index(loaded, name, bool(quick))
        while True:
            near = None if index is None else index.top(query_E, asked, kept_N)
            if near is None:
                near = tuple(side[0] for side in loaded.scans[name].top(query_E[None], asked, kept_N))
            rows = np.searchsorted(loaded.place_R, near[0]).tolist()
            seen: dict[tuple[int, bytes], tuple[int, float]] = {}
            for row, place, score in zip(rows, near[0].tolist(), near[1].tolist(), strict=True):
                cell = loaded.matrices.full[name][place].tobytes()
                seen.setdefault((int(loaded.origin_R[row]), cell), (row, score))
            if len(seen) >= k or asked >= most:
                return list(seen.values())[:k]
            asked = min(4 * asked, most)

    def _index_file(self, loaded: _Loaded, at: int) -> Path:
        """Path of the approximate index of one input; rows that are kept in memory have none that lasts."""
        return self.place / DERIVED / (loaded.matrices.generation or "memory") / f"{at}.faiss"

    def _index(self, loaded: _Loaded, name: str, asked_for: bool) -> Any:
        """The approximate index, or None where all rows are to be scanned.

        Args:
            asked_for: make it where it is absent.
        """
        if not asked_for and (len(loaded.frame) < APPROXIMATE_FROM or not approximating.is_installed()):
            return None
        key = (loaded.matrices.generation, name)
        if key not in self._indexes:
            file = self._index_file(loaded, list(self.inputs).index(name))
            if asked_for and not file.exists():
                self.prepare(approximate=True)
            self._indexes = {k: v for k, v in self._indexes.items() if k[0] == key[0]}
            self._indexes[key] = approximating.open_index(file)
        found = self._indexes[key]
        return None if found is None else found.over(loaded.scans[name])

    def thumbnails(self, ids: Sequence[int]) -> dict[int, dict[str, bytes]]:
        """Row id -> input -> its picture to show."""
        names = [name for name in self.store.columns if name.startswith(THUMB)]
        rows = self.store.read(["id", *names], np.array(list(ids), np.int64)).to_pylist()
        return {row["id"]: {n.removeprefix(THUMB): row[n] for n in names if row[n]} for row in rows}

    def _filter_rows(self, loaded: _Loaded, where: str) -> np.ndarray:
        try:
            return query_mask(loaded.frame, where)
        except ValueError as error:
            columns = ", ".join(map(str, loaded.frame.columns))
            raise SearchError(f"where {where!r}: {error}. Columns of {self.place}: {columns}") from None

    def _load_newest(self) -> _Loaded:
        """The newest version of the table, read where it changed."""
        version = self.store.version
        if self._loaded is None or self._loaded.version != version:
            self._loaded = self._read(version)
        return self._loaded

    def _read(self, version: int) -> _Loaded:
        hidden = (VECTOR, THUMB)
        for _ in range(TRIES):
            rows = self.store.read([name for name in self.store.columns if not name.startswith(hidden)])
            ids_R = rows.column("id").to_numpy()
            matrices = self._matrices.holding(ids_R, self._vectors)
            place_R = matrices.places(ids_R)
            if (place_R >= 0).all():
                return self._make_loaded(version, rows, matrices, place_R)
        raise SearchError(f"{self.place} changes faster than it can be read: try again when less is written")

    def _make_loaded(self, version: int, rows: Any, matrices: Matrices, place_R: np.ndarray) -> _Loaded:
        if (np.diff(place_R) < 0).any():  # a table that was compacted may be in another order
            order_R = np.argsort(place_R)
            rows, place_R = rows.take(order_R), place_R[order_R]
        frame = rows.select([n for n in rows.schema.names if not n.startswith(THERE) and n != TABLE_ID]).to_pandas()
        there = {n: rows.column(THERE + n).to_numpy(zero_copy_only=False).astype(bool) for n in self.inputs}
        made_of = pd.DataFrame({"table": rows.column(TABLE_ID).to_numpy(), "row": frame["row"].to_numpy()})
        origin_R = made_of.groupby(["table", "row"]).ngroup().to_numpy()
        scans = {name: scan.Scan(matrices.full[name], matrices.half[name]) for name in self.inputs}
        return _Loaded(version, frame, origin_R, there, matrices, place_R, scans)

    def _vectors(self, ids_R: np.ndarray) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """The vectors of some rows, some at a time."""
        for part in self.store.parts(["id", *(VECTOR + name for name in self.inputs)], ids_R):
            flat = {n: part.column(VECTOR + n).flatten().to_numpy(zero_copy_only=False) for n in self.inputs}
            yield (
                part.column("id").to_numpy(zero_copy_only=False),
                {name: x.reshape(len(part), -1).astype(np.float32) for name, x in flat.items()},
            )


def _length(x_E: np.ndarray) -> float:
    length = float(np.linalg.norm(x_E))
    if not length:
        raise SearchError("the query has nothing to go by: its vector is zero")
    return length
