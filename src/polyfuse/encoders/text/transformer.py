"""Subwords that attend to each other, learnt from scratch (Vaswani et al., Attention is all you need, NeurIPS 2017)."""

# ruff: noqa: ARG002 - some keywords are for wants() alone

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from polyfuse.contracts import spec_of
from polyfuse.layers.attention import Block
from polyfuse.layers.masking import Subwords
from polyfuse.layers.positions import length_mask, sinusoidal
from polyfuse.layers.windows import in_windows
from polyfuse.records import Spec, Tokens


class Transformer(nn.Module):
    """Self-attention over subwords, from scratch; for many texts, or long ones.

    Args:
        vocabulary: number of subwords that were learnt.
        width: of a token; a multiple of ``heads``.
        depth: blocks.
        heads: attention heads.
        dropout: of embeddings and in blocks, in training.
        max_tokens: longer texts are cut, or read in windows of so many.
        vocabulary_limit: the most subwords to learn.
        whole: cut no text, but read it in windows that overlap; so where its words are tagged.

    See also:
        ``ngrams`` below some thousand texts, ``pretrained`` where a checkpoint fits.
    """

    paper = "Vaswani et al., Attention is all you need, NeurIPS 2017"

    @spec_of("vocabulary")
    @staticmethod
    def wants(max_tokens: int, vocabulary_limit: int, whole: bool) -> Spec:
        """Subwords learnt from the training texts."""
        keywords = {"max_tokens": max_tokens, "vocabulary_limit": vocabulary_limit}
        return Spec("text.bpe", {**keywords, "whole": whole})

    @staticmethod
    def word_by_word(**keywords: Any) -> dict[str, Any]:
        """Its keywords where words are tagged."""
        return {"whole": True, **keywords}

    def __init__(
        self,
        *,
        vocabulary: int,
        width: int = 128,
        depth: int = 2,
        heads: int = 4,
        dropout: float = 0.1,
        max_tokens: int = 256,
        vocabulary_limit: int = 8000,
        whole: bool = False,
    ):
        super().__init__()
        self.width, self.window = width, max_tokens if whole else None
        self.embed, self.drop = nn.Embedding(vocabulary, width), nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads=heads, dropout=dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def masking(self) -> Subwords:
        """Subwords can be hidden; the vector of padding, which no text uses, stands in for them."""
        return Subwords(self.embed.num_embeddings, 0)

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> Tokens:
        """``ids`` (U, T), ``span`` (U, T, 2), ``lengths`` (U,) -> one token per subword (U, T, D)."""
        ids_UT, lengths_U = fields["ids"], fields["lengths"]
        mask_UT = length_mask(lengths_U, ids_UT.shape[1]) & present_B[:, None]
        if self.window is None:
            x_UTD = self._read(ids_UT, mask_UT)
        else:
            x_UTD = in_windows(self._read, ids_UT, mask_UT, lengths_U, self.window)
        return Tokens(x_UTD, mask_UT, grid=(ids_UT.shape[1],), span_BT2=fields["span"])

    def _read(self, ids_UT: Tensor, mask_UT: Tensor) -> Tensor:
        x_UTD = self.embed(ids_UT)
        x_UTD = self.drop(x_UTD + sinusoidal(ids_UT.shape[1], self.width, like=x_UTD))
        for block in self.blocks:
            x_UTD = block(x_UTD, mask_UT)
        return self.norm(x_UTD)
