"""Which metric of a text is quoted: a rule over its references and what the model reads."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from polyfuse.metrics.text.tokens import plain_signs

SHORT = 3  # words, up to which half of the references make answers of texts
PEOPLE = 10  # references per row from which short answers are judged as for VQA
SEVERAL = 2  # references per row from which a text is a caption
SEEN = frozenset({"image", "video"})


def main_metric(references: Sequence[Sequence[str]], reads: Collection[str] = ()) -> str:
    """The metric to quote of texts with such references.

    In this order, by the median of rows: sound alone read, and one reference: ``wer`` (speech). References of at most
    three words: ``vqa_accuracy`` where ten people answered, else ``exact_match``. Two references or more, or pictures
    or videos alone read: ``cider_d`` (captions). Anything else: ``chrf`` (translations, summaries, long answers).

    Args:
        references: of each row, one at least, such as those of the rows to learn from.
        reads: modalities of the model's inputs.
    """
    if not references:
        return "chrf"
    count = float(np.median([len(row) for row in references]))
    words = float(np.median([len(plain_signs(row[0])) for row in references]))
    if set(reads) == {"audio"} and count < SEVERAL:
        return "wer"
    if words <= SHORT:
        return "vqa_accuracy" if count >= PEOPLE else "exact_match"
    return "cider_d" if count >= SEVERAL or (reads and set(reads) <= SEEN) else "chrf"
