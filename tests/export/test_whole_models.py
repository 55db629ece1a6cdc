"""Whole models with pictures, sounds, members, further networks and learned tokens answer alike without torch."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import polyfuse as pf
from polyfuse import runtime
from polyfuse.runtime import ExportError
from tests.export.conftest import records_of
from tests.tiny import FAST

pytestmark = pytest.mark.slow
MEDIA = ["photo=image", "sound=audio", "columns@area,kind=columns"]
MEMBERS = (
    "ensemble.members=[{name: boosting, inputs: [columns]}, {name: linear, inputs: [columns, text]}, "
    "{name: svm, inputs: [text]}, {name: forest, inputs: [columns]}]"
)
SETTINGS = {
    "pictures and sounds": [],
    "token": ["training.missing=token", "fusion.name=bidirectional"],
    "decision": ["fusion.name=decision"],
    "members": ["ensemble.networks=2", MEMBERS],
    "statistics": ["inputs.image.encoder=[resnet, statistics]", "inputs.audio.encoder=[statistics]"],
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_every_subset_gives_what_the_model_gives(kind, table, tmp_path):
    inputs = ["words=text", MEDIA[-1]] if kind == "members" else MEDIA
    options = {"outputs": ["label", "price"], "inputs": inputs, "verbose": False}
    model = pf.fit(str(table), settings=[*FAST, *SETTINGS[kind]], **options)
    served = runtime.load(model.export(tmp_path / "folder"), media_root=table.parent)
    records = records_of(table)
    for count in (1, 2, 7):
        wanted = model.predict(records[:count], media_root=table.parent, verbose=False)
        answers, _ = served.predict(records[:count])
        np.testing.assert_allclose([row["price"].value for row in answers], wanted["price"], rtol=1e-4)
    names = list(served.inputs)
    subsets = [list(some) for size in range(4) for some in itertools.combinations(names, size)]
    found = served.scores(records[:7], subsets)
    for own, keep in enumerate(subsets):
        gone = {column for name in names if name not in keep for column in served.inputs[name].columns}
        rows = [{key: None if key in gone else cell for key, cell in row.items()} for row in records[:7]]
        wanted = model.predict(rows, media_root=table.parent, verbose=False)
        np.testing.assert_allclose(found["label"][own][:, 0], wanted["label_p_a"], atol=1e-4)
        np.testing.assert_allclose(found["price"][own][:, 0], wanted["price"], rtol=1e-4)


def test_what_cannot_be_exported_is_refused_by_name(table, tmp_path):
    settings = [*FAST, "training.epochs=1"]
    model = pf.fit(str(table), outputs=["photo=image"], inputs=["words=text"], settings=settings, verbose=False)
    with pytest.raises(ExportError, match=r"output 'photo': the head image cannot be exported"):
        model.export(tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_vectors_of_a_shared_space_are_those_of_the_model(table, tmp_path):
    inputs, settings = ["words=text", "columns@area,kind=columns"], [*FAST, "training.epochs=1"]
    model = pf.fit(str(table), align=["text", "columns"], inputs=inputs, settings=settings, verbose=False)
    served = runtime.load(model.export(tmp_path / "folder"))
    records = records_of(table)
    assert served.predict(records[:2])[0] == [{}, {}]
    assert served.scores(records[:2], [[]]) == {}
    found, wanted = served.embed(records, input="text"), model.embed(str(table), of="text")
    np.testing.assert_allclose(np.nan_to_num(found), wanted, atol=1e-4)
    with pytest.raises(ValueError, match="has no outputs"):
        served.embed(records)
