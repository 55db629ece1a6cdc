"""Plots as inline SVG that follow the page's colours, light or dark, and leave its text to the browser's fonts.

Matplotlib knows no CSS, so it draws in stand-in colours that are then replaced by CSS variables.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from polyfuse.evaluation.curves import Curve
from polyfuse.evaluation.glossary import format_number, term
from polyfuse.metrics.calibration import ReliabilityBin

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

INK, LINE, ACCENT, WARN = "#010203", "#040506", "#070809", "#0a0b0c"
VARIABLES = {INK: "var(--muted)", LINE: "var(--line)", ACCENT: "var(--accent)", WARN: "var(--warn)"}
MOST_POINTS = 1000  # of a scatter plot: more only makes the page heavy
SKEWED = 30  # the ratio of large to small values above which a plot is logarithmic

# text stays text (the browser has fonts for every script), and $ in a column's name is no formula
STYLE: Any = {"svg.fonttype": "none", "text.parse_math": False, "font.size": 10, "font.family": "DejaVu Sans"}


def reliability(bins: list[ReliabilityBin]) -> str:
    """Accuracy against confidence, with the share of rows below; on the diagonal, confidence can be believed."""
    figure, axes, below = empty_plot(rows=True)
    x = np.array([b.confidence for b in bins])
    y, rows = np.array([b.accuracy for b in bins]), np.array([b.rows for b in bins])
    axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=(0, (4, 3)))
    axes.vlines(x, np.minimum(x, y), np.maximum(x, y), color=WARN, linewidth=2)
    axes.plot(x, y, color=ACCENT, linewidth=1.6)
    axes.scatter(x, y, s=14 + 70 * rows / rows.max(), color=ACCENT, zorder=3)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.03, 1.03), ylabel="share right")
    axes.tick_params(labelbottom=False)
    below.bar(x, rows / rows.sum(), width=0.045, color=ACCENT, alpha=0.55)
    below.set(xlim=(-0.02, 1.02), xlabel="confidence", ylabel="rows")
    for side, axis in (("y", axes.yaxis), ("x", below.xaxis), ("y", below.yaxis)):
        axis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %")
        axis.set_label_coords(*((-0.13, 0.5) if side == "y" else (0.5, -0.42)))
    below.locator_params(axis="y", nbins=2)
    return to_svg(figure, "Reliability: share of rows predicted right against confidence")


def scatter(target: np.ndarray, value: np.ndarray, name: str, seed: int = 0) -> str:
    """Predicted against true; points on the diagonal are right."""
    x, y = _thin_out(target, value, seed)
    figure, axes, _ = empty_plot()
    title = f"Predicted against true {name}"
    low, high = min(x.min(), y.min()), max(x.max(), y.max())
    if low > 0 and high / low > SKEWED:
        axes.set(xscale="log", yscale="log")
        name = f"{name}, log scale"
        low, high = low / 1.15, high * 1.15
    else:
        margin = 0.03 * (high - low) or 1.0
        low, high = low - margin, high + margin
    axes.plot([low, high], [low, high], color=INK, linewidth=1, linestyle=(0, (4, 3)))
    axes.scatter(x, y, s=16, color=ACCENT, alpha=0.55, linewidths=0, zorder=3)
    axes.set(xlim=(low, high), ylim=(low, high), xlabel=f"true {name}", ylabel=f"predicted {name}")
    for axis in (axes.xaxis, axes.yaxis):
        _short_numbers(axis)
    return to_svg(figure, title)


def training(history: Sequence[dict[str, list[Any]]]) -> str:
    """Loss against steps, in training and on validation, and below it the quality on validation, where there is one."""
    judged = any(one["val_steps"] for one in history)
    figure, axes, below = empty_plot(rows=judged, heights=(3, 2))
    for one in history:
        steps, loss = (np.array(one[name], dtype=float) for name in ("steps", "loss"))
        axes.plot(steps, loss, color=INK, linewidth=0.8, alpha=0.8)
        looks, val_loss, quality = (np.array(one[f"val_{name}"], dtype=float) for name in ("steps", "loss", "quality"))
        axes.plot(looks, val_loss, color=ACCENT, linewidth=1.4, marker="o", markersize=2.5)
        if judged:
            below.plot(looks, quality, color=ACCENT, linewidth=1.4, marker="o", markersize=2.5)
    found = np.concatenate([np.array(one["loss"] + one["val_loss"], dtype=float) for one in history])
    found = found[np.isfinite(found)]
    scale = ""
    if len(found) and found.min() > 0 and found.max() / found.min() > SKEWED:
        axes.set_yscale("log")
        scale = ", log scale"
    axes.set(ylabel=f"loss{scale}")
    _short_numbers(axes.yaxis)
    if judged:
        axes.tick_params(labelbottom=False)
        below.set(ylabel="quality", xlim=axes.get_xlim())
        _short_numbers(below.yaxis)
        below.locator_params(axis="y", nbins=4)
    below.set_xlabel("steps")
    _short_numbers(below.xaxis)
    return to_svg(figure, "Loss and quality against steps of training" if judged else "Loss against steps of training")


@dataclass(frozen=True)
class Line:
    """One curve of a plot: its label at the right end, and how it stands out (``main``, ``warn`` or ``plain``)."""

    label: str
    curve: Curve
    kind: str = "plain"


LINES: dict[str, Any] = {
    "main": {"color": ACCENT, "linewidth": 2.2, "marker": "o", "markersize": 5, "zorder": 4},
    "warn": {"color": WARN, "linewidth": 2.2, "marker": "o", "markersize": 5, "zorder": 4},
    "plain": {"color": INK, "linewidth": 1, "marker": "o", "markersize": 2.5, "alpha": 0.75, "zorder": 3},
}
LABEL_GAP = 0.062  # of the height: closer labels would touch


def curves(lines: Sequence[Line], metric: str, baseline: float | None, title: str) -> str:
    """A metric against the severity of noise; the band is the interval of a line that stands out."""
    figure, axes, _ = empty_plot()
    figure.subplots_adjust(left=0.15, right=0.74, top=0.96, bottom=0.13)
    ends = []
    for line in lines:
        x = [p.severity for p in line.curve.points]
        y = [np.nan if p.value is None else p.value for p in line.curve.points]
        axes.plot(x, y, **LINES[line.kind])
        ends += [(y[-1], line.label, str(LINES[line.kind]["color"]))] if np.isfinite(y[-1]) else []
        bounds = np.array([p.interval or (np.nan, np.nan) for p in line.curve.points], dtype=float)
        if line.kind != "plain":
            axes.fill_between(x, *bounds.T, color=LINES[line.kind]["color"], alpha=0.14, linewidth=0)
    if baseline is not None:
        axes.axhline(baseline, color=WARN, linewidth=1.2, linestyle=(0, (4, 3)))
        ends.append((baseline, "baseline", WARN))
    better = "" if term(metric).higher else " (lower is better)"
    axes.set(xlim=(-0.02, max(p.severity for p in lines[0].curve.points) + 0.02), xlabel="severity of the noise")
    axes.set_ylabel(f"{term(metric).title}{better}")
    axes.yaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %" if term(metric).percent else short_number(v))
    _label_ends(axes, ends)
    return to_svg(figure, title)


def _label_ends(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Names at the right end of their lines, moved apart where they would touch."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    ends = sorted(ends, key=lambda end: end[0])
    true = [(value - low) / (high - low) for value, _, _ in ends]
    for at, place, (_, label, colour) in zip(true, spread_apart(true), ends, strict=True):
        axes.plot([1, 1.03], [at, place], color=LINE, linewidth=0.8, transform=axes.transAxes, clip_on=False)
        axes.text(1.04, place, label, color=colour, transform=axes.transAxes, va="center", fontsize=9.5)


def spread_apart(places: list[float], gap: float = LABEL_GAP) -> list[float]:
    """Rising places, neighbours at least a gap apart and moved as little as that takes, none beyond an edge."""
    found = np.array(places)
    for _ in range(1000):
        short = np.maximum(0, gap - np.diff(found))
        if not short.max(initial=0) > 1e-4:
            break
        found[1:] += short / 2
        found[:-1] -= short / 2
        found = found.clip(0, 1)
    return list(found)


def _thin_out(target: np.ndarray, value: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    kept = np.flatnonzero(np.isfinite(value))
    if len(kept) > MOST_POINTS:
        kept = np.random.default_rng(seed).choice(kept, MOST_POINTS, replace=False)
    return target[kept], value[kept]


def _short_numbers(axis: Axis) -> None:
    from matplotlib.ticker import NullFormatter

    axis.set_major_formatter(lambda v, _: short_number(v))
    axis.set_minor_formatter(NullFormatter())


def short_number(value: float) -> str:
    """An axis label: 1500000 -> 1.5M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}" if abs(value) < 100 else format_number(round(value))


def empty_plot(
    rows: bool = False, size: tuple[float, float] = (4.4, 4.0), heights: tuple[int, int] = (5, 1)
) -> tuple[Figure, Axes, Axes]:
    """An empty plot, with a flat second one below for counts of rows, in the given proportion of heights."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size)
        if rows:
            axes, below = figure.subplots(2, 1, height_ratios=heights)
        else:
            axes = below = figure.subplots()
    figure.subplots_adjust(left=0.16, right=0.96, top=0.97, bottom=0.13, hspace=0.12)
    for each in figure.axes:
        each.set_facecolor("none")
        each.grid(color=LINE, linewidth=0.8)
        each.set_axisbelow(True)
        each.tick_params(which="both", colors=INK, length=0)
        each.xaxis.label.set_color(INK)
        each.yaxis.label.set_color(INK)
        each.spines[:].set_visible(False)
    return figure, axes, below


def to_svg(figure: Figure, title: str) -> str:
    """A finished plot as part of a page."""
    import matplotlib

    file = io.StringIO()
    # the browser, not matplotlib, has the fonts for Chinese names
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": title}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(file, format="svg", facecolor="none", metadata={"Date": None, "Creator": None})
    return _to_inline_svg(file.getvalue(), title)


def _to_inline_svg(drawn: str, title: str) -> str:
    """A file of its own -> part of a page: no header, no ids that meet those of other plots, the page's colours."""
    from markupsafe import escape

    body = drawn[drawn.index("<svg") :]
    # a style inside an inline SVG would hold for the whole page
    body = re.sub(r"<(metadata|style).*?</\1>", "", body, flags=re.DOTALL)
    body = re.sub(r' id="(?:figure|axes|matplotlib|patch|text|line2d|xtick|ytick|[A-Z]\w*Collection)[._]\w*"', "", body)
    body = re.sub(r"'DejaVu Sans'[^;\"]*", "inherit", body)
    for stand_in, variable in VARIABLES.items():
        body = body.replace(stand_in, variable)
    size = re.search(r'viewBox="[^"]*"', body)
    assert size
    return re.sub(
        r"<svg.*?>", f'<svg {size[0]} role="img" aria-label="{escape(title)}">', body, count=1, flags=re.DOTALL
    )
