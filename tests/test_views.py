"""Several looks at a row while it is judged: as it is, then augmented, the answers averaged."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import polyfuse as pf
from polyfuse.data.batches import Views
from polyfuse.records import Batch, Cells, Tokens
from tests.tiny import FAST, write_table


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("views")
    table = write_table(folder)
    settings = (*FAST, "training.views=3", "inputs.image.augment=[{name: shift, share: 0.3}]")
    model = pf.fit(table, outputs=["label"], inputs=["photo", "area"], settings=settings, quiet=True, to=folder / "m")
    return model, table, folder / "m"


def answers(model, table, views):
    model.recipe.training.views = views
    return model.predict(pd.read_csv(table), media_root=table.parent)["label_p_a"].to_numpy()


def test_the_answer_is_the_mean_over_views_and_the_same_every_time(made):
    model, table, _ = made
    one, two, three = (answers(model, table, views) for views in (1, 2, 3))
    assert np.array_equal(answers(model, table, 3), three)
    second = 2 * two - one  # probabilities are averaged, before the temperature, which is 1 with so few rows
    third = 3 * three - 2 * two
    for view in (second, third):
        assert ((view > -1e-4) & (view < 1 + 1e-4)).all()
    known = pd.read_csv(table).photo.notna().to_numpy()
    assert not np.allclose(one[known], two[known])
    assert not np.allclose(second[known], third[known])
    assert np.allclose(one[~known], three[~known], atol=1e-5)  # nothing of these rows changes


def test_a_saved_model_looks_as_often(made):
    model, table, folder = made
    assert pf.load(folder).recipe.training.views == 3
    again = pf.load(folder).predict(pd.read_csv(table), media_root=table.parent)["label_p_a"]
    assert np.allclose(again, answers(model, table, 3), atol=1e-6)


def batch(fields):
    cells = Cells(fields, torch.arange(2)[:, None])
    return Batch({"a": cells}, {}, torch.arange(2), torch.ones(2))


def test_tokens_of_frozen_encoders_and_rows_without_augmentation_are_seen_once_as_they_are():
    tokens = Tokens(torch.ones(2, 1, 4), torch.ones(2, 1, dtype=torch.bool))
    twice = Views(2, {"a": lambda fields, seed: {name: value + seed for name, value in fields.items()}})
    (view,) = twice.augmented(batch(tokens))
    assert view.inputs["a"].fields is tokens
    (view,) = twice.augmented(batch({"x": torch.zeros(2, 3)}))
    assert (view.inputs["a"].fields["x"] == 1).all()
    assert list(Views(5).augmented(batch({"x": torch.zeros(2, 3)}))) == []
