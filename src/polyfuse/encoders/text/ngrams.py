"""Words as the sum of what their n-grams say: the strong default for small tables, a linear model at heart.

Bojanowski et al., Enriching word vectors with subword information, TACL 2017; Joulin et al., Bag of tricks for
efficient text classification, EACL 2017.
"""

# ruff: noqa: ARG002 - some keywords are for wants() alone

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.contracts import spec_of
from polyfuse.layers.features import Bag
from polyfuse.layers.positions import length_mask
from polyfuse.records import Spec, Tokens


class NGrams(nn.Module):
    """Each word is the sum of what its n-grams say; the strong default for text, down to hundreds of rows.

    A word that training never showed still has known pieces.

    Args:
        buckets: n-grams that have a vector of their own, and 0 for none.
        width: of a token.
        dropout: of tokens, and half as much of n-grams, in training.
        words: longest run of words that is an n-gram: 1 for single words, 2 for pairs.
        max_tokens: longer texts are cut; ``all`` cuts none, as where words are tagged.
        scale: of the n-grams' vectors at the start, in 1 / sqrt(width). Small says little of what training hardly
            shows, the better for few rows; from many rows on it is 2 by default, as a word that acts on a picture
            ("is it blue?") learns slowly from nearly nothing.
        case: tell capitals apart; so where words are tagged.
        tfidf: every word also knows the text: the sum of the text's n-grams, each weighed by how rare it is.

    See also:
        ``transformer`` for many texts whose word order matters, ``pretrained`` where a checkpoint fits.
    """

    paper = "Bojanowski et al., Enriching word vectors with subword information, TACL 2017"

    @spec_of("buckets")
    @staticmethod
    def wants(words: int, max_tokens: int | str, case: bool) -> Spec:
        """Words, each as the ids of its n-grams."""
        return Spec("text.ngrams", {"words": words, "max_tokens": max_tokens, "case": case})

    @staticmethod
    def word_by_word(**keywords: Any) -> dict[str, Any]:
        """Its keywords where words are tagged: what it says of a word hangs on that word, and no text is cut."""
        return {"max_tokens": "all", "case": True, **keywords}

    def __init__(
        self,
        *,
        buckets: int,
        width: int = 64,
        dropout: float = 0.1,
        words: int = 2,
        max_tokens: int | str = 256,
        scale: float = 0.1,
        case: bool = False,
        tfidf: bool = False,
    ):
        super().__init__()
        self.width, self.hidden = width, dropout / 2
        self.table, self.drop = nn.Embedding(buckets, width, padding_idx=0), nn.Dropout(dropout)
        with torch.no_grad():
            self.table.weight.mul_(scale * width**-0.5)
        self.whole = nn.Embedding(buckets, width, padding_idx=0) if tfidf else None
        if self.whole is not None:
            nn.init.zeros_(self.whole.weight)
        # what every word adds to: without it, a layer norm behind would make the emptiest word as loud as the rest
        self.base_D = nn.Parameter(torch.randn(width))

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> Tokens:
        """``ids`` (U, T, K), ``span`` (U, T, 2), ``lengths`` (U,) -> one token per word (U, T, D)."""
        ids_UTK = fields["ids"]
        mask_UT = length_mask(fields["lengths"], ids_UTK.shape[1]) & present_B[:, None]
        if self.training and self.hidden:
            ids_UTK = ids_UTK * (torch.rand(ids_UTK.shape, device=ids_UTK.device) >= self.hidden)
        x_UTD = self.drop(self._sums(ids_UTK)) + self.base_D
        if self.whole is not None:
            x_UTD = x_UTD + self.drop(self._weighed(self.whole.weight, fields))[:, None]
        return Tokens(x_UTD, mask_UT, grid=(ids_UTK.shape[1],), span_BT2=fields["span"])

    def _sums(self, ids_UTK: Tensor) -> Tensor:
        """Sum over the n-grams of a word, without making (U, T, K, D) while training."""
        if torch.compiler.is_exporting():  # a bag would fix that there is more than one word
            return self.table(ids_UTK).sum(2)
        bags = F.embedding_bag(ids_UTK.flatten(0, 1), self.table.weight, mode="sum", padding_idx=0)
        return bags.unflatten(0, ids_UTK.shape[:2])

    def _weighed(self, table_GD: Tensor, fields: dict[str, Tensor]) -> Tensor:
        """Sum over the weighed n-grams of a text (U, D)."""
        ids_UN, weights_UN = fields["bag_ids"], fields["bag_weights"].to(table_GD.dtype)
        if torch.compiler.is_exporting():
            return (table_GD[ids_UN] * weights_UN[..., None]).sum(1)
        return F.embedding_bag(ids_UN, table_GD, mode="sum", per_sample_weights=weights_UN)

    def features(self, fields: dict[str, Tensor]) -> Bag:
        """What is known before any training: the tf-idf weights of the text's n-grams."""
        return Bag(fields["bag_ids"], fields["bag_weights"], self.table.num_embeddings)
