"""Writes ``fusion.md`` from the findings of ``fusion.py``."""

from __future__ import annotations

from typing import Any

HEAD = """# Fusion

Made by `python benchmarks/fusion.py`. Means over seeds with 95 % bootstrap intervals over test rows; p: paired
bootstrap against the best single input and against `concat`, Holm-corrected (the smallest that 2,000 resamples give
among 24 methods is 0.024); without: the same models when that input
is missing in every row; noise: the metric under noise of severity 0.5 in all inputs; ms: to predict one row.
"""
TITLES = {
    "cmu_mosi": "CMU-MOSI: text, audio and video features to sentiment",
    "av_digits_frozen": "AV digits: every fusion over frozen encoders",
    "av_digits_whole": "AV digits: the five best end to end",
    "houses": "Houses: photos and columns to price",
    "easy_vqa": "easy-VQA: picture and question to answer",
}


def _number(value, digits=3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _compared(name: str, shape: dict[str, Any], docs: dict[str, str]) -> str:
    metric, inputs = shape["metric"], [row["input"] for row in shape["single"]]
    head = ["fusion", metric, "95 %", "SD of seeds", "p single", "p concat", *(f"without {n}" for n in inputs)]
    head += ["noise", "parameters", "train s", "ms"]
    lines = [f"## {TITLES[name]}", "", docs[name], ""]
    meta = shape["meta"]
    size = f"{meta['rows']['test']:,} test rows, {meta['seeds']} seeds, {meta['steps']:,} steps"
    chosen = f"Best input alone: {meta['against']}. Best on validation: {shape['best'] or 'no validation rows'}."
    lines += [f"{size}; {meta['machine']}, {meta['date']}. {chosen}", ""]
    lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in [*shape["fusions"], *shape["single"]]:
        label = row.get("fusion") or f"{row['input']} alone"
        if "refused" in row:
            lines.append(f"| {label} | refused: {row['refused']} |")
            continue
        low, high = row[f"{metric}_ci"] or (None, None)
        cells = [label, _number(row[metric]), f"{_number(low)} to {_number(high)}", _number(row[f"{metric}_sd"])]
        cells += [_number(row.get("p_vs_single")), _number(row.get("p_vs_concat"))]
        cells += [_number(row["without"].get(n)) for n in inputs]
        cells += [_number(row["noise"]), f"{row['parameters']:,}", _number(row["train_seconds"], 1)]
        lines.append("| " + " | ".join([*cells, _number(row["predict_ms"], 2)]) + " |")
    return "\n".join(lines) + "\n"


def _missing(shape: dict[str, Any], whole: dict[str, Any], docs: dict[str, str]) -> str:
    said = f"Fusion: {shape['fusion']}, the best of the end-to-end table on validation; means of three seeds."
    lines = ["## AV digits: one input missing", "", docs["av_digits_missing"], "", said, ""]
    lines += ["| training | all inputs | without image | without audio |", "|---|---|---|---|"]
    for label, made in shape["training"].items():
        lines.append(f"| {label} | " + " | ".join(_number(made[key]) for key in ("all", "image", "audio")) + " |")
    alone = {row["input"]: row["accuracy"] for row in whole["single"]}
    lines.append(f"| each alone | – | {_number(alone['audio'])} (audio) | {_number(alone['image'])} (image) |")
    return "\n".join(lines) + "\n"


def _once(shape: dict[str, Any], docs: dict[str, str]) -> str:
    said = "Cells encoded: of the table, of noise, and one at a time to measure latency."
    lines = ["## Encode once", "", docs["encode_once"], "", said, ""]
    lines += ["| work | kept | anew | ratio | cells encoded, kept | anew | distinct cells | largest difference |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for label, made in shape.items():
        kept, fresh = made["auto"], made["off"]
        rows = {row["fusion"]: row["accuracy"] for row in fresh["fusions"]}
        apart = max(abs(row["accuracy"] - rows[row["fusion"]]) for row in kept["fusions"])
        cells = [f"{one['encoded']:,}" for one in (kept, fresh)]
        times = f"{kept['seconds']:.0f} s | {fresh['seconds']:.0f} s | {fresh['seconds'] / kept['seconds']:.1f}"
        lines.append(f"| {label} | {times} | {cells[0]} | {cells[1]} | {made['distinct']:,} | {apart:.4f} |")
    return "\n".join(lines) + "\n"


def _cost(shape: dict[str, Any]) -> str:
    size = "5 inputs x 256 tokens x width 256, batch 8, float32, default depth"
    said = f"Forward and backward at {size}, as ratio to `concat` beside it; peak memory; parameters."
    lines = ["## Cost", "", said, "", "| fusion | time | GB | parameters |", "|---|---|---|---|"]
    for name, row in sorted(shape.items(), key=lambda item: item[1].get("ratio", 1e9)):
        if "refused" in row:
            lines.append(f"| {name} | refused: {row['refused']} |")
        else:
            lines.append(f"| {name} | {row['ratio']:.1f} | {row['gb']:.2f} | {row['parameters']:,} |")
    return "\n".join(lines) + "\n"


def page(values: dict[str, Any], docs: dict[str, str]) -> str:
    """The whole page, of what there is."""
    parts = [_compared(name, values[name], docs) for name in TITLES if name in values]
    if "av_digits_missing" in values:
        parts.append(_missing(values["av_digits_missing"], values["av_digits_whole"], docs))
    parts += [_once(values["encode_once"], docs)] if "encode_once" in values else []
    parts += [_cost(values["cost"])] if "cost" in values else []
    return "\n".join([HEAD, *parts])
