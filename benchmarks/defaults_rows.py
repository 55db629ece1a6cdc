"""Rows of ``defaults.py`` on the shared data: names, transcripts, words and meaning, photos, frames, speakers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import classical
import defaults_tables as tables
import numpy as np
import pandas as pd
from defaults_run import ON_REQUEST, Run, Section, encoder, format_measurement, row
from paired import paired_difference

WHISPER = {"name": "pretrained", "path": "starter:whisper-tiny.en", "transfer": "frozen", "cache": "pooled"}
FROZEN_LITE = {"name": "efficientnet_lite", "transfer": "frozen", "cache": "pooled"}


def _texts(run: Run, name: str, most: int | None = None) -> Path:
    make, target = tables.WORDS[name]
    return run.table(name, lambda: tables.cut(make(), run.train_rows(most), run.test_rows, target))


# --- names and transcripts --------------------------------------------------------------------------------------------


@row
def emoji(run: Run) -> Section:
    section = Section(
        "Names of emoji to group",
        "Zero-config on the text alone; tf-idf of words and characters with logistic regression, its strength by "
        "cross-validation, learns from training and validation rows, as polyfuse does. Accuracy on test rows.",
        ["text", "polyfuse", "tf-idf + logistic regression", "to beat"],
    )
    for name, said, goal in (("emoji_en", "English names and tags", ".942"), ("emoji_zh", "Chinese names", ".888")):
        section.lines += _against_words(run, f"emoji/{name}", name, said, goal)
    return section


@row
def mosi_text(run: Run) -> Section:
    section = Section(
        "Transcripts of CMU-MOSI to sentiment",
        "Zero-config on the words alone. To beat: polyfuse over the vectors of MiniLM, kept as they are.",
        ["text", "polyfuse", "tf-idf + logistic regression", "to beat"],
    )
    section.lines += _against_words(run, "mosi_text/mosi", "mosi", "transcripts", ".792")
    return section


def _against_words(run: Run, key: str, name: str, said: str, goal: str) -> list[tuple[str, ...]]:
    target = tables.WORDS[name][1]
    made = run.each(key, lambda seed: run.fit(_texts(run, name), f"{target}=category", "--input", "text", seed=seed))
    reference = run.kept(
        f"{key}-tfidf", lambda: {"accuracy": classical.words(pd.read_parquet(_texts(run, name)), target)}
    )
    return (
        [(said, format_measurement(made, times=True), format_measurement([reference]), goal)]
        if made or reference
        else []
    )


# --- words and meaning ------------------------------------------------------------------------------------------------

READ_BY: dict[str, Any] = {"ngrams": "ngrams", "universal": "universal", "both": ["ngrams", "universal"]}
MOST_TEXTS = 2000


@row
def words(run: Run) -> Section:
    section = Section(
        "Words and meaning",
        "Texts read as words and characters (`ngrams`), by the vectors of `universal`, and by both; beside it logistic "
        "regression on tf-idf, on the vectors alone (as their own package gives them), and on both. At most "
        f"{MOST_TEXTS:,} training rows. Gain: both over words alone. `conll`: whether a sentence of news names an "
        "organisation; `flickr_en` and `flickr_zh`: from one caption, who the (other) English captions of the picture "
        "name, a child, a dog, a woman, a man, or another.",
        ["table", *(f"polyfuse {name}" for name in READ_BY), "gain", "tf-idf", "vectors", "tf-idf + vectors", "gain"],
    )
    for name in tables.WORDS:
        made = {label: _read(run, name, label) for label in READ_BY}
        simple = {label: _simple(run, name, label) for label in ("tfidf", "vectors", "tfidf-vectors")}
        if any(made.values()) or any(simple.values()):
            cells = [*map(format_measurement, made.values()), _gain(made["ngrams"], made["both"])]
            cells += [
                *(format_measurement([one]) for one in simple.values()),
                _gain([simple["tfidf"]], [simple["tfidf-vectors"]]),
            ]
            section.lines.append([name, *cells])
    return section


def _read(run: Run, name: str, label: str) -> list[dict[str, Any]]:
    options = encoder("text", ["text"], "text", READ_BY[label])
    target = tables.WORDS[name][1]
    return run.each(
        f"words/{name}/{label}",
        lambda seed: run.fit(_texts(run, name, MOST_TEXTS), f"{target}=category", *options, seed=seed),
    )


def _simple(run: Run, name: str, label: str) -> dict[str, Any] | None:
    def make() -> dict[str, float]:
        path = _texts(run, name, MOST_TEXTS)
        frame = pd.read_parquet(path)
        dense = None if label == "tfidf" else classical.vectors(frame.text, path.with_suffix(".npy"))
        return {"accuracy": classical.words(frame, tables.WORDS[name][1], dense, sparse=label != "vectors")}

    return run.kept(f"words/{name}/logistic-{label}", make)


def _gain(before: list, after: list) -> str:
    """Percentage points between two means."""
    if not (before and after and all(before) and all(after)):
        return "–"
    return f"{100 * (np.mean([one['accuracy'] for one in after]) - np.mean([one['accuracy'] for one in before])):+.1f}"


# --- photos of houses -------------------------------------------------------------------------------------------------

HOUSE_COLUMNS = [*tables.HOUSE_NUMBERS, "zipcode"]
COLUMNS_ALONE = [word for name in HOUSE_COLUMNS for word in ("--input", name)]
HOUSES: dict[str, list[str]] = {
    "columns alone": COLUMNS_ALONE,
    "columns and photos, default": [],
    "columns and photos by efficientnet_lite": [
        *("--input", f"columns@{','.join(HOUSE_COLUMNS)}"),
        *encoder("photos", tables.HOUSE_PHOTOS, "image", FROZEN_LITE),
    ],
    "columns and photos, from scratch": ["--preset", "scratch"],
}


@row
def houses(run: Run) -> Section:
    """Photos beside columns, on the split of the table."""
    made = {
        label: run.each(f"houses/{label}", lambda seed, label=label: _house_errors(run, _houses(run), label, seed))
        for label in HOUSES
    }
    ridge = run.kept("houses/ridge", lambda: {"r2_log": _ridge(_houses(run))})
    text = (
        "R2 of the log of the price on the test rows of the table. Against columns alone: how much larger R2 is, from "
        "the squared errors of the same test rows, averaged over seeds; 95 % interval and p by 10,000 bootstrap draws "
        f"of rows. Pictures encoded once are kept, so that seconds of later fits are without. "
        f"Ridge regression on the columns: {format_measurement([ridge], 'r2_log')}."
    )
    return _house_section("Houses: photos beside columns", text, made)


@row
def houses_folds(run: Run) -> Section:
    """As ``houses``, with every house tested once per seed: five times the fits, and five times the test rows."""
    labels = ("columns alone", "columns and photos by efficientnet_lite")
    made = {
        label: run.each(f"houses_folds/{label}", lambda seed, label=label: _folded(run, label, seed))
        for label in labels
    }
    text = "As above, with every row tested once by a model that did not see it, in five folds drawn anew per seed."
    return _house_section("Houses: photos beside columns, five folds", text, made)


ON_REQUEST.add("houses_folds")


def _houses(run: Run) -> Path:
    return run.table("houses", lambda: tables.cut(tables.houses(), run.train_rows(), run.test_rows))


def _ridge(path: Path) -> float:
    return classical.ridge_of_log(pd.read_parquet(path), "price", tables.HOUSE_NUMBERS, ["zipcode"])


def _house_errors(run: Run, table: Path, label: str, seed: int) -> dict[str, Any]:
    """Metrics of a fit with the error of the log of each test row's price."""
    made = run.fit(table, "price=number", *HOUSES[label], seed=seed)
    frame = pd.read_parquet(table)
    asked = np.log(frame.price[frame.split == "test"].to_numpy())
    said = np.log(np.maximum(run.predicted(table, "price"), 1.0))
    r2 = 1 - np.mean((asked - said) ** 2) / np.var(asked)
    errors = [round(float(error), 5) for error in asked - said]
    return {**made, "r2_log": float(r2), "errors": errors, "variance": float(np.var(asked))}


def _folded(run: Run, label: str, seed: int) -> dict[str, Any]:
    frame = pd.read_parquet(_houses(run))
    fold_N = np.random.default_rng(seed).permutation(len(frame)) % 5
    error_N, seconds = np.zeros(len(frame)), 0.0
    for fold in range(5):
        sides = np.where(fold_N == fold, "test", "train")
        table = run.table(f"houses-{seed}-{fold}", lambda sides=sides: frame.assign(split=sides))
        made = _house_errors(run, table, label, seed)
        error_N[fold_N == fold] = made["errors"]
        seconds += made["seconds"]
    variance = float(np.var(np.log(frame.price)))
    errors = [round(float(error), 5) for error in error_N]
    return {
        "r2_log": 1 - float(np.mean(error_N**2)) / variance, "errors": errors, "variance": variance, "seconds": seconds,
    }  # fmt: skip


def _house_section(title: str, text: str, made: dict[str, list[dict[str, Any]]]) -> Section:
    section = Section(title, text, ["inputs", "R2 of log price", "more than columns alone", "p"])
    base = made["columns alone"]
    for label, found in made.items():
        if found:
            section.lines.append([label, format_measurement(found, "r2_log", times=True), *_more(base, found)])
    return section


def _more(base: list[dict[str, Any]], found: list[dict[str, Any]]) -> list[str]:
    """By how much R2 is larger, over the seeds that both have."""
    seeds = min(len(base), len(found))
    if base is found or not seeds:
        return ["–", "–"]
    first, second = (np.square([one["errors"] for one in runs[:seeds]]) for runs in (base, found))
    gain, variance = paired_difference(first, second), base[0]["variance"]
    interval = f"{gain.mean / variance:+.3f} ({gain.low / variance:+.3f} to {gain.high / variance:+.3f})"
    return [interval, f"{gain.p:.4f}"]


# --- frames of clips --------------------------------------------------------------------------------------------------


@row
def fights_frames(run: Run) -> Section:
    section = Section(
        "First frames of fights",
        "A picture per clip, fight or none; no video that clips were cut from stands on two sides (`--group source`). "
        "Beside it a support vector machine on gradients and colours. To beat: .60.",
        ["model", "accuracy", "test rows"],
    )
    models: dict[str, list[str]] = {"default": [], "from scratch": ["--preset", "scratch"]}
    for label, options in models.items():
        made = run.each(
            f"fights_frames/{label}",
            lambda seed, options=options: (
                run.fit(_frames(run), "label", "--input", "image", "--group", "source", *options, seed=seed)
                | {"rows": _test_rows(_frames(run))}
            ),
        )
        section.lines += [[label, format_measurement(made, times=True), str(made[0]["rows"])]] if made else []
    simple = run.kept("fights_frames/svm", lambda: _pictures_svm(_frames(run), "label", "source"))
    section.lines += (
        [["gradients and colours + SVM", format_measurement([simple]), str(simple["rows"])]] if simple else []
    )
    return section


def _frames(run: Run) -> Path:
    return run.table("fights", lambda: tables.cut(tables.first_frames(), run.train_rows(), run.test_rows, "label"))


def _test_rows(table: Path) -> int:
    return int((pd.read_parquet(table, columns=["split"]).split == "test").sum())


def _pictures_svm(table: Path, target: str, group: str | None = None) -> dict[str, Any]:
    frame = pd.read_parquet(table)
    accuracy = classical.svm(classical.pictures(frame.image), frame, target, group)
    return {"accuracy": accuracy, "rows": _test_rows(table)}


# --- speakers unseen --------------------------------------------------------------------------------------------------

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
CLIPS = (10, 50)  # per digit, of all other speakers together
HEARD_BY: dict[str, Any] = {
    "default": None,
    "spectrogram_cnn": "spectrogram_cnn",
    "statistics": "statistics",
    "Whisper tiny.en, frozen": WHISPER,
    "all three": ["spectrogram_cnn", "statistics", WHISPER],
}
MOST_HEARD = 300  # clips of the speaker held out


@row
def fsdd_speakers(run: Run) -> Section:
    names = SPEAKERS[: run.seeds]
    section = Section(
        "Spoken digits by speakers unseen",
        f"One of the six speakers held out ({', '.join(SPEAKERS)}: its place is the seed), digits learnt from clips "
        f"of the other five (`--group speaker`), judged on {MOST_HEARD} clips of the one. Mean, deviation and number "
        "of speakers held out. Beside it a support vector machine on statistics of mel cepstra, its settings by folds "
        "of speakers.",
        ["clips per digit", *HEARD_BY, "cepstra + SVM"],
    )
    for clips in CLIPS:
        made = [_heard(run, names, clips, label) for label in HEARD_BY]
        simple = _per_speaker(run, names, f"{clips}/svm", lambda _, table: _sounds_svm(table, "speaker"), clips)
        if any(made) or simple:
            section.lines.append(
                [str(clips), *(format_measurement(one, times=True) for one in made), format_measurement(simple)]
            )
    return section


def _heard(run: Run, names: tuple[str, ...], clips: int, label: str) -> list[dict[str, Any]]:
    parts = HEARD_BY[label]
    options = ["--input", "audio"] if parts is None else encoder("audio", ["audio"], "audio", parts)
    options += ["--group", "speaker"]
    return _per_speaker(
        run, names, f"{clips}/{label}", lambda seed, table: run.fit(table, "digit", *options, seed=seed), clips
    )


def _per_speaker(
    run: Run, names: tuple[str, ...], key: str, make: Callable[[int, Path], dict[str, Any]], clips: int
) -> list[dict[str, Any]]:
    found = [
        run.kept(f"fsdd_speakers/{key}/{name}", lambda n=n, name=name: make(n, _unseen(run, name, clips, n)))
        for n, name in enumerate(names)
    ]
    return [one for one in found if one is not None]


def _unseen(run: Run, speaker: str, clips: int, seed: int) -> Path:
    def make() -> pd.DataFrame:
        frame = tables.fsdd()
        frame["split"] = np.where(frame.speaker == speaker, "test", "train")
        return tables.cut(frame, run.train_rows(10 * clips), min(MOST_HEARD, run.test_rows), "digit", seed)

    return run.table(f"fsdd-{speaker}-{clips}", make)


def _sounds_svm(table: Path, group: str | None = None) -> dict[str, float]:
    frame = pd.read_parquet(table)
    return {"accuracy": classical.svm(classical.sounds(frame.audio), frame, "digit", group)}
