"""Words by their letters, capitals and shape, read in both directions: a token per word, for outputs that tag words.

Bojanowski et al., Enriching word vectors with subword information, TACL 2017; Lample et al., Neural architectures for
named entity recognition, NAACL 2016.
"""

# ruff: noqa: ARG002 - some keywords are for wants() alone

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.contracts import spec_of
from polyfuse.layers.positions import length_mask
from polyfuse.layers.recurrent import Bidirectional
from polyfuse.records import Spec, Tokens

SHORT, LONGER = 8, 1.5  # texts of so many words are read together, and others up to so many times as long as the first


class Words(nn.Module):
    """A token per word, from its letters, capitals and shape, and from the words around it; for tags.

    Of a cell that is a list of words each item is a word. Recurrent nets read a text of any length to its end, so none
    is cut.

    Args:
        buckets: words, shapes and n-grams that have a vector of their own, and 0 for none.
        width: of a token; each direction has half of it.
        embedding: width of each of the three vectors of a word: itself, its n-grams, its shape.
        depth: recurrent layers.
        kind: ``gru`` or ``lstm``.
        dropout: of word vectors, between layers and of tokens, in training.
        forget: share of words that are known by their n-grams and shape alone, in training, as new ones will be.
        characters: longest character n-gram; the shortest has 2.

    See also: ``gru`` and ``transformer``, which do not tell capitals apart; ``pretrained`` where a checkpoint fits.
    """

    paper = "Lample et al., Neural architectures for named entity recognition, NAACL 2016"

    @spec_of("buckets")
    @staticmethod
    def wants(characters: int) -> Spec:
        """Words as the ids of what they look like."""
        return Spec("text.words", {"characters": [2, characters]})

    def __init__(
        self,
        *,
        buckets: int,
        width: int = 256,
        embedding: int = 64,
        depth: int = 1,
        kind: str = "lstm",
        dropout: float = 0.4,
        forget: float = 0.2,
        characters: int = 5,
    ):
        super().__init__()
        if width % 2:
            raise ValueError(f"width {width} must be even: each direction has half of it")
        self.width, self.forget = width, forget
        self.table, self.drop = nn.Embedding(buckets, embedding, padding_idx=0), nn.Dropout(dropout)
        with torch.no_grad():
            self.table.weight.mul_(0.5)
        self.read = Bidirectional(3 * embedding, width // 2, kind=kind, depth=depth, dropout=dropout)

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> Tokens:
        """``ids`` (U, T, K), ``look`` (U, T, 3), ``span``, ``lengths`` (U,) -> one token per word (U, T, D)."""
        ids_UTK, lengths_U = fields["ids"], fields["lengths"]
        real_UT = length_mask(lengths_U, ids_UTK.shape[1])
        x_UTD = self.drop(self._read(self.drop(self._vectors(ids_UTK, fields["look"])), real_UT, lengths_U))
        return Tokens(x_UTD, real_UT & present_B[:, None], grid=(ids_UTK.shape[1],), span_BT2=fields["span"])

    def _vectors(self, ids_UTK: Tensor, look_UT3: Tensor) -> Tensor:
        """The word, its n-grams and its shape side by side (U, T, 3 E)."""
        word_UT2 = look_UT3[..., :2]
        if self.training and self.forget:
            known_UT1 = torch.rand(word_UT2.shape[:2], device=ids_UTK.device)[..., None] >= self.forget
            word_UT2 = word_UT2 * known_UT1
        word_UTE, shape_UTE = self.table(word_UT2).sum(2), self.table(look_UT3[..., 2])
        count_UT1 = (ids_UTK > 0).sum(-1, keepdim=True).clamp_min(1).to(word_UTE.dtype)
        return torch.cat([word_UTE, self._sums(ids_UTK) / count_UT1.sqrt(), shape_UTE], -1)

    def _sums(self, ids_UTK: Tensor) -> Tensor:
        """Sum over the n-grams of a word, without making (U, T, K, E) while training."""
        if torch.compiler.is_exporting():  # a bag would fix that there is more than one word
            return self.table(ids_UTK).sum(2)
        bags = F.embedding_bag(ids_UTK.flatten(0, 1), self.table.weight, mode="sum", padding_idx=0)
        return bags.unflatten(0, ids_UTK.shape[:2])

    def _read(self, x_UTE: Tensor, real_UT: Tensor, lengths_U: Tensor) -> Tensor:
        """Read texts in groups of like length: beside a very long one the others would else be mostly padding."""
        if torch.compiler.is_exporting():
            return self.read(x_UTE, real_UT)
        found: list[Tensor] = []
        order = lengths_U.argsort(stable=True)
        lengths, start = lengths_U[order].tolist(), 0
        while start < len(lengths):
            most = max(SHORT, LONGER * lengths[start])
            end = next((at for at in range(start, len(lengths)) if lengths[at] > most), len(lengths))
            rows, longest = order[start:end], max(1, lengths[end - 1])
            made = self.read(x_UTE[rows, :longest], real_UT[rows, :longest])
            found.append(F.pad(made, (0, 0, 0, x_UTE.shape[1] - longest)))
            start = end
        return torch.cat(found)[order.argsort()]
