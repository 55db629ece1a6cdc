"""Classes from their names: the label whose words lie nearest to a row. Radford et al., CLIP, ICML 2021."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from polyfuse.contracts import Scaled, offers
from polyfuse.data.tables import Table, read_table
from polyfuse.model.bundle import Bundle
from polyfuse.search.encode import encode_rows
from polyfuse.search.store import SearchError

SCALE = 20.0  # of cosines, where the objective learnt none


def zero_shot(
    bundle: Bundle,
    table: Table,
    labels: Sequence[str],
    templates: Sequence[str] = ("{}",),
    *,
    of: str | None = None,
    by: str | None = None,
    max_broken: float | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    """The most likely of some labels for every row, none of which needs to have been seen.

    Each label is put into every template; the mean of the unit vectors is what stands for it.

    Args:
        labels: two at least, all different.
        templates: sentences with ``{}`` where the label goes.
        of: aligned input that is classified; the first that is no text by default.
        by: aligned input that reads the labels; the first of texts by default.
        max_broken: share of a column's cells that may be unreadable; the recipe's by default.

    Returns:
        ``label``, ``confidence`` and ``p_LABEL`` per row, None and NaN where the row misses the input; and notes.

    Raises:
        SearchError: fewer than two labels, a template without ``{}``, or an input that is not aligned.
    """
    labels, templates = [str(label) for label in labels], list(templates)
    if len(labels) < 2 or len(set(labels)) < len(labels):
        raise SearchError(f"labels: expected two or more different ones, found {', '.join(labels) or 'none'}")
    if not templates or any("{}" not in template for template in templates):
        raise SearchError("templates: expected sentences with {} where the label goes, such as 'a photo of {}'")
    of, by = _sides(bundle, of, by)
    words_LE = _words(bundle, labels, templates, by)
    vectors, notes = encode_rows(bundle, table, needed=bundle.recipe.inputs[of].columns, max_broken=max_broken)
    x_RE, there_R = vectors[of]
    logits_RL = _scale(bundle) * x_RE @ words_LE.T
    p_RL = np.exp(logits_RL - logits_RL.max(1, keepdims=True))
    p_RL /= p_RL.sum(1, keepdims=True)
    p_RL[~there_R] = np.nan
    best_R = np.where(there_R, logits_RL.argmax(1), -1)
    found = {"label": [labels[at] if at >= 0 else None for at in best_R], "confidence": p_RL.max(1)}
    found |= {f"p_{label}": p_RL[:, at] for at, label in enumerate(labels)}
    return pd.DataFrame(found), notes


def _sides(bundle: Bundle, of: str | None, by: str | None) -> tuple[str, str]:
    kinds = {name: bundle.recipe.inputs[name].modality for name in bundle.network.aligned}
    if not kinds:
        raise SearchError("the model aligns no inputs, so it knows no names: fit one with --align A,B")
    for name in (of, by):
        if name is not None and name not in kinds:
            raise SearchError(f"the model does not align {name!r}; it aligns {', '.join(kinds)}")
    by = by or next((name for name, kind in kinds.items() if kind == "text" and name != of), None)
    if by is None or kinds[by] != "text":
        raise SearchError(f"labels are read as texts, and no aligned input is one; the model aligns {', '.join(kinds)}")
    of = of or next((name for name in kinds if name != by and kinds[name] != "text"), None)
    of = of or next(name for name in kinds if name != by)
    return of, by


def _words(bundle: Bundle, labels: Sequence[str], templates: Sequence[str], by: str) -> np.ndarray:
    """A unit vector per label (L, E)."""
    texts = [template.replace("{}", label) for label in labels for template in templates]
    column = bundle.recipe.inputs[by].columns[0]
    vectors, _ = encode_rows(bundle, read_table(pd.DataFrame({column: texts})), needed=[column])
    mean_LE = vectors[by][0].reshape(len(labels), len(templates), -1).mean(1)
    return mean_LE / np.maximum(np.linalg.norm(mean_LE, axis=1, keepdims=True), 1e-12)


def _scale(bundle: Bundle) -> float:
    """The scale by which the objective multiplies cosines."""
    learnt = [objective.scale for objective in bundle.network.objectives if offers(objective, Scaled)]
    return float(learnt[0].detach()) if learnt else SCALE
