"""Annotation files are known by their content, and read as a row per picture or question."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import polyfuse as pf
from polyfuse.data.tables import TableError, read_table

SAID = ["no"] * 4 + ["yes"] * 4 + ["ja"]


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf8")
    return path


def coco(captions=((1, "A cat."), (1, "One cat "), (2, "A dog."))):
    images = [{"id": n, "file_name": f"{n:012d}.jpg", "height": 8, "width": 8} for n in (1, 2, 3)]
    annotations = [{"id": 10 + n, "image_id": at, "caption": said} for n, (at, said) in enumerate(captions)]
    return {"info": {}, "licenses": [], "images": images, "annotations": annotations}


def questions(count=3):
    asked = [{"image_id": 100 + n, "question": f"What is {n}?", "question_id": n} for n in range(count)]
    return {"data_type": "mscoco", "data_subtype": "train2014", "questions": asked}


def answers(ids=(0, 1, 2)):
    said = [
        {
            "question_id": n,
            "image_id": 100 + n,
            "multiple_choice_answer": "yes",
            "answers": [
                {"answer": a, "answer_id": k} for k, a in enumerate(["no"] * 4 + ["yes"] * (4 + n % 2) + ["ja"])
            ],
        }
        for n in ids
    ]
    return {"data_type": "mscoco", "data_subtype": "train2014", "annotations": said}


def vqa(folder, asked=None, said=None):
    write(folder / "v2_mscoco_train2014_annotations.json", answers() if said is None else said)
    return write(folder / "v2_OpenEnded_mscoco_train2014_questions.json", questions() if asked is None else asked)


def karpathy():
    def image(name, split, *said):
        return {"filename": name, "split": split, "sentences": [{"raw": one, "tokens": one.split()} for one in said]}

    images = [image("a.jpg", "train", "A cat ."), image("b.jpg", "restval", "x", "y"), image("c.jpg", "test", "z")]
    return {"images": images, "dataset": "flickr30k"}


def test_captions_of_coco(tmp_path):
    table = read_table(write(tmp_path / "captions_train2017.json", coco()))
    assert table.frame.image.tolist() == ["000000000001.jpg", "000000000002.jpg", "000000000003.jpg"]
    assert table.frame.caption.tolist() == [["A cat.", "One cat"], ["A dog."], None]
    notes = " ".join(table.notes)
    assert "captions_train2017.json is taken for COCO captions: 3 rows, columns image_id, image, caption" in notes
    assert "1 pictures without caption, missing there; the first is row 2" in notes


def test_questions_go_with_their_answers(tmp_path):
    place = vqa(tmp_path)
    frame = read_table(place).frame
    assert frame.image[0] == "COCO_train2014_000000000100.jpg"
    assert frame.answer.tolist() == ["yes", "yes", "yes"]  # of as many each, the one that the file chose
    assert [len(own) for own in frame.answers] == [9, 10, 9]
    other = tmp_path / "v2_mscoco_train2014_annotations.json"
    for source in (other, [place, other]):
        assert read_table(source).frame.equals(frame)
    other.unlink()
    bare = read_table(place)
    assert "answer" not in bare.frame
    assert any("no file of answers lies beside it" in note for note in bare.notes)


def test_all_answers_are_no_input_where_the_answer_is_learnt(tmp_path):
    said = answers(range(30))
    for n, one in enumerate(said["annotations"]):
        one["answers"] = [{"answer": ("yes", "no")[n % 2]}] * 10
    for n in range(30):
        Image.new("RGB", (8, 8), (n, 0, 0)).save(tmp_path / f"COCO_train2014_{100 + n:012d}.jpg")
    place = vqa(tmp_path, questions(30), said)
    settings = ["training.epochs=1", "width=8", "preset=plain"]
    recipe = pf.fit(place, outputs=["answer"], settings=settings, quiet=True).recipe
    read = {column for item in recipe.inputs.values() for column in item.columns}
    assert read == {"image", "question"}


def test_a_question_without_annotation_is_a_counted_missing_cell(tmp_path):
    table = read_table(vqa(tmp_path, said=answers((0, 2, 7))))
    assert table.frame.answer.tolist() == ["yes", None, "yes"]
    notes = " ".join(table.notes)
    assert "1 questions without annotation, missing there; the first is row 1" in notes
    assert "1 annotations of questions that are not in" in notes


def test_answers_without_questions_are_refused(tmp_path):
    place = write(tmp_path / "annotations.json", answers())
    with pytest.raises(TableError, match="no file of their questions lies beside them"):
        read_table(place)


def test_flickr30k_in_its_three_forms(tmp_path):
    lines = '1.jpg#0\tA cat .\n1.jpg#1\tOne cat , says "she" .\n2.jpg#0\tA dog .\n'
    for name in ("results_20130124.token", "Flickr8k.token.txt"):
        frame = read_table(write(tmp_path / name, lines)).frame
        assert frame.image.tolist() == ["1.jpg", "2.jpg"]
        assert frame.caption.tolist() == [["A cat .", 'One cat , says "she" .'], ["A dog ."]]
    bars = "image_name| comment_number| comment\n1.jpg| 0| A cat .\n1.jpg| 4   One cat , too .\n2.jpg| 0| A | dog .\n"
    table = read_table(write(tmp_path / "results.csv", bars))
    assert table.frame.caption.tolist() == [["A cat .", "One cat , too ."], ["A | dog ."]]
    assert "results.csv is taken for Flickr30k captions between bars: 2 rows" in table.notes[0]
    frame = read_table(write(tmp_path / "dataset_flickr30k.json", karpathy())).frame
    assert frame.split.tolist() == ["train", "train", "test"]
    assert frame.caption.tolist() == [["A cat ."], ["x", "y"], ["z"]]


def broken_coco(change):
    made = coco()
    change(made)
    return made


BAD = {
    "an id without picture": (
        "c.json",
        coco([(1, "A cat."), (9, "Whose?")]),
        "annotation 1 is of image_id 9, which is not among the 3 images",
    ),
    "a caption without its picture's id": (
        "c.json",
        broken_coco(lambda made: made["annotations"][2].pop("image_id")),
        "annotation 2 has no 'image_id'; it has: id, caption",
    ),
    "a picture without a name": (
        "c.json",
        broken_coco(lambda made: made["images"][1].pop("file_name")),
        "image 1 has no 'file_name'",
    ),
    "JSON cut": ("c.json", json.dumps(coco())[:-40], "c.json: not JSON: .*line 1 column"),
    "a line of another form": ("r.token", "1.jpg#0\ta\n" * 9 + "2.jpg 0 b\n", "line 10: expected PICTURE.jpg#NUMBER"),
    "bars with no number": (
        "r.csv",
        "image_name| comment_number| comment\n1.jpg| zero| a\n",
        r"line 2: expected PICTURE.jpg\| NUMBER\| CAPTION",
    ),
    "bars and nothing": ("r.csv", "image_name| comment_number| comment\n", "no line holds a caption"),
    "sentences of another form": (
        "k.json",
        {"images": [{"filename": "a.jpg", "split": "train", "sentences": ["A cat"]}]},
        r"image 0 \(a.jpg\) has sentences without 'raw'",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_named_with_the_place(tmp_path, name):
    file, content, message = BAD[name]
    with pytest.raises(TableError, match=message):
        read_table(write(tmp_path / file, content))


def test_bad_answers_are_named_with_the_place(tmp_path):
    said = answers()
    said["annotations"][1]["answers"] = [{"text": "yes"}]
    with pytest.raises(TableError, match=r"annotation 1 \(question_id 1\) has answers without 'answer'"):
        read_table(vqa(tmp_path, said=said))
    place = vqa(tmp_path)
    cut = tmp_path / "v2_mscoco_train2014_annotations.json"
    write(cut, cut.read_text()[:-30])
    with pytest.raises(TableError, match=r"_annotations.json: not JSON, and v2_OpenEnded.* goes with"):
        read_table(place)
    asked = questions()
    del asked["questions"][2]["question"]
    with pytest.raises(TableError, match="question 2 has no 'question'"):
        read_table(vqa(tmp_path, asked=asked))


def test_inspect_says_what_the_file_was_taken_for_and_a_model_learns_from_it(tmp_path):
    rng = np.random.default_rng(0)
    made = {"images": [], "annotations": []}
    for n in range(24):
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(tmp_path / f"{n}.png")
        made["images"].append({"id": n, "file_name": f"{n}.png"})
        made["annotations"] += [{"image_id": n, "caption": f"a {word} picture"} for word in ("red", "small")]
    place = write(tmp_path / "captions.json", made)
    found = pf.inspect(place)
    assert any("captions.json is taken for COCO captions" in note for note in found.notes)
    assert {column["column"]: column["modality"] for column in found.columns}["image"] == "image"
    settings = ["training.epochs=1", "width=8", "preset=plain", "outputs.caption.head.decoder=gru"]
    model = pf.fit(place, outputs=["caption=text"], inputs=["image=image:statistics"], settings=settings, quiet=True)
    assert len(model.predict(place, verbose=False)) == 24


def test_other_json_stays_what_it_was(tmp_path):
    assert read_table(write(tmp_path / "a.json", {"images": ["a.jpg"], "annotations": ["x"]})).frame.shape == (1, 2)
    assert read_table(write(tmp_path / "b.json", [{"caption": "x", "image_id": 1}])).frame.shape == (1, 2)
