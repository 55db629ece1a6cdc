"""Whether a model says something of its own to each row, or the same to all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from polyfuse.metrics.text.ngrams import grams, of_words


def distinct(texts: Sequence[Sequence[str]], n: int) -> float:
    """Different n-grams of all texts as a share of all n-grams; NaN without any.

    Li et al., A diversity-promoting objective function for neural conversation models, NAACL 2016. It falls as texts
    become more, and compares only models on the same rows.
    """
    found = grams(of_words(texts), n)[-1]
    total = int(found.total_X.sum())
    return len(np.unique(found.gram_E)) / total if total else float("nan")


def most_common_text(texts: Sequence[str]) -> tuple[str, int]:
    """The text that most rows get, and how many; the first of equals."""
    return Counter(texts).most_common(1)[0] if texts else ("", 0)
