"""Loggers of a training by name: TensorBoard, a CSV file, MLflow."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger

from polyfuse.training.resume import EVENTS, METRICS


class CsvLogger(Logger):
    """One line per value in a CSV file, ``step,name,value``; a resumed run appends.

    Args:
        path: of the file; its folder is there.
    """

    def __init__(self, path: Path):
        super().__init__()
        self.path = path

    @property
    def name(self) -> str:
        """Nothing: the run's folder says it."""
        return ""

    @property
    def version(self) -> str:
        """Nothing: a run has one file."""
        return ""

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Nothing: the recipe lies beside the file."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append a line per value."""
        fresh = not self.path.exists()
        with self.path.open("a", newline="", encoding="utf8") as file:
            writer = csv.writer(file)
            writer.writerows([("step", "name", "value")] * fresh)
            writer.writerows((step, name, f"{value:.6g}") for name, value in metrics.items())


def build(names: Sequence[str], run: Path) -> list[Logger]:
    """The loggers of a run's folder, by their names in ``training.loggers``."""
    return [LOGGERS[name](run) for name in names]


def _tensorboard(run: Path) -> Logger:
    return TensorBoardLogger(str(run), name="", version=EVENTS)


def _mlflow(run: Path) -> Logger:
    """Where ``MLFLOW_TRACKING_URI`` says, else in the run's folder."""
    place = os.environ.get("MLFLOW_TRACKING_URI") or f"file:{run.resolve() / 'mlruns'}"
    return MLFlowLogger(experiment_name="polyfuse", run_name=run.name, tracking_uri=place)


LOGGERS = {"tensorboard": _tensorboard, "csv": lambda run: CsvLogger(run / METRICS), "mlflow": _mlflow}
