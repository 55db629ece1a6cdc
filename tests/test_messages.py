"""Bars are drawn where somebody looks, after a while, and one at a time."""

from __future__ import annotations

import pytest

from polyfuse.system import messages
from polyfuse.system.messages import progress, show_bars


@pytest.mark.parametrize(
    ("shown", "terminal", "drawn"), [(True, True, True), (False, True, False), (True, False, False)]
)
def test_a_bar_is_drawn_on_terminals_while_bars_are_on(monkeypatch, capsys, shown, terminal, drawn):
    monkeypatch.setattr(messages, "PATIENCE", -1)
    monkeypatch.setenv("FORCE_COLOR" if terminal else "NO_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1" if terminal else "0")
    with show_bars(shown):
        assert list(progress(range(5), "reading photos", 5)) == [0, 1, 2, 3, 4]
    assert ("reading photos" in capsys.readouterr().err) is drawn


def test_what_is_quick_draws_nothing(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with show_bars():
        assert list(progress("abc", "reading", 3)) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""


def test_an_inner_switch_does_not_turn_bars_off():
    with show_bars(True):
        with show_bars(False):
            assert messages._bars.get()
        assert messages._bars.get()
    assert not messages._bars.get()
