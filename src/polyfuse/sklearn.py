"""scikit-learn estimators for frames with media columns, for ``clone``, ``cross_val_score`` and pipelines.

Example:
    >>> from polyfuse.sklearn import PolyfuseClassifier
    >>> from sklearn.model_selection import cross_val_score
    >>> cross_val_score(PolyfuseClassifier(media_root="pets"), frame[["photo", "words", "age"]], frame["breed"])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, column_or_1d, validate_data

from polyfuse.api import Model, fit


class _Estimator(BaseEstimator):
    """Base of classifier and regressor."""

    _head: str

    def __init__(
        self,
        *,
        inputs: str | Sequence[str] = (),
        fusion: str | None = None,
        preset: str | None = None,
        media_root: str | Path | None = None,
        time: str | float | None = None,
        settings: str | Sequence[str] | Mapping[str, Any] | None = None,
        random_state: int | None = None,
        verbose: bool = False,
    ):
        self.inputs = inputs
        self.fusion = fusion
        self.preset = preset
        self.media_root = media_root
        self.time = time
        self.settings = settings
        self.random_state = random_state
        self.verbose = verbose

    def _train(self, X: Any, y: np.ndarray, name: str, sample_weight: Any) -> Model:
        """A model of all rows: none is held back, for whoever calls ``fit`` does the judging."""
        frame = self._frame(X, reset=True)
        if len(frame) != len(y):
            raise ValueError(f"X has {len(frame):,} rows and y has {len(y):,}")
        if len(frame) < 2:
            raise ValueError(f"learning takes at least two rows, found n_samples = {len(frame)}")
        name, weights = _free(name, frame), None
        numbers = not isinstance(X, pd.DataFrame) and all(map(pd.api.types.is_numeric_dtype, frame.dtypes))
        inputs = self.inputs or ([f"{column}=number" for column in frame] if numbers else ())
        self.output_ = name
        frame = frame.assign(**{name: y})
        if sample_weight is not None:
            weights = _free("weight", frame)
            frame[weights] = _check_sample_weight(sample_weight, frame, dtype=np.float64)
        return fit(
            frame,
            outputs=f"{name}={self._head}",
            inputs=inputs,
            fusion=self.fusion,
            preset=self.preset,
            media_root=self.media_root,
            weights=weights,
            time=self.time,
            seed=self.random_state,
            settings=_with_all_rows(self.settings),
            quiet=not self.verbose,
        )

    def _frame(self, X: Any, reset: bool) -> pd.DataFrame:
        """X as a frame, its columns checked against those of training.

        Shapes: a frame, or an array (rows, features), whose features are called x0, x1, ...
        """
        if isinstance(X, pd.DataFrame):
            validate_data(self, X, reset=reset, skip_check_array=True)
            return X.set_axis(X.columns.map(str), axis=1).reset_index(drop=True)
        X = validate_data(self, X, reset=reset, dtype=None, ensure_all_finite="allow-nan")
        return pd.DataFrame({f"x{k}": X[:, k] for k in range(X.shape[1])})

    def _predict_frame(self, X: Any) -> pd.DataFrame:
        check_is_fitted(self)
        return self.model_.predict(self._frame(X, reset=False), media_root=self.media_root, verbose=self.verbose)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags


def _free(name: str, frame: pd.DataFrame) -> str:
    """The name, or one like it, that no column has."""
    while name in frame:
        name += "_"
    return name


def _with_all_rows(settings: Any) -> Any:
    """The settings, with every row to train on unless they say otherwise."""
    if isinstance(settings, Mapping):
        own = settings.get("data")
        said = "data.fractions" in settings or (isinstance(own, Mapping) and "fractions" in own)
        return settings if said else {**settings, "data.fractions": [1.0, 0.0, 0.0]}
    several = [settings] if isinstance(settings, str) else list(settings or ())
    said = any(text.partition("=")[0].strip() == "data.fractions" for text in several)
    return several if said else [*several, "data.fractions=[1,0,0]"]


class PolyfuseClassifier(ClassifierMixin, _Estimator):
    """Learns classes from the columns of a frame: texts, pictures, sounds, numbers, categories and dates.

    Args:
        inputs: columns to learn from, as for ``polyfuse.fit``; all usable ones by default.
        fusion, preset, media_root, time, settings: as for ``polyfuse.fit``. All rows train unless ``settings`` name
            ``data.fractions``.
        random_state: fixes everything random; 0 by default.
        verbose: show progress and log notes.

    Attributes:
        classes_: the classes, in the order of ``predict_proba``'s columns.
        model_: the ``polyfuse.Model``, to evaluate, embed, save or serve.
        n_features_in_, feature_names_in_: of the training rows.
    """

    _head = "category"

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> PolyfuseClassifier:
        """Train.

        Args:
            X: a frame, or an array of numbers (rows, features).
            y: the class of each row.
            sample_weight: how much each row counts in training, 0 or more; all the same by default.

        Raises:
            ValueError: one class alone, fewer than two rows, or what ``polyfuse.fit`` refuses.
        """
        if y is None:
            raise ValueError("this classifier requires y to be passed, but the target y is None")
        name = str(getattr(y, "name", None) or "target")
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        self._frame(X, reset=True)
        if len(self.classes_) < 2:
            raise ValueError(f"a classifier needs at least two classes, found one class alone: {self.classes_[0]!r}")
        texts = [str(label).strip() for label in self.classes_]
        if len(set(texts)) < len(texts) or not all(texts):
            texts = [f"class {k}" for k in range(len(texts))]
        self.model_ = self._train(X, np.array(texts, dtype=object)[codes], name, sample_weight)
        self._texts = texts
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of each class (rows, classes)."""
        found = self._predict_frame(X)
        return found[[f"{self.output_}_p_{text}" for text in self._texts]].to_numpy(dtype=float)

    def predict(self, X: Any) -> np.ndarray:
        """The class of each row."""
        found = self._predict_frame(X)[self.output_]
        places = {text: k for k, text in enumerate(self._texts)}
        return self.classes_[[places[text] for text in found]]


class PolyfuseRegressor(RegressorMixin, _Estimator):
    """Learns a number from the columns of a frame; arguments and attributes as of ``PolyfuseClassifier``."""

    _head = "number"

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> PolyfuseRegressor:
        """Train.

        Args:
            X: a frame, or an array of numbers (rows, features).
            y: the number of each row.
            sample_weight: how much each row counts in training, 0 or more; all the same by default.

        Raises:
            ValueError: numbers that are not finite, fewer than two rows, or what ``polyfuse.fit`` refuses.
        """
        if y is None:
            raise ValueError("this regressor requires y to be passed, but the target y is None")
        name = str(getattr(y, "name", None) or "target")
        y = column_or_1d(y, warn=True).astype(float)
        if not np.isfinite(y).all():
            raise ValueError("y holds NaN or infinity; leave those rows out")
        self.model_ = self._train(X, y, name, sample_weight)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The number of each row."""
        return self._predict_frame(X)[self.output_].to_numpy(dtype=float)
