"""One model from a frame with everything odd in it: integer names, a written index, half a surrogate, a column env."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import polyfuse as pf
from polyfuse.recipe import RecipeError, apply_settings, parse
from polyfuse.recipe.build import apply_arguments
from tests.tiny import FAST

pytestmark = pytest.mark.usefixtures("own_cache")


def odd_frame(rows=60):
    rng = np.random.default_rng(0)
    label = np.arange(rows) % 2
    return pd.DataFrame(
        {
            "": rng.permutation(rows),
            0: label + rng.normal(0, 0.1, rows),
            1: pd.Series(
                [f"{('bad', 'good')[n]} words \ud83d half a sign {k}" for k, n in enumerate(label)],
                dtype=object,
            ),
            "env": np.where(rng.random(rows) < 0.5, "dev", "test"),
            2: pd.Series(["yes\ud83d" if n else "no" for n in label], dtype=object),
        }
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    to = tmp_path_factory.mktemp("odd") / "model"
    return pf.fit(odd_frame(), outputs=2, settings=FAST, quiet=True, seed=0, to=to), to


def test_it_is_fitted_saved_and_reported(model):
    made, to = model
    assert set(made.recipe.outputs) == {"2"}
    assert made.recipe.inputs["columns"].columns == ["0", "env"]
    assert made.recipe.data.split is None
    notes = "\n".join(made.notes)
    assert "numbers the rows" in notes
    assert "half a surrogate" in notes
    assert "'env' holds words of a split, but no row is train" in notes
    made.fit_report.to_html(to.parent / "report.html")
    assert "yes\ufffd" in (to.parent / "report.html").read_text(encoding="utf8")
    assert json.loads((to / "report.json").read_text(encoding="utf8"))


def test_one_row_as_a_dict_is_predicted(model):
    frame = odd_frame()
    alone = model[0].predict({name: frame[name].iloc[3] for name in (0, 1, "env")})
    assert len(alone) == 1
    assert alone["2"][0] == model[0].predict(frame)["2"].iloc[3]


def test_more_unreadable_numbers_than_usual_say_so_and_may_be_allowed(model):
    frame = odd_frame().astype({0: object})
    frame.loc[:39, 0] = "unknown"
    with pytest.raises(ValueError, match="column '0': 40 of 60 cells") as error:
        model[0].predict(frame)
    assert "Check the cells and their type, or let them count as missing: max_broken=1" in str(error.value)
    assert "media_root" not in str(error.value)
    assert len(model[0].predict(frame, max_broken=0.7)) == 60
    assert model[0].evaluate(frame, max_broken=1).to_json()["rows"] == 60
    assert len(model[0].embed(frame, max_broken=1)) == 60
    assert model[0].robustness(frame, max_broken=1, severities=1.0).to_json()
    for ask in (model[0].embed, model[0].robustness):
        with pytest.raises(ValueError, match="column '0': 40 of 60 cells"):
            ask(frame)
    with pytest.raises(ValueError, match="expected a share of cells from 0 to 1"):
        model[0].predict(frame, max_broken=20)


@pytest.mark.parametrize("quote", ['"{}"', "`{}`"])
def test_names_with_marks_in_them_stand_between_quotes(quote):
    a, b, c = (quote.format(name) for name in ("a=b", "c@d", "x,y: z"))
    recipe = apply_arguments(parse({}), outputs=[f"{a}=category", b], inputs=[f"one@{c},{a}=columns:mlp", f"{b}=text"])
    assert {n: o.head.name for n, o in recipe.outputs.items()} == {"a=b": "category", "c@d": "auto"}
    assert recipe.inputs["one"].columns == ["x,y: z", "a=b"]
    assert recipe.data.columns == ["c@d"]
    with pytest.raises(RecipeError, match=r"unknown head 'b'.*between double quotes"):
        apply_arguments(parse({}), outputs=["a=b"])


def test_settings_reach_names_with_dots():
    recipe = parse({"inputs": {"my.photo": {"columns": ["a.b"]}}, "outputs": {"price.eur": {"column": "price.eur"}}})
    settings = ["inputs.my.photo.transfer=frozen", "outputs.price.eur.weight=2", "data.modalities.a.b=image"]
    settings += ['inputs."new.one".columns=[c]', "training.epochs=5", 'data.modalities."x=y"=text']
    made = apply_settings(recipe, settings)
    assert made.inputs["my.photo"].transfer == "frozen"
    assert made.inputs["new.one"].columns == ["c"]
    assert made.outputs["price.eur"].weight == 2
    assert made.data.modalities == {"a.b": "image", "x=y": "text"}
    assert made.training.epochs == 5


def test_one_name_is_no_list_of_letters():
    recipe = apply_arguments(parse({}), outputs="label", inputs="area")
    assert list(recipe.outputs) == ["label"]
    assert recipe.data.columns == ["area"]
