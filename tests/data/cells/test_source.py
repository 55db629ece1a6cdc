"""Loading a media cell: every form gives its content or a reason, and never an exception of another kind."""

from __future__ import annotations

import io
import os

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from polyfuse.data.cells.source import (
    BadCell,
    Limits,
    Sound,
    content_digest,
    find_file,
    is_missing,
    load_media,
    repair_surrogates,
)

NUMBERS = hnp.arrays(
    st.sampled_from([np.uint8, np.int16, np.float32]), hnp.array_shapes(max_dims=3, max_side=4), elements=st.just(1)
)


@pytest.mark.parametrize(
    "value",
    [
        *(None, float("nan"), np.float32("nan"), np.datetime64("NaT"), pd.NaT, pd.NA),
        *("", "  \n", [], (), b"", np.zeros(0), {"bytes": None, "path": None}),
    ],
)
def test_missing(value):
    assert is_missing(value)


@pytest.mark.parametrize("value", [0, 0.0, False, "0", "nan", [None], b"\0", np.zeros(1), np.array(5), {"bytes": b"x"}])
def test_not_missing(value):
    assert not is_missing(value)


def test_all_forms_of_a_file_give_the_same_bytes(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"content")
    full = str(tmp_path / "a.bin")
    forms = [full, tmp_path / "a.bin", "a.bin", b"content", bytearray(b"content"), memoryview(b"content")]
    forms += [{"bytes": b"content", "path": "elsewhere"}, {"bytes": None, "path": "a.bin"}]
    assert {load_media(form, tmp_path) for form in forms} == {b"content"}


@given(NUMBERS)
def test_arrays_come_back_whole_even_as_lists(array):
    assert np.array_equal(load_media(array), array)
    assert np.array_equal(load_media(array.tolist()), array)
    sound = load_media({"array": array, "sampling_rate": 8000})
    assert np.array_equal(sound.samples, array)
    assert sound.rate == 8000


def test_arrays_of_arrays_as_parquet_gives_them_become_one_array():
    rows = np.empty(2, dtype=object)
    rows[:] = [np.array([1.0, 2.0]), np.array([3.0, 4.0])]
    assert np.array_equal(load_media(rows), [[1, 2], [3, 4]])
    assert content_digest(load_media(rows)) == content_digest(np.array([[1.0, 2.0], [3.0, 4.0]]))


@given(
    st.one_of(
        st.none(),
        st.integers(),
        st.text(max_size=20),
        st.binary(max_size=20),
        st.lists(
            st.one_of(st.integers(0, 9), st.text(max_size=2), st.lists(st.integers(0, 9), max_size=2)), max_size=3
        ),
        st.dictionaries(
            st.sampled_from(["bytes", "path", "array", "sampling_rate"]), st.one_of(st.integers(), st.text())
        ),
    )
)
def test_any_value_loads_or_says_why_not(value):
    try:
        content = load_media(value)
    except BadCell:
        return
    assert isinstance(content, (bytes, np.ndarray, Sound))


def test_reasons_name_the_file_and_the_setting(tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "large").write_bytes(bytes(11))
    os.mkfifo(tmp_path / "pipe")
    for value, words in {
        "absent.png": ["absent.png", "no such file"],
        "empty": ["empty", "zero bytes"],
        "large": ["large", "11 bytes", "limit of 10", "data.limits.bytes"],
        "pipe": ["pipe", "not a file"],
        ".": ["not a file"],
        "nul\0byte": ["null"],
        "https://host/a.png": ["https://host/a.png", "download"],
    }.items():
        with pytest.raises(BadCell) as caught:
            load_media(value, tmp_path, Limits(bytes=10))
        assert all(word in str(caught.value) for word in words)
    with pytest.raises(BadCell, match=r"data\.limits\.bytes"):
        load_media(bytes(11), limits=Limits(bytes=10))


@pytest.mark.parametrize("rate", [None, 0, -8000, float("nan"), float("inf"), "8000"])
def test_a_sound_needs_a_rate(rate):
    with pytest.raises(BadCell, match="sampling_rate"):
        load_media({"array": [0.0], "sampling_rate": rate})


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"])
def test_pictures_of_pillow(mode):
    array = load_media(Image.new(mode, (3, 2)))
    assert array.shape[:2] == (2, 3)
    assert array.ndim == 2 or array.shape[2] == (4 if mode in ("LA", "RGBA") else 3)
    assert (array.dtype == np.uint16) == (mode == "I;16")


def test_an_undecoded_picture_of_pillow_is_checked_before_it_is_decoded():
    file = io.BytesIO()
    Image.new("L", (100, 100)).save(file, "PNG")
    with pytest.raises(BadCell, match=r"100 x 100 .* 9,999 .*data\.limits\.pixels"):
        load_media(Image.open(io.BytesIO(file.getvalue())), limits=Limits(pixels=9_999))
    with pytest.raises(BadCell, match="damaged"):
        load_media(Image.open(io.BytesIO(file.getvalue()[:-30])))


@given(NUMBERS, NUMBERS)
def test_digests_tell_contents_apart(a, b):
    same = a.dtype == b.dtype and np.array_equal(a, b)
    assert (content_digest(a) == content_digest(b)) == same
    assert (content_digest(Sound(a, 8000)) == content_digest(Sound(b, 8000))) == same
    assert content_digest(Sound(a, 8000)) != content_digest(Sound(a, 16000))
    assert len({content_digest(a), content_digest(a.tobytes()), content_digest(Sound(a, 8000))}) == 3


def test_a_digest_does_not_depend_on_memory_layout():
    array = np.arange(12).reshape(3, 4)
    assert (
        content_digest(array)
        == content_digest(np.asfortranarray(array))
        == content_digest(np.repeat(array, 2, axis=1)[:, ::2])
    )
    assert content_digest("né") == content_digest("né".encode())
    assert content_digest("\ud800") != content_digest("\ud801")  # half a character, as damaged tables hold


@pytest.mark.parametrize(
    "written",
    [
        "pics/Été 1.jpg",
        "  pics/Été 1.jpg\t",
        "pics\\Été 1.jpg",
        ".\\Pics\\été 1.JPG",
        "PICS/ÉTÉ 1.Jpg",
        "pics/E\u0301te\u0301 1.jpg",  # accents as macOS writes them
        "{uri}",
        " {uri}",
        "{folder}/PICS/Été 1.jpg",
        "../{name}/pics/../pics/été 1.jpg",
    ],
)
def test_files_are_found_however_their_path_is_written(tmp_path, written):
    file = tmp_path / "pics" / "Été 1.jpg"
    file.parent.mkdir()
    file.write_bytes(b"x")
    written = written.format(uri=file.as_uri(), folder=tmp_path, name=tmp_path.name)
    assert load_media(written, tmp_path) == b"x"
    assert find_file(written, tmp_path).samefile(file)


def test_of_two_files_that_differ_in_case_only_the_exact_one_is_meant(tmp_path):
    (tmp_path / "a.png").write_bytes(b"small")
    (tmp_path / "A.png").write_bytes(b"large")
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("letters of one name here whatever their case")
    assert load_media("A.png", tmp_path) == b"large"
    with pytest.raises(BadCell, match="no such file"):
        load_media("a.PNG", tmp_path)
    (tmp_path / "b.png").write_bytes(b"late")  # a folder that has changed is read again
    assert load_media("B.png", tmp_path) == b"late"
    (tmp_path / "back\\slash.png").write_bytes(b"odd")
    assert load_media("back\\slash.png", tmp_path) == b"odd"


@pytest.mark.parametrize("written", ["http://x.org/a.png", "s3://bucket/a.png", "https:/x.org/a.png"])
def test_addresses_elsewhere_are_not_read(tmp_path, written):
    with pytest.raises(BadCell, match="download the file first"):
        load_media(written, tmp_path)


@given(st.text(st.characters(codec=None), max_size=9))
def test_whole_texts_can_be_written_and_others_stay(text):
    whole = repair_surrogates(text)
    whole.encode("utf8")
    assert repair_surrogates(whole) == whole
    if not any(0xD800 <= ord(sign) <= 0xDFFF for sign in text):
        assert whole == text
    assert repair_surrogates("\ud83d\ude00 \udc80") == "\U0001f600 \ufffd"


def test_a_file_whose_name_is_in_another_encoding_is_found(tmp_path):
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system knows no such names")
    assert load_media("caf\ufffd.png", tmp_path) == b"x"
