"""The page that travels with a saved model: what it reads, what it predicts, how good it is, and its limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polyfuse.model.bundle import Bundle
from polyfuse.recipe.outputs import head_columns


def card(bundle: Bundle, name: str, notes: Sequence[str]) -> str:
    """A model card in Markdown (Mitchell et al., Model Cards, FAT* 2019), from what is known and nothing else."""
    recipe, training = bundle.recipe, bundle.report.get("training", {})
    inputs = [f"- `{n}`: {', '.join(i.columns)} ({i.modality}, {i.named})" for n, i in recipe.inputs.items()]
    beside = head_columns(recipe)
    outputs = [
        f"- `{n}`: column {o.column} ({o.head.name}{', which reads ' + ', '.join(beside[n]) if n in beside else ''})"
        for n, o in recipe.outputs.items()
    ]
    rows = training.get("rows", {})
    lines = [
        f"# {name}",
        f"Fused by `{recipe.fusion.name}`." if recipe.outputs else "Encoders trained by objectives alone.",
        "## Reads",
        *inputs,
        "## Predicts",
        *outputs,
        "## Trained",
        f"{rows.get('train', 0):,} rows, {training.get('steps', 0):,} steps, seed {recipe.training.seed}; kept: "
        f"{training.get('kept', 'unknown')}.",
        "## Measured",
        *(_measured(bundle.report.get("evaluation")) or ["Not measured: there were no test or validation rows."]),
        "## Know before use",
        *[f"- {note}" for note in notes],
        "- The figures hold for data like the test rows; check other sources, groups and times before relying on them.",
    ]
    return "\n\n".join(lines) + "\n"


def _measured(evaluation: dict[str, Any] | None) -> list[str]:
    lines = []
    for output, metrics in (evaluation or {}).get("outputs", {}).items():
        shown = [
            f"{key} {value:.3f} (95 % interval {metrics[key + '_ci'][0]:.3f} to {metrics[key + '_ci'][1]:.3f})"
            for key, value in metrics.items()
            if isinstance(value, float) and metrics.get(key + "_ci")
        ]
        lines.append(f"- `{output}`: " + ", ".join(shown) + f", on {evaluation['rows']:,} rows")  # type: ignore[index]
        folds = (evaluation or {}).get("folds")
        if folds:
            spreads = {k: v for k, v in folds["outputs"][output].items() if v["std"] is not None}
            each = [f"{key} {found['mean']:.3f} ± {found['std']:.3f}" for key, found in spreads.items()]
            lines.append(f"- `{output}` over {folds['count']} folds (mean ± standard deviation): " + ", ".join(each))
    return lines
