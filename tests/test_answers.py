"""Answers to a table: under names of their own, beside its rows, and never in its place."""

from __future__ import annotations

import logging
import os

import numpy as np
import pandas as pd
import pytest
import torch

import polyfuse as pf
from polyfuse.data.tables import read_table
from polyfuse.model.predictions import tabulate
from polyfuse.records import Prediction
from tests.tiny import FAST, write_table

pytestmark = pytest.mark.usefixtures("own_cache")
QUICK = (*FAST, "training.epochs=1")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = write_table(tmp_path_factory.mktemp("tiny"), rows=40)
    frame = pd.read_csv(path)
    frame.insert(0, "case_id", [f"K{n:03}" for n in range(40)])
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def model(table, tmp_path_factory):
    made = pf.fit(table, outputs=["label", "price"], inputs=["area", "kind"], split="split", settings=QUICK, quiet=True)
    made.save(tmp_path_factory.mktemp("models") / "m")
    return made


def test_the_table_that_is_read_is_never_written_over(model, table, tmp_path):
    before = table.read_bytes()
    link, hard = tmp_path / "link.csv", tmp_path / "hard.csv"
    link.symlink_to(table)
    os.link(table, hard)
    relative = os.path.relpath(table)
    cases = [
        (table, table),
        (relative, str(table)),
        (link, table),
        (hard, [table]),
        (table, {"test": table}),
        (table, table.as_uri()),
    ]
    for to, source in cases:
        with pytest.raises(ValueError, match="would destroy it: name another file"):
            model.predict(source, to=to)
    vectors = tmp_path / "vectors.npy"
    vectors.symlink_to(table)
    with pytest.raises(ValueError, match="would destroy it"):
        model.embed(table, to=vectors)
    with pytest.raises(ValueError, match=r"name a file that ends in \.html"):
        model.evaluation.to_html(table)
    found = tmp_path / "found" / "comparison.json"
    found.parent.mkdir()
    pd.read_csv(table).to_json(found, orient="records")
    kept = found.read_bytes()
    with pytest.raises(ValueError, match="would destroy it"):
        pf.compare(found, outputs="label", to=found.parent)
    assert found.read_bytes() == kept
    with pytest.raises(ValueError, match="exists and is no saved model"):
        pf.fit(table, outputs="label", to=table)
    assert table.read_bytes() == before


def test_the_demo_leaves_another_table_alone(table, tmp_path):
    pd.read_csv(table).to_parquet(tmp_path / "table.parquet")
    before = (tmp_path / "table.parquet").read_bytes()
    with pytest.raises(ValueError, match="would write over it: name another folder"):
        pf.demo(tmp_path)
    assert (tmp_path / "table.parquet").read_bytes() == before


def test_judging_without_the_outputs_column_points_at_predict(model, table):
    with pytest.raises(
        ValueError, match=r"no column 'label'; did you mean 'Label'\?; judging needs .*polyfuse predict"
    ):
        model.evaluate(pd.read_csv(table).rename(columns={"label": "Label"}))


def test_the_index_of_a_frame_is_kept(model, table):
    frame = pd.read_csv(table).sample(frac=1, random_state=0)
    found = model.predict(frame, verbose=False)
    assert found.index.equals(frame.index)
    frame["p"] = model.predict(frame)["price"]
    straight = model.predict(table)
    assert np.allclose(frame["p"].sort_index(), straight["price"])
    kept = model.predict(frame, where="kind == 'x'")
    assert kept.index.equals(frame.query("kind == 'x'").index)
    assert (frame.iloc[kept["row"]].index == kept.index).all()


def test_the_tables_own_columns_stand_beside_the_answers(model, table, tmp_path):
    rows = "split == 'test'"
    found = model.predict(table, where=rows, with_table=True, to=tmp_path / "p.csv")
    own = list(pd.read_csv(table).columns)
    assert list(found.columns[: len(own)]) == own
    assert {"row", "label_predicted", "label_confidence", "price_predicted"} <= set(found.columns)
    assert "label_2" not in found
    bare = model.predict(table, where=rows)
    assert found["price_predicted"].tolist() == bare["price"].tolist()
    written = pd.read_csv(tmp_path / "p.csv", dtype=str, keep_default_na=False)
    original = pd.read_csv(table, dtype=str, keep_default_na=False).query(rows)
    pd.testing.assert_frame_equal(written[own], original.reset_index(drop=True))
    frame = pd.read_csv(table).set_index("case_id")
    beside = model.predict(frame, with_table=True, to=tmp_path / "q.csv")
    pd.testing.assert_frame_equal(beside[frame.columns], frame)
    assert pd.read_csv(tmp_path / "q.csv")["case_id"].tolist() == frame.index.tolist()


def test_what_a_file_cannot_hold_is_said(model, table, tmp_path):
    frame = pd.read_csv(table).assign(pixels=[np.zeros((2, 2))] * 40, raw=[b"x"] * 40)
    model.predict(frame, with_table=True, to=tmp_path / "p.csv", verbose=False)
    assert "'pixels', 'raw': left out of the file" in model.notes[-1]
    assert "pixels" not in pd.read_csv(tmp_path / "p.csv")
    model.predict(frame, with_table=True, to=tmp_path / "p.parquet", verbose=False)
    assert pd.read_parquet(tmp_path / "p.parquet")["raw"][0] == b"x"


def test_one_row_is_a_dict(model):
    found = model.predict({"area": 3.0, "kind": "x"})
    assert len(found) == 1
    pd.testing.assert_frame_equal(found, model.predict([{"area": 3.0, "kind": "x"}]))
    listed = model.predict({"area": [3.0, 1.0], "kind": "x"})  # a list beside a single cell is a cell too
    assert len(listed) == 1


def test_names_never_collide():
    """A confidence of ``label`` beside an output called ``label_confidence``, classes that are written alike."""
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8]])
    sure = Prediction(["a", "b"], torch.zeros(2, 2), {"probabilities": probabilities, "confidence": np.ones(2)})
    predictions = {"label": sure, "label_confidence": Prediction([1.5, 2.5])}
    predictions |= {"row": sure, "label_p_1": Prediction([1, 2])}
    classes = {"label": [1, "1"], "row": ["a", "b"]}
    table = read_table({"x": [1, 2]})
    made = tabulate(predictions, classes, table)
    assert made.frame["label_confidence"].tolist() == [1.5, 2.5]
    assert made.frame["label_confidence_2"].tolist() == [1, 1]
    assert made.frame["label_p_1"].tolist() == [1, 2]
    assert made.probabilities["label"] == ["label_p_1_2", "label_p_1_3"]
    assert made.frame["table_row"].tolist() == [0, 1]
    assert made.frame.columns.is_unique
    assert len(made.frame.columns) == 1 + 4 + 2 + 4


def test_probabilities_of_many_classes_stay_out_of_files_unless_asked(tmp_path):
    frame = pd.DataFrame({"x": np.arange(63.0) ** 2, "y": [f"c{n % 21:02}" for n in range(63)]})
    model = pf.fit(frame, outputs="y", settings=[*QUICK, "data.fractions=[1,0,0]"], quiet=True)
    found = model.predict(frame, to=tmp_path / "p.csv", verbose=False)
    assert "y_p_c00" in found
    assert not [name for name in pd.read_csv(tmp_path / "p.csv") if "_p_" in name]
    assert "no columns for the probabilities of the 21 classes of y" in model.notes[-1]
    model.predict(frame, to=tmp_path / "p.csv", proba=True)
    assert "y_p_c00" in pd.read_csv(tmp_path / "p.csv")
    assert "y_p_c00" not in model.predict(frame, proba=False)


def test_costs_and_thresholds_change_the_answers_and_their_judgement(model, table):
    plain = model.predict(table)
    dear = model.predict(table, costs={"b": 1e6})
    assert set(dear["label"]) == {"b"}
    assert np.allclose(dear["label_confidence"], plain["label_p_b"])
    bar = float(plain["label_p_b"].median())
    found = model.predict(table, thresholds={"label": {"b": bar}})
    assert ((found["label"] == "b") == (plain["label_p_b"] >= bar - 1e-7)).mean() > 0.95
    report = model.evaluate(table, costs={"b": 1e6}, verbose=False)
    recall = {row["class"]: row["recall"] for row in report.outputs["label"].per_class}
    assert recall == {"a": 0.0, "b": 1.0}
    assert any("answered by costs" in note for note in report.meta["notes"])
    mistakes = (({"c": 2}, "no class 'c'"), ({"price": {"b": 2}}, "no classes to weigh"), ({"b": -1}, "from 0 on"))
    for wrong, message in mistakes:
        with pytest.raises(ValueError, match=message):
            model.predict(table, costs=wrong)


def test_a_recipe_may_name_the_costs(table):
    options = {"outputs": "label", "inputs": "area", "split": "split", "quiet": True}
    settings = {"width": 16, "preset": "plain", "training": {"epochs": 1, "batch_size": 16}}
    settings["outputs"] = {"label": {"head": {"name": "category", "cost": {"b": 1e6}}}}
    made = pf.fit(table, **options, settings=settings)
    assert set(made.predict(table)["label"]) == {"b"}
    assert made.evaluation.outputs["label"].per_class[1]["recall"] == 1


def test_rows_have_one_number_everywhere_beside_their_identifier(model, table, tmp_path):
    frame = pd.read_csv(table)
    place, rows = tmp_path / "t.csv", "split == 'test'"
    number = int(frame.index[frame["split"] == "test"][1])
    areas = ["wide" if row == number else area for row, area in enumerate(frame["area"])]
    frame.assign(area=areas).to_csv(place, index=False)
    found = model.predict(place, where=rows, verbose=False)
    assert number in found["row"].tolist()
    assert found["case_id"].tolist() == [f"K{row:03}" for row in found["row"]]
    assert f"t.csv, row {number} (case_id K{number:03})" in model.notes[0]
    report = model.evaluate(place, where=rows, verbose=False)
    assert report.broken["area"][0]["row"] == f"t.csv, row {number} (case_id K{number:03})"
    shown = {sample.row: sample.identifier for sample in report.samples}
    assert shown.keys() <= set(found["row"])
    assert all(called == f"case_id K{row:03}" for row, called in shown.items())
    page = report.to_html(tmp_path / "r.html").read_text(encoding="utf8")
    assert f"case_id K{next(iter(shown)):03}" in page


def test_what_there_is_to_say_is_logged(table, caplog):
    frame = pd.read_csv(table)
    frame["area"] = ["wide" if row == 5 else area for row, area in enumerate(frame["area"])]
    frame["copy"] = frame["label"]
    options = {"outputs": "label", "inputs": ["area", "copy"], "split": "split", "settings": QUICK}
    with caplog.at_level(logging.INFO, logger="polyfuse"):
        model = pf.fit(frame, **options, quiet=True, verbose=True)
        said = [record.getMessage() for record in caplog.records if record.name == "polyfuse"]
        assert said == list(dict.fromkeys(model.notes))
        assert any("is a copy of the output 'label'" in line for line in said)
        assert any("cannot be read" in line for line in said)
        caplog.clear()
        model.predict(frame)
        model.evaluate(frame)
        assert sum("cannot be read" in record.getMessage() for record in caplog.records) == 2
        caplog.clear()
        pf.fit(frame, **options, quiet=True)
        model.predict(frame, verbose=False)
        model.evaluate(frame, verbose=False)
        assert not caplog.records


def test_a_test_split_without_labels_is_said_and_validation_judges(table):
    frame = pd.read_csv(table)
    frame.loc[frame["split"] == "test", "label"] = None
    options = {"inputs": ["area", "kind"], "split": "split", "settings": QUICK, "quiet": True}
    model = pf.fit(frame, outputs="label", **options)
    assert any("no test row has a value of 'label'" in note for note in model.notes)
    assert any("figures come from validation rows" in note for note in model.notes)
    assert 0 <= model.evaluation.outputs["label"].metrics["accuracy"] <= 1
    both = pf.fit(frame, outputs=["label", "price"], **options)
    assert both.evaluation.outputs["price"].metrics["rmse"] is not None
    assert any("'label' is not judged" in note for note in both.evaluation.meta["notes"])
    with pytest.raises(ValueError, match="so there is nothing to judge; predict"):
        model.evaluate(frame, where="split == 'test'")
    with pytest.raises(ValueError, match="needs test rows with a value of output 'label'"):
        pf.compare(frame, outputs="label", inputs=["area", "kind"], split="split", settings=QUICK, seeds=1)


def test_things_show_themselves_in_a_few_words(model, table):
    report = model.evaluate(table, verbose=False)
    found = pf.inspect(table)
    for shown in (report, report.outputs["label"], model, found, model.summary()):
        assert len(repr(shown)) < 2000
    assert "accuracy" in repr(report)
    assert "area: number" in repr(found)
    for shown in (report, model, found, model.summary()):
        html = shown._repr_html_()
        assert "<pre" in html
        assert len(html) < 100_000
    assert "&lt;b&gt;" in pf.inspect({"<b>": ["x", "y"]})._repr_html_()


def test_a_loaded_model_knows_how_good_it_was(model):
    loaded = pf.load(model.folder)
    assert loaded.evaluation.to_json() == model.evaluation.to_json() == loaded.facts["evaluation"]
    assert loaded.evaluation.seconds.keys() == {"reading", "encoding", "training", "judging"}
    assert loaded.evaluation.history == model.evaluation.history != []
    assert loaded.report is loaded.facts
    assert loaded.fit_report is loaded.evaluation


def test_columns_are_weighed_by_the_rules_that_are_asked_for(model, table):
    """Under a cost at which every row gets one class, no column changes the answer."""
    options = {"importance": 40, "costs": {"label": {"a": 1e9}}, "verbose": False}
    report = model.evaluate(table, **options)
    assert {row["label"]["drop"] for row in report.importance} == {0.0}
    assert type(report).from_json(report.to_json()).importance == report.to_json()["importance"]
    assert report.seconds.keys() == {"reading", "judging"}
    assert any("costs" in note for note in report.meta["notes"])


def test_broken_cells_are_shown_wherever_an_inspection_is(tmp_path):
    (tmp_path / "0.png").write_bytes(b"no picture")
    found = pf.inspect({"photo": ["0.png", "1.png"], "n": [1.5, 2.5]}, inputs="photo=image", media_root=tmp_path)
    assert "cells that cannot be read" in found._repr_html_()


def test_a_summary_counts_every_number_once(model, table):
    summary = model.summary(table)
    assert summary.parameters == sum(t.numel() for t in model.bundle.network.state_dict().values())
    assert summary.size == sum(f.stat().st_size for f in model.folder.rglob("*") if f.is_file())
    costs = {part.name: part.milliseconds for part in summary.parts}
    assert costs["columns"] > 0
    assert costs["label"] is None
    assert summary.to_json()["parts"][0]["what"] == "mlp on area, kind"


def test_one_name_is_a_list_of_one(table):
    found = pf.inspect(table, inputs="kind=text")
    assert next(column for column in found.columns if column["column"] == "kind")["modality"] == "text"
    numbered = pd.read_csv(table)[["area", "label"]].set_axis([0, 1], axis=1)
    model = pf.fit(numbered, outputs=1, inputs=0, settings="training.steps=1", preset="plain", quiet=True)
    assert list(model.recipe.outputs) == ["1"]
    assert model.recipe.training.steps == 1
