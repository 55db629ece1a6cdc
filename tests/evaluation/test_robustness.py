"""Curves of a trained model: they begin at the clean metric and move only where the model reads the noise."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console

import polyfuse as pf
from polyfuse.data.corrupt import CORRUPTIONS, default_corruptions
from polyfuse.data.tables import read_table
from polyfuse.evaluation import noise
from polyfuse.evaluation.curves import area
from polyfuse.evaluation.robustness import robustness
from tests.evaluation.test_html import Page
from tests.tiny import FAST, write_table

TEST = "split == 'test'"
QUICK = {"severities": (0.5, 1.0), "corruptions": default_corruptions()}


pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def model(table):
    return pf.fit(table, outputs=["label", "price"], split="split", settings=FAST, quiet=True)


@pytest.fixture(scope="module")
def report(model, table):
    return model.robustness(table, where=TEST, severities=(0.0, 0.5, 1.0))


def curves_of(report, output):
    """Every curve of an output: means, corruptions, together."""
    for found in report.inputs.values():
        yield found.curves[output]
        yield from (curves[output] for curves in found.by_corruption.values())
    yield report.together.curves[output]


def test_curves_begin_at_the_clean_metric_exactly(model, table, report):
    judged = model.evaluate(table, where=TEST)
    for output, metric in (("label", "accuracy"), ("price", "r2")):
        for curve in curves_of(report, output):
            assert curve.points[0].severity == 0
            assert curve.points[0].value == judged.outputs[output].metrics[metric]
            assert curve.points[0].interval == judged.outputs[output].intervals[metric]
        assert report.headlines[output].baseline == judged.outputs[output].baseline.metrics[metric]


def test_every_input_suffers_every_corruption_of_its_modality(report):
    assert {name: (f.modality, list(f.by_corruption)) for name, f in report.inputs.items()} == {
        name: (name, list(CORRUPTIONS[name])) for name in ("image", "audio", "text", "columns")
    }
    assert report.together.by_corruption == {}
    for found in report.inputs.values():
        values = [curves["label"].points[2].value for curves in found.by_corruption.values()]
        assert found.curves["label"].points[2].value == pytest.approx(np.mean(values))


def test_an_absent_input_is_the_row_of_the_missing_table(model, table, report):
    """At severity 1 of ``missing`` the model stands without that input: two ways to one number."""
    judged = model.evaluate(table, where=TEST)
    for name, found in report.inputs.items():
        rest = [row for row in judged.missing_modality if set(row["inputs"]) == set(report.inputs) - {name}]
        value = found.by_corruption["missing"]["price"].points[-1].value
        assert value == pytest.approx(rest[0]["price"]["r2"], rel=1e-4)


def test_areas_and_retention_follow_their_definitions(report):
    for output, headline in report.headlines.items():
        for curve in curves_of(report, output):
            a, b, c = (p.value for p in curve.points)
            assert curve.area == pytest.approx(area(curve.points)) == pytest.approx((a + 2 * b + c) / 4)
            if headline.advantage:
                share = [(v - headline.baseline) / (headline.clean - headline.baseline) for v in (b, c)]
                assert curve.retention == pytest.approx(np.mean(share))


def test_noise_in_an_input_that_the_model_does_not_use_changes_nothing(table):
    model = pf.fit(table, outputs=["label"], split="split", settings=[*FAST, "fusion=concat"], quiet=True)
    network = model.bundle.network
    join = network.joins[f"in_{network.inputs.index('image')}"]
    with torch.no_grad():
        join.project.weight.zero_()
    found = model.robustness(table, where=TEST, inputs=["image", "text"], severities=(1.0,))
    missing = found.inputs["image"].by_corruption.pop("missing")
    assert missing["label"].points[0].value is not None
    for curves in found.inputs["image"].by_corruption.values():
        first, last = curves["label"].points
        assert (first.value, first.interval) == (last.value, last.interval)
        assert curves["label"].retention in (1.0, None)
    assert list(found.inputs) == ["image", "text"]


def test_the_same_seed_gives_the_same_numbers_and_rows_keep_their_noise(model, table):
    one, same, other = (model.robustness(table, **QUICK, seed=seed).to_json() for seed in (1, 1, 2))
    assert one == same
    assert one["together"] != other["together"]


def test_a_metric_where_lower_is_better(model, table):
    found = model.robustness(table, where=TEST, metrics={"price": "rmse"}, **QUICK)
    headline = found.headlines["price"]
    assert not headline.higher
    assert found.to_json()["outputs"]["price"]["higher_is_better"] is False
    for curve in curves_of(found, "price"):
        if headline.advantage and curve.points[1].value > headline.clean and curve.points[2].value > headline.clean:
            assert curve.retention < 1
    assert found.headlines["label"].metric == "accuracy"


def test_the_fast_path_encodes_each_noised_input_once(model, table, monkeypatch):
    calls = []
    noised = noise.corrupt_cells
    monkeypatch.setattr(noise, "corrupt_cells", lambda s, *rest: calls.append(s.name) or noised(s, *rest))
    read, prepared = model._prepare_for_evaluation(table, None, None)
    found = robustness(
        model.bundle,
        read,
        prepared,
        np.arange(len(read)),
        severities=(0.5,),
        corruptions=default_corruptions(),
        bootstrap=0,
    )
    assert sorted(calls) == sorted(found.inputs)
    assert [p.severity for p in found.together.curves["label"].points] == [0.0, 0.5]
    assert found.together.curves["label"].points[1].interval is None


def test_chosen_rows_are_judged(model, table):
    read, prepared = model._prepare_for_evaluation(table, None, None)
    rows = np.flatnonzero(read.frame["split"] == "test")
    options = {"severities": (0.7,), "bootstrap": 0}
    part = robustness(model.bundle, read, prepared, rows, **options)
    selected = read_table(table, where=TEST)
    own = robustness(
        model.bundle, selected, model._prepare_for_evaluation(table, TEST, None)[1], np.arange(len(rows)), **options
    )
    assert part.rows == len(rows)
    for a, b in zip(curves_of(part, "label"), curves_of(own, "label"), strict=True):
        assert [p.value for p in a.points] == [p.value for p in b.points], "noise follows the row of the file"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": ["imag"]}, "did you mean 'image'"),
        ({"severities": (0.0,)}, "one of them above 0"),
        ({"severities": (0.5, 1.5)}, "from 0 to 1"),
        ({"corruptions": {"image": ["blurr"]}}, "did you mean 'blur'"),
        ({"corruptions": {"imag": ["blur"]}}, "did you mean 'image'"),
        ({"metrics": {"price": "rmsee"}}, "did you mean 'rmse'"),
        ({"metrics": {"prize": "rmse"}}, "did you mean 'price'"),
        ({"seed": -1}, "seed"),
        ({"unseen": "ignore"}, "unseen"),
    ],
)
def test_mistakes_are_named(model, table, options, message):
    with pytest.raises(ValueError, match=message):
        model.robustness(table, where=TEST, **options)


def test_json_page_and_terminal(report, tmp_path):
    document = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert document["rows"] == 14
    assert list(document["outputs"]) == ["label", "price"]
    image = document["inputs"]["image"]["outputs"]["label"]
    assert [p["severity"] for p in image["points"]] == [0.0, 0.5, 1.0]
    assert image["points"][0]["ci"][0] <= image["points"][0]["value"] <= image["points"][0]["ci"][1]
    assert {"area", "retention", "points"} <= image["by_corruption"]["blur"].keys()
    assert document["together"]["modality"] is None
    assert document["meta"]["model"] == "model"

    text = report.to_html(tmp_path / "out" / "page.html").read_text(encoding="utf8")
    page = Page(text)
    assert page.tags.count("svg") == 2 * 5
    assert "script" not in page.tags
    assert 'src="http' not in text
    for words in ("all together", "pixelate", "word_drop", "What is kept", "label under noise", "ICLR 2019"):
        assert words in page.text
    assert text == report.to_html(tmp_path / "again.html").read_text(encoding="utf8")

    file = io.StringIO()
    Console(file=file, width=100, color_system=None).print(report)
    assert "all together" in file.getvalue()
    assert "R² under noise" in file.getvalue()


def test_names_from_the_table_stay_text(report, tmp_path):
    attack = "<script>alert(1)</script>"
    hostile = replace(
        report,
        inputs={attack: report.inputs["image"]},
        headlines={"label": replace(report.headlines["label"], baseline_name=attack)},
        meta={"model": attack, "notes": [attack], attack: attack},
    )
    page = Page(hostile.to_html(tmp_path / "p.html").read_text(encoding="utf8"))
    assert "script" not in page.tags
    assert attack in page.text


def test_a_metric_that_is_undefined_everywhere_still_gives_a_page(model, table, tmp_path):
    one = read_table(table).select(np.array([6]))
    found = model.robustness(one, **QUICK)
    assert found.headlines["price"].clean is None
    json.dumps(found.to_json(), allow_nan=False)
    Page(found.to_html(tmp_path / "p.html").read_text(encoding="utf8"))
    assert any("nothing to retain" in note for note in found.meta["notes"])
