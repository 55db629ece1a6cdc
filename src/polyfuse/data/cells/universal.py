"""The multilingual Universal Sentence Encoder (version 3, convolutional) as one formula over NumPy or torch.

Yang et al., Multilingual Universal Sentence Encoder for semantic retrieval, ACL 2020. Every piece of a text has a
vector of a table; three convolutions with windows of 2, 3 and 5 pieces look around it; their sum over the text, over
the root of its length, passes a few dense layers. ``xp`` is the module ``numpy`` or ``torch``: what both call alike is
used, so that training and a runtime without torch share the code. Letters: N stretches of text, L pieces, P real pieces
of all stretches one behind the other, V different ones among them, D width of a piece, W of a window's filters, E of
all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WIDTH = 512  # of a vector
CHUNKS = 17  # the table of pieces is kept in bytes, with a scale and a lowest value for every 17th row
VOCABULARY = 128_010
BEGIN, END = 1, 2  # pieces around every stretch
WINDOWS = {2: 0, 3: 1, 5: 2}  # pieces that a filter sees -> how many of them lie before its own place
FILTERS = 256
_DENSE = {"d0": (512, 320), "d1": (320, 320), "p1": (512, 320), "d2": (320, 512), "p3": (320, 512), "d3": (512, 512)}
EPSILON = 1e-12  # under a root
TOGETHER = 16  # stretches whose pieces are in memory at once: more only spill out of the processor's cache


def shapes() -> dict[str, tuple[int, ...]]:
    """Name -> shape of every weight; ``table`` holds bytes, the others single precision."""
    filters = FILTERS * len(WINDOWS)
    joined = WIDTH + filters
    found: dict[str, tuple[int, ...]] = {"table": (VOCABULARY, WIDTH), "scale": (CHUNKS,), "lowest": (CHUNKS,)}
    found |= {"project": (WIDTH, filters), "project_bias": (filters,), "gain_in": (filters,), "shift_in": (filters,)}
    for window in WINDOWS:
        for layer in ("first", "second"):
            found |= {f"{layer}{window}": (window * FILTERS, FILTERS), f"{layer}_bias{window}": (FILTERS,)}
    found |= {"gain": (joined,), "shift": (joined,), "joined": (joined, WIDTH), "joined_bias": (WIDTH,)}
    return found | _DENSE


def vectors(xp: Any, weights: Mapping[str, Any], ids_NL: Any) -> Any:
    """One vector of length 1 per stretch of text.

    Args:
        xp: ``numpy`` or ``torch``; weights and ids are its arrays.
        weights: as ``shapes`` names them.
        ids_NL: 1 + the id of each piece, 0 behind the end of a stretch; a stretch of no piece gets some vector.

    Returns:
        (N, 512) float.
    """
    rows_P, at_P = xp.where(ids_NL > 0)  # padding costs nothing
    pieces_V, which_P = xp.unique(ids_NL[rows_P, at_P], return_inverse=True)  # nor does a piece that comes again
    x_VD = _embedded(weights, pieces_V - 1)
    y_VE = _normal(x_VD @ weights["project"] + weights["project_bias"], weights["gain_in"], weights["shift_in"])
    known = _Pieces(x_VD, {window: _first_layer(xp, weights, y_VE, window) for window in WINDOWS})
    real_NL = ids_NL > 0
    ends = [0, *(int(end) for end in real_NL.sum(1).cumsum(0))]
    sums = []
    for begin in range(0, ids_NL.shape[0], TOGETHER):
        end = min(begin + TOGETHER, ids_NL.shape[0])
        here = slice(ends[begin], ends[end])
        sums.append(_sums(xp, weights, known, rows_P[here] - begin, which_P[here], end - begin))
    count_N1 = (real_NL * xp.ones_like(weights["joined_bias"][:1])).sum(1)[:, None].clip(1)  # single precision
    sum_ND = (xp.concat(sums) @ weights["joined"] + count_N1 * weights["joined_bias"]) / count_N1**0.5
    return _dense(xp, weights, sum_ND)


@dataclass(frozen=True)
class _Pieces:
    """What depends on a piece alone: its vector (V, D), and per window what it reads (V, W) and adds at each place."""

    x_VD: Any
    windows: dict[int, tuple[Any, list[Any]]]


def _sums(xp: Any, weights: Mapping[str, Any], known: _Pieces, rows_P: Any, which_P: Any, count: int) -> Any:
    """The sum of what is known of its pieces, for each of a few stretches: (count, D + E)."""
    places_Pw = _neighbours(xp, rows_P)
    seen = [known.x_VD[which_P]]
    seen += [_window(xp, weights, *known.windows[window], which_P, places_Pw, window) for window in WINDOWS]
    x_PE = _normal(xp.concat(seen, -1), weights["gain"], weights["shift"])
    member_NP = (xp.arange(count, device=rows_P.device)[:, None] == rows_P) * xp.ones_like(x_PE[:, 0])
    return member_NP @ x_PE


def _embedded(weights: Mapping[str, Any], pieces_V: Any) -> Any:
    """The vectors of pieces, (V, D)."""
    chunk_V = pieces_V % CHUNKS
    return weights["table"][pieces_V] * weights["scale"][chunk_V][:, None] + weights["lowest"][chunk_V][:, None]


def _neighbours(xp: Any, rows_P: Any) -> Any:
    """1 + the place of the pieces from two before to two behind each, (P, 5); 0 beyond the stretch."""
    size = rows_P.shape[0]
    places_Pw = xp.arange(size, device=rows_P.device)[:, None] + xp.arange(-2, 3, device=rows_P.device)
    inside_Pw = places_Pw.clip(0, size - 1)
    same_Pw = (places_Pw == inside_Pw) & (rows_P[inside_Pw] == rows_P[:, None])
    return (places_Pw + 1) * same_Pw


def _first_layer(xp: Any, weights: Mapping[str, Any], y_VE: Any, window: int) -> tuple[Any, list[Any]]:
    """What a window reads of each piece, (V, W), and what a piece adds to its first layer at each place, (V + 1, W).

    The last row is of a place beyond the stretch, and adds nothing.
    """
    at, first = list(WINDOWS).index(window), weights[f"first{window}"]
    x_VW = y_VE[:, at * FILTERS : (at + 1) * FILTERS]
    beyond_1W = xp.zeros_like(first[:1])
    parts = [first[place * FILTERS : (place + 1) * FILTERS] for place in range(window)]
    return x_VW, [xp.concat([x_VW @ part, beyond_1W]) for part in parts]


def _window(
    xp: Any, weights: Mapping[str, Any], x_VW: Any, added: list[Any], which_P: Any, places_Pw: Any, window: int
) -> Any:
    """Two layers of filters over a window of pieces, each added to what it reads: (P, W)."""
    before, second = 2 - WINDOWS[window], weights[f"second{window}"]
    beyond_1 = xp.arange(1, device=which_P.device) + x_VW.shape[0]
    which_P1 = xp.concat([beyond_1, which_P])
    y_PW = weights[f"first_bias{window}"]
    for at, added_VW in enumerate(added):
        y_PW = y_PW + added_VW[which_P1[places_Pw[:, before + at]]]
    x_PW = x_VW[which_P] + y_PW.clip(0)
    padded_PW = xp.concat([xp.zeros_like(x_PW[:1]), x_PW])
    around_P = padded_PW[places_Pw[:, before : before + window]].reshape(-1, window * FILTERS)
    return x_PW + (around_P @ second + weights[f"second_bias{window}"]).clip(0)


def _normal(x: Any, gain: Any, shift: Any) -> Any:
    """Layer normalisation (Ba et al., 2016)."""
    x = x - x.mean(-1)[..., None]
    return x / ((x * x).mean(-1)[..., None] + EPSILON) ** 0.5 * gain + shift


def _dense(xp: Any, weights: Mapping[str, Any], x_ND: Any) -> Any:
    """Dense layers with short cuts, then a vector of length 1."""
    y_NE = ((x_ND @ weights["d0"]).clip(0) @ weights["d1"] + x_ND @ weights["p1"]).clip(0)
    z_ND = xp.tanh((y_NE @ weights["d2"]).clip(0) @ weights["d3"] + y_NE @ weights["p3"])
    return z_ND / (z_ND * z_ND).sum(-1)[:, None].clip(EPSILON) ** 0.5
