"""CTC without torch: which units a text can hold, and the likeliest text of all paths. Hannun et al., 2014."""

from __future__ import annotations

from math import inf

import numpy as np

from polyfuse.data.cells.spelling import PAD, SPECIALS

CANDIDATES = 20  # units per token that a prefix beam looks at


def written(vocabulary: int) -> list[int]:
    """The blank, and the units that a text can hold."""
    return [PAD, *range(len(SPECIALS), vocabulary)]


def prefix_beam(log_TV: np.ndarray, beams: int, most: int) -> tuple[list[int], float]:
    """The likeliest text, all its paths together, and its log-probability. Hannun et al., 2014.

    Args:
        log_TV: log-probabilities of units, the blank first.
        beams: texts that are kept after every token.
        most: units of a text.
    """
    units = np.array(written(log_TV.shape[1]))
    kept: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -inf)}  # text -> paths that end in a blank, or do not
    for log_V in log_TV:
        likely = units[np.argsort(-log_V[units], kind="stable")[: max(CANDIDATES, beams)]]
        after: dict[tuple[int, ...], list[float]] = {}

        def add(text: tuple[int, ...], side: int, value: float, after: dict = after) -> None:
            own = after.setdefault(text, [-inf, -inf])
            own[side] = float(np.logaddexp(own[side], value))

        for text, (blank, spoken) in kept.items():
            either = float(np.logaddexp(blank, spoken))
            add(text, 0, either + log_V[PAD])
            if text:
                add(text, 1, spoken + log_V[text[-1]])
            for unit in likely:
                if unit == PAD or len(text) == most:
                    continue
                before = blank if text and text[-1] == unit else either
                add((*text, int(unit)), 1, before + log_V[unit])
        ranked = sorted(after.items(), key=lambda item: (-np.logaddexp(item[1][0], item[1][1]), item[0]))
        kept = {text: (sides[0], sides[1]) for text, sides in ranked[:beams]}
    text, sides = max(kept.items(), key=lambda item: np.logaddexp(*item[1]))
    return list(text), float(np.logaddexp(*sides))
