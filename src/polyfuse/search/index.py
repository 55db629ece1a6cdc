"""The public ``Index``: make one of a table, add rows, and search by text, picture, sound or row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from polyfuse.data.cells.source import Limits
from polyfuse.data.tables import Table
from polyfuse.search.folder import FACTS, MODEL, IndexFolder
from polyfuse.search.page import write_results
from polyfuse.search.rows import make_thumbnails, metadata
from polyfuse.search.store import SearchError, arrow, new_ids
from polyfuse.system.lazy import LazyModule
from polyfuse.trust import Trust, trust_packages

if TYPE_CHECKING:
    from polyfuse.model import bundle as bundles
    from polyfuse.model import prepare as reading
    from polyfuse.model.bundle import Bundle
    from polyfuse.search import encode
else:  # what needs torch: an index can be named, looked for and asked for its size without
    bundles = LazyModule("polyfuse.model.bundle")
    reading = LazyModule("polyfuse.model.prepare")
    encode = LazyModule("polyfuse.search.encode")

ROWS = 2000  # encoded and written at once


class Index:
    """Rows of tables that can be found by what their aligned inputs say.

    ``polyfuse.index`` makes one, ``Index.open`` reads it again.

    Args:
        shelf: its folder.
        bundle: its model, read from the folder where it is not given.
        trust: see ``open``.

    Example:
        >>> index = pf.Index.open("photos.index")
        >>> index.search("a dog in snow", k=5, where="year > 2010")
    """

    def __init__(self, shelf: IndexFolder, bundle: Bundle | None = None, device: str = "auto", trust: Trust = ()):
        self._shelf, self._given, self._device, self._trust = shelf, bundle, device, trust
        self._notes: list[str] = []

    @classmethod
    def create(
        cls,
        bundle: Bundle,
        table: Any,
        to: str | Path,
        *,
        media_root: str | Path | None = None,
        max_broken: float | None = None,
    ) -> Index:
        """Index a table by a model whose recipe aligns inputs.

        Args:
            max_broken: share of a column's cells that may be unreadable; the recipe's by default.

        Raises:
            SearchError: the model aligns nothing, the folder holds something, or the table has no row to find.
        """
        if not bundle.network.aligned:
            raise SearchError("the model aligns no inputs, so nothing can be found by it: fit one with --align A,B")
        read = reading.reread_table(bundle.recipe, table, media_root=media_root)
        inputs = {name: str(bundle.recipe.inputs[name].modality) for name in bundle.network.aligned}
        facts = {"fingerprint": encode.fingerprint(bundle), "inputs": inputs, "size": bundle.recipe.space.size}
        if not len(read):
            raise SearchError(f"{read.name} has no row to find")
        parts, notes = _parts(bundle, read, max_broken)
        shelf = IndexFolder.create(to, facts, parts, lambda place: bundles.save(bundle, place))
        made = cls(shelf, bundle)
        made._notes = notes
        shelf.prepare()
        return made

    @classmethod
    def open(cls, place: str | Path, *, device: str = "auto", trust: Trust = ()) -> Index:
        """The index in a folder.

        Args:
            device: where its model reads questions and rows that are added: ``auto`` (a GPU where there is one),
                ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
            trust: packages, modules or ``package.module:Class`` whose code its model may run, where that is made of
                parts that do not come with polyfuse.

        Raises:
            SearchError: no index there, or a damaged one.
        """
        return cls(IndexFolder.open(place), device=device, trust=trust)

    @staticmethod
    def is_at(place: str | Path) -> bool:
        """Whether a folder holds an index."""
        return (Path(place) / FACTS).exists()

    @cached_property
    def bundle(self) -> Bundle:
        """The model of the index."""
        with trust_packages(self._trust):
            made = self._given or bundles.load(self._shelf.place / MODEL, self._device)
        self.check(made)
        return made

    def check(self, bundle: Bundle) -> None:
        """Whether a model is the one that made the vectors.

        Raises:
            SearchError: it is another one.
        """
        if encode.fingerprint(bundle) != self._shelf.facts["fingerprint"]:
            raise SearchError(
                f"{self._shelf.place} was made by another model: make the index again, or ask with its own"
            )

    def __len__(self) -> int:
        return len(self._shelf)

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self._shelf.place.name

    @property
    def notes(self) -> list[str]:
        """Notes on rows that were read, and on derived files."""
        return [*self._notes, *self._shelf.notes]

    @property
    def columns(self) -> list[str]:
        """Columns that a filter may name."""
        return self._shelf.columns

    @property
    def inputs(self) -> dict[str, str]:
        """Input that can be asked with and found -> its modality."""
        return self._shelf.inputs

    def add(self, table: Any, *, media_root: str | Path | None = None, max_broken: float | None = None) -> int:
        """Add the rows of a table; how many. When it returns they are on disk, and the next search finds them.

        Args:
            max_broken: share of a column's cells that may be unreadable; the recipe's by default.

        Raises:
            SearchError: they cannot be written; says how many of them were.
        """
        read = reading.reread_table(self.bundle.recipe, table, media_root=media_root)
        parts, self._notes = _parts(self.bundle, read, max_broken)
        done = 0
        for part in parts:
            try:
                self._notes += [n for n in self._shelf.store.add(part) if n not in self._notes]
            except SearchError as error:
                kept = f"the first {done:,} of {len(read):,} rows were added: add the others" if done else "try again"
                raise SearchError(f"{error}; {kept} when that is mended") from None
            done += len(part)
        return len(read)

    def delete(self, *, ids: Iterable[int] = (), where: str | None = None) -> int:
        """Delete rows by ``id``, or those that an expression keeps; how many there were."""
        return self._shelf.delete(ids=ids, where=where)

    def compact(self, *, approximate: bool | None = None) -> None:
        """Drop from disk what deleted rows and older versions take, and make anew what is derived from the others.

        Args:
            approximate: also make what finds rows without looking at all of them (``pip install 'polyfuse[faiss]'``);
                by default from ``folder.APPROXIMATE_FROM`` rows on, where that is installed.
        """
        self._shelf.compact(approximate)

    def search(
        self,
        text: str | None = None,
        *,
        image: Any = None,
        audio: Any = None,
        row: int | None = None,
        id: int | None = None,
        cells: Mapping[str, Any] | None = None,
        weights: Mapping[str, float] | None = None,
        by: str | None = None,
        find: str | Sequence[str] | None = None,
        k: int = 10,
        where: str | None = None,
        approximate: bool | None = None,
    ) -> pd.DataFrame:
        """The rows nearest to what is asked, best first.

        Args:
            text, image, audio: asked with the first aligned input of that modality; a path or bytes of a medium.
            row, id: asked with what a row of the index says; the row itself is not found.
            cells: aligned input -> what is asked with it, where a modality has several.
            weights: input -> how much its part of the question counts; 1 by default, below 0 for "not like this".
            by: the aligned input that ``text`` is asked with, such as one of two languages.
            find: inputs that are compared; by default those that are not asked with, or all where all are.
            k: how many rows.
            where: an expression of the metadata that keeps rows, such as ``year > 2010 and split == 'test'``.
            approximate: True looks at the likeliest rows alone, by faiss; False at all of them. By default at all, and
                from ``folder.APPROXIMATE_FROM`` rows on at the likeliest where ``compact`` made that ready.

        Returns:
            ``score`` (cosine), ``found`` (the input it was found by), ``id``, ``row`` and the other metadata.

        Raises:
            SearchError: nothing is asked, or what is asked cannot be read; says what and how to go on.
        """
        asked = self._query_cells(text, image, audio, cells, by)
        but = self._shelf.row_id(row) if row is not None else id
        vectors = encode.encode_query(self.bundle, asked) if asked else {}
        if but is not None:
            vectors = {**self._shelf.vectors_of(but), **vectors}
        if not vectors:
            raise SearchError("nothing is asked: give a text, an image, a sound, or a row of the index")
        unknown = set(weights or {}) - set(vectors)
        if unknown:
            raise SearchError(f"weights: {sorted(unknown)[0]!r} is not asked with; expected {', '.join(vectors)}")
        query_E = np.sum([(weights or {}).get(name, 1.0) * x_E for name, x_E in vectors.items()], 0)
        others = [name for name in self.inputs if name not in asked] if asked else list(self.inputs)
        chosen = [find] if isinstance(find, str) else list(find or others or self.inputs)
        return self._shelf.search(query_E, find=chosen, k=k, where=where, but=but, approximate=approximate)

    def to_html(self, found: pd.DataFrame, path: str | Path, *, asked: str) -> Path:
        """Write what was found as one page that loads nothing, with pictures where rows have some.

        Args:
            found: as ``search`` gives it.
            asked: what the page says was asked.
        """
        media = self.thumbnails([int(id) for id in found.id]) if len(found) else {}
        return write_results(found, media, path, asked=asked, place=self.name)

    def thumbnails(self, ids: Sequence[int]) -> dict[int, dict[str, bytes]]:
        """Row id -> input -> its picture (JPEG, PNG) or sound (MP3, WAV) to show."""
        return self._shelf.thumbnails(ids)

    def _query_cells(
        self, text: str | None, image: Any, audio: Any, cells: Mapping[str, Any] | None, by: str | None
    ) -> dict[str, Any]:
        """Aligned input -> the cell that is asked with."""
        found = dict(cells or {})
        for modality, cell in (("text", text), ("image", image), ("audio", audio)):
            if cell is None:
                continue
            names = [name for name, kind in self.inputs.items() if kind == modality]
            if by is not None and modality == "text":
                if by not in names:
                    raise SearchError(
                        f"by: {by!r} is no aligned input of texts; expected one of {', '.join(names) or 'none'}"
                    )
                names = [by]
            if not names:
                known = ", ".join(f"{name} ({kind})" for name, kind in self.inputs.items())
                raise SearchError(f"this index has no aligned input of modality {modality}; it has {known}")
            found[names[0]] = cell if not isinstance(cell, Path) else str(cell)
        return found


def _parts(bundle: Bundle, table: Table, max_broken: float | None) -> tuple[Iterator[Any], list[str]]:
    """The rows as they are stored, some thousand at a time, and a list that fills with notes."""
    notes: list[str] = []
    kinds = bundle.recipe.data.modalities
    media = {
        name: (str(bundle.recipe.inputs[name].modality), bundle.recipe.inputs[name].columns[0])
        for name in bundle.network.aligned
        if bundle.recipe.inputs[name].modality in ("image", "audio")
    }
    limits = Limits(**bundle.recipe.data.limits.model_dump())
    whole, number = metadata(table, kinds), int(new_ids(1)[0])

    def made() -> Iterator[Any]:
        for start in range(0, len(table), ROWS):
            rows = np.arange(start, min(start + ROWS, len(table)))
            part = table.select(rows)
            vectors, said = encode.encode_rows(bundle, part, max_broken=max_broken)
            notes.extend(note for note in said if note not in notes)
            yield arrow(new_ids(len(rows)), vectors, whole.iloc[rows], make_thumbnails(part, media, limits), number)

    return made(), notes
