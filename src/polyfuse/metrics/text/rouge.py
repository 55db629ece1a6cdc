"""ROUGE-L: the longest common subsequence of a text and a reference, as precision and recall.

Lin, ROUGE: a package for automatic evaluation of summaries, ACL workshop 2004. Of several references, the evaluation of
COCO captions takes the best precision and the best recall, and recall counts more (beta 1.2); elsewhere it is the
balanced F1 with the reference that fits best.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

BETA = 1.2  # of the evaluation of COCO captions


def common_subsequence_length(masks: dict[Hashable, int], length: int, other: Sequence[Hashable]) -> int:
    """Length of the longest common subsequence (Hyyrö, Bit-parallel LCS-length computation revisited, 2004).

    Args:
        masks: token -> bits of the places where one of the two has it.
        length: of that one.
        other: the other of the two.
    """
    full = (1 << length) - 1
    bits = full
    for token in other:
        hit = bits & masks.get(token, 0)
        bits = ((bits + hit) | (bits - hit)) & full
    return length - bits.bit_count()


def token_positions(text: Sequence[Hashable]) -> dict[Hashable, int]:
    """Token -> bits of the places where the text has it."""
    masks: dict[Hashable, int] = {}
    for place, token in enumerate(text):
        masks[token] = masks.get(token, 0) | (1 << place)
    return masks


def rouge_l(texts: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> np.ndarray:
    """ROUGE-L of each row (N,) as for COCO captions, over tokens of texts and of references, one at least."""
    found = np.zeros(len(texts))
    for row, (text, several) in enumerate(zip(texts, references, strict=True)):
        precision, recall = (max(side) for side in zip(*_fits(text, several), strict=True))
        if precision and recall:
            found[row] = (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)
    return found


def rouge_l_f1(texts: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> np.ndarray:
    """Balanced ROUGE-L of each row (N,) with its best reference, over tokens of texts and of references."""
    found = np.zeros(len(texts))
    for row, (text, several) in enumerate(zip(texts, references, strict=True)):
        found[row] = max(2 * p * r / (p + r) if p + r else 0.0 for p, r in _fits(text, several))
    return found


def _fits(text: Sequence[str], several: Sequence[Sequence[str]]) -> list[tuple[float, float]]:
    """Precision and recall with each reference; two texts without tokens are alike."""
    masks = token_positions(text)
    shared = [common_subsequence_length(masks, len(text), reference) for reference in several]
    return [
        (common_ / len(text), common_ / len(reference))
        if text and reference
        else 2 * (float(not text and not reference),)
        for common_, reference in zip(shared, several, strict=True)
    ]
