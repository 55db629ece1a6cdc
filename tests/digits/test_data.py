"""The demo's table: what it promises about splits, voices, cells and how hard it is."""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from PIL import Image

from polyfuse.digits import data

MEDIA = ["handwriting", "speech", "clue"]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return data.build()


def test_the_splits_have_their_sizes_and_use_every_image_once(table):
    tiles, digits = data._handwriting()
    assert table.groupby("split").size().to_dict() == data.SIZES
    assert sum(data.SIZES.values()) == len(tiles) == 1797
    assert len({tile.tobytes() for tile in tiles}) == 1797  # real images, none twice: no split holds another's
    assert sorted(table.digit) == sorted(digits)


def test_no_voice_is_in_two_splits(table):
    assert (table.groupby("voice").split.nunique() == 1).all()


def test_every_split_has_every_language_and_digit(table):
    for column, count in (("language", 6), ("digit", 10)):
        assert (table.groupby("split")[column].nunique() == count).all()
    assert {"en", "zh"} <= set(table.language)


def test_the_clip_says_the_digit_in_the_language_and_voice_of_the_row(table):
    _, index = data._speech()
    known = set(zip(index["digit"], index["language"], index["voice"], strict=True))
    assert set(zip(table.digit, table.language, table.voice, strict=True)) <= known
    assert all(index["splits"][voice] == split for voice, split in zip(table.voice, table.split, strict=True))


def test_the_files_hold_the_digits_of_scikit_learn():
    real = pytest.importorskip("sklearn.datasets").load_digits()
    tiles, digits = data._handwriting()
    np.testing.assert_allclose(tiles * 16, real.images, atol=1e-5)
    np.testing.assert_array_equal(digits, real.target)


def test_a_few_cells_of_each_modality_are_missing_and_no_row_lacks_all(table):
    shares = table[MEDIA].isna().mean()
    for name, share in data.MISSING.items():
        assert share / 2 < shares[name] < share * 2
    assert not table[MEDIA].isna().all(axis=1).any()
    assert table[["digit", "language", "voice", "split"]].notna().all(axis=None)


def test_a_row_that_would_lose_all_its_cells_keeps_them(monkeypatch):
    monkeypatch.setattr(data, "MISSING", dict.fromkeys(MEDIA, 0.8))
    columns = {name: ["cell"] * 1000 for name in MEDIA}
    data._drop(columns, np.random.default_rng(0))
    kept = np.array([[cell is not None for cell in cells] for cells in columns.values()])
    assert kept.any(0).all()
    assert not kept.all()


def test_cells_decode(table):
    for cell in table.handwriting.dropna():
        image = Image.open(io.BytesIO(cell))
        assert (image.format, image.mode, image.size) == ("PNG", "L", (data.SIDE, data.SIDE))
    for cell in table.speech.dropna():
        sound, rate = sf.read(io.BytesIO(cell))
        assert rate == 8000
        assert sound.ndim == 1
        assert 0.1 < len(sound) / rate < 2
        assert 0.5 < np.abs(sound).max() < 1


def test_the_seed_fixes_everything(table):
    pd.testing.assert_frame_equal(table, data.build(0))
    other = data.build(1)
    assert (other.clue.fillna("") != table.clue.fillna("")).mean() > 0.9
    assert set(other.handwriting.dropna()).isdisjoint(table.handwriting.dropna())


def test_written_files_hold_the_same_table(table, tmp_path):
    path = data.write(tmp_path / "new" / "folder")
    read = pd.read_csv(path)
    for column in ("handwriting", "speech"):
        names = read.pop(column)
        cells = [None if pd.isna(name) else (path.parent / name).read_bytes() for name in names]
        assert cells == [None if pd.isna(cell) else cell for cell in table[column]]
    pd.testing.assert_frame_equal(read, table.drop(columns=["handwriting", "speech"]), check_dtype=False)


def test_speech_stands_out_by_the_ratio_asked_for(monkeypatch):
    monkeypatch.setattr(data, "SNR", (20.0, 20.0))
    monkeypatch.setattr(data, "PAUSE", 0.0)
    clean = 0.1 * np.sin(np.arange(8000) * 0.3, dtype=np.float32)
    noisy = data.spoil_sounds([clean] * 20, 8000, np.random.default_rng(0))
    heard = [abs(np.corrcoef(clean, sound)[0, 1]) for sound in noisy]
    # power of 100 in 101; pink noise varies in level from place to place
    np.testing.assert_allclose(np.median(heard), np.sqrt(100 / 101), atol=2e-3)


def test_a_clear_image_shows_the_digit(monkeypatch):
    monkeypatch.setattr(data, "INK_NOISE", 0.0)
    monkeypatch.setattr(data, "PATCHES", 0)
    tiles, _ = data._handwriting()
    images = data.spoil_images(tiles[:50], np.random.default_rng(0)) / 255
    coarse = images.reshape(50, 8, data.SIDE // 8, 8, data.SIDE // 8).mean((2, 4))
    assert np.corrcoef(coarse.ravel(), tiles[:50].ravel())[0, 1] > 0.97


def test_shipped_files_stay_small():
    files = [path for path in Path(data.__file__).parent.iterdir() if path.suffix in (".png", ".ogg", ".json")]
    assert len(files) == 4
    assert sum(path.stat().st_size for path in files) < 4_000_000


def test_no_modality_does_alone_what_all_do_together(table):
    """Classical models stand in for trained ones; the product of their probabilities is the fusion."""
    pytest.importorskip("sklearn")
    train, test = (table.split == "train").to_numpy(), (table.split == "test").to_numpy()
    digits = table.digit.to_numpy()
    features = {"handwriting": _pixels, "speech": _spectrum, "clue": _words}
    chances = [_chances(table[name], digits, train, test, function) for name, function in features.items()]
    alone = [(chance.argmax(1) == digits[test]).mean() for chance in chances]
    fused = (np.prod(chances, axis=0).argmax(1) == digits[test]).mean()
    assert max(alone) < 0.85, alone
    assert min(alone) > 0.2, alone
    assert fused > max(alone) + 0.08, (fused, alone)


def _chances(column, digits, train, test, features) -> np.ndarray:
    """Probabilities of the ten digits for the test rows, even where the cell is missing."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    present = column.notna().to_numpy()
    known = np.stack([features(cell) for cell in column[present]])
    machine = CalibratedClassifierCV(make_pipeline(StandardScaler(), SVC(C=4)), ensemble=False, cv=3)
    model = LogisticRegression(max_iter=200) if column.name == "clue" else machine
    result = np.full((len(column), 10), 0.1)
    result[present] = model.fit(known[train[present]], digits[train & present]).predict_proba(known)
    return result[test]


def _pixels(cell: bytes) -> np.ndarray:
    pixels = np.asarray(Image.open(io.BytesIO(cell)), dtype=float)
    return pixels.reshape(8, data.SIDE // 8, 8, data.SIDE // 8).mean((1, 3)).ravel()


def _spectrum(cell: bytes) -> np.ndarray:
    sound, _ = sf.read(io.BytesIO(cell))
    frames = np.lib.stride_tricks.sliding_window_view(sound, 256)[::80] * np.hanning(256)
    power = np.abs(np.fft.rfft(frames)[:, 1:]) ** 2
    bands = np.log(power.reshape(len(frames), 16, 8).sum(2) + 1e-3)
    columns = np.linspace(0, len(frames) - 1, 16).round().astype(int)
    return (bands - bands.mean(0))[columns].ravel()


def _words(cell: str) -> np.ndarray:
    """Pairs of characters, hashed."""
    counts = np.zeros(512)
    for first, second in pairwise(cell):
        counts[(ord(first) * 31 + ord(second)) % 512] = 1
    return counts
