"""Alignments compared by how well inputs find each other: same rows, intervals, paired p-values, clear refusals."""

from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import polyfuse as pf
from polyfuse.cli import main
from polyfuse.evaluation.judges import judge
from polyfuse.evaluation.outcome import Outcome
from tests.tiny import FAST

pytestmark = pytest.mark.usefixtures("own_cache")
INPUTS = ["words@words=text", "numbers@area,size=columns"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Words that name numbers, with validation rows; some rows lack an input."""
    rng = np.random.default_rng(0)
    names = np.array(["none", "one", "two", "three", "four", "five", "six", "seven"])
    area, size = rng.integers(0, 8, (2, 120))
    frame = pd.DataFrame({"words": [f"{names[a]} and {names[s]}" for a, s in zip(area, size, strict=True)]})
    frame = frame.assign(area=area + 0.5, size=size + 0.5, split=np.resize(["train", "train", "val", "test"], 120))
    frame["kind"] = np.where(area > 3, "large", "small")
    frame["heavy"] = 1 + np.arange(120) % 5
    frame.loc[3, "words"] = None
    path = tmp_path_factory.mktemp("pairs") / "table.csv"
    frame.to_csv(path, index=False)
    return path


def compare(table, **more):
    options = {"inputs": INPUTS, "align": "words,numbers", "split": "split", "settings": FAST, "seeds": 2}
    return pf.compare(table, verbose=False, **options | more)


@pytest.fixture(scope="module")
def found(table, tmp_path_factory):
    to, said = tmp_path_factory.mktemp("comparison"), []
    return compare(table, alignments="triplet,vicreg", to=to, say=said.append), to, said


def test_every_alignment_has_its_line_with_the_recipes_own_among_them(found):
    comparison, to, said = found
    shape = comparison.to_json()
    assert shape == json.loads((to / "comparison.json").read_text())
    assert {row["alignment"] for row in shape["alignments"]} == {"clip", "triplet", "vicreg"}
    assert shape["base"] == "clip"
    assert shape["metric"] == "mean_recall"
    assert not shape["single"]
    assert len(said) == 3 * 2
    for row in shape["alignments"]:
        low, high = row["mean_recall_ci"]
        assert 0 <= low <= row["mean_recall"] <= high <= 1
        assert (row["p_vs_base"] is None) == (row["alignment"] == "clip")
        assert 0 <= row["validation"] <= 1
        assert row["predict_ms"] > 0
        assert "without" not in row
    assert shape["best"] in {"clip", "triplet", "vicreg"}


def test_the_page_and_the_terminal_show_it_and_what_was_run_is_not_run_again(found, table):
    comparison, to, _ = found
    page = (to / "comparison.html").read_text(encoding="utf8")
    assert "comparison of alignments" in page
    assert "p, clip" in page
    assert "p, single" not in page
    terminal = io.StringIO()
    Console(file=terminal, width=160).print(comparison)
    assert "Mean recall" in terminal.getvalue()
    assert "against clip" in terminal.getvalue()
    again = []
    assert (
        compare(table, alignments="triplet,vicreg", to=to, say=again.append).to_json()["alignments"]
        == (comparison.to_json()["alignments"])
    )
    assert again == []


@pytest.mark.parametrize("weighing", [{}, {"weights": "heavy"}], ids=["plain", "weighted"])
def test_the_metric_is_that_of_the_report(table, weighing):
    """One alignment, one seed: the comparison's mean recall is the mean over the report's figures."""
    from polyfuse.comparison.alignments import AlignmentContext
    from polyfuse.recipe.build import build_recipe

    recipe, read = build_recipe(
        table, None, inputs=INPUTS, align="words,numbers", split="split", settings=FAST, **weighing
    )
    context = AlignmentContext(recipe, read, device="cpu")
    run = context.run(context.base, 0, context.steps)
    model = pf.fit(table, inputs=INPUTS, align="words,numbers", split="split", settings=FAST, quiet=True, **weighing)
    rows = model.evaluation.alignment
    wanted = np.mean([row["metrics"][f"recall@{k}"] for row in rows for k in (1, 5, 10)])
    assert context.value(run.outcome) == pytest.approx(wanted, abs=1e-9)


def test_rows_that_share_a_query_count_for_one():
    """A picture with two captions is one query; the caption that misses its picture counts nowhere."""
    rank = np.array([[1.0, 1.0], [1.0, 20.0], [20.0, 20.0], [np.nan, np.nan]])
    share = np.array([[0.5, 1.0], [0.5, 1.0], [1.0, 1.0], [0.0, 0.0]])
    outcome = Outcome("retrieval", [0, 1, 2, None], [0, 1, 2, None], share, classes=[30, 20], scores=rank)
    found = judge(outcome, bootstrap=50)
    assert found.metrics["recall@1"] == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert found.baseline.metrics["recall@10"] == pytest.approx((10 / 30 + 10 / 20) / 2)
    assert found.rows == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alignments": "clip,masked"}, "masked aligns no inputs.*expected clip, siglip"),
        ({"alignments": "clop"}, "unknown objective 'clop'; did you mean 'clip'"),
        ({"outputs": ["kind"], "alignments": "all", "weights": "heavy", "weighted_metrics": True}, "counted by query"),
        ({"fusions": "late"}, "see inputs before any fusion"),
        ({"align": (), "outputs": ["kind"], "alignments": "all"}, "no inputs are aligned"),
        ({"align": (), "settings": [*FAST, "objectives=[{name: masked, hide: numbers}]"]}, "needs an output.*--align"),
    ],
)
def test_what_does_not_apply_is_refused(table, options, message):
    with pytest.raises(ValueError, match=message):
        compare(table, **options)


def test_what_does_not_apply_to_one_alignment_is_refused_in_its_line(table):
    settings = [*FAST, "objectives=[{name: clip, key: kind, around: words}]"]
    found = compare(table, align=(), settings=settings, alignments="supcon,barlow,triplet", seeds=1).to_json()
    refused = {row["alignment"]: row.get("refused") for row in found["alignments"]}
    assert "around='words' does not apply" in refused["supcon"]
    assert "around" not in (refused["barlow"] or "")
    assert "key='kind' does not apply" in refused["barlow"]
    assert refused["clip"] is None
    assert refused["triplet"] is None


def test_from_the_command_line(table, capsys, monkeypatch):
    given = [
        "compare",
        str(table),
        "--align",
        "words,numbers",
        "--split",
        "split",
        "--seeds",
        "1",
        "--alignment",
        "clip",
    ]
    given += [f"--input={text}" for text in INPUTS] + [f"--set={setting}" for setting in FAST]
    monkeypatch.setattr("sys.argv", ["polyfuse", *given, "--json"])
    with contextlib.suppress(SystemExit):
        main()
    found = json.loads(capsys.readouterr().out)
    assert [row["alignment"] for row in found["alignments"]] == ["clip"]
