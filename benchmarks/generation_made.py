"""Pictures and speech that are made: text to handwritten digits, words to spoken ones, names to emoji.

``python benchmarks/generation_made.py [ROW ...] [--minutes N] [--made N] [--seeds N] [--sheets FOLDER]`` trains each
row with a time budget, and has what was made read by classifiers that never saw the generator:
``generation_made.json`` and ``generation_made.md``; models, contact sheets and sounds lie in a folder, to be looked at
and listened to. A run that was stopped goes on with the models that are there.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
from common import DATA, ROOT, Results, machine, spread, write_rows
from PIL import Image

import polyfuse as pf
from polyfuse.data.cells.picture import decode
from polyfuse.data.cells.source import Sound, load_media
from polyfuse.data.cells.spectrogram import Mel
from polyfuse.evaluation.judges import judge
from polyfuse.evaluation.outcome import Outcome
from polyfuse.metrics.cepstra import cepstra, shape

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PHRASES = ("a handwritten {}", "the digit {}", "{}", "a picture of a {}")
TRAINED, READ = 4000, 10_000  # rows of the generator, rows of its reader
GUIDANCE = (1.0, 1.5, 2.0, 3.0)
BEATS = 16  # moments of a sound that its reader hears
TILE, ACROSS = 56, 20  # pixels of a picture on a contact sheet, pictures in a row of it


@dataclass(frozen=True)
class Scope:
    """How much is measured.

    Args:
        minutes: of training.
        seed: of the split, the weights and the noise.
        sheets: folder of contact sheets and sounds.
        made: digits that are made and read.
        quick: only whether it runs.
    """

    minutes: float
    seed: int
    sheets: Path
    made: int
    quick: bool

    def few(self, many: int) -> int:
        """That many rows, or a few."""
        return min(many, 60) if self.quick else many

    @property
    def settings(self) -> list[str]:
        """Of every fit: the budget, the seed, batches that leave many steps."""
        budget = "training.epochs=1" if self.quick else f"training.time={60 * self.minutes:.0f}"
        small = ["width=16"] if self.quick else ["width=64"]
        return [*small, budget, f"training.seed={self.seed}", "training.batch_size=64", "training.learning_rate=2e-3"]


def pixels(cell: Any) -> np.ndarray:
    """A grey picture of the MNIST table (28, 28) uint8."""
    return np.asarray(decode(load_media(cell)))[..., 0]


def fitted(
    asked: Scope, name: str, frame: pd.DataFrame, output: str, inputs: Sequence[str], *settings: str
) -> tuple[Any, dict[str, Any]]:
    """A model, and what its training took; one that lies among the sheets is judged as it is."""
    place, facts = asked.sheets / f"{name}_{asked.seed}", asked.sheets / f"{name}_{asked.seed}.json"
    if facts.exists():
        return pf.load(place), json.loads(facts.read_text(encoding="utf8"))
    began, worked = time.monotonic(), time.process_time()
    options = {"settings": [*asked.settings, *settings], "preset": "scratch", "split": "split", "verbose": False}
    model = pf.fit(frame, outputs=[output], inputs=list(inputs), **options)
    training = model.facts["training"]
    spent = {"seconds": time.monotonic() - began, "processor_seconds": time.process_time() - worked}
    said = {**spent, "rows": int((frame["split"] == "train").sum()), "steps": training.get("steps")}
    model.save(place)
    facts.write_text(json.dumps(said), encoding="utf8")
    return model, said


def mnist(asked: Scope) -> dict[str, Any]:
    """``a handwritten seven`` -> a picture, read by a support vector machine trained on other real digits."""
    from sklearn.svm import SVC

    rng = np.random.default_rng(asked.seed)
    train, test = (pd.read_parquet(DATA / "mnist" / f"{side}.parquet") for side in ("train", "test"))
    order = rng.permutation(len(train))
    own, others = (train.iloc[part] for part in np.split(order, [TRAINED]))
    own, others, test = own.head(asked.few(TRAINED)), others.head(asked.few(READ)), test.head(asked.few(len(test)))
    texts = [PHRASES[rng.integers(len(PHRASES))].format(WORDS[digit]) for digit in own["digit"]]
    frame = pd.DataFrame({"text": texts, "image": list(own["image"]), "split": "train"})
    frame.loc[frame.index[-20:], "split"] = "test"
    model, facts = fitted(asked, "mnist", frame, "image=image", ["text=text"])
    real_N, test_N = (np.stack([pixels(cell) for cell in side["image"]]) for side in (others, test))
    reader = SVC(C=5, gamma=0.03).fit(real_N.reshape(len(real_N), -1) / 255, others["digit"])
    sure = float(reader.score(test_N.reshape(len(test_N), -1) / 255, test["digit"]))
    digits = np.arange(asked.few(asked.made)) % 10
    asks = pd.DataFrame({"text": [PHRASES[0].format(WORDS[digit]) for digit in digits]})
    order = np.argsort(test["digit"].to_numpy(), kind="stable")
    real = list(test_N[order[np.linspace(0, len(order) - 1, len(digits)).round().astype(int)]])
    found = {}
    for guidance in GUIDANCE:
        made = list(model.predict(asks, decode={"guidance": guidance, "seed": asked.seed}, verbose=False)["image"])
        read = reader.predict(np.stack(made).reshape(len(made), -1) / 255)
        judged = judge(Outcome("image", real, made), bootstrap=0).metrics
        found[f"{guidance:g}"] = {
            "accuracy": float((read == digits).mean()),
            **{name: judged[name] for name in ("frechet_pixels", "frechet_efficientnet", "variety")},
        }
        sheet(made[:200], asked.sheets / f"mnist_{asked.seed}_{guidance:g}.png", across=10)
    kept = [pixels(cell) for cell in own["image"]]
    training = judge(Outcome("image", real, kept[: len(real)]), bootstrap=0).metrics
    beside = {name: training[name] for name in ("frechet_pixels", "frechet_efficientnet")}
    read = {"reader": sure, "by_guidance": found}
    return {**facts, **read, "training_pictures": beside}


def ear(sound: Sound) -> np.ndarray:
    """What a reader hears of a sound: cepstra at moments of it, how they change, and its length."""
    wave = np.asarray(sound.samples, np.float32)
    loud = wave / max(1e-6, float(np.abs(wave).max()))
    heard = cepstra(Mel(sound.rate, 40, 128, 1e-3).log_mel(loud) * np.log(10))
    return np.concatenate([shape(heard, BEATS), [np.log(len(heard))]])


def fsdd(asked: Scope) -> dict[str, Any]:
    """``seven`` and a speaker -> a sound, read by a support vector machine trained on real recordings."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    table = pd.read_csv(DATA / "fsdd" / "table.csv")
    sounds = [soundfile.read(DATA / "fsdd" / path, dtype="float32") for path in table["audio"]]
    cells = [{"array": samples, "sampling_rate": rate} for samples, rate in sounds]
    frame = pd.DataFrame({"word": [WORDS[digit] for digit in table["digit"]], "speaker": table["speaker"]})
    frame = frame.assign(audio=cells, split=table["split"].replace("val", "train"))
    ears = np.stack([ear(Sound(samples, rate)) for samples, rate in sounds])
    train, test = (np.flatnonzero(frame["split"] == side) for side in ("train", "test"))
    reader = make_pipeline(StandardScaler(), SVC(C=10)).fit(ears[train], table["digit"].iloc[train])
    sure = 1 - float(reader.score(ears[test], table["digit"].iloc[test]))
    rng = np.random.default_rng(asked.seed)
    learnt = frame.iloc[[*rng.permutation(train)[: asked.few(len(train))], *rng.permutation(test)[:20]]]
    model, facts = fitted(asked, "fsdd", learnt, "audio=speech", ["word=text", "speaker=category"])
    asks = frame.iloc[test[: asked.few(len(test))]].drop(columns="split")
    found = {}
    for guidance in GUIDANCE:
        made = list(model.predict(asks, decode={"guidance": guidance, "seed": asked.seed}, verbose=False)["audio"])
        read = reader.predict(np.stack([ear(Sound(one["array"], one["sampling_rate"])) for one in made]))
        judged = judge(Outcome("speech", list(asks["audio"]), made), bootstrap=0).metrics
        found[f"{guidance:g}"] = {"wer": float((read != table["digit"].loc[asks.index]).mean()), **judged}
        for row in range(min(10, len(made))):
            place = asked.sheets / f"fsdd_{asked.seed}_{guidance:g}_{row}_{asks['word'].iloc[row]}.wav"
            soundfile.write(place, made[row]["array"], made[row]["sampling_rate"])
    return {**facts, "reader": sure, "by_guidance": found}


def emoji(asked: Scope) -> dict[str, Any]:
    """An emoji's name -> its picture, on names that training did not show."""
    table = pd.read_parquet(next((DATA / "emoji").glob("*.parquet")))
    frame = pd.DataFrame({"name": table["name_en"], "image": list(table["image"]), "split": table["split"]})
    train, test = (frame[frame["split"] == side] for side in ("train", "test"))
    learnt = pd.concat([train.head(asked.few(len(train))), test.head(20)], ignore_index=True)
    size = "outputs.image.head.size=8" if asked.quick else "outputs.image.head.size=32"
    model, facts = fitted(asked, "emoji", learnt, "image=image", ["name=text"], size)
    asks, shown = test.head(asked.few(300)), train.head(100)
    found = {}
    for guidance in GUIDANCE:
        how = {"decode": {"guidance": guidance, "seed": asked.seed}, "verbose": False}
        judged = model.evaluate(asks, **how).outputs["image"].metrics
        found[f"{guidance:g}"] = judged
        made = [list(model.predict(side, **how)["image"]) for side in (shown, asks.head(100))]
        sheet([*made[0], *made[1]], asked.sheets / f"emoji_{asked.seed}_{guidance:g}.png")
    return {**facts, "by_guidance": found}


def sheet(made: Sequence[np.ndarray], place: Path, across: int = ACROSS) -> None:
    """Pictures side by side."""
    tiles = [Image.fromarray(one).convert("RGB").resize((TILE, TILE), Image.Resampling.NEAREST) for one in made]
    page = Image.new("RGB", (across * TILE, -(-len(tiles) // across) * TILE), "white")
    for n, tile in enumerate(tiles):
        page.paste(tile, (n % across * TILE, n // across * TILE))
    page.save(place)


ROWS: dict[str, Callable[[Scope], dict[str, Any]]] = {"mnist": mnist, "fsdd": fsdd, "emoji": emoji}
HEADS = {
    "mnist": ("text to handwritten digit", "accuracy of the reader", "accuracy", "its accuracy on real test digits"),
    "fsdd": ("word and speaker to sound", "WER of the reader", "wer", "its WER on real test recordings"),
    "emoji": ("name to emoji, unseen names", "match (0.5 is chance)", "match", ""),
}


def page(kept: Mapping[str, Any]) -> str:
    """What is measured, a line per task and guidance."""
    lines = [
        "Made by `python benchmarks/generation_made.py`, one thread. Mean ± standard deviation (number of seeds). "
        "Readers are support vector machines trained on real data that the generator did not see (`mnist`), or on the "
        "real training recordings (`fsdd`). Guidance pushes what is made towards its row; 1.5 by default.",
        "",
        "| row | figure | guidance | made | reader on real data | training rows | minutes of training |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, (what, figure, key, _) in HEADS.items():
        runs = [run for at, run in sorted(kept.items()) if at.startswith(f"{name}/")]
        for guidance in runs[0]["by_guidance"] if runs else ():
            reader = spread(run["reader"] for run in runs) if "reader" in runs[0] else "–"
            minutes = spread((run["seconds"] / 60 for run in runs), 1)
            made = spread(run["by_guidance"][guidance][key] for run in runs)
            lines.append(f"| {what} | {figure} | {guidance} | {made} | {reader} | {runs[0]['rows']:,} | {minutes} |")
    digits = [run for at, run in sorted(kept.items()) if at.startswith("mnist/")]
    if digits:
        lines += [
            "",
            "Frechet distance to held-out digits, first seed:",
            "",
            "| pictures | pixels | features of EfficientNet-Lite0 at 96 pixels |",
            "|---|---|---|",
        ]
        made = [(f"made, guidance {at}", one) for at, one in digits[0]["by_guidance"].items()]
        for label, one in [("of training", digits[0]["training_pictures"]), *made]:
            lines.append(f"| {label} | {one['frechet_pixels']:.3f} | {_number(one['frechet_efficientnet'])} |")
    machines = "; ".join(sorted({run["machine"] for run in kept.values()}))
    return "\n".join([*lines, "", f"Machine: {machines or 'none'}."])


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.1f}"


def main(arguments: list[str] | None = None) -> int:
    """Measure what is asked for and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}; all by default")
    parser.add_argument("--minutes", type=float, default=15, help="of training")
    parser.add_argument("--made", type=int, default=1000, help="digits that are made and read")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--sheets", type=Path, default=Path("made"), help="folder of contact sheets and sounds")
    parser.add_argument("--to", type=Path, default=ROOT / "benchmarks", help="folder of the JSON and the page")
    parser.add_argument("--quick", action="store_true", help="few rows, one epoch: only whether it runs")
    asked = parser.parse_args(arguments)
    if unknown := sorted(set(asked.rows) - set(ROWS)):
        parser.error(f"no such row: {', '.join(unknown)}; there are {', '.join(ROWS)}")
    for folder in (asked.sheets, asked.to):
        folder.mkdir(parents=True, exist_ok=True)
    results = Results(str(asked.to / "generation_made"))
    for name in asked.rows or ROWS:
        for seed in range(asked.seeds):
            one = Scope(asked.minutes, seed, asked.sheets, asked.made, asked.quick)
            make = partial(_with_machine, ROWS[name], one)
            results.get(f"{name}/{seed}", make)
    write_rows(asked.to / "generation_made.md", page(results.values), "# Pictures and speech made\n")
    return 0


def _with_machine(make: Callable[[Scope], dict[str, Any]], asked: Scope) -> dict[str, Any]:
    return {**make(asked), "machine": machine(), "minutes": asked.minutes, "seed": asked.seed}


if __name__ == "__main__":
    sys.exit(main())
