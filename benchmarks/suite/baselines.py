"""Classical baselines per modality and the late mean of the best of each; every choice by folds of training rows."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.suite import features
from benchmarks.suite.table import Table

FOLDS = 5
MANY = 4000  # training rows from which three folds do
TREES = 200


@dataclass(frozen=True)
class Judged:
    """A baseline: its score over folds of training rows, and what it says of test rows (probabilities or numbers)."""

    score: float
    out_of_fold: np.ndarray
    test: np.ndarray


def score(task: str, truth: np.ndarray, said: np.ndarray) -> float:
    """Accuracy, or R2 of the output as it is."""
    if task == "classification":
        return float(np.mean(truth == said))
    return float(1 - np.sum((truth - said) ** 2) / np.sum((truth - truth.mean()) ** 2))


def run(item: Table, frame: pd.DataFrame, seed: int = 0) -> dict[str, Any]:
    """All baselines of a table, judged on its test rows.

    Returns:
        ``cv`` and ``test`` scores by name; ``said``: name -> answers for test rows; ``chosen``: best over folds.
    """
    train, test = (frame[frame.split == side].reset_index(drop=True) for side in ("train", "test"))
    judge = _Judge(item, train, seed)
    found, best = {}, []
    for modality, names in item.inputs(frame).items():
        x_train, x_test = (_cells(part, modality, names) for part in (train, test))
        here = {name: judge(model, x_train, x_test) for name, model in _models(modality, item, x_train, seed).items()}
        found |= here
        best.append(max(here.values(), key=lambda one: one.score))
    if len(best) > 1:
        found["late mean"] = judge.mean(best)
    said = {name: judge.answer(one.test) for name, one in found.items()}
    return {
        "cv": {name: one.score for name, one in found.items()},
        "test": {name: score(item.task, test[item.output].to_numpy(), answer) for name, answer in said.items()},
        "chosen": max(found, key=lambda name: found[name].score),
        "said": said,
    }


class _Judge:
    """Fits a model on all training rows and on folds of them: the same folds for every model."""

    def __init__(self, item: Table, train: pd.DataFrame, seed: int):
        self.item, self.y = item, train[item.output].to_numpy()
        self.classes = np.unique(self.y) if item.task == "classification" else None
        self.folds = _folds(item, train, seed)

    def __call__(self, model: Any, x_train: pd.DataFrame, x_test: pd.DataFrame) -> Judged:
        from sklearn.base import clone

        model = self._sure(_settled(model.fit(x_train, self.y)))
        out = np.zeros((len(self.y), *self._width()))
        for fit, held in self.folds:
            out[held] = self._said(clone(model).fit(x_train.iloc[fit], self.y[fit]), x_train.iloc[held])
        test = self._said(clone(model).fit(x_train, self.y), x_test)
        return Judged(score(self.item.task, self.y, self.answer(out)), out, test)

    def _sure(self, model: Any) -> Any:
        """With probabilities by Platt's method where a late mean needs them."""
        from sklearn.calibration import CalibratedClassifierCV

        if self.classes is None or self.item.kind != "several" or hasattr(model, "predict_proba"):
            return model
        return CalibratedClassifierCV(model, ensemble=False, cv=3)

    def mean(self, several: list[Judged]) -> Judged:
        """The mean of what several say."""
        out, test = (np.mean([getattr(one, side) for one in several], axis=0) for side in ("out_of_fold", "test"))
        return Judged(score(self.item.task, self.y, self.answer(out)), out, test)

    def answer(self, said: np.ndarray) -> np.ndarray:
        return said if self.classes is None else self.classes[said.argmax(1)]

    def _width(self) -> tuple[int, ...]:
        return () if self.classes is None else (len(self.classes),)

    def _said(self, model: Any, x: pd.DataFrame) -> np.ndarray:
        """Numbers, or a probability for every class of all training rows, also for those that a fold has not seen."""
        if self.classes is None:
            return model.predict(x)
        said = np.zeros((len(x), len(self.classes)))
        if hasattr(model, "predict_proba"):
            said[:, np.searchsorted(self.classes, model.classes_)] = model.predict_proba(x)
        else:
            said[np.arange(len(x)), np.searchsorted(self.classes, model.predict(x))] = 1
        return said


def _folds(item: Table, train: pd.DataFrame, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Stratified, and groups whole, as the table's own split is."""
    from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold

    count = FOLDS if len(train) < MANY else 3
    if item.group is not None:
        count = min(count, train[item.group].nunique())
        return list(GroupKFold(count).split(train, groups=train[item.group].astype(str)))
    kind = StratifiedKFold if item.task == "classification" else KFold
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes with fewer rows than folds
        return list(kind(count, shuffle=True, random_state=seed).split(train, train[item.output]))


def _cells(frame: pd.DataFrame, modality: str, names: list[str]) -> pd.DataFrame:
    """Columns as they are, texts filled, sounds and pictures as their statistics."""
    if modality == "columns":
        return frame[names]
    if modality == "text":
        return frame[names].fillna("").astype(str)
    make = {"audio": features.sound, "image": features.picture}[modality]
    known: dict[Any, np.ndarray] = {}
    parts = []
    for name in names:
        cells = [None if not isinstance(cell, bytes) else cell for cell in frame[name]]
        for cell in cells:
            if cell not in known:
                known[cell] = make(cell)
        parts.append(np.stack([known[cell] for cell in cells]))
    return pd.DataFrame(np.hstack(parts))


def _models(modality: str, item: Table, x: pd.DataFrame, seed: int) -> dict[str, Any]:
    if modality == "columns":
        return _of_columns(item, x, seed)
    if modality == "text":
        return {"tf-idf": _of_text(item, x)}
    return {{"audio": "MFCC + SVM", "image": "histograms + SVM"}[modality]: _machine(item)}


def _search(model: Any, grid: dict[str, list], item: Table) -> Any:
    """The model with the keyword that is best over folds of the rows it is fitted on."""
    from sklearn.model_selection import GridSearchCV

    return GridSearchCV(model, grid, cv=3, scoring="accuracy" if item.task == "classification" else "r2")


def _linear(item: Table) -> Any:
    from sklearn.linear_model import LogisticRegression, RidgeCV

    if item.task == "regression":
        return RidgeCV(np.logspace(-2, 4, 19))
    return _search(LogisticRegression(max_iter=1000), {"C": [0.01, 0.1, 1, 10]}, item)


def _of_columns(item: Table, x: pd.DataFrame, seed: int) -> dict[str, Any]:
    from sklearn import ensemble
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

    numbers = [name for name in x if pd.api.types.is_numeric_dtype(x[name])]
    words = [name for name in x if name not in numbers]
    filled = SimpleImputer(strategy="constant", fill_value="?")
    one_hot = make_pipeline(filled, OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=60))
    ordinal = make_pipeline(
        filled, OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, max_categories=250)
    )
    scaled = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    wide = make_column_transformer((scaled, numbers), (one_hot, words), sparse_threshold=0)
    narrow = make_column_transformer((SimpleImputer(), numbers), (ordinal, words))
    kind = "Classifier" if item.task == "classification" else "Regressor"
    forest = getattr(ensemble, f"RandomForest{kind}")(TREES, random_state=seed)
    boosting = getattr(ensemble, f"HistGradientBoosting{kind}")(max_iter=TREES // 2, random_state=seed)
    leaves = _search(forest, {"min_samples_leaf": [1, 5]}, item)
    return {
        "linear": make_pipeline(wide, _linear(item)),
        "forest": make_pipeline(narrow, leaves),
        "boosting": make_pipeline(narrow, _search(boosting, {"max_leaf_nodes": [5, 31]}, item)),
    }


def _of_text(item: Table, x: pd.DataFrame) -> Any:
    """Words and pairs of words; characters and pairs of them where most are Chinese."""
    from sklearn.compose import make_column_transformer
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline

    def vectors(name: str) -> TfidfVectorizer:
        unit = "char" if _chinese(x[name]) else "word"
        return TfidfVectorizer(analyzer=unit, ngram_range=(1, 2), sublinear_tf=True, min_df=1 if len(x) < 2000 else 2)

    parts = make_column_transformer(*((vectors(name), name) for name in x), sparse_threshold=1)
    if item.task == "regression":
        last = _search(Ridge(), {"alpha": [0.1, 0.3, 1, 3, 10, 30]}, item)
    else:
        last = _search(LogisticRegression(max_iter=500), {"C": [0.3, 1, 3, 10, 30, 100]}, item)
    return make_pipeline(parts, last)


def _chinese(texts: pd.Series) -> bool:
    return texts.head(200).map(lambda text: bool(re.search(r"[\u4e00-\u9fff]", text))).mean() > 0.5


def _machine(item: Table) -> Any:
    """A support vector machine with the radial kernel; whether each feature is scaled is chosen too."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC, SVR

    classes = item.task == "classification"
    last = SVC() if classes else TransformedTargetRegressor(SVR(), transformer=StandardScaler())
    filled = SimpleImputer(keep_empty_features=True)
    model = Pipeline([("filled", filled), ("scaled", StandardScaler()), ("machine", last)])
    strengths = {"machine__C": [1, 10, 100]} if classes else {"machine__regressor__C": [0.1, 1, 10]}
    return _search(model, {"scaled": [StandardScaler(), "passthrough"], **strengths}, item)


def _settled(model: Any) -> Any:
    """What was fitted, unfitted again, with what its search chose in the place of the search."""
    from sklearn.base import clone

    if hasattr(model, "best_estimator_"):
        return clone(model.best_estimator_)
    name, last = model.steps[-1]
    return clone(model).set_params(**{name: clone(getattr(last, "best_estimator_", last))})
