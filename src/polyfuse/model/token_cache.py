"""Cache of tokens: frozen encoders encode each cell once, for all epochs, seeds and runs.

Tokens lie memory-mapped in half precision (float32 where half would overflow), under a fingerprint of the encoder's
weights and of the preprocessing: whatever changes either starts a new store. The stores together have a bounded size,
those used longest ago go first, and two processes may fill one store at a time.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from polyfuse.data.batches import collate_cells
from polyfuse.data.cells.transform import pad
from polyfuse.data.prepare import Prepared
from polyfuse.data.store import FallbackStore, cache_root, evict, fingerprint, recently_used_bytes
from polyfuse.layers.pooling import pool_tokens
from polyfuse.model.network import Network
from polyfuse.recipe import Recipe
from polyfuse.records import Tokens
from polyfuse.registry import own_source
from polyfuse.system.device import device_of

CHUNK = 64  # cells encoded at a time
LIMIT = 20_000_000_000  # bytes of all token stores together
IN_MEMORY = 1_000_000_000  # bytes of the tokens of an input where they cannot lie on disk

Kept: TypeAlias = tuple[np.ndarray, np.ndarray]
"""Tokens of one cell (T, D), and where in the cell they lie (T, 2), or (0, 2) where the encoder does not say."""


@dataclass(frozen=True)
class TokenCells:
    """Collates cached tokens, as a transform collates encoded cells.

    Args:
        width: D.
        prefix: leading tokens outside the grid.
        grid: shape of the others where all cells share it, else None: they lie along one axis.
        spans: whether tokens know where in the cell they lie.
        media: as of the transform of the raw cells: rows that share a picture are batched together, kept or not.
    """

    width: int
    prefix: int
    grid: tuple[int, ...] | None
    spans: bool
    media: bool = False
    joint = False

    def blank(self) -> Kept:
        """No token at all."""
        return np.zeros((0, self.width), np.float32), np.zeros((0, 2), np.float32)

    def collate(self, cells: Sequence[Kept]) -> dict[str, np.ndarray]:
        """``x`` (U, T, D), ``lengths`` (U,), and ``span`` (U, T, 2) where tokens have one."""
        x, lengths = pad([cell[0].astype(np.float32) for cell in cells])
        span = {"span": pad([cell[1] for cell in cells])[0]} if self.spans else {}
        return {"x": x, "lengths": lengths, **span}

    def assemble(self, fields: Mapping[str, Tensor]) -> Tokens:
        """Collated fields -> Tokens."""
        count = fields["x"].shape[1]
        mask_UT = torch.arange(count) < fields["lengths"][:, None]
        grid = (count - self.prefix,) if self.grid is None else self.grid
        return Tokens(fields["x"], mask_UT, grid, self.prefix, fields.get("span"))


class StoredTokenCells(Sequence):
    """The tokens and spans of each cell, from two views of one store."""

    def __init__(self, store: FallbackStore, keys: list[bytes]):
        self._x, self._span = store.view(keys), store.view([_span_key(key) for key in keys])

    def __len__(self) -> int:
        return len(self._x)

    def __getitem__(self, at):
        return self._x[at], self._span[at]


def _span_key(key: bytes) -> bytes:
    return key + b"span"


def encode_once(
    network: Network, recipe: Recipe, prepared: Mapping[str, Prepared], *, root: Path | None = None
) -> tuple[dict[str, Prepared], list[str]]:
    """The same cells, those of frozen encoders replaced by their tokens, and notes on what could not be kept.

    Args:
        network: whose encoders are asked; each runs once per cell that no earlier run has kept.
        prepared: ``in:NAME`` and ``out:NAME`` -> cells.
        root: folder of the stores; the cache's by default.
    """
    kept, notes = dict(prepared), []
    readers = recipe.readers
    for name in [n for n in network.readers if n in network.frozen and readers[n].cache != "off"]:
        cells = prepared[f"in:{name}"]
        if not len(cells.cells):
            continue
        place = (root or cache_root()) / "tokens" / _name(network, recipe, name, cells)
        store = FallbackStore(place, f"tokens of input {name!r}")
        encoding = _Encoding(network, name, cells, store)
        if (size := encoding.size()) > (_room(place) if store.writable else IN_MEMORY):
            notes.append(
                f"input {name!r}: its tokens would take {size / 1e9:.1f} GB, more than there is room for, so they are "
                "computed again in every epoch; set its cache to pooled to keep one token per cell"
            )
            continue
        kept[f"in:{name}"] = encoding.kept()
        notes += store.notes
        if store.writable:
            evict(place.parent, LIMIT, keep=place)
    return kept, notes


def _room(place: Path) -> float:
    """Bytes that may be added to a store, those of others that are in use being kept."""
    return min(LIMIT - recently_used_bytes(place.parent, but=place), 0.8 * shutil.disk_usage(place).free)


def _name(network: Network, recipe: Recipe, name: str, cells: Prepared) -> str:
    """The same for equal weights and preprocessing, different after any change."""
    encoder, transform = network.encoder(name), cells.transform
    made = [type(encoder).__module__, type(encoder).__qualname__, recipe.readers[name].part.keywords]
    read = [type(transform).__qualname__, transform.state(), recipe.data.limits.model_dump()]
    own = [source.hex() for part in (encoder, transform) if (source := own_source(type(part)))]
    return fingerprint(*made, weights_digest(encoder), *read, name in network.pooled, *own)


def weights_digest(module: nn.Module) -> str:
    """Names the weights of a module."""
    found = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(module.state_dict().items()):
        found.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        found.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return found.hexdigest()


class _Encoding:
    """One input's distinct cells on their way through its encoder.

    Args:
        cells: at least one.
    """

    def __init__(self, network: Network, name: str, cells: Prepared, store: FallbackStore):
        self.encoder, self.cells, self.pools = network.encoder(name), cells, name in network.pooled
        self.device = device_of(network)  # an encoder of statistics has none of its own
        self.store = store
        known = self._known(store)
        self.missing = [k for k, key in enumerate(cells.digests) if key not in known]
        # of known ones a single cell still tells what tokens look like
        self.sample, self.first = self._encode(self.missing[:CHUNK] or [0])

    def _known(self, store: FallbackStore) -> set[bytes]:
        """Cells whose tokens and spans are both stored."""
        keys = self.cells.digests
        return store.known(keys) & {key[: -len(b"span")] for key in store.known([_span_key(key) for key in keys])}

    def _encode(self, places: Sequence[int]) -> tuple[Tokens, list[Kept]]:
        fields: Any = collate_cells(self.cells, places)
        fields = {key: value.to(self.device) for key, value in fields.items()}
        self.encoder.eval()
        with torch.inference_mode():
            tokens = self.encoder(fields, torch.ones(len(places), dtype=torch.bool, device=self.device))
        tokens = (pool_tokens(tokens) if self.pools else tokens).to("cpu")
        return tokens, [self._one(tokens, row) for row in range(len(places))]

    @staticmethod
    def _one(tokens: Tokens, row: int) -> Kept:
        real_T = tokens.mask_BT[row]
        x = tokens.x_BTD[row][real_T].float().numpy()
        with np.errstate(over="ignore"):
            half = x.astype(np.float16)
        span = np.zeros((0, 2)) if tokens.span_BT2 is None else tokens.span_BT2[row][real_T].numpy()
        return half if np.isfinite(half).all() else x, span.astype(np.float32)

    def size(self) -> float:
        """Estimated bytes of the cells that are not stored yet."""
        some = sum(x.nbytes + span.nbytes for x, span in self.first)
        return some / len(self.first) * len(self.missing)

    def kept(self) -> Prepared:
        """Everything encoded and stored, as cells."""
        keys, store = self.cells.digests, self.store
        for at in range(0, len(self.missing), CHUNK):
            places = self.missing[at : at + CHUNK]
            made = self._encode(places)[1] if at else self.first
            both = [[(keys[k], x), (_span_key(keys[k]), span)] for k, (x, span) in zip(places, made, strict=True)]
            store.put(pair for pairs in both for pair in pairs)  # at once: each put waits for the disk
        view = StoredTokenCells(store, keys)
        transform: Any = TokenCells(
            self.sample.width,
            self.sample.prefix,
            self._grid(view),
            self.sample.span_BT2 is not None,
            media=self.cells.transform.media,
        )
        return replace(self.cells, transform=transform, cells=view, assemble=transform.assemble)

    def _grid(self, view: StoredTokenCells) -> tuple[int, ...] | None:
        grid = self.sample.grid
        if len(grid) == 1:
            return None
        whole = prod(grid) + self.sample.prefix
        return grid if grid and all(len(x) == whole for x, _ in view) else ()
