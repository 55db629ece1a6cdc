"""The page: complete, self-contained, well-formed, and immune to whatever a table holds."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from polyfuse.evaluation.judges import judge
from polyfuse.evaluation.missing import missing_table
from polyfuse.evaluation.outcome import Outcome
from polyfuse.evaluation.previews import CellPreview, preview_cell
from polyfuse.evaluation.report import Report
from polyfuse.evaluation.samples import samples

VOID = {"meta", "img", "br", "link", "input", "hr"}
ATTACKS = [
    "<script>alert(1)</script>",
    '" onmouseover="alert(1)',
    "'><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}",
    "$x$",
]
HEADINGS = ["What each input contributes", "in detail", "Rows of the table", "could not be read", "Terms"]


class Page(HTMLParser):
    """Tags in balance, attributes and text of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text = ""
        self.tags: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def page(report: Report, tmp_path) -> tuple[str, Page]:
    text = report.to_html(tmp_path / "out" / "report.html").read_text(encoding="utf8")
    return text, Page(text)


def category(classes: list, rows: int = 60, seed: int = 0) -> Outcome:
    rng = np.random.default_rng(seed)
    codes = rng.integers(len(classes), size=rows)
    scores = rng.normal(size=(rows, len(classes)))
    scores[np.arange(rows), codes] += 1.5
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    return Outcome("category", [classes[c] for c in codes], [classes[c] for c in p.argmax(1)], p, classes)


def full(name: str, outcome: Outcome, words: list[str]) -> Report:
    """A report with every section, with the given words wherever a table could put them."""
    cells = {
        words[0]: CellPreview("text", words[0]),
        "picture": preview_cell("image", np.zeros((8, 8), dtype=np.uint8)),
        "sound": preview_cell("audio", {"array": np.zeros(800, dtype=np.float32), "sampling_rate": 8000}),
        "gone": CellPreview("missing", ""),
        "bad": CellPreview("broken", words[1]),
        "size": CellPreview("number", "3.5"),
    }
    found = judge(outcome, bootstrap=50)
    return Report(
        rows=len(outcome.target),
        outputs={name: found},
        broken={words[0]: [{"row": 3, "file": words[1], "reason": words[2]}], "voice": 4},
        missing_modality=missing_table(lambda keep: {name: outcome}, [words[0], "b"], bootstrap=0),
        samples=samples(name, outcome, found, lambda row: cells),
        meta={"model": words[2], "table": words[1], words[0]: words[0], "notes": [words[1]], "parts": {"a": words[2]}},
    )


def outcomes() -> dict[str, Outcome]:
    number = Outcome("number", list(np.linspace(1, 9, 30)), list(np.linspace(2, 8, 30)))
    tags = Outcome("labels", [["a"], [], ["a", "b"]] * 5, [["a"], ["b"], []] * 5, np.full((15, 2), 0.4), ["a", "b"])
    many = category([f"c{i}" for i in range(60)])
    return {"category": category(list("abc")), "many": many, "number": number, "labels": tags}


@pytest.mark.parametrize("name", outcomes())
def test_every_section_is_there(name, tmp_path):
    report = full(name, outcomes()[name], ["first", "second", "third"])
    _, parsed = page(report, tmp_path)
    assert [heading for heading in HEADINGS if heading not in parsed.text] == []
    assert "third" in parsed.text
    assert {"img", "audio", "svg"} <= set(parsed.tags)
    assert ("Confusion matrix" in parsed.text) == (name == "category")
    assert ("Most frequent confusions" in parsed.text) == (name == "many")
    assert ("Predicted against true" in parsed.text) == (name == "number")


def test_nothing_in_a_table_becomes_markup(tmp_path):
    report = full(ATTACKS[0], category(ATTACKS), ATTACKS[:3])
    number = full(ATTACKS[1], outcomes()["number"], ATTACKS[:3])
    for each in (report, number):
        _, parsed = page(each, tmp_path)
        assert "script" not in parsed.tags
        assert not [a for a in parsed.attributes if a[1].startswith("on")]
        assert parsed.tags.count("img") == len(each.samples)
        assert ATTACKS[0] in parsed.text
    assert "{{ 7 * 7 }}" in page(report, tmp_path)[1].text


def test_nothing_is_loaded_from_anywhere(tmp_path):
    text, parsed = page(full("digit", category(list("abc")), ["x", "y", "z"]), tmp_path)
    links = [value for _, name, value in parsed.attributes if name in ("src", "href", "xlink:href", "action", "data")]
    assert links
    assert all(value.startswith(("data:image/", "data:audio/wav;", "#")) for value in links)
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))
    assert "@import" not in text
    assert "default-src 'none'" in text


def test_bytes_of_no_known_type_are_not_embedded(tmp_path):
    outcome = category(list("ab"), rows=4)
    cell = {"c": CellPreview("image", b"<svg onload='alert(1)'>")}
    report = judge(outcome)
    _, parsed = page(Report(4, {"o": report}, samples=samples("o", outcome, report, lambda row: cell)), tmp_path)
    assert "img" not in parsed.tags
    assert "cannot be shown" in parsed.text


def test_labels_are_written_as_the_table_has_them(tmp_path):
    outcome = category([100080, 200030], rows=9)  # postal codes
    report = judge(outcome)
    _, parsed = page(Report(9, {"o": report}, samples=samples("o", outcome, report, lambda row: {})), tmp_path)
    assert "100080" in parsed.text
    assert "100,080" not in parsed.text


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome("category", [None] * 3, ["a"] * 3, np.ones((3, 1)), ["a"]),
        Outcome("category", ["a"], ["a"], np.ones((1, 1)), ["a"]),
        Outcome("number", [None], [1.0]),
        Outcome("number", [1.0, 2.0], [float("nan"), float("inf")]),
        Outcome("labels", [[]], [[]], np.zeros((1, 1)), ["a"]),
        Outcome("category", [], [], np.zeros((0, 2)), ["a", "b"]),
    ],
)
def test_tables_with_nothing_to_show(outcome, tmp_path):
    report = judge(outcome)
    shown = samples("o", outcome, report, lambda row: {})
    table = missing_table(lambda keep: {"o": outcome}, ["a", "b"])
    page(Report(len(outcome.target), {"o": report}, missing_modality=table, samples=shown), tmp_path)


def test_a_report_without_outputs(tmp_path):
    page(Report(0, {}), tmp_path)


def test_the_page_is_the_same_every_time(tmp_path):
    reports = [full("digit", category(list("abc")), ["x", "y", "z"]) for _ in range(2)]
    assert page(reports[0], tmp_path)[0] == page(reports[1], tmp_path)[0]
