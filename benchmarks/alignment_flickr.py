"""Rows of ``alignment.py`` on photographs and their captions: what each step brings, two languages, from scratch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from alignment_run import Made, Pair, align, chance, format_recalls, format_seconds, number_of_seeds, row
from common import DATA
from defaults_run import Run, Section

PARTS = {"train-0": "train", "train-1": "train", "test": "test"}  # the last weights are kept: nobody asks validation
LANGUAGES = {"en": "English", "zh": "Chinese"}
WHOLE = [1.0, 0.0, 0.0]  # all that trains trains: without it a tenth would validate
TINY = 40  # pictures of each side in a quick run
CAPTIONS = 5  # of a picture in one language

POOLED = {"encoder": "efficientnet_lite", "transfer": "frozen", "cache": "pooled"}
TOKENS = {"encoder": "efficientnet_lite", "transfer": "frozen"}
SENTENCES: dict[str, Any] = {"name": "universal"}
WORDS: dict[str, Any] = {"name": "ngrams", "width": 256, "scale": 1.0}
MINILM = {"name": "pretrained", "path": "starter:minilm", "transfer": "frozen", "cache": "pooled"}

# chosen on validation among a dozen trials of one seed over pooled vectors: perceptrons whose units are the model's
# width, with dropout before both layers, found 3 to 5 points more than perceptrons behind a linear map to that width,
# and 1 to 3 more than linear maps; the learned temperature moves by a tenth in so few steps, so it begins low
TRAINING = {"batch_size": 512, "learning_rate": 1e-3, "weight_decay": 0.1, "epochs": 15}
SPACE = {"size": 512, "dropout": 0.3, "input_dropout": 0.3, "activation": "gelu"}
CLIP = {"name": "clip", "temperature": 0.03}
HARDEST = {"name": "triplet", "negatives": "hardest", "margin": 0.2}

BOTH_WAYS: tuple[Pair, Pair] = (("image", "text"), ("text", "image"))
TARGETS = {"en": ((28, 55, 68), (22, 50, 63)), "zh": ((16, 40, 52), (16, 40, 52))}
PROTOTYPE = {"en": ("21.7 / 48.5 / 62.2", "18.3 / 44.3 / 58.0"), "zh": ("10.4 / 32.0 / 43.0", "10.3 / 29.4 / 41.8")}


def steps(language: str) -> dict[str, dict[str, Any]]:
    """Name of a step -> what it changes of the step before; English has a sentence encoder of its own beside."""
    own = {"MiniLM beside": {"text": [SENTENCES, WORDS, MINILM]}} if language == "en" else {}
    return {
        "pooled picture, universal": {},
        "words beside": {"text": [SENTENCES, WORDS]},
        **own,
        "hardest negatives beside": {"objectives": [CLIP, HARDEST]},
        "tokens of the picture, pooled by attention": {"picture": TOKENS, "space": {"pool": {"image": "attention"}}},
    }


def photographs(columns: Sequence[str], *, quick: bool = False) -> pd.DataFrame:
    """``image``, ``image_id``, the captions and ``split``."""
    read = ["image", "image_id", *columns]
    parts = [pd.read_parquet(DATA / f"flickr8k/{n}.parquet", columns=read).assign(split=s) for n, s in PARTS.items()]
    return pd.concat([part.head(TINY) if quick else part for part in parts], ignore_index=True)


def settings(
    texts: Mapping[str, Sequence[Any]], columns: Sequence[str], picture: Mapping[str, Any], **changes: Any
) -> dict[str, Any]:
    """A whole recipe's settings.

    Args:
        texts: input -> its encoders, in the order of ``columns``.
        changes: ``space``, ``training`` and ``objectives`` over what is usual here.
    """
    inputs: dict[str, Any] = {"image": {"columns": ["image"], "modality": "image", **picture}}
    for (name, encoders), column in zip(texts.items(), columns, strict=True):
        inputs[name] = {"columns": [column], "modality": "text", "encoder": list(encoders)}
    return {
        "inputs": inputs,
        "data": {"explode": list(columns), "draw": "one", "fractions": WHOLE},
        "width": 1024,
        "space": {**SPACE, **changes.get("space", {})},
        "objectives": changes.get("objectives", [CLIP]),
        "training": {**TRAINING, **changes.get("training", {})},
    }


def one_language(run: Run, language: str, changes: Mapping[str, Any], seed: int) -> Made:
    """Align photographs with the captions of one language."""
    column = f"captions_{language}"
    own = {"text": [SENTENCES], "picture": POOLED, **changes}
    made = settings({"text": own.pop("text")}, [column], own.pop("picture"), **own)
    return align(run, photographs([column], quick=run.quick), made, seed)[1]


def _steps(run: Run, language: str) -> Section:
    name = f"flickr_{language}"
    section = Section(
        f"Photographs and {LANGUAGES[language]} captions",
        "Flickr8k, 6,000 photographs with five captions each, of which an epoch draws one; judged on the official "
        "1,000 and their 5,000 captions, whole gallery. Encoders frozen, their tokens kept; each step keeps "
        "those above it. R@1 / 5 / 10 in percent (chance is 0.1 / 0.5 / 1.0 both ways).",
        ["step", "picture finds caption", "caption finds picture", "seconds, training of all", "seeds"],
    )
    changes: dict[str, Any] = {}
    lacking = []
    for step, change in steps(language).items():
        changes = {**changes, **change}
        made = run.each(f"{name}/{step}", lambda seed, now=dict(changes): one_language(run, language, now, seed))
        if made:
            found = [format_recalls(made, pair) for pair in BOTH_WAYS]
            section.lines.append([step, *found, format_seconds(made), number_of_seeds(made)])
        else:
            lacking.append(step)
    if section.lines:
        said = [*lacking, "the last stage of the network trained (no step does that yet)"]
        section.below = f"Not measured: {'; '.join(said)}."
        reach = [" / ".join(map(str, values)) for values in TARGETS[language]]
        section.lines.append(["two MLPs over pooled vectors, a prototype", *PROTOTYPE[language], "", ""])
        section.lines.append(["to reach", *reach, "", ""])
    return section


@row
def flickr_en(run: Run) -> Section:
    return _steps(run, "en")


@row
def flickr_zh(run: Run) -> Section:
    return _steps(run, "zh")


def both_languages(run: Run, seed: int) -> Made:
    """One model for photographs and both languages, all aligned with each other."""
    texts = {"english": [SENTENCES, WORDS], "chinese": [SENTENCES, WORDS]}
    columns = ["captions_en", "captions_zh"]
    made = settings(texts, columns, POOLED, objectives=[{**CLIP, "key": "image_id"}])
    return align(run, photographs(columns, quick=run.quick), made, seed)[1]


@row
def flickr_both(run: Run) -> Section:
    section = Section(
        "One model for both languages",
        "Photographs, English and Chinese captions in one space, each language read by `universal` and words; a "
        "caption belongs to every caption of its picture in the other language. R@1 / 5 / 10 in percent.",
        ["query", "finds", "R@1 / 5 / 10", "R@10 by chance", "seeds"],
    )
    made = run.each("flickr_both/aligned", lambda seed: both_languages(run, seed))
    names = {"image": "picture", "english": "English caption", "chinese": "Chinese caption"}
    pairs = [(one, two) for one in names for two in names if one != two] if made else []
    for pair in pairs:
        luck = chance(made[0], pair, 1 if pair[1] == "image" else CAPTIONS)
        cells = [names[pair[0]], names[pair[1]], format_recalls(made, pair), f"{luck:.1f}", number_of_seeds(made)]
        section.lines.append(cells)
    return section


SCRATCH = {
    "picture": {"encoder": {"name": "resnet", "size": 64}},
    "text": [{"name": "ngrams", "width": 256}],
    "space": {"size": 256, "dropout": 0.1},
    "training": {"epochs": 40, "batch_size": 256, "learning_rate": 1e-3, "time": "55m"},
}


@row
def flickr_scratch(run: Run) -> Section:
    section = Section(
        "Photographs and English captions from scratch",
        "Nothing pretrained: a residual net at 64 pixels and words, within 55 minutes. Beside the rows above it shows "
        "what pretraining is worth. To reach: R@10 of 20, twenty times chance, both ways.",
        ["", "picture finds caption", "caption finds picture", "seconds, training of all", "seeds"],
    )
    made = run.each("flickr_scratch/aligned", lambda seed: one_language(run, "en", SCRATCH, seed))
    if made:
        found = [format_recalls(made, pair) for pair in BOTH_WAYS]
        section.lines.append(["from scratch", *found, format_seconds(made), number_of_seeds(made)])
    return section
