"""A network taken apart into modules of named tensors: one per input, one that joins them, one per decoder's step.

Names are those of ``runtime.model``: ``r0`` is a reader, ``i0`` an input, ``n0`` the first of the networks, ``o0`` an
output. What an input's module gives is what the joining one takes, so that a runner masks inputs between the two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from polyfuse.contracts import StepsApart, offers
from polyfuse.export.graph import Named
from polyfuse.layers.features import Bag, Block
from polyfuse.layers.pooling import masked_mean
from polyfuse.layers.pooling import pooled as mean_token
from polyfuse.model.ensemble import Heard, features
from polyfuse.model.network import Network
from polyfuse.records import Batch, Cells, Tokens
from polyfuse.runtime.folder import ExportError


@dataclass(frozen=True)
class Form:
    """What of an input's tokens is no tensor.

    Args:
        grid: with None in place of an axis that varies, of which there is at most one.
        prefix: see ``records.Tokens``.
        behind: tokens outside the grid that follow it.
        spans: whether tokens have spans.
    """

    grid: tuple[int | None, ...]
    prefix: int
    behind: int
    spans: bool

    @classmethod
    def of(cls, one: Tokens, other: Tokens, what: str) -> Form:
        """From the tokens of two samples.

        Raises:
            ExportError: more than one axis varies, so that the number of tokens does not tell the grid.
        """
        grid = tuple(a if a == b else None for a, b in zip(one.grid, other.grid, strict=True))
        behind = one.x_BTD.shape[1] - one.prefix - math.prod(one.grid) if one.grid else 0
        if grid.count(None) > 1 or (grid and behind != other.x_BTD.shape[1] - other.prefix - math.prod(other.grid)):
            raise ExportError(f"{what}: the number of its tokens does not tell how they lie")
        return cls(grid, one.prefix, max(0, behind), one.span_BT2 is not None)

    def tokens(self, given: Mapping[str, Tensor], start: str) -> Tokens:
        """Tokens of the tensors ``START.x``, ``START.mask`` and, where a head reads it so, ``START.own``."""
        x_BTD = given[f"{start}.x"]
        known = math.prod(axis for axis in self.grid if axis is not None)
        free = (x_BTD.shape[1] - self.prefix - self.behind) // known if None in self.grid else 0
        grid = tuple(free if axis is None else axis for axis in self.grid)
        # whoever asks for spans asks whether there are any: a head writes alike wherever tokens lie
        span = x_BTD.new_zeros(*x_BTD.shape[:2], 2) if self.spans else None
        return Tokens(x_BTD, given[f"{start}.mask"], grid, self.prefix, span, given.get(f"{start}.own"))


class Input(nn.Module):
    """Fields of one input's cells -> its tokens for every network, and the features that learners read.

    Args:
        network: the first one.
        name: of the input.
    """

    def __init__(self, network: Network, name: str):
        super().__init__()
        self.networks = nn.ModuleList(networks_of(network))
        self.ensemble = network.ensemble
        self.name, self.key = name, f"i{network.inputs.index(name)}"
        self.readers = {reader: f"r{network.readers.index(reader)}" for reader in network.reads[name]}
        self.wanted = {r for o in network.ensemble.opinions for r in o.readers} if network.ensemble else set()  # type: ignore[union-attr]

    def forward(self, given: Named) -> Named:
        """``rN.FIELD`` (U, ...), ``rN.present`` (U,), ``rN.index`` (B, K) -> tensors of rows."""
        found, tokens = self.heard(given)
        for n, own in enumerate(tokens):
            found |= {f"{self.key}.n{n}.x": own.x_BTD, f"{self.key}.n{n}.mask": own.mask_BT}
            if own.own_BTE is not None:
                found[f"{self.key}.n{n}.own"] = own.own_BTE
        first: Any = self.networks[0]
        if self.name in first.aligned:
            found[f"{self.key}.shared"] = first.space[f"in_{first.inputs.index(self.name)}"](tokens[0])
        return found

    def heard(self, given: Named) -> tuple[Named, list[Tokens]]:
        """Features of the readers that learners ask for, and the input's tokens for every network."""
        first: Any = self.networks[0]
        frozen = {r: self._read(first, r, given) for r in self.readers if r in first.frozen}
        found: Named = {}
        for reader, block in self.blocks(given, frozen).items():
            key = self.readers[reader]
            found |= named_block(key, block)
            found[f"{key}.there"] = (given[f"{key}.index"] >= 0).any(-1)
        return found, [self._tokens(net, frozen, given) for net in self.networks]

    def blocks(self, given: Named, frozen: Mapping[str, Cells] | None = None) -> dict[str, Block]:
        """Reader -> features of rows, where learners ask for them."""
        first, found = self.networks[0], dict[str, Block]()
        for reader in [name for name in self.readers if name in self.wanted]:
            key = self.readers[reader]
            cells = (frozen or {}).get(reader)
            if cells is None and reader in first.frozen:  # type: ignore[operator]
                cells = self._read(first, reader, given)
            cells = cells or Cells(self._fields(key, given), given[f"{key}.index"])
            found[reader] = features(first, reader, cells)
        return found

    def _tokens(self, network: Any, frozen: Mapping[str, Cells], given: Named) -> Tokens:
        cells = {r: frozen[r] if r in frozen else self._read(network, r, given) for r in network.fused[self.name]}
        nothing = torch.zeros(0)
        return network.encode_input(self.name, Batch(cells, {}, nothing, nothing))

    def _fields(self, key: str, given: Named) -> Named:
        apart = (f"{key}.present", f"{key}.index")
        return {n.removeprefix(f"{key}."): t for n, t in given.items() if n.startswith(f"{key}.") and n not in apart}

    def _read(self, network: Any, reader: str, given: Named) -> Cells:
        key = self.readers[reader]
        tokens = network.encoder(reader)(self._fields(key, given), given[f"{key}.present"])
        return Cells(mean_token(tokens) if reader in network.pooled else tokens, given[f"{key}.index"])


class Joint(nn.Module):
    """What all inputs gave -> scores of every output, what writers begin with, and the fused vector.

    Args:
        network: the first one, with outputs.
        forms: input -> form of its tokens, of every network.
        sizes: reader -> columns of its features, where they are sparse.
    """

    def __init__(self, network: Network, forms: Mapping[str, list[Form]], sizes: Mapping[str, int]):
        super().__init__()
        self.network, self.forms, self.sizes = network, dict(forms), dict(sizes)
        self.networks = networks_of(network)

    def forward(self, given: Named) -> Named:
        """See ``Input`` -> ``oN.scores`` (B, C), ``oN.NAME`` of writers, ``fused`` (B, D)."""
        network = self.network
        encoded = [
            {name: self.forms[name][n].tokens(given, f"i{m}.n{n}") for m, name in enumerate(network.inputs)}
            for n in range(len(self.networks))
        ]
        rows = encoded[0][network.inputs[0]].x_BTD.shape[0]
        batch = Batch({}, {}, torch.zeros(rows, dtype=torch.long), torch.ones(rows))
        state = network.joined(encoded[0], batch, self._heard(given, encoded[1:]))
        assert state.fused is not None
        found = {"fused": masked_mean(state.fused.tokens.x_BTD, state.fused.tokens.mask_BT)}
        for n, name in enumerate(network.outputs):
            if name in state.scores:
                found[f"o{n}.scores"] = state.scores[name]
                continue
            decoder = network.head(name).decoder
            memory = decoder.read(state.fused)
            if offers(decoder, StepsApart):
                found |= {f"o{n}.{key}": value for key, value in decoder.opened(memory).items()}
            else:
                found[f"o{n}.log"], found[f"o{n}.real"] = decoder.log_probabilities(memory)
        return found

    def _heard(self, given: Named, encoded: list[dict[str, Tokens]]) -> Heard | None:
        if self.network.ensemble is None:
            return None
        wanted = {r for opinion in self.network.ensemble.opinions for r in opinion.readers}  # type: ignore[union-attr]
        keys = {reader: f"r{n}" for n, reader in enumerate(self.network.readers) if reader in wanted}
        blocks = {reader: self._block(reader, key, given) for reader, key in keys.items()}
        return Heard(blocks, {reader: given[f"{key}.there"] for reader, key in keys.items()}, encoded)

    def _block(self, reader: str, key: str, given: Named) -> Block:
        if f"{key}.block" in given:
            return given[f"{key}.block"]
        return Bag(given[f"{key}.ids"], given[f"{key}.weights"], self.sizes[reader])


class Step(nn.Module):
    """One further unit of a decoder."""

    def __init__(self, decoder: Any):
        super().__init__()
        self.decoder = decoder

    def forward(self, given: Named) -> Named:
        """``ids`` (N,) and what is kept -> ``logits`` (N, V), and what changed."""
        kept = {key: value for key, value in given.items() if key != "ids"}
        logits_NV, changed = self.decoder.further(given["ids"], kept)
        return {"logits": logits_NV, **changed}


def networks_of(network: Network) -> list[Any]:
    """The network and those that answer beside it."""
    return [network, *(network.ensemble.networks if network.ensemble else ())]


def named_block(key: str, block: Block) -> Named:
    """Features of rows by name."""
    if isinstance(block, Bag):
        return {f"{key}.ids": block.ids_BK, f"{key}.weights": block.weights_BK}
    return {f"{key}.block": block}
