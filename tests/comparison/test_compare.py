"""Comparing fusions end to end on a tiny table: one pass over data, resumable, budgeted, judged on the same rows."""

from __future__ import annotations

import io
import json
import os
import signal
import sys

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import polyfuse as pf
from polyfuse.cli import main
from polyfuse.comparison.compare import choose_fusions
from polyfuse.comparison.context import Context, Variant, normalize_source
from polyfuse.comparison.plan import Cost
from polyfuse.recipe import parse
from polyfuse.recipe.build import build_recipe
from polyfuse.registry import FUSION_ALIASES
from polyfuse.training.learner import Learner
from tests.tiny import write_table

FAST = ("training.epochs=3", "training.batch_size=32", "width=16", "preset=plain")


pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """With validation rows, and words and numbers only."""
    folder = tmp_path_factory.mktemp("tiny")
    frame = pd.read_csv(write_table(folder, rows=160))
    frame["split"] = np.resize(["train", "train", "train", "val", "test"], len(frame))
    frame[["words", "area", "kind", "label", "price", "split"]].to_csv(folder / "words.csv", index=False)
    return folder / "words.csv"


def compare(table, **more):
    options = {"outputs": ["label"], "split": "split", "settings": FAST, "fusions": "concat,mean,gated", "seeds": 2}
    return pf.compare(table, **options | more)


@pytest.fixture(scope="module")
def found(table, tmp_path_factory):
    to, said = tmp_path_factory.mktemp("comparison"), []
    return compare(table, to=to, say=said.append), to, said


def test_every_fusion_and_input_has_its_line(found):
    comparison, to, said = found
    shape = comparison.to_json()
    assert shape == json.loads((to / "comparison.json").read_text())
    assert {row["fusion"] for row in shape["fusions"]} == {"concat", "mean", "gated"}
    assert {row["input"] for row in shape["single"]} == {"text", "columns"}
    assert len(said) == (3 + 2) * 2
    for row in shape["fusions"]:
        assert row["completed"]
        assert row["seeds"] == 2
        low, high = row["accuracy_ci"]
        assert low <= row["accuracy"] <= high
        assert 0 < row["p_vs_single"] <= 1
        assert (row["p_vs_concat"] is None) == (row["fusion"] == "concat")
        assert set(row["without"]) == {"text", "columns"}
        assert row["parameters"] > 0
        assert row["train_seconds"] > 0
        assert row["predict_ms"] > 0
        assert 0 <= row["noise"] <= 1
    assert shape["best"] in {"concat", "mean", "gated"}
    values = [row["accuracy"] for row in shape["fusions"]]
    assert values == sorted(values, reverse=True)


def test_the_page_holds_everything(found):
    page = (found[1] / "comparison.html").read_text(encoding="utf8")
    assert "<svg" in page
    assert "gated" in page
    assert "src=" not in page
    assert "<script" not in page


def test_a_stopped_comparison_goes_on(table, found):
    comparison, to, _ = found
    said = []
    again = compare(table, to=to, say=said.append)
    assert said == []
    drop = {"date", "seconds"}
    old, new = comparison.to_json(), again.to_json()
    assert {k: v for k, v in old["meta"].items() if k not in drop} == {
        k: v for k, v in new["meta"].items() if k not in drop
    }
    assert old["fusions"] == new["fusions"]
    more = compare(table, to=to, fusions="concat,sum", say=said.append)
    assert len(said) == 2
    assert {line.name for line in more.fusions} == {"concat", "sum"}
    with pytest.raises(ValueError, match="holds runs of another comparison"):
        compare(table, to=to, outputs=["price"])


def test_a_run_equals_the_fit_of_its_recipe(table, found, tmp_path):
    line = next(line for line in found[0].fusions if line.name == "gated")
    fitted = pf.fit(table, outputs=["label"], split="split", fusion="gated", seed=1, settings=FAST, quiet=True)
    assert fitted.report["evaluation"]["outputs"]["label"]["accuracy"] == pytest.approx(line.found.by_seed[1])


def as_if_slow(_, some, __):
    return Cost(0.5, 0.2, {one.variant.key: 0.01 for one in some})


@pytest.mark.slow
def test_a_budget_stops_losers_early_and_says_so(table, monkeypatch):
    monkeypatch.setattr("polyfuse.comparison.plan._cost", as_if_slow)
    names = ("concat", "sum", "gated", "film", "hierarchical", "deepset", "mean", "hybrid")
    settings = ("training.epochs=200", "training.batch_size=32", "width=16", "preset=plain")
    found = compare(table, fusions=names, seeds=2, budget=12, settings=settings).to_json()
    stopped = [row for row in found["fusions"] if not row["completed"]]
    done = [row["fusion"] for row in found["fusions"] if row["completed"]]
    assert stopped
    assert "concat" in done
    assert all("p_vs_single" not in row for row in stopped)
    assert found["best"] in done
    assert any("stopped early" in note for note in found["meta"]["notes"])
    assert any("steps of each training" in note for note in found["meta"]["notes"])
    assert 20 <= found["meta"]["steps"] < 600  # of 96 rows in batches of 32, 200 times
    frame = pd.read_csv(table)
    frame.loc[frame.split == "val", "split"] = "train"
    with pytest.raises(ValueError, match="no validation rows"):
        compare(frame, budget=1, settings=(*settings, "data.fractions=[1,0,0]"))


def test_a_fusion_that_cannot_be_built_is_refused_and_the_rest_goes_on(table):
    settings = (*FAST, "fusion.name=tensor", "fusion.size=5000")
    found = compare(table, fusions="tensor,concat", seeds=1, settings=settings).to_json()
    refused = next(row for row in found["fusions"] if row["fusion"] == "tensor")
    assert "low_rank_tensor" in refused["refused"]
    assert next(row for row in found["fusions"] if row["fusion"] == "concat")["completed"]


def test_a_fusion_that_the_recipe_rules_out_is_refused(table):
    settings = ("training.epochs=1", *FAST[1:], "training.missing=token")
    rows = compare(table, fusions="decision,concat", seeds=1, settings=settings).to_json()["fusions"]
    refused = {row["fusion"]: row.get("refused") for row in rows}
    assert refused["concat"] is None
    assert "nothing can stand in" in refused["decision"]


@pytest.mark.parametrize("width", [60, 80, 300])
def test_no_terminal_is_too_narrow_for_names_and_figures(found, width):
    console = Console(width=width, file=io.StringIO())
    console.print(found[0])
    text = console.file.getvalue()
    assert "…" not in text
    assert all(text.count(line.name) >= (1 if width == 300 else 3) for line in found[0].fusions)


def test_other_settings_are_another_comparison(table, found):
    with pytest.raises(ValueError, match="holds runs of another comparison"):
        compare(table, to=found[1], settings=(*FAST, "training.warmup=0.3"))
    with pytest.raises(ValueError, match="holds runs of another comparison"):
        compare(table, to=found[1], settings=(*FAST, "fusion.depth=3"))


def test_every_fusion_trains_and_is_judged(table):
    found = compare(table, fusions="all", seeds=1, settings=("training.epochs=1", *FAST[1:])).to_json()
    assert {row["fusion"] for row in found["fusions"]} == {p.name for p in pf.parts("fusions")} - set(FUSION_ALIASES)
    assert all(row["completed"] for row in found["fusions"])


def test_aliases_run_once():
    names, notes = choose_fusions("attention,attention_shared")
    assert names == ["concat", "attention"]
    assert notes == ["attention_shared is another name of attention, which runs once"]
    assert choose_fusions("late,mean")[0] == ["concat", "late", "mean"]
    with pytest.raises(ValueError, match="did you mean 'gated'"):
        choose_fusions("gatd")


def test_numbers_are_compared_by_their_own_metric(table):
    found = compare(table, outputs=["price"], fusions="concat", seeds=1)
    assert found.metric == "r2"
    assert found.higher
    assert found.to_json()["fusions"][0]["r2"] == found.fusions[0].found.value


def test_texts_are_compared_with_how_they_were_written(table, tmp_path):
    found = compare(table, outputs=["label=text"], fusions="concat", seeds=1, to=tmp_path / "c",
                    settings=[*FAST[1:], "training.epochs=1", "outputs.label.head.decode.beams=3"])  # fmt: skip
    assert found.meta["answers made with"] == "beams 3"
    page = (tmp_path / "c" / "comparison.html").read_text(encoding="utf8")
    assert "answers made with</dt><dd>beams 3" in page


def test_frozen_encoders_run_once_per_cell(table, tmp_path, monkeypatch):
    model = pf.fit(table, outputs=["label"], inputs=["words=text"], split="split", to=tmp_path / "m", settings=FAST)
    calls = []
    kind = type(model.bundle.network.encoder("text"))
    forward = kind.forward

    def counted(self, fields, present_B):
        calls.append(len(present_B))
        return forward(self, fields, present_B)

    monkeypatch.setattr(kind, "forward", counted)
    monkeypatch.setattr("polyfuse.comparison.context._latency", lambda *_: 0.0)
    pf.compare(frozen_recipe(tmp_path / "m"), table=table, fusions="concat,gated,mean", seeds=2)
    frame = pd.read_csv(table)
    noised = (frame.split == "test").sum()  # noise gives every row a cell of its own
    assert 0 < sum(calls) <= frame.words.nunique() + noised


def frozen_recipe(model):
    values = {
        "inputs": {"text": {"columns": "words", "init_from": f"{model}#text", "transfer": "frozen"}},
        "outputs": {"label": {"column": "label"}},
        "data": {"split": "split", "columns": ["area"]},
        "training": {"epochs": 3, "batch_size": 32},
        "width": 16,
    }
    return parse(values)


def test_noise_heard_once_judges_as_noise_heard_anew(table, tmp_path):
    pf.fit(table, outputs=["label"], inputs=["words=text"], split="split", to=tmp_path / "m", settings=FAST, quiet=True)
    context = Context(frozen_recipe(tmp_path / "m"), pf.read_table(table))
    first, second = Variant("fusion", "gated"), Variant("single", "text")
    context.run(first, 0, 20)
    assert context.heard
    again = context.run(second, 0, 20)
    context.heard.clear()
    anew = context.run(second, 0, 20)
    assert again.noise == pytest.approx(anew.noise)
    assert again.retention == pytest.approx(anew.retention)


def test_an_interrupted_training_is_not_kept_and_ends_the_comparison(table, tmp_path, monkeypatch, capsys):
    step, steps = Learner.training_step, []

    def counted(self, batch, number):
        steps.append(number)
        if len(steps) == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, batch, number)

    monkeypatch.setattr(Learner, "training_step", counted)
    monkeypatch.setattr("sys.argv", ["polyfuse", "compare", str(table), "--output", "label", "--split", "split"])
    monkeypatch.setattr("sys.argv", [*sys.argv, "--fusion", "gated", "--seeds", "1", "--to", str(tmp_path / "c")])
    monkeypatch.setattr("sys.argv", [*sys.argv, *(f"--set={setting}" for setting in FAST)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert len(steps) == 1
    assert not list((tmp_path / "c").rglob("*.npz"))


def test_runs_of_another_version_are_not_gone_on_with(table, tmp_path, monkeypatch):
    compare(table, fusions="concat", seeds=1, to=tmp_path)
    monkeypatch.setattr("polyfuse.comparison.context._code", lambda: "another")
    with pytest.raises(ValueError, match="version of polyfuse"):
        compare(table, fusions="concat", seeds=1, to=tmp_path)


def test_other_words_in_the_code_are_no_other_version():
    code = '"""Says."""\nA = 1\n\n\ndef f(x):\n    """Doubles."""\n    return 2 * x  # twice\n'
    said = "# new\nA = 1\ndef f(x):\n    'Gives it twice.'\n    return (2 *\n        x)\n"
    assert normalize_source(code) == normalize_source(said)
    assert normalize_source(code) != normalize_source(code.replace("2 * x", "3 * x"))
    assert normalize_source("def f():\n    'Nothing.'") == normalize_source("def f():\n    pass")


def test_a_budget_that_is_large_enough_leaves_p_values(table):
    found = compare(table, fusions="concat,sum", seeds=1, budget=1e9).to_json()
    assert not any("no p-values" in note for note in found["meta"]["notes"])
    assert all(row["p_vs_single"] is not None for row in found["fusions"])


def test_what_has_hardly_begun_has_no_p_values_and_a_broken_budget_is_said(table, monkeypatch):
    monkeypatch.setattr("polyfuse.comparison.plan._cost", as_if_slow)
    said = []
    settings = ("training.epochs=200", "training.batch_size=32", "width=16", "preset=plain")
    found = compare(table, fusions="concat,sum", seeds=1, budget=0.001, settings=settings, say=said.append).to_json()
    assert found["meta"]["steps"] < 0.25 * 600
    assert any("judging included, they take about" in line for line in said)
    assert all(row.get("p_vs_single") is None and row.get("p_vs_concat") is None for row in found["fusions"])
    assert any("no p-values" in note for note in found["meta"]["notes"])
    assert any("more than the budget" in note for note in found["meta"]["notes"])


def test_what_names_a_comparison_has_one_order(table, tmp_path):
    pf.fit(table, outputs=["label"], inputs=["words=text"], split="split", to=tmp_path / "m", settings=FAST, quiet=True)
    part = {"columns": "words", "init_from": f"{tmp_path / 'm'}#text", "transfer": "frozen"}
    names = ["d", "b", "e", "a", "c"]  # of a set of five, whose order changes from process to process
    values = {"inputs": dict.fromkeys(names, part), "outputs": {"label": {"column": "label"}}, "width": 16}
    context = Context(parse({**values, "data": {"split": "split", "columns": ["area"]}}), pf.read_table(table))
    assert list(context.shared) == sorted(names)


def test_auto_takes_a_fusion_by_validation(table, tmp_path):
    model = pf.fit(table, outputs=["label"], split="split", fusion="auto", settings=FAST, to=tmp_path / "m", quiet=True)
    assert model.recipe.fusion.name not in ("auto", "default")
    assert any("fusion: auto took" in note for note in model.notes)
    again = pf.fit(tmp_path / "m", quiet=True)
    pd.testing.assert_frame_equal(model.predict(table), again.predict(table), check_exact=True)
    frame = pd.read_csv(table)
    frame.loc[frame.split == "val", "split"] = "test"
    with pytest.raises(ValueError, match="chooses on validation rows"):
        pf.fit(frame, outputs=["label"], split="split", fusion="auto", settings=(*FAST, "data.fractions=[1,0,0]"))


def test_auto_within_too_little_time_is_refused_at_once(table):
    with pytest.raises(ValueError, match=r"would try \d+ fusions, and the time budget has no room"):
        pf.fit(table, outputs=["label"], split="split", fusion="auto", settings=FAST, time=1)


def test_the_terminal_says_which_input_a_fusion_asks_from(table):
    told = Console(width=160, file=io.StringIO())
    told.print(compare(table, fusions="film", seeds=1))
    assert "film asks from text" in told.file.getvalue()


def test_an_alias_keeps_the_keywords_of_the_recipe(table):
    settings = (*FAST, "fusion.name=attention_shared", "fusion.depth=3")
    context = Context(*build_recipe(table, None, outputs=["label"], split="split", settings=settings))
    recipe = context.variant_recipe(Variant("fusion", "attention"), 0, 1)
    assert recipe.fusion.name == "attention"
    assert recipe.fusion.keywords["depth"] == 3


def test_a_fusion_that_asks_from_a_later_input_shares_frozen_encoders(table, tmp_path):
    pf.fit(table, outputs=["label"], inputs=["words=text"], split="split", to=tmp_path / "m", settings=FAST, quiet=True)
    text = {"columns": "words", "init_from": f"{tmp_path / 'm'}#text", "transfer": "frozen"}
    values = frozen_recipe(tmp_path / "m").model_dump(mode="json")
    values |= {"inputs": {"area": {"columns": "area", "modality": "columns"}, "text": text}}
    context = Context(parse(values), pf.read_table(table))
    network, *_ = context.network(Variant("fusion", "film"), 0, 10)
    assert network.fusion.query == "text"
    assert network.encoder("text") is context.shared["text"]


def test_an_asymmetric_fusion_asks_from_the_longest_input_and_remembers(table, tmp_path):
    options = {"outputs": ["label"], "split": "split", "fusion": "film", "settings": FAST, "quiet": True}
    model = pf.fit(table, to=tmp_path / "m", **options)
    assert model.recipe.fusion.keywords["query"] == "text"
    assert any("asks from input 'text'" in note for note in model.notes)
    assert pf.load(tmp_path / "m").bundle.network.fusion.query == "text"
    again = pf.fit(tmp_path / "m", quiet=True)
    pd.testing.assert_frame_equal(model.predict(table), again.predict(table), check_exact=True)
    named = pf.fit(table, **options | {"settings": (*FAST, "fusion.query=columns")})
    assert named.recipe.fusion.keywords["query"] == "columns"


def test_rows_of_a_unit_are_resampled_together(table):
    frame = pd.read_csv(table)
    twice = pd.concat([frame.assign(source=frame.index)] * 2)  # each row again: twice the rows, nothing new
    options = {"outputs": ["label"], "inputs": ["words", "area"], "split": "split", "settings": FAST}
    context = Context(*build_recipe(twice, None, **options), unit="source")
    outcome = context.run(Variant("fusion", "concat"), 0, context.steps).outcome
    assert context.groups is not None
    assert len(context.groups) == len(outcome.target)
    half = len(context.groups) // 2
    assert list(context.groups[:half]) == list(context.groups[half:])
    assert context.groups[:half] == [str(row) for row in frame.index[frame.split == "test"]]


def test_an_unjudgeable_comparison_is_refused(table):
    frame = pd.read_csv(table)
    with pytest.raises(ValueError, match="needs test rows"):
        compare(frame[frame.split != "test"])
    with pytest.raises(ValueError, match="seeds"):
        compare(table, seeds=0)
    with pytest.raises(ValueError, match="no column 'sound'"):
        compare(table, unit="sound")
    with pytest.raises(ValueError, match=r"needs an output|nothing to learn"):
        Context(parse({}), pf.read_table(table))


def test_from_the_command_line(table, tmp_path, monkeypatch, capsys):
    words = ["polyfuse", "compare", str(table), "--output", "label", "--split", "split", "--fusion", "concat",
             "--seeds", "1", "--set", "training.epochs=1", "--set", "preset=plain", "--set", "width=16",
             "--to", str(tmp_path / "c"), "--budget", "10m", "--unit", "kind"]  # fmt: skip
    monkeypatch.setattr("sys.argv", [*words, "--json"])
    with pytest.raises(SystemExit):
        main()
    shape = json.loads(capsys.readouterr().out)
    assert shape["output"] == "label"
    assert shape["meta"]["resampled by"] == "kind"
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr()
    assert "concat" in said.out
    assert "comparison.html" in said.err
    monkeypatch.setattr("sys.argv", [*words, "--budget", "soon"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code
    assert "soon" in capsys.readouterr().err
