"""Subwords read in both directions by a gated recurrent net, for short texts whose word order matters.

Cho et al., Learning phrase representations using RNN encoder-decoder, EMNLP 2014.
"""

# ruff: noqa: ARG002 - some keywords are for wants() alone

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from polyfuse.contracts import spec_of
from polyfuse.layers.masking import Subwords
from polyfuse.layers.positions import length_mask
from polyfuse.layers.recurrent import Bidirectional
from polyfuse.layers.windows import in_windows
from polyfuse.records import Spec, Tokens


class GRU(nn.Module):
    """A two-way gated recurrent net over subwords; word order matters and texts are short.

    Args:
        vocabulary: number of subwords that were learnt.
        width: of a token; each direction has half of it.
        depth: recurrent layers.
        dropout: of embeddings, between layers and of tokens, in training.
        max_tokens: longer texts are cut, or read in windows of so many.
        vocabulary_limit: the most subwords to learn.
        whole: cut no text, but read it in windows that overlap; so where its words are tagged.
        case: tell capitals apart; so where words are tagged.

    See also:
        ``ngrams`` below some thousand texts, ``transformer`` for long ones, ``pretrained`` where a checkpoint fits.
    """

    paper = "Cho et al., Learning phrase representations using RNN encoder-decoder, EMNLP 2014"

    @spec_of("vocabulary")
    @staticmethod
    def wants(max_tokens: int, vocabulary_limit: int, whole: bool, case: bool) -> Spec:
        """Subwords learnt from the training texts."""
        keywords = {"max_tokens": max_tokens, "vocabulary_limit": vocabulary_limit}
        return Spec("text.bpe", {**keywords, "whole": whole, "lowercase": not case})

    @staticmethod
    def word_by_word(**keywords: Any) -> dict[str, Any]:
        """Its keywords where words are tagged."""
        return {"whole": True, "case": True, **keywords}

    def __init__(
        self,
        *,
        vocabulary: int,
        width: int = 128,
        depth: int = 1,
        dropout: float = 0.2,
        max_tokens: int = 256,
        vocabulary_limit: int = 8000,
        whole: bool = False,
        case: bool = False,
    ):
        super().__init__()
        if width % 2:
            raise ValueError(f"width {width} must be even: each direction has half of it")
        self.width, self.window = width, max_tokens if whole else None
        self.embed, self.drop = nn.Embedding(vocabulary, width), nn.Dropout(dropout)
        self.read = Bidirectional(width, width // 2, depth=depth, dropout=dropout)

    def masking(self) -> Subwords:
        """Subwords can be hidden; the vector of padding, which no text uses, stands in for them."""
        return Subwords(self.embed.num_embeddings, 0)

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> Tokens:
        """``ids`` (U, T), ``span`` (U, T, 2), ``lengths`` (U,) -> one token per subword (U, T, D)."""
        ids_UT, lengths_U = fields["ids"], fields["lengths"]
        real_UT = length_mask(lengths_U, ids_UT.shape[1])
        if self.window is None:
            x_UTD = self._read(ids_UT, real_UT)
        else:
            x_UTD = in_windows(self._read, ids_UT, real_UT, lengths_U, self.window)
        return Tokens(x_UTD, real_UT & present_B[:, None], grid=(ids_UT.shape[1],), span_BT2=fields["span"])

    def _read(self, ids_UT: Tensor, real_UT: Tensor) -> Tensor:
        return self.drop(self.read(self.drop(self.embed(ids_UT)), real_UT))
