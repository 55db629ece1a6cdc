"""What counts as an image, sound or video cell, and how broken ones are counted."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from PIL import Image

from polyfuse.data.cells.items import ENDINGS
from polyfuse.data.cells.source import Limits
from polyfuse.data.media import evenly, examine, medium, signature


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"])
def test_pictures_are_known_by_their_first_bytes(kind):
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, kind)
    assert signature(file.getvalue()) == "image"
    assert medium({"bytes": file.getvalue(), "path": None}) == "image"


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3", "AIFF"])
def test_sounds_are_known_by_their_first_bytes(kind):
    file = io.BytesIO()
    soundfile.write(file, np.zeros(4000), 8000, format=kind)
    assert signature(file.getvalue()) == "audio"


@pytest.mark.parametrize(
    ("cell", "kind"),
    [
        ("a/b.PNG", "image"),
        ("https://x.org/a.jpg?size=3", "image"),
        ({"bytes": None, "path": "x.wav"}, "audio"),
        ({"array": [0.0], "sampling_rate": 8000}, "audio"),
        ("clip.mp4", "video"),
        ("It was over. Then it rained", None),
        ("png", None),
        ("and/or", None),
        (b"what is this", None),
        (3, None),
    ],
)
def test_what_a_cell_is(cell, kind):
    assert medium(cell) == kind


def test_a_path_without_ending_is_opened(tmp_path, write_image):
    write_image(tmp_path / "x" / "a.png").rename(tmp_path / "x" / "a")
    assert medium("x/a", tmp_path) == "image"


def test_every_ending_is_of_one_modality():
    assert set(ENDINGS.values()) == {"image", "audio", "video"}
    assert all(end == end.lower() and end.startswith(".") for end in ENDINGS)


def test_broken_files_are_found(tmp_path, write_image):
    write_image(tmp_path / "good.png")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "junk.png").write_bytes(b"no picture")
    (tmp_path / "folder.png").mkdir()
    names = ["good.png", "empty.png", "junk.png", "folder.png", "lost.png", "http://x/y.png"]
    health = examine({name: name for name in names}, "image", tmp_path, Limits(), 200)
    assert health.broken == set(names) - {"good.png"}
    assert (health.files, health.found, health.opened, health.unreadable, health.remote) == (6, 2, 2, 1, 1)


def test_limits_make_large_cells_broken(tmp_path, write_image, write_sound):
    image, sound = write_image(tmp_path / "a.png", (30, 30)), write_sound(tmp_path / "a.wav", 2.0)
    assert examine({0: str(image)}, "image", None, Limits(pixels=100), 9).broken == {0}
    assert examine({0: str(sound)}, "audio", None, Limits(seconds=1), 9).broken == {0}
    assert examine({0: str(sound)}, "audio", None, Limits(bytes=100), 9).found == 0


def test_few_contents_are_opened_but_every_file_is_looked_up(tmp_path, write_image):
    write_image(tmp_path / "a.png")
    cells = {i: {"bytes": None, "path": "a.png" if i % 2 else f"lost{i}.png"} for i in range(50)}
    health = examine(cells, "image", tmp_path, Limits(), 5)
    assert (health.files, health.found, health.opened) == (50, 25, 5)
    assert health.broken == set(range(0, 50, 2))


def test_bytes_of_no_known_format_are_all_looked_into(tmp_path, write_image):
    good = write_image(tmp_path / "a.png").read_bytes()
    cells = {i: good if i % 10 else b"junk %d" % i for i in range(100)}
    health = examine(cells, "image", None, Limits(), 3)
    assert health.broken == set(range(0, 100, 10))


def test_a_sample_is_spread_evenly():
    assert evenly(list(range(100)), 3) == [0, 49, 99]
    assert evenly([1, 2], 3) == [1, 2]
