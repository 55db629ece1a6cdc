"""Rows of ``generation.py`` on photographs: captions in two languages, over a pretrained net and from scratch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
from alignment_run import number_of_seeds
from defaults_run import Run, Section
from generation_run import (
    BEAM,
    FROZEN,
    GREEDY,
    Made,
    baseline_cells,
    cells,
    format_minutes,
    photographs,
    row,
    text_metrics,
    writer,
)

import polyfuse as pf

BUDGET = "90m"
BLEU = ("bleu_1", "bleu_2", "bleu_3", "bleu_4")
BESIDE = ("cider_d", "meteor", "rouge_l", "distinct_2", "same_text")
HEAD = ["decoder", "written", "BLEU-1", "2", "3", "4", "CIDEr-D", "METEOR (exact + stem)", "ROUGE-L", "distinct-2",
        "same text", "minutes, training of all", "seeds"]  # fmt: skip
PUBLISHED = {
    "captions_en": {
        "soft attention (Xu et al., 2015; VGG)": ("67.0", "44.8", "29.9", "19.5"),
        "NIC (Vinyals et al., 2015; as its repetitions give it)": ("57.9", "38.3", "24.5", "16.0"),
    },
    "captions_zh": {"CS-NIC (Li et al., 2016)": ("61.1", "40.1", "21.3", "")},
}
WAYS = {"greedy": GREEDY, "beams 3": BEAM}

# chosen on validation captions, one seed
DECODERS: dict[str, dict[str, Any]] = {
    "transformer": {
        "decoder": {"name": "transformer", "depth": 2, "heads": 8},
        "dropout": 0.2,
        "learn": {"label_smoothing": 0.1},
    },
    "gru": {"decoder": {"name": "gru", "hidden": 512}, "dropout": 0.3},
}
WORDS = {"unit": "word", "vocabulary": 3000}
TRAINING = {"batch_size": 64, "epochs": 60, "learning_rate": 1e-3, "weight_decay": 0.05, "time": BUDGET}


def settings(
    column: str, head: Mapping[str, Any], picture: Mapping[str, Any] = FROZEN, **training: Any
) -> dict[str, Any]:
    """A whole recipe's settings of captions."""
    return {
        "inputs": {"image": {"columns": ["image"], "modality": "image", **picture}},
        "outputs": {"caption": {"column": column, "head": {"name": "text", **WORDS, **head}}},
        "width": 256,
        "training": {**TRAINING, **training},
    }


def _described(run: Run, key: str, title: str, text: str, column: str) -> Section:
    section = Section(title, text, HEAD)
    frame = cache(partial(photographs, [column], quick=run.quick))
    for name, head in DECODERS.items():
        found = run.each(
            f"{key}/{name}", lambda seed, head=head: writer(run, frame, settings(column, head), seed, WAYS)[1]
        )
        section.lines += [line(name, way, found) for way in WAYS] if found else []
    alike = run.kept(f"{key}/one for all", lambda: one_for_all(frame(), column))
    if alike:
        section.lines.append(["one caption for all", "", *baseline_cells(alike, BLEU), *other_metrics(alike), "", ""])
    if section.lines:
        published = [[name, "", *figures] + [""] * 7 for name, figures in PUBLISHED[column].items()]
        section.lines += published
    return section


def line(name: str, way: str, found: list[Made]) -> list[str]:
    """Of a decoder written in one way."""
    figures = cells(found, way, BLEU) + cells(found, way, BESIDE[:1], digits=3, times=1)
    return [name, way, *figures, *cells(found, way, BESIDE[1:]), format_minutes(found), number_of_seeds(found)]


def other_metrics(found: Mapping[str, float]) -> list[str]:
    """The other metrics of a baseline."""
    return baseline_cells(found, BESIDE[:1], digits=3, times=1) + baseline_cells(found, BESIDE[1:])


def one_for_all(frame: pd.DataFrame, column: str) -> Made:
    """The training caption whose words are commonest, said of every picture."""
    texts = [text for captions in frame[column][frame.split == "train"] for text in captions]
    pieces = [text.split() if " " in text else list(text) for text in texts]
    counts = Counter(word for said in pieces for word in set(said))
    worth = [sum(counts[word] for word in set(said)) / (len(said) + 10) for said in pieces]
    test = frame[column][frame.split == "test"]
    return text_metrics(test, [texts[int(np.argmax(worth))]] * len(test), ["image"], "cider_d")


@row
def captions_en(run: Run) -> Section:
    text = (
        "Flickr8k, official split, five references, over frozen EfficientNet-Lite0 tokens (7 x 7 x 1280, encoded once)."
        " An epoch draws one caption of a picture; at most 90 minutes on two cores. BLEU as captions are counted; "
        "values times 100 but CIDEr-D, whose best is 10."
    )
    return _described(run, "captions_en", "English captions", text, "captions_en")


@row
def captions_zh(run: Run) -> Section:
    text = "The Chinese captions of the same pictures, counted sign by sign."
    return _described(run, "captions_zh", "Chinese captions", text, "captions_zh")


RESNET = {"name": "resnet", "size": 64}
ALIGNED: dict[str, Any] = {
    "space": {"size": 256, "dropout": 0.1},
    "objectives": [{"name": "clip"}],
    "training": {"epochs": 40, "batch_size": 256, "learning_rate": 1e-3, "time": "30m"},
}


def nearest(run: Run, frame: pd.DataFrame, seed: int) -> Made:
    """A caption of the training picture that lies next in a space aligned from scratch as well."""
    column = "captions_en"
    inputs = {
        "image": {"columns": ["image"], "modality": "image", "encoder": RESNET},
        "text": {"columns": [column], "modality": "text", "encoder": {"name": "ngrams", "width": 256}},
    }
    quick = {"epochs": 1, "batch_size": 16, "time": None} if run.quick else {}
    asked = {
        **ALIGNED,
        "inputs": inputs,
        "data": {"explode": [column], "draw": "one"},
        "training": {**ALIGNED["training"], **quick},
    }
    model = pf.fit(frame[frame.split != "test"], settings=asked, split="split", seed=seed, quiet=True)
    train, test = (frame[frame.split == split] for split in ("train", "test"))
    train_RE, test_RE = (model.embed(part.assign(**{column: ""}), of="image") for part in (train, test))
    closest = (test_RE @ train_RE.T).argmax(1)
    said = [train[column].iloc[int(at)][0] for at in closest]
    return {"written": {"nearest": text_metrics(test[column], said, ["image"], "cider_d")}}


@row
def captions_scratch(run: Run) -> Section:
    section = Section(
        "English captions from scratch",
        "Nothing pretrained: a residual net at 64 pixels, at most 90 minutes on two cores; beside the caption of the "
        "training picture that lies next in a space aligned from scratch, and one caption for all.",
        ["", "CIDEr-D", "BLEU-1", "2", "3", "4", "METEOR (exact + stem)", "seeds"],
    )
    shown = (*BLEU, "meteor")
    frame = cache(partial(photographs, ["captions_en"], quick=run.quick))
    head = {**DECODERS["gru"]}
    recipe = settings("captions_en", head, {"encoder": RESNET})
    found = run.each("captions_scratch/gru", lambda seed: writer(run, frame, recipe, seed, {"beams 3": BEAM})[1])
    near = run.each("captions_scratch/nearest", lambda seed: nearest(run, frame(), seed))
    for name, way, made in (("gru, beams 3", "beams 3", found), ("nearest picture's caption", "nearest", near)):
        if made:
            figures = cells(made, way, ["cider_d"], digits=3, times=1) + cells(made, way, shown)
            section.lines.append([name, *figures, number_of_seeds(made)])
    alike = run.kept("captions_en/one for all", lambda: one_for_all(frame(), "captions_en"))
    if alike and section.lines:
        figures = baseline_cells(alike, ["cider_d"], digits=3, times=1) + baseline_cells(alike, shown)
        section.lines.append(["one caption for all", *figures, ""])
    return section
