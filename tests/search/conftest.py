"""A model with a picture, a text and a sound aligned, and an index by it, made once."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

import polyfuse as pf
from tests.tiny import FAST, write_table

needs_store = pytest.mark.skipif(
    find_spec("lancedb") is None or find_spec("faiss") is None, reason="not installed: pip install 'polyfuse[search]'"
)
INPUTS = ["photo@photo=image", "words@words=text", "sound@sound=audio"]


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """The model, its table and the folder of both."""
    folder = tmp_path_factory.mktemp("search")
    table = write_table(folder, rows=60)
    settings = (*FAST, "training.epochs=30", "training.learning_rate=0.003", "space.size=16")
    model = pf.fit(
        table, inputs=INPUTS, align="photo,words,sound", split="split", settings=settings, quiet=True, to=folder / "m"
    )
    return model, table, folder


@pytest.fixture(scope="session")
def index(world):
    """All rows of the table; not to be changed."""
    model, table, folder = world
    return pf.index(model, table, to=folder / "i")
