"""Measures outputs that say something of every word, place or moment, and clips, beside simpler ways on the same rows.

``python benchmarks/structure.py [ROW ...] [--seeds N] [--page]``: every measurement is kept in ``structure.json`` as it
comes, so that a stopped run goes on; ``--fresh`` measures the named rows again. Validation rows chose the settings.
The page's part between two marks is written anew from what is kept; the rest of the page is another's and stays.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
import structure_rows  # noqa: F401 - registers its rows
from alignment_run import mean_and_deviation, number_of_seeds
from common import DATA
from defaults_run import Run, Section
from digit_scenes import COUNTS, scenes
from generation_run import ROWS as OTHERS
from generation_run import Made, format_minutes, numbers, row, writer
from topic import Topic, machines_and_days

from polyfuse.data.tables import read_table
from polyfuse.evaluation import judges
from polyfuse.evaluation.outcome import Outcome

ORDER = ("conll2003", "pictured", "fight", "glides", "goes_left", "digit_boxes", "digit_masks", "said")
SHOWN = ("token_accuracy", "span_f1", "span_precision", "span_recall")
ROWS = 14_041  # that train
SIDES = {"train": "eng.train", "val": "eng.testa", "test": "eng.testb"}
PLACES = {"batch_size": 16, "time": "15m"}
BOXES = ("ap", "ap50", "ap75", "ap_small", "ap_medium")
MASKS = ("miou", "dice", "pixel_accuracy")
GRIDS = {"a quarter of the side": {}, "half of the side": {"stride": 2}, "an eighth of the side": {"stride": 8}}
WORDS: dict[str, Any] = {"name": "words"}
MINILM = {"name": "pretrained", "path": "starter:minilm", "transfer": "frozen"}
WAYS: dict[str, tuple[Any, Mapping[str, Any], int]] = {  # encoder, keywords of the head, rows of a batch
    "words, softmax, batches of 64": (WORDS, {}, 64),
    "words, softmax, batches of 32": (WORDS, {}, 32),
    "words of width 192, crf, batches of 32": ({**WORDS, "width": 192, "embedding": 48}, {"crf": True}, 32),
    "words beside MiniLM, softmax, batches of 32": ([WORDS, MINILM], {}, 32),
    "words beside universal, softmax, batches of 32": ([WORDS, {"name": "universal"}], {}, 32),
}
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PICTURED = {"train": 6000, "val": 1000, "test": 2000}


def sentences(*, quick: bool = False) -> pd.DataFrame:
    """CoNLL-2003 in English: ``words``, ``tags``, ``split``; eng.testa validates, eng.testb is the test."""
    parts = []
    for split, name in SIDES.items():
        frame = read_table(DATA / "conll2003" / name).frame
        parts.append((frame.head(60) if quick else frame)[["words", "tags"]].assign(split=split))
    return pd.concat(parts, ignore_index=True)


def most_frequent(table: pd.DataFrame) -> dict[str, float]:
    """Metrics of the tag that each word has most often in training, ``O`` for new words."""
    seen: dict[str, Counter] = defaultdict(Counter)
    train, test = table[table.split == "train"], table[table.split == "test"]
    for words, tags in zip(train.words, train.tags, strict=True):
        for word, tag in zip(words, tags, strict=True):
            seen[word][tag] += 1
    usual = {word: counts.most_common(1)[0][0] for word, counts in seen.items()}
    said = [[usual.get(word, "O") for word in words] for words in test.words]
    return numbers(judges.judge(Outcome("tags", list(test.tags), said), bootstrap=0).metrics)


def _measured(run: Run, frame: Callable[[], pd.DataFrame], recipe: Mapping[str, Any], seed: int) -> Made:
    return writer(run, frame, recipe, seed, {"as is": {}})[1]


@row
def conll2003(run: Run) -> Section:
    section = Section(
        "Names in news",
        "CoNLL-2003 in English, eng.testb, from scratch, ten minutes of training; eng.testa chose the weights. "
        "To reach: token accuracy of 96.5 % and span F1 of 82.9 %; a CRF on features made by hand has 96.4 % and "
        "82.9 %. In percent; spans as conlleval counts them. How many epochs ten minutes are depends on what else ran.",
        ["tagger", "token accuracy", "span F1", "precision", "recall", "epochs", "minutes, training of all", "seeds"],
    )
    frame = cache(lambda: sentences(quick=run.quick))
    if (found := run.kept("conll2003/most frequent", lambda: most_frequent(frame()))) is not None:
        section.lines.append(["most frequent tag of each word", *(f"{100 * found[n]:.1f}" for n in SHOWN), "", "", ""])
    for way, (encoder, head, batch) in WAYS.items():
        words = {"columns": ["words"], "modality": "text", "encoder": encoder}
        recipe = {
            "inputs": {"words": words},
            "outputs": {"tags": {"column": "tags", "head": {"name": "tags", **head}}},
            "training": {"batch_size": batch, "time": "10m"},
        }
        made = run.each(f"conll2003/{way}", partial(_measured, run, frame, recipe))
        if made:
            cells = [mean_and_deviation((100 * one["written"]["as is"][n] for one in made), 1) for n in SHOWN]
            epochs = mean_and_deviation((one["steps"] * batch / ROWS for one in made), 1)
            section.lines.append([way, *cells, epochs, format_minutes(made), number_of_seeds(made)])
    return section


def _places(run: Run, target: str, head: str, encoder: Mapping[str, Any]) -> Callable[[int], Made]:
    """Measures an output in the pixels of scenes of digits, by a seed."""
    frame = cache(lambda: scenes(quick=run.quick)[["photo", target, "split"]])
    recipe = {
        "inputs": {"photo": {"columns": ["photo"], "modality": "image", "encoder": {"name": "pyramid", **encoder}}},
        "outputs": {target: {"column": target, "head": {"name": head, "picture": "photo"}}},
        "training": PLACES,
    }
    return partial(_measured, run, frame, recipe)


def _line(way: str, made: list[Made], shown: Iterable[str]) -> list[str]:
    cells = [mean_and_deviation((100 * one["written"]["as is"][n] for one in made), 1) for n in shown]
    epochs = mean_and_deviation((one["steps"] * PLACES["batch_size"] / COUNTS["train"] for one in made), 1)
    return [way, *cells, epochs, format_minutes(made), number_of_seeds(made)]


@row
def digit_boxes(run: Run) -> Section:
    section = Section(
        "Digits in photographs, boxes",
        "1 to 6 digits of MNIST, 16 to 40 pixels wide, on 96 x 96 pixels of photographs of Flickr8k, official splits "
        "of both; 2,000 scenes train, 300 test (`benchmarks/digit_scenes.py`). From scratch, fifteen minutes of "
        "training. To reach: AP of 40 and AP50 of 75, stretch 55 and 85. Connected components read by a support vector "
        "machine have 8.3 and 10.4. In percent, as COCO counts; small is up to 32 x 32 pixels.",
        ["detector", "AP", "AP50", "AP75", "AP small", "AP medium", "epochs", "minutes, training of all", "seeds"],
    )
    if made := run.each("digit_boxes/pyramid", _places(run, "boxes", "boxes", {})):
        section.lines.append(_line("pyramid, a quarter of the side", made, BOXES))
    return section


@row
def digit_masks(run: Run) -> Section:
    section = Section(
        "Digits in photographs, masks",
        "The same scenes, a class per pixel: 0, or the digit and 1. To reach: mean IoU of 50; background everywhere "
        "has 8.6. In percent.",
        ["grid", "mean IoU", "Dice", "pixel accuracy", "epochs", "minutes, training of all", "seeds"],
    )
    for way, encoder in GRIDS.items():
        if made := run.each(f"digit_masks/{way}", _places(run, "mask", "masks", encoder)):
            section.lines.append(_line(way, made, MASKS))
    return section


def pictured_words(*, quick: bool = False) -> pd.DataFrame:
    """Three different digits in words, a picture of one of them, and tags that mark that one; ``split``."""
    rng, parts = np.random.default_rng(0), []
    pictures = {name: pd.read_parquet(DATA / f"mnist/{name}.parquet") for name in ("train", "test")}
    start = {"train": 0, "val": PICTURED["train"], "test": 0}
    for split, count in PICTURED.items():
        source = pictures["test" if split == "test" else "train"]
        shown = source.iloc[start[split] :].head(60 if quick else count)
        words, tags = [], []
        for digit in shown.digit.astype(int):
            others = rng.choice([n for n in range(10) if n != digit], 2, replace=False)
            own = rng.permutation([digit, *others])
            words.append([DIGITS[n] for n in own])
            tags.append(["B-SHOWN" if n == digit else "O" for n in own])
        parts.append(pd.DataFrame({"words": words, "photo": shown.image.to_numpy(), "tags": tags, "split": split}))
    return pd.concat(parts, ignore_index=True)


@row
def pictured(run: Run) -> Section:
    section = Section(
        "A picture reaches every word",
        "Three different digits in words, an mnist picture of one of them: tag that one; 6,000 rows train, the 2,000 "
        "of the test have pictures of the official test side. From scratch, three minutes of training. To reach: 95 % "
        "under both fusions; words alone know a third. In percent.",
        ["fusion", "span F1", "token accuracy", "minutes, training of all", "seeds"],
    )
    frame = cache(lambda: pictured_words(quick=run.quick))
    section.lines.append(["always the first word", f"{100 / 3:.1f}", f"{500 / 9:.1f}", "", ""])
    for fusion in ("concat", "attention"):
        recipe = {
            "inputs": {
                "words": {"columns": ["words"], "modality": "text", "encoder": WORDS},
                "photo": {"columns": ["photo"], "modality": "image", "encoder": {"name": "resnet", "width": 16}},
            },
            "fusion": {"name": fusion},
            "outputs": {"tags": {"column": "tags", "head": {"name": "tags", "words": "words", "form": "tags"}}},
            "training": {"batch_size": 64, "time": "3m"},
        }
        made = run.each(f"pictured/{fusion}", partial(_measured, run, frame, recipe))
        if made:
            cells = [
                mean_and_deviation((100 * one["written"]["as is"][n] for one in made), 1)
                for n in ("span_f1", "token_accuracy")
            ]
            section.lines.append([fusion, *cells, format_minutes(made), number_of_seeds(made)])
    return section


def page(sections: Iterable[Section], kept: Iterable[dict[str, Any]]) -> str:
    """All that is measured, with the machines it was measured on."""
    head = (
        "Made by `python benchmarks/structure.py`. Mean ± standard deviation over seeds; one seed where there is no "
        "spread. Minutes are of the slowest seed, on cores that other work shared.\n\n"
        f"{machines_and_days(kept)}"
    )
    return "\n\n".join([head, *(section.markdown() for section in sections if section.lines)])


TOPIC = Topic("structure", __doc__, ORDER, {name: OTHERS[name] for name in ORDER}, page)
main = TOPIC.main

if __name__ == "__main__":
    sys.exit(main())
