"""Rows of ``generation.py`` on questions about pictures, and on translations with and without a picture."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
from alignment_run import number_of_seeds
from common import DATA
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

VALIDATE = 0.1  # share of the pictures
ANSWERS = (
    "circle", "rectangle", "triangle", "yes", "no", "black", "gray", "red", "blue", "green", "teal", "brown", "yellow",
)  # fmt: skip


def questions(*, quick: bool = False) -> pd.DataFrame:
    """easy-VQA: ``image``, ``question``, ``answer``, ``split``; a tenth of the training pictures validate."""
    parts = {name: pd.read_csv(DATA / f"easy_vqa/{name}.csv") for name in ("train", "test")}
    train = parts["train"]
    pictures = np.random.default_rng(0).permutation(train.image.unique())
    val = set(pictures[: int(VALIDATE * len(pictures))])
    sides = [
        train.assign(split=["val" if name in val else "train" for name in train.image]),
        parts["test"].assign(split="test"),
    ]
    found = pd.concat([side.groupby("split").head(60) if quick else side for side in sides], ignore_index=True)
    return found.assign(image=[str(DATA / "easy_vqa" / name) for name in found.image])


@row
def answers(run: Run) -> Section:
    section = Section(
        "Answers to questions about pictures, as free text",
        "easy-VQA, the official test questions, from scratch. To reach: 99 % exactly right, open and over the closed "
        "list of the 13 answers. In percent.",
        ["written", "exactly right", "same text", "minutes, training of all", "seeds"],
    )
    frame = cache(partial(questions, quick=run.quick))
    ways = {"open": GREEDY, "over the closed list": {"answers": list(ANSWERS)}}
    recipe = {
        "inputs": {
            "image": {"columns": ["image"], "modality": "image", "encoder": "resnet"},
            "question": {"columns": ["question"], "modality": "text", "encoder": "gru"},
        },
        "outputs": {"answer": {"column": "answer", "head": {"name": "text", "decoder": "transformer", "unit": "word"}}},
        "fusion": {"name": "film"},
        "training": {"batch_size": 128, "learning_rate": 1e-3, "epochs": 8},
    }
    found = run.each("answers/transformer", lambda seed: writer(run, frame, recipe, seed, ways)[1])
    for way in ways if found else ():
        section.lines.append(
            [way, *cells(found, way, ("exact_match", "same_text")), format_minutes(found), number_of_seeds(found)]
        )
    return section


SHOWN = ("chrf", "bleu", "exact_match")
WAYS = {"beams 3": BEAM}


def emoji(*, quick: bool = False) -> pd.DataFrame:
    """``image``, ``english``, ``chinese`` and ``split`` of every symbol with both names."""
    found = pd.read_parquet(DATA / "emoji/emoji.parquet")
    english, chinese = ("name_en", "name_zh")
    found = found[found[english].notna() & found[chinese].notna()]
    made = pd.DataFrame(
        {"image": found.image, "english": found[english], "chinese": found[chinese], "split": found.split}
    )
    return made.groupby("split").head(40) if quick else made


def captions(*, quick: bool = False) -> pd.DataFrame:
    """The first English caption of every photograph, and all Chinese ones, each of them a right answer."""
    found = photographs(["captions_en", "captions_zh"], quick=quick)
    english = [texts[0] for texts in found.captions_en]
    return pd.DataFrame({"image": found.image, "english": english, "chinese": found.captions_zh, "split": found.split})


def neighbours(frame: pd.DataFrame) -> tuple[list[str], list[str]]:
    """The source itself, and the translation of the nearest training source by tf-idf, for every test row."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    train, test = (frame[frame.split == split] for split in ("train", "test"))
    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True).fit(train.english)
    closest = (vectors.transform(test.english) @ vectors.transform(train.english).T).toarray().argmax(1)
    said = [train.chinese.iloc[int(at)] for at in closest]
    return list(test.english), [text if isinstance(text, str) else text[0] for text in said]


def _translated(
    run: Run, key: str, title: str, text: str, frame: Callable[[], pd.DataFrame], reader: Any, epochs: int
) -> Section:
    section = Section(title, text, ["", "chrF", "BLEU", "exactly right", "minutes, training of all", "seeds"])
    inputs = {"english": {"columns": ["english"], "modality": "text", "encoder": reader}}
    picture = {"image": {"columns": ["image"], "modality": "image", **FROZEN}}
    for name, read in {"without the picture": inputs, "with the picture": {**inputs, **picture}}.items():
        recipe = {
            "inputs": read,
            "outputs": {"chinese": {"column": "chinese", "head": {"name": "text", "unit": "char", "dropout": 0.2}}},
            "width": 256,
            "training": {"batch_size": 64, "learning_rate": 1e-3, "epochs": epochs, "time": "45m"},
        }
        found = run.each(f"{key}/{name}", lambda seed, r=recipe: writer(run, frame, r, seed, WAYS)[1])
        if found:
            section.lines.append([name, *cells(found, "beams 3", SHOWN), format_minutes(found), number_of_seeds(found)])
    for name, at in (("copying", 0), ("nearest neighbour's translation", 1)):
        made = run.kept(f"{key}/{name}", lambda at=at: _judged_neighbour(frame(), at))
        if made:
            section.lines.append([name, *baseline_cells(made, SHOWN), "", ""])
    return section


def _judged_neighbour(frame: pd.DataFrame, at: int) -> Made:
    return text_metrics(frame.chinese[frame.split == "test"], neighbours(frame)[at], ["text"], "chrf")


@row
def emoji_names(run: Run) -> Section:
    text = "Names of symbols, English to Chinese, the set's own split. chrF and BLEU (of signs) times 100."
    return _translated(
        run,
        "emoji_names",
        "Names of symbols, English to Chinese",
        text,
        cache(partial(emoji, quick=run.quick)),
        "transformer",
        60,
    )


@row
def caption_translation(run: Run) -> Section:
    text = (
        "Flickr8k: the first English caption in, Chinese captions of the same picture out. These were written of the "
        "picture, not of the English text, so that no translation is exact; all five are references."
    )
    frame = cache(partial(captions, quick=run.quick))
    return _translated(run, "caption_translation", "Captions, English to Chinese", text, frame, "transformer", 30)
