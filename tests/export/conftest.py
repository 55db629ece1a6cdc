"""A tiny model and its exported folder, made once: tracing takes seconds."""

from __future__ import annotations

import pandas as pd
import pytest

import polyfuse as pf
from tests.tiny import FAST, write_table


@pytest.fixture(scope="session")
def table(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("table"))


@pytest.fixture(scope="session")
def model(table):
    """Numbers, categories and words to a category and a number."""
    settings = [*FAST, "outputs.label.head.cost={b: 1.3}"]
    inputs = ["columns@area,kind=columns", "words=text"]
    return pf.fit(str(table), outputs=["label", "price"], inputs=inputs, settings=settings, verbose=False)


@pytest.fixture(scope="session")
def exported(model, tmp_path_factory):
    return model.export(tmp_path_factory.mktemp("exported") / "tiny")


@pytest.fixture(scope="session")
def records(table):
    return records_of(table)


def records_of(table):
    """The rows of a table as plain dicts, None where a cell is missing."""
    frame = pd.read_csv(table)
    return [{k: None if v != v else v for k, v in row.items()} for row in frame.to_dict("records")]
