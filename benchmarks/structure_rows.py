"""Rows of ``structure.py`` on clips and recordings: fights, digits that glide, digits said one after the other."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
import soundfile
from alignment_run import mean_and_deviation, number_of_seeds
from defaults_run import Run, Section
from generation_run import Made, format_minutes, numbers, row, writer
from structure_clips import RATE, asked, fights, gliding, shuffled, spoken

from polyfuse.evaluation import judges
from polyfuse.evaluation.outcome import Outcome

Recipe = Mapping[str, Any]
SOUND = {"sound": {"columns": ["video"], "modality": "audio"}}
SEEN: dict[str, Any] = {  # what reads a clip of a fight
    "frames": {"name": "frames"},
    "frames and differences": {"name": "two_stream"},
    "frames and flow": {"name": "two_stream", "motion": "flow"},
    "3D (r2plus1d)": {"name": "r2plus1d", "width": 8},
    "transformer": {"name": "transformer", "width": 64, "depth": 2},
    "statistics of motion, members": {"name": "statistics"},
}
HEARD = ("frames and differences", "statistics of motion, members")  # also with the sound
STILL = {"training": {"time": "3m"}, "ensemble": {"members": []}, "preset": "scratch"}
GLIDES: dict[str, Any] = {
    "r2plus1d": {"name": "r2plus1d", "width": 8},
    "transformer": {"name": "transformer", "width": 64, "depth": 2},
    "frames, gru": {"name": "frames", "over_time": "gru"},
}
SOME = {"train": 2000, "val": 200, "test": 600}
STRUNG = {"train": 400, "val": 60, "test": 120}
GLIDED = ("as is", "shuffled")
TINY = {"train": 24, "val": 8, "test": 8}


def _fight_recipe(seen: str, *, heard: bool) -> Recipe:
    clip = {"columns": ["video"], "modality": "video", "encoder": SEEN[seen]}
    recipe = {"inputs": {"clip": clip, **(SOUND if heard else {})}, "outputs": {"label": {"column": "label"}}}
    return {**({} if SEEN[seen]["name"] == "statistics" else STILL), **recipe}


def _split_accuracy(run: Run, recipe: Recipe, seed: int) -> Made:
    """Accuracy on the test rows of the given split."""
    return writer(run, lambda: fights().groupby("split").head(12) if run.quick else fights(), recipe, seed, {"": {}})[1]


def _fold_accuracy(run: Run, recipe: Recipe, folds: str, seed: int) -> Made:
    """Accuracy over five folds, every row judged by a model that saw no row of its fold."""
    table, right, spent = fights(), 0, 0.0
    for fold in range(2 if run.quick else 5):
        own = table.assign(split=np.where(table[folds] == fold, "test", "train"))
        made = writer(run, partial(_head, own, run.quick), recipe, seed, {"": {}})[1]
        right += made["written"][""]["accuracy"] * (own.split == "test").sum()
        spent += made["training_seconds"]
    return {"accuracy": right / len(table), "training_seconds": spent}


def _head(table: pd.DataFrame, quick: bool) -> pd.DataFrame:
    return table.groupby("split").head(12) if quick else table


@row
def fight(run: Run) -> Section:
    section = Section(
        "Fights",
        "Clips of surveillance cameras, a fight or none; accuracy in percent. Sources are on one side of the split and "
        "in one fold alone; the last column cuts folds at random, as if sources did not matter, and shows what leaking "
        "them claims. References on the same rows: flow statistics with a forest 72.7 over the folds and 74.0 on the "
        "split, still pictures with a forest 47 (60 where sources leak), sound 44. To reach over the folds: 75.",
        ["what is read", "split (82 clips)", "five folds by source (300)", "five folds at random", "minutes", "seeds"],
    )
    for heard in (False, True):
        for seen in SEEN if not heard else HEARD:
            recipe, key = _fight_recipe(seen, heard=heard), f"fight/{seen}{', sound' if heard else ''}"
            one = run.each(f"{key}/split", partial(_split_accuracy, run, recipe))
            by, at = (
                run.each(f"{key}/{folds}", lambda seed, f=folds, r=recipe: _fold_accuracy(run, r, f, seed))
                for folds in ("by_source", "at_random")
            )
            if one or by:
                cells = [[m["written"][""]["accuracy"] for m in one], *([m["accuracy"] for m in f] for f in (by, at))]
                shown = [mean_and_deviation((100 * v for v in values), 1) if values else "–" for values in cells]
                name = f"{seen}{' and sound' if heard else ''}"
                section.lines.append([name, *shown, format_minutes(one) if one else "–", number_of_seeds(one or by)])
    return section


def _glide(run: Run, table: Callable[[], pd.DataFrame], recipe: Recipe, seed: int) -> Made:
    """Accuracy of a direction, and of the same clips with their pictures in any order."""
    model, made = writer(run, table, recipe, seed, {"as is": {}})
    test = table()
    test = test[test.split == "test"]
    mixed = model.evaluate(test.assign(clip=shuffled(test["clip"])), verbose=False).outputs["direction"]
    made["written"]["shuffled"] = numbers(mixed.metrics)
    return made


@row
def glides(run: Run) -> Section:
    section = Section(
        "Digits that glide",
        "A digit of MNIST glides around a ring of pixels in one of eight directions; digits of the test are those of "
        "MNIST's. Accuracy in percent; one picture says nothing of the direction (12.5). To reach: 98, and at most "
        "15.5 where the pictures of a clip are in any order; where a digit has been still shows its axis then, which "
        "leaves two directions of eight.",
        ["what is read", "direction", "pictures in any order", "minutes", "seeds"],
    )
    table = cache(lambda: gliding(TINY if run.quick else SOME))
    for name, encoder in GLIDES.items():
        clip = {"columns": ["clip"], "modality": "video", "encoder": {**encoder, "frames": 8}, "augment": "none"}
        outputs = {"direction": {"column": "direction"}}
        recipe = {"inputs": {"clip": clip}, "outputs": outputs, "ensemble": {"members": []}}
        recipe["training"] = {"time": "6m"}
        made = run.each(f"glides/{name}", partial(_glide, run, table, recipe))
        if made:
            ways = [mean_and_deviation((100 * m["written"][w]["accuracy"] for m in made), 1) for w in GLIDED]
            section.lines.append([name, *ways, format_minutes(made), number_of_seeds(made)])
    return section


@row
def goes_left(run: Run) -> Section:
    section = Section(
        "Which digit goes left?",
        "Two digits, one above the other, of which one goes left and one right, and a question for one of them. "
        "Accuracy in percent; one of ten by chance, and half of the rows where the question is not heard.",
        ["fusion", "accuracy", "minutes", "seeds"],
    )
    table = cache(lambda: asked(TINY if run.quick else {**SOME, "train": 4000}))
    for fusion in ("concat", "attention"):
        encoder = {"name": "r2plus1d", "width": 8, "frames": 8}
        clip = {"columns": ["clip"], "modality": "video", "encoder": encoder, "augment": "none"}
        inputs = {"clip": clip, "question": {"columns": ["question"], "modality": "text"}}
        recipe = {"inputs": inputs, "outputs": {"answer": {"column": "answer", "head": {"name": "category"}}}}
        recipe |= {"fusion": {"name": fusion}, "training": {"time": "8m"}, "preset": "scratch"}
        made = run.each(f"goes_left/{fusion}", lambda seed, r=recipe: writer(run, table, r, seed, {"as is": {}})[1])
        if made:
            found = mean_and_deviation((100 * m["written"]["as is"]["accuracy"] for m in made), 1)
            section.lines.append([fusion, found, format_minutes(made), number_of_seeds(made)])
    return section


SHOWN = ("segment_f1", "segment_precision", "segment_recall", "onset_f1")


@row
def said(run: Run) -> Section:
    section = Section(
        "Digits said one after the other",
        "Ten seconds of noise with three to eight spoken digits, 5 to 20 dB above it; speakers of the test are new. "
        "In percent, as sed_eval counts: segments of a second, onsets within 0.2 s. To reach: segment F1 ten points "
        "above the reference.",
        ["finder", "segment F1", "precision", "recall", "onset F1", "minutes", "seeds"],
    )
    table = cache(lambda: spoken(TINY if run.quick else STRUNG))
    if (found := run.kept("said/energy and MFCC-SVM", lambda: reference(table()))) is not None:
        section.lines.append(["energy threshold, MFCC, SVM", *(f"{100 * found[n]:.1f}" for n in SHOWN), "", ""])
    recipe = {
        "inputs": {"sound": {"columns": ["sound"], "modality": "audio"}},
        "outputs": {"events": {"column": "events", "head": {"name": "events"}}},
        "training": {"time": "8m", "batch_size": 8},
    }
    made = run.each("said/events", lambda seed: writer(run, table, recipe, seed, {"as is": {}})[1])
    if made:
        cells = [mean_and_deviation((100 * m["written"]["as is"][n] for m in made), 1) for n in SHOWN]
        section.lines.append(["events", *cells, format_minutes(made), number_of_seeds(made)])
    return section


# ---- the reference of spoken digits


def reference(table: pd.DataFrame) -> Made:
    """Stretches above an energy, each named by an SVM on its MFCC; validation rows choose the energy."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    table = table.assign(wave=[soundfile.read(io.BytesIO(cell), dtype="float32")[0] for cell in table.sound])
    train = table[table.split == "train"]
    cut = [(wave, event) for wave, events in zip(train.wave, train.events, strict=True) for event in events]
    named = make_pipeline(StandardScaler(), SVC(C=10)).fit(
        np.stack([_cepstra(wave, event["start"], event["end"]) for wave, event in cut]), [e["label"] for _, e in cut]
    )
    sides = {split: table[table.split == split] for split in ("val", "test")}

    def judged(split: str, factor: float) -> dict[str, float]:
        rows = sides[split]
        found = [_found(wave, factor, named) for wave in rows.wave]
        return numbers(judges.judge(Outcome("events", list(rows.events), found), bootstrap=0).metrics)

    best = max((1.5, 2.0, 3.0, 4.0, 6.0), key=lambda factor: judged("val", factor)["segment_f1"])
    return {**judged("test", best), "factor": best}


def _found(wave: np.ndarray, factor: float, named: Any) -> list[dict[str, Any]]:
    """Stretches whose energy lies above the noise, with their names."""
    hop = RATE // 100
    energy = np.convolve(wave.astype(float) ** 2, np.ones(3 * hop) / (3 * hop), "same")[::hop]
    on = energy > factor * np.quantile(energy, 0.2)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], on.astype(int), [0]])))
    joined: list[list[int]] = []
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        if joined and start - joined[-1][1] < 15:  # pauses within a word
            joined[-1][1] = end
        else:
            joined.append([start, end])
    found = []
    for start, end in ([s / 100, e / 100] for s, e in joined if e - s >= 12):
        label = named.predict(_cepstra(wave, start, end)[None])[0]
        found.append({"start": start, "end": end, "label": str(label)})
    return found


def _cepstra(wave: np.ndarray, start: float, end: float, parts: int = 4, count: int = 13) -> np.ndarray:
    """Means of MFCC over equal parts of a stretch, with their deviation over the whole and its length."""
    import torch
    from scipy.fft import dct

    from polyfuse.layers.mel import LogMel

    piece = wave[round(start * RATE) : max(round(end * RATE), round(start * RATE) + RATE // 10)]
    with torch.no_grad():
        mel, real = LogMel(rate=RATE, bins=32)(torch.from_numpy(piece.copy())[None], torch.tensor([len(piece)]))
    cepstra = dct(mel[0, real[0]].numpy(), norm="ortho")[:, :count]
    means = [part.mean(0) for part in np.array_split(cepstra, parts) if len(part)]
    means += [means[-1]] * (parts - len(means))
    return np.concatenate([*means, cepstra.std(0), [np.log(end - start + 1e-3)]])
