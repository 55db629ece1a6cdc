"""Rows of ``alignment.py`` on written and spoken digits: search, names, and what alignment is worth for few labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from alignment_run import Made, align, mean_and_deviation, number_of_seeds, row
from common import DATA
from defaults_run import Run, Section

import polyfuse as pf

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SIZES = {"train": 6000, "val": 600, "test": 10_000}
LABELS = (1, 10, 50)  # per class
JUDGED = 2000  # test pictures of the learning curves
FIRST = 10  # of what is found
RESNET = {"name": "resnet", "size": 28, "width": 16, "depth": 2}
SETTINGS: dict[str, Any] = {
    "inputs": {
        "picture": {"columns": ["image"], "modality": "image", "encoder": RESNET},
        "sound": {"columns": ["audio"], "modality": "audio", "encoder": "spectrogram_cnn"},
        "name": {"columns": ["name"], "modality": "text", "encoder": "ngrams"},
    },
    "space": {"size": 64},
    "training": {"batch_size": 128, "learning_rate": 1e-3, "epochs": 6},
    "preset": "plain",
}


def pairs(seed: int = 0, *, quick: bool = False) -> pd.DataFrame:
    """A written and a spoken digit of the same class per row, with its English name; nothing is on two sides."""
    rng = np.random.default_rng(seed)
    pictures = {name: pd.read_parquet(DATA / f"mnist/{name}.parquet") for name in ("train", "test")}
    order, train = rng.permutation(len(pictures["train"])), SIZES["train"]
    chosen = {
        "train": pictures["train"].iloc[order[:train]],
        "val": pictures["train"].iloc[order[train : train + SIZES["val"]]],
        "test": pictures["test"].head(SIZES["test"]),
    }
    sounds = pd.read_csv(DATA / "fsdd/table.csv")
    parts = [_side(rows.head(60) if quick else rows, sounds[sounds.split == s], s, rng) for s, rows in chosen.items()]
    return pd.concat(parts, ignore_index=True)


def _side(pictures: pd.DataFrame, sounds: pd.DataFrame, side: str, rng: np.random.Generator) -> pd.DataFrame:
    digits = pictures.digit.astype(int).to_numpy()
    names = np.empty(len(digits), object)
    for digit in range(10):
        rows = np.flatnonzero(digits == digit)
        names[rows] = np.resize(rng.permutation(sounds[sounds.digit == digit].audio.to_numpy()), len(rows))
    audio = [str(DATA / "fsdd" / name) for name in names]
    words = [WORDS[digit] for digit in digits]
    return pd.DataFrame(
        {"image": pictures.image.to_numpy(), "audio": audio, "name": words, "digit": digits, "split": side}
    )


def precision(query_QE: np.ndarray, gallery_GE: np.ndarray, asked_Q: np.ndarray, known_G: np.ndarray) -> float:
    """Share of the first ten of the gallery that are of the query's class."""
    first_QK = np.argsort(-(query_QE @ gallery_GE.T), axis=1, kind="stable")[:, :FIRST]
    return float((known_G[first_QK] == asked_Q[:, None]).mean())


def measured(run: Run, seed: int) -> Made:
    """Aligned by ``key``: rows of one digit are never each other's negatives."""
    frame = pairs(seed, quick=run.quick)
    model, made = align(run, frame, {**SETTINGS, "objectives": [{"name": "clip", "key": "digit"}]}, seed)
    del made["alignment"]  # every query has a tenth of the gallery to find
    test = frame[frame.split == "test"].reset_index(drop=True)
    spoken = test.drop_duplicates("audio")
    picture_RE, sound_RE = model.embed(test, of="picture"), model.embed(spoken, of="sound")
    asked, known = spoken.digit.to_numpy(), test.digit.to_numpy()
    spoken_DE = np.stack([sound_RE[asked == digit].mean(0) for digit in np.unique(asked)])
    heard = np.unique(asked)[(picture_RE @ spoken_DE.T).argmax(1)]
    named = {of: model.zero_shot(t, WORDS, of=of, by="name").label for of, t in (("picture", test), ("sound", spoken))}
    right = {of: [WORDS[digit] for digit in t.digit] for of, t in (("picture", test), ("sound", spoken))}
    return {
        **made,
        "sound finds pictures": precision(sound_RE, picture_RE, asked, known),
        "picture finds sounds": precision(picture_RE, sound_RE, known, asked),
        "picture by written name": float(np.mean(np.array(named["picture"]) == right["picture"])),
        "sound by written name": float(np.mean(np.array(named["sound"]) == right["sound"])),
        "picture by spoken name": float(np.mean(heard == known)),
    }


MEASURED = {
    "sound finds pictures": "a spoken digit finds written ones, precision@10",
    "picture finds sounds": "a written digit finds spoken ones, precision@10",
    "picture by written name": "picture -> digit, zero-shot by its written name",
    "picture by spoken name": "picture -> digit, by the mean of 30 spoken names",
    "sound by written name": "sound -> digit, zero-shot by its written name",
}


@row
def digits(run: Run) -> Section:
    section = Section(
        "Written and spoken digits",
        "MNIST pictures, FSDD sounds and the English words in one space from scratch, `key: digit`; 6,000 rows train. "
        "Judged on MNIST's 10,000 test pictures and FSDD's 300 test sounds. In percent; to reach: 95.",
        ["what", "%", "seeds"],
    )
    made = run.each("digits/aligned", lambda seed: measured(run, seed))
    for key, what in MEASURED.items() if made else ():
        section.lines.append([what, mean_and_deviation((100 * one[key] for one in made), 2), number_of_seeds(made)])
    return section


def aligned(run: Run, seed: int) -> Path:
    """A saved model of pictures and sounds that were aligned without any label, by which row they stand in alone."""
    place = run.work / f"worth-{seed}"
    if not (place / "manifest.json").exists():
        inputs = {name: SETTINGS["inputs"][name] for name in ("picture", "sound")}
        align(run, pairs(seed, quick=run.quick), {**SETTINGS, "inputs": inputs, "objectives": ["clip"]}, seed, to=place)
    return place


def few_labels(run: Run, labels: int, start: bool, seed: int) -> Made:
    """Accuracy of pictures to digits with so many labels per class, the encoder's weights aligned or fresh."""
    frame = pairs(seed, quick=run.quick)[["image", "digit", "split"]]
    train = frame[frame.split == "train"].groupby("digit").sample(1 if run.quick else labels, random_state=seed)
    test = frame[frame.split == "test"].head(JUDGED)
    item: dict[str, Any] = {"columns": ["image"], "modality": "image"}
    item |= {"init_from": f"{aligned(run, seed)}#picture"} if start else {"encoder": RESNET}
    training = {"epochs": 1} if run.quick else {"steps": 300, "batch_size": 32}
    model = pf.fit(
        pd.concat([train, test], ignore_index=True),
        outputs="digit=category",
        split="split",
        settings={"inputs": {"picture": item}, "preset": "plain", "training": training},
        seed=seed,
        quiet=True,
    )
    assert model.evaluation is not None
    found = model.evaluation.outputs["digit"].measured(("accuracy",))
    return {"accuracy": found["accuracy"], "interval": found["accuracy_ci"]}


@row
def worth(run: Run) -> Section:
    section = Section(
        "What alignment is worth",
        "Encoders of written digits aligned with spoken ones without a label (6,000 pairs), then fine-tuned on so many "
        "labelled pictures per class, and the same net from scratch on the same labels; accuracy on 2,000 test "
        "pictures in percent. To win: at 1 and 10.",
        [
            "labels per class",
            "aligned first",
            "95 %, first seed",
            "from scratch",
            "95 %, first seed",
            "seeds",
        ],
    )
    for labels in LABELS:
        arms = {
            name: run.each(f"worth/{labels}/{name}", lambda seed, n=labels, s=start: few_labels(run, n, s, seed))
            for name, start in (("aligned", True), ("scratch", False))
        }
        if all(arms.values()):
            cells = [str(labels)]
            for made in arms.values():
                low, high = made[0]["interval"]
                cells += [
                    mean_and_deviation(100 * one["accuracy"] for one in made),
                    f"{100 * low:.1f} to {100 * high:.1f}",
                ]
            section.lines.append([*cells, number_of_seeds(arms["scratch"])])
    return section
