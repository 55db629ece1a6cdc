"""Texts on a page: none too long, none invisible, each in the direction of its script."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from polyfuse.evaluation.judges import judge
from polyfuse.evaluation.outcome import Outcome
from polyfuse.evaluation.passages import FOLDED, MOST, fold_text
from polyfuse.evaluation.previews import CellPreview
from polyfuse.evaluation.rendering import plain_text
from polyfuse.evaluation.report import Report
from polyfuse.evaluation.samples import samples
from tests.evaluation.test_html import Page


@given(st.text(max_size=40), st.integers(1, 400))
def test_a_text_is_whole_or_folded(text, times):
    whole = text * times
    found = fold_text(whole)
    assert whole.strip().startswith(found.text)
    assert found.text.startswith(found.beginning)
    assert len(found.beginning) <= FOLDED
    assert found.characters == len(whole.strip()) == len(found.text) + found.cut
    assert bool(found.beginning) == (len(whole.strip()) > FOLDED)


def shown(outcome: Outcome, cells: dict[str, CellPreview]) -> tuple[str, Page]:
    report = judge(outcome, bootstrap=0)
    found = samples("said", outcome, report, lambda row: cells, random=len(outcome.target))
    text = " ".join(
        Report(len(outcome.target), {"said": report}, samples=found).to_html("report.html").read_text("utf8").split()
    )
    return text, Page(text)


def test_every_script_has_its_direction_and_nothing_is_invisible(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    long = "word " * 10_000
    references = [
        ["两个孩子在荡秋千。"],
        ["كلب يركض على الشاطئ"],
        [""],
        [long],
        [f"reference {n}" for n in range(9)],
        [],
    ]
    texts = ["孩子在玩。", "كلب على الرمل", "something", "short", "reference 3", long]
    text, parsed = shown(
        Outcome("text", references, texts), {"source": CellPreview("text", long), "none": CellPreview("text", "")}
    )
    assert '<div dir="auto">كلب يركض على الشاطئ</div>' in text
    assert '<div dir="auto">两个孩子在荡秋千。</div>' in text
    assert parsed.text.count("empty reference") == 2
    assert "4 more" in parsed.text
    assert "49,999 characters" in parsed.text
    assert f"{49_999 - MOST:,} characters more, which the page leaves out" in parsed.text
    assert len(text) < 150_000


def test_answers_that_are_right_or_wrong_stand_beside_all_their_references(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = Outcome("text", [["red", "dark red"], ["Two"]] * 3, ["Red.", ""] * 3)
    text, parsed = shown(outcome, {})
    assert '<div dir="auto">red</div><div dir="auto">dark red</div>' in text
    assert "nothing was written" in parsed.text
    assert "Largest mistakes" in parsed.text


def test_a_terminal_shows_the_worst_the_best_and_some_rows_by_chance():
    references = [["a dog runs"], ["two\nkids [bold]"], [""], ["x " * 900]] * 4
    outcome = Outcome("text", references, ["a dog runs", "two kids", "", "x x"] * 4, metric="chrf")
    report = judge(outcome, bootstrap=0)
    text = plain_text(Report(16, {"said": report}, samples=samples("said", outcome, report, lambda row: {})))
    assert "said in some rows" in text
    assert [text.count(kind) for kind in ("worst", "best", "by chance")] == [2, 2, 2]
    assert "empty" in text
    assert "a dog runs" in text
