"""A time budget holds: probes are short where time is, and a schedule goes by faster where steps become slow."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

import polyfuse as pf
from polyfuse.evaluation import evaluate
from polyfuse.recipe import Recipe
from polyfuse.training import callbacks, speed, train
from polyfuse.training import fit as fitting
from polyfuse.training.callbacks import Pace

pytestmark = pytest.mark.usefixtures("own_cache")


class Tiny(torch.nn.Module):
    """Counts its steps; it has no outputs."""

    outputs = ()

    def __init__(self):
        super().__init__()
        self.weight, self.calls = torch.nn.Parameter(torch.ones(1)), 0

    def forward(self, batch):
        self.calls += 1
        return self.weight

    def losses(self, state, batch):
        return {"loss": state.sum()}


class Clock:
    """Stands still until it is told to go on."""

    now = 100.0

    def monotonic(self):
        return self.now


def run(seconds_of, total, budget, monkeypatch):
    """Steps under ``Pace`` whose duration a function of the step says -> steps taken, time used, schedule's end."""
    clock = Clock()
    monkeypatch.setattr(callbacks, "time", clock)
    pace = Pace(total, clock.now + budget)
    trainer, learner = SimpleNamespace(global_step=0, should_stop=False), SimpleNamespace(ahead=0.0)
    pace.on_train_start()
    while trainer.global_step < total and not trainer.should_stop:
        clock.now += seconds_of(trainer.global_step)
        trainer.global_step += 1
        pace.on_train_batch_end(trainer, learner)
    return trainer.global_step, clock.now - 100, trainer.global_step + learner.ahead, pace.hurried


def test_steps_as_quick_as_measured_are_all_taken(monkeypatch):
    assert run(lambda _: 0.09, 100, 10, monkeypatch) == (100, pytest.approx(9), 100, False)


@pytest.mark.parametrize("seconds_of", [lambda n: 0.5, lambda n: 0.05 if n < 50 else 0.9, lambda n: 0.2 + n / 50])
def test_slower_steps_end_the_schedule_in_time_and_whole(monkeypatch, seconds_of):
    steps, used, end, hurried = run(seconds_of, 100, 10, monkeypatch)
    assert hurried
    assert steps < 100
    assert used <= 10 + seconds_of(steps)
    assert end >= 70  # the rates have fallen


def test_one_step_longer_than_the_budget_is_the_last(monkeypatch):
    assert run(lambda _: 30.0, 100, 10, monkeypatch)[0] == 1


def test_a_training_slower_than_measured_ends_in_time_and_says_so(monkeypatch):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=60), "z": rng.normal(size=60)})
    frame["y"] = frame.x * 2
    monkeypatch.setattr(train, "affordable_steps", lambda *_: 10**6)
    settings = ["preset=plain", "training.steps=auto", "training.epochs=1000000", "width=16"]
    model = pf.fit(frame, outputs=["y"], time=1.5, settings=settings, quiet=True)
    facts = model.report["training"]
    assert 0 < facts["steps"] < facts["planned"] == 10**6
    assert facts["shortened"] == 10**6 - facts["steps"]
    assert model.recipe.training.steps == facts["steps"]
    assert any("longer than they were measured" in note for note in model.notes)


def test_judging_is_part_of_the_budget_or_said_before_it_is_spent(monkeypatch, caplog):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=200), "y": rng.normal(size=200)})
    frame["split"] = np.resize(["train", "test"], 200)
    deadlines, real = [], fitting.train_together

    def spied(*args, deadline=None, **more):
        deadlines.append(deadline - time.monotonic())
        return real(*args, deadline=deadline, **more)

    monkeypatch.setattr(fitting, "train_together", spied)
    options = {"outputs": ["y"], "split": "split", "settings": ["preset=plain", "training.epochs=1"], "quiet": True}
    for seconds, room in ((1.0, 1000 - 1.0), (900.0, 600)):
        monkeypatch.setattr("polyfuse.evaluation.evaluate.estimate_seconds", lambda *_, told=seconds: told)
        model = pf.fit(frame, time=1000, **options)
        assert room - 60 < deadlines[-1] <= room
        assert any("judging 100 rows takes about 900 s" in note for note in model.notes) is (seconds == 900)
    assert "which will not hold" in caplog.text


def test_judging_is_timed_on_rows_that_can_be_judged():
    """The first test rows have no value of the output; in no test row at all, validation rows are judged."""
    frame = pd.DataFrame({"x": np.linspace(0, 1, 200), "y": np.linspace(1, 0, 200)})
    frame["split"] = np.resize(["train", "val", "test", "test"], 200)
    options = {"outputs": ["y"], "split": "split", "settings": ["preset=plain", "training.epochs=1"], "quiet": True}
    test = frame.index[frame.split == "test"]
    for known in (test[:70], test):
        model = pf.fit(frame.assign(y=frame.y.where(~frame.index.isin(known))), time=1000, **options)
        assert model.evaluation.rows == (100 if len(known) < len(test) else 50)


def test_judging_is_timed_on_few_rows(monkeypatch):
    judged, clock = [], Clock()
    monkeypatch.setattr(evaluate, "time", clock)

    def judge(bundle, table, prepared, rows, **_):
        judged.append(len(rows))
        clock.now += 1 + len(rows) / 10

    monkeypatch.setattr(evaluate, "evaluate_rows", judge)
    assert evaluate.estimate_seconds(None, None, None, np.arange(1000)) == pytest.approx(1 + 100)
    assert judged == [16, 64]
    assert evaluate.estimate_seconds(None, None, None, np.arange(10)) == pytest.approx(2)


def test_a_probe_takes_no_longer_than_its_share(monkeypatch):
    def probe(**options):
        network = Tiny()
        batches = [SimpleNamespace(to=lambda _: "batch")] * 20
        speed.step_seconds(network, Recipe(), batches, **options)
        return network.calls

    monkeypatch.setattr(speed, "parameter_groups", lambda network, _: [{"params": list(network.parameters())}])
    assert probe() == speed.PROBE
    assert probe(until=time.monotonic() - 1) == speed.LEAST_PROBE
    assert speed.probe_deadline(None) is None
