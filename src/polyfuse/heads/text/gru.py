"""A recurrent net that looks at one part of the fused tokens for every word. Xu et al., Show, Attend and Tell, 2015."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polyfuse.data.cells.spelling import PAD
from polyfuse.heads.text.decode import Cache
from polyfuse.heads.text.stepwise import StepwiseDecoder
from polyfuse.layers.pooling import masked_mean
from polyfuse.records import Tokens


class GRU(StepwiseDecoder):
    """A GRU with additive attention over the fused tokens, which are to be looked at about equally over a whole text.

    Args:
        vocabulary: V.
        width: D of the fused tokens.
        dropout: in training.
        hidden: units of the GRU; the width by default.
        even: weight of the doubly stochastic loss: of how far from 1 what a token got over the whole text is, squared.

    Attention: Bahdanau et al., ICLR 2015. The gate on what is seen and the loss are those of Show, Attend and Tell.
    """

    paper = "Xu et al., Show, Attend and Tell, ICML 2015"

    def __init__(self, vocabulary: int, width: int, dropout: float, *, hidden: int | None = None, even: float = 1.0):
        super().__init__(width)
        if even < 0:
            raise ValueError(f"even: expected a number from 0 on, found {even}")
        size, self.even = hidden or width, even
        self.embed, self.drop = nn.Embedding(vocabulary, width), nn.Dropout(dropout)
        nn.init.normal_(self.embed.weight, std=width**-0.5)
        self.start = nn.Linear(width, size)
        self.of_memory, self.of_state = nn.Linear(width, width), nn.Linear(size, width, bias=False)
        self.score = nn.Linear(width, 1, bias=False)
        self.gate = nn.Linear(size, width)
        self.cell = nn.GRUCell(2 * width, size)
        self.norm, self.mix = nn.LayerNorm(size + 2 * width), nn.Linear(size + 2 * width, width)
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def begin(self, memory: Tokens) -> Cache:
        """The memory, its share in every score, and a state from its mean."""
        state_NH = torch.tanh(self.start(masked_mean(memory.x_BTD, memory.mask_BT)))
        return {
            "context_memory": memory.x_BTD,
            "context_keys": self.of_memory(memory.x_BTD),
            "context_mask": memory.mask_BT,
            "state": state_NH,
        }

    def step(self, ids_N: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """One further unit."""
        logits_NV, state_NH, _ = self._step(ids_N, cache)
        return logits_NV, {**cache, "state": state_NH}

    def opened(self, memory: Tokens) -> Cache:
        """What it keeps is tensors anyway."""
        return self.begin(memory)

    def empty(self) -> dict[str, tuple[int, ...]]:
        """Nothing grows."""
        return {}

    def further(self, ids_N: Tensor, kept: Cache) -> tuple[Tensor, Cache]:
        """One further unit, and the state after it."""
        logits_NV, state_NH, _ = self._step(ids_N, kept)
        return logits_NV, {"state": state_NH}

    def _step(self, ids_N: Tensor, cache: Cache) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (N, V), the state after it (N, H), and the share of attention that every token got (N, S)."""
        key_BSD, memory_BSD, mask_B1S = cache["context_keys"], cache["context_memory"], cache["context_mask"][:, None]
        asked_BK1D = self.of_state(cache["state"]).view(len(key_BSD), -1, 1, key_BSD.shape[-1])
        score_BKS = self.score(torch.tanh(key_BSD[:, None] + asked_BK1D))[..., 0]
        share_BKS = score_BKS.masked_fill(~mask_B1S, -1e4).softmax(-1) * mask_B1S
        seen_ND = (share_BKS.to(memory_BSD.dtype) @ memory_BSD).flatten(0, 1)
        share_NS = share_BKS.flatten(0, 1)
        seen_ND = seen_ND * self.gate(cache["state"]).sigmoid()
        x_ND = self.drop(self.embed(ids_N))
        state_NH = self.cell(torch.cat([x_ND, seen_ND], -1), cache["state"])
        mixed_ND = self.mix(self.drop(self.norm(torch.cat([state_NH, seen_ND, x_ND], -1))))
        return nn.functional.linear(mixed_ND, self.embed.weight, self.bias), state_NH, share_NS

    def attention(self, memory: Tokens, before_NT: Tensor) -> Tensor:
        """What share of the attention of each unit every token got (N, T, S)."""
        cache, shares = self.begin(memory), []
        for ids_N in before_NT.unbind(1):
            _, cache["state"], share_NS = self._step(ids_N, cache)
            shares.append(share_NS.float())
        return torch.stack(shares, 1)

    def forward(self, memory: Tokens, before_NT: Tensor) -> tuple[Tensor, Tensor | None]:
        """(N, S, D) and ids (N, T) -> logits (N, T, V), and how unevenly the tokens were looked at (N,)."""
        cache, logits, total_NS = self.begin(memory), [], memory.mask_BT.new_zeros((), dtype=torch.float32)
        written_NT = before_NT != PAD
        for ids_N, written_N in zip(before_NT.unbind(1), written_NT.unbind(1), strict=True):
            logits_NV, cache["state"], share_NS = self._step(ids_N, cache)
            total_NS = total_NS + share_NS.float() * written_N[:, None]
            logits.append(logits_NV)
        mask_NS = memory.mask_BT
        # as much attention as there are words is shared among the tokens, however many these are
        even_N1 = written_NT.sum(1, keepdim=True) / mask_NS.sum(1, keepdim=True).clamp_min(1)
        uneven_N = ((1 - total_NS / even_N1).square() * mask_NS).sum(1) / mask_NS.sum(1).clamp_min(1)
        return torch.stack(logits, 1), self.even * uneven_N if self.even and self.training else None
