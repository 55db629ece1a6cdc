"""The folder of an index: a model, the aligned vectors of a table's rows, and what is shown of them.

The table in it is durable; the matrices that queries scan are derived from it and made again whenever it changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from polyfuse.data.where import matching
from polyfuse.later import Later
from polyfuse.search.store import TABLE_ID, THERE, THUMB, VECTOR, SearchError, Store, arrow, new_ids

if TYPE_CHECKING:
    from polyfuse.search import scan
else:  # which needs torch
    scan = Later("polyfuse.search.scan")

FORMAT = 1
FACTS, MODEL, TABLE = "index.json", "model", "table"
Vectors = dict[str, tuple[np.ndarray, np.ndarray]]


@dataclass
class _Loaded:
    """What one version of the table holds, ready to be asked.

    Args:
        frame: metadata, with ``id``, in the order of the vectors.
        origin_N: a number per row of a table; rows made of one list share it.
    """

    version: int
    frame: pd.DataFrame
    origin_N: np.ndarray
    scans: dict[str, scan.Scan]
    there: dict[str, np.ndarray]


class Shelf:
    """Rows that can be found by what their aligned inputs say.

    Every change is on disk when it returns, and seen by the next search of any process.

    Args:
        place: the folder.
        store: its table.
        facts: ``fingerprint`` of the model, ``inputs`` (name -> modality), ``size`` of a vector.
    """

    def __init__(self, place: Path, store: Store, facts: Mapping[str, Any]):
        self.place, self.store, self.facts = place, store, dict(facts)
        self._loaded: _Loaded | None = None

    @classmethod
    def create(cls, place: str | Path, facts: Mapping[str, Any], rows: Any, keep_model: Callable[[Path], Any]) -> Shelf:
        """A new index, its model written into it first and its facts last, so that a half one is none.

        Raises:
            SearchError: the folder holds something.
        """
        place = Path(place)
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise SearchError(f"{place} holds something already: an index needs a new or empty folder")
        place.mkdir(parents=True, exist_ok=True)
        keep_model(place / MODEL)
        store = Store.made(place / TABLE, rows)
        half = place / (FACTS + ".part")
        half.write_text(json.dumps({"format": FORMAT, **facts}, indent=1) + "\n", encoding="utf8")
        half.replace(place / FACTS)
        return cls(place, store, facts)

    @classmethod
    def open(cls, place: str | Path) -> Shelf:
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
    def inputs(self) -> dict[str, str]:
        """Aligned input -> its modality."""
        return dict(self.facts["inputs"])

    def add(self, vectors: Vectors, frame: pd.DataFrame, thumbs: Mapping[str, list[bytes | None]]) -> np.ndarray:
        """Rows more; their ids."""
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
            loaded = self._now()
            chosen += loaded.frame.id[self._kept(loaded, where)].tolist()
        return self.store.delete(np.array(sorted(set(chosen)), np.int64)) if chosen else 0

    def compact(self) -> None:
        """Drop what deleted rows and older versions still take on disk."""
        self.store.compact()

    def vectors_of(self, id: int) -> dict[str, np.ndarray]:
        """Input -> the vector of a row that is here, where it has one.

        Raises:
            SearchError: no such row.
        """
        loaded = self._now()
        at = np.flatnonzero(loaded.frame.id.to_numpy() == id)
        if not len(at):
            raise SearchError(f"{self.place} has no row with id {id}")
        return {n: np.asarray(one.full_NE[at[0]]) for n, one in loaded.scans.items() if loaded.there[n][at[0]]}

    def row_id(self, row: int) -> int:
        """The id of the row of that number, as the table had it that it came from; of rows of one list, the first.

        Raises:
            SearchError: no such row, or one in each of several tables.
        """
        loaded = self._now()
        at = np.flatnonzero((loaded.frame["row"] == row).to_numpy())
        tables = len(np.unique(loaded.origin_N[at]))
        if tables != 1:
            what = "no row" if not tables else f"{tables} rows of different tables"
            raise SearchError(f"{self.place} has {what} of number {row}; an id names one")
        return int(loaded.frame.id.iloc[at[0]])

    def search(
        self, query_E: np.ndarray, *, find: Sequence[str], k: int = 10, where: str | None = None, but: int | None = None
    ) -> pd.DataFrame:
        """The rows nearest to a vector, best first; rows of one list that are found by the same cell are one.

        Args:
            query_E: of any length but 0.
            find: inputs whose vectors are compared; a row counts by the best of them.
            k: how many; fewer where there are not as many.
            where: an expression of the metadata that keeps rows, such as ``year > 2010``.
            but: id of a row that is not to be found, nor others of its list.

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
        loaded = self._now()
        keep_N = self._kept(loaded, where) if where else np.ones(len(loaded.frame), bool)
        if but is not None:
            asked_for = loaded.frame.id.to_numpy() == but
            keep_N = keep_N & ~np.isin(loaded.origin_N, loaded.origin_N[asked_for])
        best: dict[int, tuple[float, str]] = {}
        for name in find:
            for row, score in _distinct(loaded, name, query_E / _length(query_E), k, keep_N):
                best[row] = max(best.get(row, (-2.0, "")), (score, name))
        order = sorted(best, key=lambda row: (-best[row][0], row))[:k]
        found = loaded.frame.iloc[order].reset_index(drop=True)
        found.insert(0, "found", [best[row][1] for row in order])
        found.insert(0, "score", [best[row][0] for row in order])
        return found

    def thumbnails(self, ids: Sequence[int]) -> dict[int, dict[str, bytes]]:
        """Row id -> input -> its picture to show."""
        names = [name for name in self.store.columns if name.startswith(THUMB)]
        rows = self.store.read(["id", *names], np.array(list(ids), np.int64)).to_pylist()
        return {row["id"]: {n.removeprefix(THUMB): row[n] for n in names if row[n]} for row in rows}

    def _kept(self, loaded: _Loaded, where: str) -> np.ndarray:
        try:
            return matching(loaded.frame, where)
        except ValueError as error:
            columns = ", ".join(map(str, loaded.frame.columns))
            raise SearchError(f"where {where!r}: {error}. Columns of {self.place}: {columns}") from None

    def _now(self) -> _Loaded:
        """The newest version of the table, read where it changed."""
        version = self.store.version
        if self._loaded is None or self._loaded.version != version:
            self._loaded = self._read(version)
        return self._loaded

    def _read(self, version: int) -> _Loaded:
        hidden = (VECTOR, THERE, THUMB, TABLE_ID)
        rows = self.store.read([name for name in self.store.columns if not name.startswith(THUMB)])
        frame = rows.select([name for name in rows.schema.names if not name.startswith(hidden)]).to_pandas()
        scans, there = {}, {}
        for name in self.inputs:
            column = rows.column(VECTOR + name).combine_chunks()
            full_NE = column.flatten().to_numpy(zero_copy_only=False).reshape(len(frame), -1).astype(np.float32)
            scans[name] = scan.Scan(full_NE)
            there[name] = rows.column(THERE + name).to_numpy(zero_copy_only=False).astype(bool)
        made_of = pd.DataFrame({"table": rows.column(TABLE_ID).to_numpy(), "row": frame["row"].to_numpy()})
        return _Loaded(version, frame, made_of.groupby(["table", "row"]).ngroup().to_numpy(), scans, there)


def _distinct(loaded: _Loaded, name: str, query_E: np.ndarray, k: int, keep_N: np.ndarray) -> list[tuple[int, float]]:
    """The k nearest rows by one input with their scores, each cell of a list's rows once."""
    keep_N = keep_N & loaded.there[name]
    asked, most = k, int(keep_N.sum())
    while True:
        rows, scores = (found[0].tolist() for found in loaded.scans[name].top(query_E[None], asked, keep_N))
        seen: dict[tuple[int, bytes], tuple[int, float]] = {}
        for row, score in zip(rows, scores, strict=True):
            seen.setdefault((int(loaded.origin_N[row]), loaded.scans[name].full_NE[row].tobytes()), (row, score))
        if len(seen) >= k or asked >= most:
            return list(seen.values())[:k]
        asked = min(4 * asked, most)


def _length(x_E: np.ndarray) -> float:
    length = float(np.linalg.norm(x_E))
    if not length:
        raise SearchError("the query has nothing to go by: its vector is zero")
    return length
