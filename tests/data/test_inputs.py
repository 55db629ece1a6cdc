"""Which columns become which inputs, by default and as asked, and which of them give the answer away."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyfuse.data.inputs import (
    UNNAMED,
    InputRequest,
    default_inputs,
    exclusion_reasons,
    find_leaks,
    modality_overrides,
    note_unused_columns,
    parse_input,
    resolve_inputs,
)
from polyfuse.data.modalities import MODALITIES, Column, infer_columns
from polyfuse.data.tables import TableError, read_table

ROLES = ("input", "identifier", "constant", "empty", "split", "unusable", "address")


def column(name: str, modality: str, role: str = "input") -> Column:
    return Column(name, modality, "seen so", role, 0, 0, 5, "")


def table_of(**modalities: str) -> dict[str, Column]:
    return {name: column(name, modality) for name, modality in modalities.items()}


HOUSES = table_of(
    bedrooms="number", zipcode="category", sold="date", front="image", kitchen="image", note="text", emb="vector"
) | {"id": column("id", "number", "identifier")}


def test_what_is_left_out_is_named_with_its_reason():
    columns = HOUSES | {"nr": column("nr", "number", "identifier"), "clip": column("clip", "hologram", "unsupported")}
    inputs, reasons = default_inputs(columns, outputs=["bedrooms"]), exclusion_reasons(columns, outputs=["bedrooms"])
    used = [name for names, _ in inputs.values() for name in names]
    assert note_unused_columns(columns, [*used, "bedrooms"], reasons) == [
        "columns 'id', 'nr' are left out: an identifier says nothing about new rows",
        "column 'clip' is left out: hologram is not read yet",
    ]
    assert note_unused_columns(table_of(a="text", b="text"), ["b"], {}) == [f"column 'a' is left out: {UNNAMED}"]


def test_one_input_per_modality():
    assert default_inputs(HOUSES, outputs=["bedrooms"], split="sold") == {
        "columns": (["zipcode"], "columns"),
        "image": (["front", "kitchen"], "image"),
        "text": (["note"], "text"),
        "emb": (["emb"], "vector"),
    }


def test_a_feature_column_gives_way_to_the_input_of_that_name():
    inputs = default_inputs(table_of(text="vector", words="text", audio="sequence"), outputs=[])
    assert inputs == {
        "text": (["words"], "text"),
        "text_vector": (["text"], "vector"),
        "audio": (["audio"], "sequence"),
    }


@given(
    kinds=st.dictionaries(
        st.text("abcdef", min_size=1, max_size=3),
        st.tuples(st.sampled_from(MODALITIES), st.sampled_from(ROLES)),
        min_size=1,
        max_size=12,
    ),
    data=st.data(),
)
def test_every_column_is_in_one_input_or_has_a_reason(kinds, data):
    columns = {name: column(name, *kind) for name, kind in kinds.items()}
    outputs = data.draw(st.lists(st.sampled_from(sorted(columns)), max_size=2, unique=True))
    reasons = exclusion_reasons(columns, outputs=outputs)
    assert set(outputs) <= set(reasons)
    assert all(reasons[name] for name in reasons)
    if len(reasons) == len(columns):
        with pytest.raises(TableError) as error:
            default_inputs(columns, outputs=outputs)
        assert all(name in str(error.value) for name in columns)
        return
    inputs = default_inputs(columns, outputs=outputs)
    assert sorted([*(c for names, _ in inputs.values() for c in names), *reasons]) == sorted(columns)


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("price", InputRequest(None, ("price",))),
        ("zip code=category", InputRequest(None, ("zip code",), "category")),
        ("voice@call=audio:lstm", InputRequest("voice", ("call",), "audio", "lstm")),
        ("photos@front, back", InputRequest("photos", ("front", "back"))),
        ("all@a,b=columns:mlp", InputRequest("all", ("a", "b"), "columns", "mlp")),
        ("a=text:gru", InputRequest(None, ("a",), "text", "gru")),
    ],
)
def test_requests_from_the_command_line(text, request_):
    assert parse_input(text) == request_


@pytest.mark.parametrize("text", ["", "=text", "@a", "x@", "x@a,,b", "a=", "a=:gru", "a=text:", "a=txt"])
def test_requests_that_make_no_sense(text):
    with pytest.raises(TableError):
        parse_input(text)


def test_an_unknown_modality_suggests_the_nearest():
    with pytest.raises(TableError, match="did you mean 'category'"):
        parse_input("a=categorie")


def test_overrides_name_modalities_of_columns_only():
    requests = [parse_input(text) for text in ("zip=category", "c@a,b=columns", "p@front=image", "x")]
    assert modality_overrides(requests) == {"zip": "category", "front": "image"}


def test_requests_are_gathered_unless_they_have_a_name():
    requests = [parse_input(text) for text in ("front", "zipcode", "bedrooms", "inside@kitchen", "words@note=text")]
    assert resolve_inputs(requests, HOUSES, outputs=[]) == {
        "image": (["front"], "image"),
        "columns": (["zipcode", "bedrooms"], "columns"),
        "inside": (["kitchen"], "image"),
        "words": (["note"], "text"),
    }
    assert resolve_inputs([], HOUSES, outputs=[]) == default_inputs(HOUSES, outputs=[])


def test_one_column_may_feed_several_inputs():
    requests = [parse_input("frames@clip=video"), parse_input("sound@clip=audio")]
    assert resolve_inputs(requests, table_of(clip="video"), outputs=[]) == {
        "frames": (["clip"], "video"),
        "sound": (["clip"], "audio"),
    }


def test_an_identifier_that_is_named_is_an_input():
    assert resolve_inputs([parse_input("id")], HOUSES, outputs=[]) == {"columns": (["id"], "columns")}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["fron"], "did you mean 'front'"),
        (["bedrooms"], "is an output"),
        (["all@front,note"], "front is image, note is text"),
        (["image@kitchen", "front"], "two inputs are called 'image'"),
        (["blank"], "every cell is missing"),
        (["odd"], "say what it is: odd=MODALITY"),
    ],
)
def test_requests_that_cannot_be(texts, message):
    columns = HOUSES | {"blank": column("blank", "unknown", "empty"), "odd": column("odd", "unknown", "unusable")}
    with pytest.raises(TableError, match=message):
        resolve_inputs([parse_input(text) for text in texts], columns, outputs=["bedrooms"])


def test_nothing_left_lists_the_reasons():
    table = read_table({"id": [f"a{i}" for i in range(9)], "same": ["x"] * 9, "y": [0, 1, 0] * 3})
    with pytest.raises(TableError, match=r"(?s)id \(text\): an identifier.*same.*the same.*y .*output"):
        default_inputs(infer_columns(table), outputs=["y"])


def test_columns_that_give_the_answer_away_are_named():
    n = 300
    rng = np.random.default_rng(0)
    group = rng.integers(0, 4, n)
    price = rng.normal(size=n)
    table = read_table(
        {
            "group": group.tolist(),
            "copy": [str(g) for g in group],
            "renamed": [f"g{g}" for g in group],
            "finer": (group * 5 + rng.integers(0, 5, n)).tolist(),
            "noise": rng.integers(0, 4, n).tolist(),
            "helpful": np.where(rng.random(n) < 0.9, group, 0).tolist(),
            "id": list(range(n)),
            "text": [f"text of row {i}" for i in range(n)],
            "picture": [b"\x89PNG%d" % i for i in range(n)],
            "price": price.tolist(),
            "euros": (price * 0.92).tolist(),
            "close": (price + rng.normal(size=n) * 0.05).tolist(),
        }
    )
    names = [name for name in table.frame if name not in ("group", "price")]
    assert [note.split("'")[1] for note in find_leaks(table, names, "group")] == ["copy", "renamed", "finer"]
    assert [note.split("'")[1] for note in find_leaks(table, names, "price")] == ["euros"]


def test_chance_is_no_leak():
    rare = [0] * 290 + [1] * 10
    table = read_table(
        {"y": rare, "place": [f"p{i % 29}" if i < 290 else "p29" for i in range(300)], "two": [1, 2] * 150}
    )
    assert find_leaks(table, ["place", "two", "two"], "y") == []
