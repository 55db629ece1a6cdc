"""Row of ``alignment.py`` on emoji: pictures, English and Chinese names in one space, and what eight queries find."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from alignment_run import Made, Pair, align, chance, format_recalls, number_of_seeds, row, shorten_findings
from common import DATA, ROOT
from defaults_run import Run, Section

import polyfuse as pf

QUERIES = ("red heart", "dog", "angry face", "woman running", "吃的水果", "下雨", "骑自行车的人", "国旗")
SIZE, GAP, COUNT = 56, 8, 8  # pixels of a picture, between two, and pictures of a query
NAMES = {"picture": "picture", "english": "English name", "chinese": "Chinese name"}
PAIRS: tuple[Pair, ...] = (
    ("picture", "english"),
    ("english", "picture"),
    ("picture", "chinese"),
    ("chinese", "picture"),
    ("english", "chinese"),
    ("chinese", "english"),
)
KNOWN = [{"name": "efficientnet_lite", "size": 128, "transfer": "frozen", "cache": "pooled"}, {"name": "statistics"}]
TEXT = [{"name": "universal"}, {"name": "ngrams", "width": 256, "scale": 1.0}]
SETTINGS: dict[str, Any] = {
    "inputs": {
        "picture": {"columns": ["image"], "modality": "image", "encoder": KNOWN},
        "english": {"columns": ["name_en"], "modality": "text", "encoder": TEXT},
        "chinese": {"columns": ["name_zh"], "modality": "text", "encoder": TEXT},
    },
    "width": 512,
    "space": {"size": 256, "dropout": 0.2, "input_dropout": 0.1, "activation": "gelu"},
    "objectives": [{"name": "clip", "temperature": 0.04}],
    "training": {"batch_size": 256, "learning_rate": 1e-3, "weight_decay": 0.1, "epochs": 40},
}


def emoji(*, quick: bool = False) -> pd.DataFrame:
    """``image``, ``name_en``, ``name_zh`` and ``split``."""
    frame = pd.read_parquet(DATA / "emoji/emoji.parquet", columns=["image", "name_en", "name_zh", "split"])
    return frame.groupby("split").head(30).reset_index(drop=True) if quick else frame


def compositions(frame: pd.DataFrame) -> pd.DataFrame:
    """Test rows that put known things together anew, such as ``astronaut: dark skin tone`` of an astronaut."""
    thing = frame.name_en.str.partition(":")[0]
    known = set(thing[frame.split == "train"])
    made = frame.name_en.str.contains(":") & thing.isin(known) & (frame.split == "test")
    return frame[made]


def measured(run: Run, seed: int, picture: Path | None) -> Made:
    """Figures on all test rows, and on compositions alone; with a page of results where a file is named."""
    frame = emoji(quick=run.quick)
    model, made = align(run, frame, SETTINGS, seed)
    held = compositions(frame)
    if len(held):
        made["compositions"] = shorten_findings(model.evaluate(held, verbose=False).alignment)
    if picture is not None:
        picture.write_text(drawing(model, frame), encoding="utf8")
    return made


def drawing(model: pf.Model, frame: pd.DataFrame, queries: Sequence[str] = QUERIES) -> str:
    """An SVG picture of what is found for each query among all emoji, best first; test pictures are underlined."""
    vectors = model.embed(frame, of="picture")
    lines = []
    for at, query in enumerate(queries):
        language = "english" if query.isascii() else "chinese"
        asked = frame.iloc[:1].assign(**{"name_en" if language == "english" else "name_zh": query})
        score = vectors @ model.embed(asked, of=language)[0]
        lines.append(_line(query, frame.iloc[np.argsort(-score, kind="stable")[:COUNT]], at))
    width, height = 190 + COUNT * (SIZE + GAP), GAP + len(queries) * (SIZE + GAP)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    style = 'font-family="system-ui, sans-serif" font-size="15"'
    return "\n".join([f'{head} {style}><rect width="100%" height="100%" fill="#fff"/>', *lines, "</svg>"]) + "\n"


def _line(query: str, found: pd.DataFrame, at: int) -> str:
    top = GAP + at * (SIZE + GAP)
    parts = [f'<text x="{GAP}" y="{top + SIZE / 2 + 5}" fill="#111">{escape(query)}</text>']
    for n, (cell, name, side) in enumerate(zip(found.image, found.name_en, found.split, strict=True)):
        left = 180 + n * (SIZE + GAP)
        data = base64.b64encode(_bytes(cell)).decode()
        place = f'x="{left}" y="{top}" width="{SIZE}" height="{SIZE}"'
        parts.append(f'<image {place} href="data:image/png;base64,{data}"><title>{escape(name)}</title></image>')
        if side == "test":
            parts.append(f'<rect x="{left}" y="{top + SIZE + 2}" width="{SIZE}" height="2" fill="#2563eb"/>')
    return "".join(parts)


def _bytes(cell: bytes | Mapping[str, bytes]) -> bytes:
    return cell["bytes"] if isinstance(cell, Mapping) else cell


@row
def emojis(run: Run) -> Section:
    shot = ROOT / "benchmarks/alignment_emoji.svg"
    section = Section(
        "Emoji and their names",
        "3,569 pictures, English and Chinese names in one space; judged on the 397 of the test split, and on those of "
        "them alone that put known things together anew (`astronaut: dark skin tone`). R@1 / 5 / 10 in percent; to "
        "reach: R@10 ten times chance in all pairings.",
        ["query", "finds", "test", "R@10 by chance", "compositions", "R@10 by chance", "seeds"],
    )
    if run.quick:
        shot = run.work / shot.name
    made = run.each("emojis/aligned", lambda seed: measured(run, seed, None if seed else shot))
    held = [{"alignment": one["compositions"]} for one in made if "compositions" in one]
    for pair in PAIRS if made else ():
        cells = [NAMES[pair[0]], NAMES[pair[1]], format_recalls(made, pair), f"{chance(made[0], pair):.1f}"]
        cells += [format_recalls(held, pair), f"{chance(held[0], pair):.1f}"] if held else ["–", "–"]
        section.lines.append([*cells, number_of_seeds(made)])
    if made:
        section.below = (
            "Eight queries, typed, and the nearest of all 3,569 pictures (of the first seed; those of the test split "
            f"are underlined):\n\n![Pictures found for eight queries]({shot.name})"
        )
    return section
