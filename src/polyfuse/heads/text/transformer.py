"""A transformer that writes a text while it looks at the fused tokens. Vaswani et al., NeurIPS 2017."""

from __future__ import annotations

import math

from torch import Tensor, nn

from polyfuse.heads.text.decode import Cache
from polyfuse.heads.text.stepwise import StepwiseDecoder
from polyfuse.layers.attention import Attention
from polyfuse.layers.causal import CausalBlock
from polyfuse.layers.positions import sinusoidal
from polyfuse.records import Tokens


class Transformer(StepwiseDecoder):
    """Causal self-attention over the text and cross-attention to every fused token; embeddings tied to the output.

    Args:
        vocabulary: V.
        width: D of the fused tokens.
        dropout: in training.
        depth: blocks.
        heads: attention heads; they divide the width.

    Tied embeddings: Press and Wolf, EACL 2017.
    """

    paper = "Vaswani et al., Attention Is All You Need, NeurIPS 2017"

    def __init__(self, vocabulary: int, width: int, dropout: float, *, depth: int = 2, heads: int = 4):
        super().__init__(width)
        self.embed = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.embed.weight, std=width**-0.5)
        self.blocks = nn.ModuleList(CausalBlock(width, heads=heads, dropout=dropout) for _ in range(depth))
        self.heads = heads
        self.norm, self.drop, self.scale = nn.LayerNorm(width), nn.Dropout(dropout), math.sqrt(width)

    def forward(self, memory: Tokens, before_NT: Tensor) -> tuple[Tensor, None]:
        """(N, S, D) and ids (N, T) -> logits (N, T, V)."""
        x_NTD = self._placed(before_NT)
        for block in self.blocks:
            x_NTD = block(x_NTD, memory.x_BTD, memory.mask_BT)
        return self._logits(x_NTD), None

    def attention(self, memory: Tokens, before_NT: Tensor) -> Tensor:
        """What share of the attention of each unit every token got: a mean over heads and blocks (N, T, S)."""
        x_NTD, share_NTS = self._placed(before_NT), memory.x_BTD.new_zeros(())
        for block in self.blocks:
            x_NTD, own_NTS = block.attended(x_NTD, memory.x_BTD, memory.mask_BT)  # type: ignore[operator]
            share_NTS = share_NTS + own_NTS / len(self.blocks)
        return share_NTS

    def _placed(self, before_NT: Tensor) -> Tensor:
        x_NTD = self.embed(before_NT) * self.scale
        return self.drop(x_NTD + sinusoidal(before_NT.shape[1], x_NTD.shape[-1], like=x_NTD))

    def _logits(self, x_NTD: Tensor) -> Tensor:
        return nn.functional.linear(self.norm(x_NTD), self.embed.weight)

    def begin(self, memory: Tokens) -> Cache:
        """Keys and values of the memory, for every block."""
        cache: Cache = {"length": 0}
        if not bool(memory.mask_BT.all()):
            cache["context_seen"], cache["context_any"] = Attention.seen(memory.mask_BT)
        for n, block in enumerate(self.blocks):
            key, value = block.context.keys_values(memory.x_BTD)  # type: ignore[operator, union-attr]
            cache[f"context_key_{n}"], cache[f"context_value_{n}"] = key.contiguous(), value.contiguous()
        return cache

    def opened(self, memory: Tokens) -> Cache:
        """Keys and values of the memory, for every block, and what of it is seen."""
        seen, some = Attention.seen(memory.mask_BT)
        cache: Cache = {"context_seen": seen, "context_any": some}
        for n, block in enumerate(self.blocks):
            cache[f"context_key_{n}"], cache[f"context_value_{n}"] = block.context.keys_values(memory.x_BTD)  # type: ignore[operator, union-attr]
        return cache

    def empty(self) -> dict[str, tuple[int, ...]]:
        """Keys and values of no unit yet (H, 0, D / H), for every block."""
        width, heads = self.embed.weight.shape[1], self.heads
        return {f"{kind}_{n}": (heads, 0, width // heads) for n in range(len(self.blocks)) for kind in ("key", "value")}

    def further(self, ids_N: Tensor, kept: Cache) -> tuple[Tensor, Cache]:
        """One further unit, and the keys and values with its own behind."""
        at, after = kept["key_0"].shape[2], {}
        seen = (kept["context_seen"], kept["context_any"])
        x_ND = self.embed(ids_N) * self.scale
        x_N1D = (x_ND + sinusoidal(1, x_ND.shape[-1], like=x_ND, start=at))[:, None]
        for n, block in enumerate(self.blocks):
            context = (kept[f"context_key_{n}"], kept[f"context_value_{n}"])
            x_N1D, own = block.longer(x_N1D, (kept[f"key_{n}"], kept[f"value_{n}"]), context, seen)  # type: ignore[operator]
            after[f"key_{n}"], after[f"value_{n}"] = own
        return self._logits(x_N1D)[:, 0], after

    def step(self, ids_N: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """One further unit."""
        at = cache["length"]
        seen = (cache["context_seen"], cache["context_any"]) if "context_seen" in cache else None
        after = {**cache, "length": at + 1}
        x_ND = self.embed(ids_N) * self.scale
        x_N1D = (x_ND + sinusoidal(1, x_ND.shape[-1], like=x_ND, start=at))[:, None]
        for n, block in enumerate(self.blocks):
            kept = (cache[f"key_{n}"], cache[f"value_{n}"]) if at else None
            context = (cache[f"context_key_{n}"], cache[f"context_value_{n}"])
            x_N1D, own = block.step(x_N1D, kept, at, context, seen)  # type: ignore[operator]
            after[f"key_{n}"], after[f"value_{n}"] = own
        return self._logits(x_N1D)[:, 0], after
