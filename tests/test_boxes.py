"""Boxes and masks from a table to a report: learnt, judged, predicted, written as COCO, drawn; bad cells named."""

from __future__ import annotations

import contextlib
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps
from typer.testing import CliRunner

import polyfuse as pf
from polyfuse.cli import app
from polyfuse.data.cells.frame import Frame, move_boxes, sample
from polyfuse.data.cells.picture import measure
from polyfuse.data.tables import TableError, read_table
from polyfuse.recipe import RecipeError

SIZE = (32, 40)  # height and width
LABELS = ("red", "green")
TINY = (
    "training.epochs=12", "training.batch_size=8", "training.learning_rate=0.004", "width=24",
    "inputs.image.encoder.width=8", "inputs.image.encoder.depth=3", "inputs.image.encoder.size=32",
    "inputs.image.learning_rate=0.006", "inputs.image.encoder.dropout=0.0",
)  # fmt: skip
FAST = (*TINY, "outputs.boxes.head.channels=24", "outputs.boxes.head.depth=1")
QUICK = (*FAST, "training.epochs=1")
PAINT = tuple(setting.replace("boxes", "mask") for setting in FAST)


def scenes(rows=80, seed=0):
    """Pictures with up to two bright boxes in red or green, their boxes, and a class per pixel."""
    rng, table = np.random.default_rng(seed), []
    for n in range(rows):
        pixels = rng.integers(0, 60, (*SIZE, 3)).astype(np.uint8)
        mask, boxes = np.zeros(SIZE, np.uint8), []
        for at in range(int(rng.integers(0, 3)) if n else 1):
            w, h = (int(side) for side in rng.integers(9, 16, 2))
            x, y = int(rng.integers(0, SIZE[1] // 2 - w + 1)) + at * SIZE[1] // 2, int(rng.integers(0, SIZE[0] - h + 1))
            kind = int(rng.integers(2))
            pixels[y : y + h, x : x + w, kind] = 230
            mask[y : y + h, x : x + w] = kind + 1
            boxes.append({"bbox": [x, y, w, h], "label": LABELS[kind]})
        table.append({"photo": pixels, "boxes": boxes, "mask": mask})
    return pd.DataFrame(table)


def write(folder, frame):
    """The scenes as files: pictures, and palette files for masks."""
    folder.mkdir(parents=True, exist_ok=True)
    for n, (pixels, mask) in enumerate(zip(frame.photo, frame["mask"], strict=True)):
        Image.fromarray(pixels).save(folder / f"{n}.png")
        painted = Image.fromarray(mask, "P")
        painted.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
        painted.save(folder / f"{n}_mask.png")
    files = [f"{n}.png" for n in range(len(frame))]
    masks = [f"{n}_mask.png" for n in range(len(frame))]
    return pd.DataFrame({"photo": files, "boxes": frame.boxes.map(json.dumps), "mask": masks})


def coco_file(folder, frame, **more):
    """The scenes as an annotation file of COCO."""
    images = [{"id": 10 + n, "file_name": f"{n}.png", "height": SIZE[0], "width": SIZE[1]} for n in range(len(frame))]
    found = []
    for n, boxes in enumerate(frame.boxes):
        for box in boxes:
            x, y, w, h = box["bbox"]
            found.append(
                {"id": len(found) + 1, "image_id": 10 + n, "category_id": 7 + LABELS.index(box["label"]),
                 "bbox": box["bbox"], "area": w * h, "iscrowd": 0,
                 "segmentation": [[x, y, x + w - 1, y, x + w - 1, y + h - 1, x, y + h - 1]]}
            )  # fmt: skip
    kinds = [{"id": 7 + n, "name": name} for n, name in enumerate(LABELS)]
    whole = {"info": {}, "images": images, "annotations": found, "categories": kinds, **more}
    (folder / "instances_train.json").write_text(json.dumps(whole))
    return whole


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model of boxes, learnt from an annotation file of COCO, and the folder."""
    folder = tmp_path_factory.mktemp("boxes")
    frame = scenes()
    write(folder / "pictures", frame)
    coco_file(folder, frame)
    options = ["--media-root", str(folder / "pictures"), "--output", "boxes", "--input", "image@image=image", "--json"]
    sets = [part for setting in FAST for part in ("--set", setting)]
    done = CliRunner().invoke(
        app, ["fit", str(folder / "instances_train.json"), *options, *sets, "--to", str(folder / "model")]
    )
    assert done.exit_code == 0, done.output
    return pf.load(folder / "model"), folder


def test_a_coco_file_is_learnt_judged_predicted_and_drawn(made):
    model, folder = made
    assert model.recipe.outputs["boxes"].head.name == "boxes"
    assert model.recipe.inputs["image"].part.name == "pyramid"
    assert any(
        "is taken for a file of COCO instances: 80 rows" in n for n in read_table(folder / "instances_train.json").notes
    )
    test = scenes(40, seed=1)[["photo", "boxes"]].rename(columns={"photo": "image"})
    report = model.evaluate(test, verbose=False)
    found = report.outputs["boxes"]
    assert found.metrics["ap50"] > 0.7
    assert found.metrics["ap"] > 0.2
    assert set(found.intervals) == {"ap", "ap50", "ap75"}
    assert {row["class"] for row in found.per_class} == set(LABELS)
    report.to_html(folder / "report.html")
    page = (folder / "report.html").read_text()
    assert page.count('<figcaption class="column">Predicted</figcaption><img') >= 5
    one, other = model.predict(test.head(8)), pf.load(folder / "model").predict(test.head(8))
    assert one.boxes.tolist() == other.boxes.tolist()
    boxes = [box for row in one.boxes for box in row]
    assert boxes
    assert all(
        x >= 0 and y >= 0 and x + w <= SIZE[1] + 0.01 and y + h <= SIZE[0] + 0.01
        for x, y, w, h in (b["bbox"] for b in boxes)
    )
    assert all(len(row) <= 1 for row in model.predict(test.head(8), decode={"most": 1}).boxes)


def test_predictions_written_as_coco_have_the_ap_of_memory(made, tmp_path):
    model, folder = made
    coco, evaluation = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")
    frame = scenes(30, seed=2)
    write(tmp_path / "pictures", frame)
    coco_file(tmp_path, frame)
    place = tmp_path / "instances_train.json"
    pictures = str(tmp_path / "pictures")
    done = CliRunner().invoke(
        app,
        [
            *("predict", str(folder / "model"), str(place), "--media-root", pictures),
            *("--to", str(tmp_path / "found.coco.json"), "--html", str(tmp_path / "page.html")),
        ],
    )
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "found.coco.json").read_text())
    assert [one["id"] for one in found["images"]] == list(range(10, 40))
    assert {one["id"]: one["name"] for one in found["categories"]} == {7: "red", 8: "green"}
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO(str(place))
        run = evaluation.COCOeval(truth, truth.loadRes(found["annotations"]), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    report = model.evaluate(place, media_root=pictures, verbose=False)
    for at, name in enumerate(("ap", "ap50", "ap75")):
        assert abs(report.outputs["boxes"].metrics[name] - run.stats[at]) < 1e-6
    page = (tmp_path / "page.html").read_text()
    assert page.count("<article") == 30
    assert "data:image/png;base64" in page
    again = read_table(tmp_path / "found.coco.json")
    assert sum(map(len, again.frame.boxes)) == len(found["annotations"])
    with pytest.raises(ValueError, match="unknown ending of an output file"):
        model.predict(place, media_root=pictures, to=tmp_path / "found.xyz")


def test_cells_of_text_hold_boxes(made, tmp_path):
    model, _ = made
    frame = scenes(4, seed=2)
    for ending in ("csv", "jsonl", "parquet"):
        model.predict(frame[["photo"]].rename(columns={"photo": "image"}), to=tmp_path / f"found.{ending}")
        again = read_table(tmp_path / f"found.{ending}").frame.boxes
        cells = [json.loads(cell) if isinstance(cell, str) else list(cell) for cell in again]
        said = model.predict(frame[["photo"]].rename(columns={"photo": "image"})).boxes
        assert [[box["label"] for box in row] for row in cells] == [[box["label"] for box in row] for row in said]


def test_a_table_of_files_and_json_is_learnt_and_a_missing_cell_is_no_target(tmp_path):
    frame = write(tmp_path, scenes(24)).drop(columns="mask")
    frame.loc[3, "boxes"], frame.loc[5, "photo"] = None, None
    frame.to_csv(tmp_path / "t.csv", index=False)
    model = pf.fit(tmp_path / "t.csv", outputs=["boxes"], settings=QUICK, quiet=True)
    notes = " ".join(model.notes)
    assert "output 'boxes' answers in pixels of the pictures in column 'photo'" in notes
    assert "1 of 24 rows has no target" in notes
    assert "row 5: there are boxes, and no picture beside them" in notes or "5.png" not in notes
    found = model.predict(tmp_path / "t.csv")
    assert found.boxes[5] == []


BAD = {
    "no width": ([{"bbox": [1, 2, 0, 5], "label": "red"}], r"box 0, \[1, 2, 0, 5\]: a box without width or height"),
    "outside": ([{"bbox": [100, 2, 9, 5], "label": "red"}], "lies outside the picture of 40 x 32 pixels"),
    "corners": ([{"bbox": [20, 20, 39, 31], "label": "red"}], "lies outside the picture"),
    "nan": ([{"bbox": [1, 2, float("nan"), 5], "label": "red"}], "a side is no finite number"),
    "shares": ([{"bbox": [0.1, 0.2, 0.5, 0.5], "label": "red"}], "is in shares of the picture's sides, from 0 to 1"),
    "three": ([{"bbox": [1, 2, 3], "label": "red"}], "four numbers of pixels"),
    "words": ([{"bbox": "here", "label": "red"}], "four numbers of pixels"),
    "no label": ([{"bbox": [1, 2, 3, 4], "label": None}], "expected a label"),
    "no boxes": ("left of it", "expected boxes"),
}


def test_a_bad_box_is_a_counted_missing_cell_with_row_and_file(made, tmp_path):
    model, _ = made
    frame = write(tmp_path, scenes(14, seed=4)).rename(columns={"photo": "image"}).drop(columns="mask")
    frame["boxes"] = frame.boxes.astype(object)
    for row, (cell, _) in enumerate(BAD.values()):
        frame.at[row, "boxes"] = cell if isinstance(cell, str) else json.dumps(cell)
    report = model.evaluate(frame, media_root=tmp_path, verbose=False)
    assert report.outputs["boxes"].rows == 14 - len(BAD)
    for row, (_, why) in enumerate(BAD.values()):
        listed = report.broken["boxes"][row]
        assert listed["row"].endswith(f"row {row}")
        assert listed["file"]
        assert re.search(why, listed["reason"]), listed


def turned(pixels, orientation):
    """A file that shows the same picture, stored as a camera held in that way stores it."""
    upright = Image.fromarray(pixels)
    for back in range(7):  # the transposition that the orientation undoes
        file, note = io.BytesIO(), Image.Exif()
        note[0x0112] = orientation
        upright.transpose(Image.Transpose(back)).save(file, "PNG", exif=note)
        if np.array_equal(np.asarray(ImageOps.exif_transpose(Image.open(file))), pixels):
            return file.getvalue()
    raise AssertionError(orientation)


@pytest.mark.parametrize("orientation", [2, 3, 4, 5, 6, 7, 8])
def test_answers_lie_in_the_pixels_of_the_file_as_it_is_stored(orientation, made, painted):
    (pixels,) = scenes(1, seed=5).photo
    file = turned(pixels, orientation)
    to_upright = Frame(*SIZE).matrix(measure(file))
    (one,), (other,) = made[0].predict([{"image": pixels}]).boxes, made[0].predict([{"image": file}]).boxes
    assert len(one) == len(other) > 0
    for upright, stored in zip(one[:3], other[:3], strict=True):
        assert np.allclose(move_boxes(np.array([stored["bbox"]]), to_upright)[0], upright["bbox"], atol=0.03)
    (mask,), (seen,) = (painted[0].predict([{"photo": one}])["mask"] for one in (pixels, file))
    assert seen.shape == (SIZE if orientation < 5 else SIZE[::-1])
    assert (sample(seen, to_upright, SIZE, 255) == mask).mean() > 0.99


@pytest.mark.slow
def test_a_model_trained_with_mirroring_mirrors_its_boxes():
    steps = "inputs.image.augment=[{name: flip}, {name: shift}]"
    frame = scenes(160)[["photo", "boxes"]]
    model = pf.fit(frame, outputs=["boxes"], settings=[*FAST, steps, "training.epochs=16"], quiet=True)
    test = scenes(30, seed=6)[["photo"]]
    mirrored = test.assign(photo=[np.ascontiguousarray(pixels[:, ::-1]) for pixels in test.photo])
    kept, right = 0, 0
    for one, other in zip(model.predict(test).boxes, model.predict(mirrored).boxes, strict=True):
        for box in (box for box in one if box["score"] > 0.5):
            x, y, w, h = box["bbox"]
            kept += 1
            right += any(np.abs(np.subtract(b["bbox"], [SIZE[1] - x - w, y, w, h])).max() < 4 for b in other[:4])
    assert kept > 10
    assert right > 0.8 * kept


def test_an_unseen_label_is_refused_by_row_or_left_out(made):
    model, _ = made
    frame = scenes(10, seed=3)[["photo", "boxes"]].rename(columns={"photo": "image"})
    frame.at[4, "boxes"] = [{"bbox": [1, 1, 9, 9], "label": "blue"}]
    with pytest.raises(ValueError, match=r"row 4: label 'blue' was not seen in training; known: 'green', 'red'"):
        model.evaluate(frame, verbose=False)
    assert model.evaluate(frame, unseen="skip", verbose=False).outputs["boxes"].rows == 9


def test_annotations_without_picture_or_category(tmp_path):
    frame = scenes(4)
    whole = coco_file(tmp_path, frame)
    lost = {**whole["annotations"][0], "image_id": 999, "id": 77}
    coco_file(tmp_path, frame, annotations=[*whole["annotations"], lost])
    table = read_table(tmp_path / "instances_train.json")
    assert any(
        "1 annotations are of no picture of the file, and left out; the first: annotation 77" in n for n in table.notes
    )
    assert list(table.frame) == ["image", "image_id", "boxes", "masks"]
    assert len(table) == 4
    coco_file(tmp_path, frame, categories=[])
    with pytest.raises(
        TableError, match=r"instances_train.json: annotation 1 has the category_id \d, which is none of it"
    ):
        read_table(tmp_path / "instances_train.json")
    coco_file(tmp_path, frame, images=whole["images"] + whole["images"][:1])
    with pytest.raises(TableError, match="two pictures have the id 10"):
        read_table(tmp_path / "instances_train.json")


def test_what_needs_scores_refuses_by_name(made, tmp_path):
    model, _ = made
    frame = scenes(8)[["photo", "boxes"]].rename(columns={"photo": "image"})
    with pytest.raises(ValueError, match="no output has scores to explain"):
        model.explain(frame.head(1))
    with pytest.raises(ValueError, match="output 'boxes': the head boxes cannot be exported"):
        model.export(tmp_path / "onnx")
    inputs = ["image@photo=image", "size"]
    table = scenes(24)[["photo", "boxes"]].assign(size=np.arange(24.0) % 7)
    with pytest.raises(
        RecipeError, match=r"decision joins scores of single inputs, and output 'boxes' \(boxes\) has none"
    ):
        pf.fit(table, outputs=["boxes"], inputs=inputs, fusion="decision", settings=QUICK, quiet=True)
    with pytest.raises(RecipeError, match="unimodal works on scores of single inputs"):
        pf.fit(table, outputs=["boxes"], inputs=inputs, settings=[*QUICK, "objectives=[{name: unimodal}]"], quiet=True)


def test_a_text_says_what_to_look_for():
    """One input names a colour: only boxes of that colour are to be found."""
    rows = []
    for n, row in enumerate(scenes(24).itertuples()):
        wanted = LABELS[n % 2]
        own = [{**box, "label": "it"} for box in row.boxes if box["label"] == wanted]
        rows.append({"photo": row.photo, "asked": f"where is {wanted}", "boxes": own})
    inputs = ["image@photo=image:pyramid", "text@asked=text:ngrams"]
    for fusion in ("concat", "attention"):
        model = pf.fit(pd.DataFrame(rows), outputs=["boxes"], inputs=inputs, fusion=fusion, settings=QUICK, quiet=True)
        report = model.evaluate(pd.DataFrame(rows), verbose=False)
        assert [one["inputs"] for one in report.missing_modality] == [["image", "text"], ["image"], ["text"]]
        assert report.missing_modality[2]["boxes"]["ap"] == 0  # without a picture nothing is found


def test_pictures_have_to_be_named_where_several_may_be_meant():
    frame = scenes(24).assign(other=lambda t: t.photo)
    with pytest.raises(RecipeError, match=r"several columns of pictures \(photo, mask, other\); name one with"):
        pf.fit(frame, outputs=["boxes"], settings=QUICK, quiet=True)
    with pytest.raises(RecipeError, match="no column of pictures beside it"):
        pf.fit(frame[["boxes"]].assign(size=1.0), outputs=["boxes"], settings=QUICK[:4], quiet=True)


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    """A model of masks from palette files, and the folder."""
    folder = tmp_path_factory.mktemp("masks")
    write(folder, scenes()).drop(columns="boxes").to_csv(folder / "t.csv", index=False)
    model = pf.fit(folder / "t.csv", outputs=["mask"], settings=PAINT, quiet=True)
    model.save(folder / "model")
    return model, folder


def test_masks_are_learnt_judged_predicted_and_written_as_png(painted):
    model, folder = painted
    write(folder / "new", scenes(16, seed=1)).drop(columns="boxes").to_csv(folder / "new/t.csv", index=False)
    report = model.evaluate(folder / "new/t.csv", verbose=False)
    found = report.outputs["mask"]
    assert found.metrics["miou"] > 0.6
    assert found.metrics["miou"] > found.baseline.metrics["miou"] + 0.2
    assert found.metrics["dice"] > found.metrics["miou"]
    report.to_html(folder / "report.html")
    assert '<figcaption class="column">Predicted</figcaption><img' in (folder / "report.html").read_text()
    said = model.predict(folder / "new/t.csv", to=folder / "found.csv")
    assert all(mask.shape == SIZE for mask in said["mask"])
    files = read_table(folder / "found.csv").frame["mask"]
    for file, mask in zip(files, said["mask"], strict=True):
        assert np.array_equal(np.asarray(Image.open(folder / file)), mask)
    again = pf.load(folder / "model").predict(folder / "new/t.csv")
    assert all(np.array_equal(one, other) for one, other in zip(said["mask"], again["mask"], strict=True))


def _colours(mask):
    return Image.fromarray(np.stack([mask * 90, mask * 20, 255 - mask * 50], -1).astype(np.uint8))


BAD_MASKS = {
    "another size": (lambda m: Image.fromarray(m[:-2]), "a mask of 40 x 30 pixels beside a picture of 40 x 32"),
    "colours": (_colours, "a picture of mode RGB has colours where a class is meant"),
}


def test_a_bad_mask_is_a_counted_missing_cell_with_row_and_file(painted, tmp_path):
    frame = scenes(12, seed=4)
    table = write(tmp_path, frame).drop(columns="boxes")
    for row, (change, _) in enumerate(BAD_MASKS.values()):
        change(frame["mask"][row]).save(tmp_path / f"{row}_mask.png")
    Image.fromarray(frame["mask"][2]).save(tmp_path / "2_mask.jpg")
    table.loc[2, "mask"], table.loc[3, "mask"] = "2_mask.jpg", "gone.png"
    report = painted[0].evaluate(table, media_root=tmp_path, verbose=False)
    assert report.outputs["mask"].rows == 8
    listed = report.broken["mask"]
    assert [one["file"] for one in listed] == ["0_mask.png", "1_mask.png", "2_mask.jpg", "gone.png"]
    reasons = [*(why for _, why in BAD_MASKS.values()), "a JPEG changes the values of pixels", "no such file"]
    for one, why in zip(listed, reasons, strict=True):
        assert why in one["reason"]


def test_an_unknown_class_of_a_pixel_is_refused_by_row_or_left_out(painted):
    frame = scenes(12, seed=4)
    frame["mask"][4][0, 0] = 9
    with pytest.raises(ValueError, match=r"row 4: class 9 of a pixel was not seen in training; known: 0, 1, 2"):
        painted[0].evaluate(frame.drop(columns="boxes"), verbose=False)
    frame["mask"][4][0, 0] = 255  # counts nowhere
    assert painted[0].evaluate(frame.drop(columns="boxes"), verbose=False).outputs["mask"].rows == 12


def test_masks_in_black_and_white_of_which_white_counts_nowhere_are_explained():
    frame = scenes(12).drop(columns="boxes").assign(mask=lambda t: [m * 255 for m in (m > 0 for m in t["mask"])])
    frame["mask"] = [mask.astype(np.uint8) for mask in frame["mask"]]
    with pytest.raises(ValueError, match="every pixel of training has the class 0; 255 counts nowhere"):
        pf.fit(frame, outputs=["mask=masks"], settings=PAINT, quiet=True)


def test_segments_of_a_coco_file_are_masks(tmp_path):
    frame = scenes(24)
    write(tmp_path, frame)
    coco_file(tmp_path, frame)
    model = pf.fit(
        tmp_path / "instances_train.json", outputs=["masks"], inputs=["image@image=image"], quiet=True,
        settings=[*(s.replace("boxes", "masks") for s in QUICK)],
    )  # fmt: skip
    assert model.bundle.transforms["out:masks"].classes == [0, 7, 8]
