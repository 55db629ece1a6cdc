"""What decides gets the highest score, what is ignored exactly none: words, patches, stretches, columns."""

import io

import numpy as np
import pytest
from PIL import Image

from polyfuse.data.cells import clip
from polyfuse.data.cells.picture import decode
from polyfuse.data.cells.sound import open_sound
from polyfuse.data.cells.source import Limits, load_media
from polyfuse.explain.occlusion import Occlusion, write_video
from tests.explain.planted import Planted, has


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def by_label(part):
    return dict(zip(part.labels, part.scores.tolist(), strict=True))


@pytest.mark.parametrize(
    ("text", "deciding", "others"),
    [
        ("a truly good film", "good", ["a", "truly", "film"]),
        ("这部电影很好", "好", ["这", "部", "电", "影", "很"]),
        ("фильм good.", "good.", ["фильм"]),
    ],
)
def test_the_word_that_decides_is_found(text, deciding, others):
    servant = Planted(lambda row: deciding in str(row["note"]), {"note": "text", "n": "number"})
    columns, words = Occlusion().explain(servant.question({"note": text, "n": 3})).parts
    assert by_label(columns) == {"note": 1, "n": 0}
    assert by_label(words) == {deciding: 1, **dict.fromkeys(others, 0)}
    assert [text[int(start) : int(end)] for start, end in words.spans] == list(words.labels)


def test_a_long_text_is_covered_in_runs_of_words():
    servant = Planted(lambda row: "w77" in str(row["note"]), {"note": "text"})
    text = " ".join(f"w{n}" for n in range(100, 350)) + " w77"
    words = Occlusion(words=20).explain(servant.question({"note": text})).parts[1]
    assert len(words.scores) <= 20
    assert "w77" in words.labels[int(words.scores.argmax())]
    assert np.count_nonzero(words.scores) == 1


@pytest.mark.parametrize("form", [png, np.asarray])
def test_the_patch_that_decides_is_found(form):
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[4:8, 8:12] = 255

    def says(row):
        return has(row, "photo") and np.asarray(decode(load_media(row["photo"]))).max() == 255

    part = Occlusion(patches=8).explain(Planted(says, {"photo": "image"}).question({"photo": form(pixels)})).parts[1]
    assert part.scores.reshape(4, 8)[1, 2] == 1
    assert np.count_nonzero(part.scores) == 1
    assert part.spans[10] == (8 / 32, 4 / 16, 12 / 32, 8 / 16)


def test_of_several_pictures_in_a_cell_the_one_that_decides_is_found():
    dark, bright = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)
    bright[:4, :4] = 255

    def says(row):
        found = [np.asarray(decode(load_media(one))).max() == 255 for one in row["photo"] or [] if one is not None]
        return any(found)

    question = Planted(says, {"photo": "image"}).question({"photo": [png(dark), None, png(bright)]})
    _, first, last = Occlusion(patches=2).explain(question).parts
    assert (first.slot, last.slot) == (0, 2)
    assert not first.scores.any()
    assert last.scores.tolist() == [1, 0, 0, 0]


def test_the_stretch_that_decides_is_found():
    samples = np.zeros(1000, np.float32)
    samples[300:400] = 0.5

    def says(row):
        if not has(row, "sound"):
            return 0.0
        with open_sound(load_media(row["sound"]), Limits()) as sound:
            return float(np.abs(sound.read(0, 10_000)).max())

    cell = {"array": samples, "sampling_rate": 1000}
    part = Occlusion(stretches=10).explain(Planted(says, {"sound": "audio"}).question({"sound": cell})).parts[1]
    assert int(part.scores.argmax()) == 3
    assert np.count_nonzero(part.scores) == 1
    assert part.spans[3] == (0.3, 0.4)


def test_the_stretch_of_a_video_that_decides_is_found():
    pictures = np.zeros((20, 16, 16, 3), np.uint8)
    pictures[10:12] = 200

    def says(row):
        return has(row, "clip") and max(p.max() for _, p in clip.moments(row["clip"], np.linspace(0, 1, 40).tolist()))

    question = Planted(says, {"clip": "video"}).question({"clip": write_video(pictures, 10)})
    part = Occlusion(stretches=5).explain(question).parts[1]
    assert int(part.scores.argmax()) == 2
    assert np.abs(np.delete(part.scores, 2)).max() == 0
    assert part.spans[2] == pytest.approx((0.8, 1.2), abs=0.02)


def test_columns_that_are_missing_are_not_asked_and_one_row_is_enough():
    servant = Planted(
        lambda row: (row["a"] or 0) * 2 + (row["b"] or 0), {"a": "number", "b": "number", "c": "category"}
    )
    (part,) = Occlusion().explain(servant.question({"a": 3, "b": None})).parts
    assert by_label(part) == {"a": 6}


def test_a_cell_that_cannot_be_read_is_a_note():
    servant = Planted(lambda row: has(row, "n"), {"photo": "image", "n": "number"})
    found = Occlusion().explain(servant.question({"photo": b"no picture", "n": 1}))
    assert [part.kind for part in found.parts] == ["column"]
    assert "'photo'" in found.notes[0]


@pytest.mark.parametrize("options", [{"patches": 0}, {"stretches": -1}, {"words": "many"}])
def test_what_cannot_be_is_refused(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))}.*at least 1"):
        Occlusion(**options)
