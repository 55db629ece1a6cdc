"""What a training does to its process: signals are given back, a kill is polite, threads take turns."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest

import polyfuse as pf
from polyfuse.system.process import Interrupted, SignalListener, training_alone
from polyfuse.training import train_members
from polyfuse.training.callbacks import Resumable
from tests.tiny import FAST

pytestmark = pytest.mark.usefixtures("own_cache", "in_front")
SETTINGS = ["preset=plain", "training.steps=4", "width=16"]


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    x = rng.normal(size=80)
    table = pd.DataFrame({"x": x, "z": rng.normal(size=80), "y": np.where(x > 0, "up", "down")})
    return table.assign(split=np.resize(["train", "train", "train", "test"], 80))


@pytest.fixture
def in_front():
    """A process in the background ignores Ctrl-C, and so does whatever it trains."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def fit(frame, **options):
    return pf.fit(frame, outputs=["y"], split="split", quiet=True, **{"settings": SETTINGS, **options})


def handlers():
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def test_after_training_signals_go_where_they_went_before(frame):
    before = handlers()
    fit(frame)
    assert handlers() == before


@pytest.mark.slow
def test_a_process_that_has_trained_dies_of_a_polite_kill():
    code = """
import os, signal, numpy as np, pandas as pd, polyfuse as pf
table = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 2)), columns=["x", "y"])
pf.fit(table, outputs=["y"], settings=["preset=plain", "training.steps=1"], quiet=True)
os.kill(os.getpid(), signal.SIGTERM)
signal.pause()
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=300).returncode == -signal.SIGTERM


def test_listening_gives_back_and_hears_beside_the_users_own_handler():
    own, heard = [], []
    before = signal.signal(signal.SIGTERM, lambda *_: own.append("own"))
    try:
        mine = handlers()
        with SignalListener(heard.append), SignalListener(heard.append):
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # as a library might leave it
        assert handlers() == mine
        with SignalListener(heard.append), SignalListener(heard.append):
            signal.raise_signal(signal.SIGTERM)
        assert own == ["own"]
        assert heard == [signal.SIGTERM]  # the inner one alone
    finally:
        signal.signal(signal.SIGTERM, before)


def test_what_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with SignalListener(lambda _: pytest.fail("heard")):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_kill_while_learners_are_fitted_is_polite_and_says_what_is_kept(frame, tmp_path, monkeypatch, number):
    before = handlers()
    monkeypatch.setattr(train_members, "fit_members", lambda *_: signal.raise_signal(number))
    with pytest.raises(Interrupted, match="nothing to resume from: the same call begins again"):
        fit(frame, to=tmp_path / "m", settings=["preset=scratch", "width=16"])
    assert handlers() == before
    assert not (tmp_path / "m").exists()


def test_the_command_says_what_is_kept_and_ends_with_130(frame, tmp_path, monkeypatch, capsys):
    from polyfuse.cli import main

    frame.to_csv(tmp_path / "t.csv", index=False)
    monkeypatch.setattr(train_members, "fit_members", lambda *_: signal.raise_signal(signal.SIGTERM))
    words = ["polyfuse", "fit", str(tmp_path / "t.csv"), "--output", "y", "--to", str(tmp_path / "m")]
    monkeypatch.setattr("sys.argv", [*words, "--preset", "scratch"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 130
    stopped.value.__cause__ = stopped.value.__context__ = None  # or the tests end as if by Ctrl-C
    assert "interrupted before there was a model" in capsys.readouterr().err


@pytest.mark.parametrize("checkpoint", [False, True])
def test_a_way_on_is_only_named_where_there_is_one(frame, tmp_path, monkeypatch, checkpoint):
    sent = []

    def interrupt(self, trainer, learner):
        if checkpoint and not sent:
            trainer.save_checkpoint(self.path)
        if not sent:
            sent.append(signal.raise_signal(signal.SIGINT))

    monkeypatch.setattr(Resumable, "on_train_epoch_end", interrupt)
    settings = ["preset=plain", "training.steps=50", "width=16"]
    model = fit(frame, to=tmp_path / "m", settings=settings)
    assert model.report["training"]["interrupted"]
    (note,) = [note for note in model.notes if note.startswith("interrupted")]
    assert ("--resume" in note) is checkpoint
    assert ("begins again" in note) is not checkpoint


def test_a_second_signal_ends_at_once(frame, tmp_path, monkeypatch):
    before = handlers()
    monkeypatch.setattr(Resumable, "on_train_epoch_end", lambda *_: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Interrupted, match="before there was a model"):
        fit(frame, to=tmp_path / "m", settings=["preset=plain", "training.steps=50", "width=16"])
    assert handlers() == before


def test_a_model_outlives_an_interruption_of_its_judging(frame, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "polyfuse.evaluation.evaluate.predict_subsets", lambda *_, **__: signal.raise_signal(signal.SIGINT)
    )
    model = fit(frame, to=tmp_path / "m")
    assert model.fit_report is None
    assert any("interrupted while it was judged" in note for note in model.notes)
    assert pf.load(tmp_path / "m").report["training"]["interrupted"]


def test_trainings_of_two_threads_repeat_what_each_gives_alone(frame):
    settings = [*FAST, "fusion=embrace"]  # it draws from torch's generator in every step
    alone = [fit(frame, seed=seed, settings=settings).predict(frame)["y_p_up"].to_numpy() for seed in (0, 1)]
    found = {}

    def train(seed):
        found[seed] = fit(frame, seed=seed, settings=settings).predict(frame)["y_p_up"].to_numpy()

    threads = [threading.Thread(target=train, args=(seed,)) for seed in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.array_equal(found[0], alone[0])
    assert np.array_equal(found[1], alone[1])


def test_a_training_inside_of_another_does_not_wait_for_itself():
    with training_alone(), training_alone():
        pass
