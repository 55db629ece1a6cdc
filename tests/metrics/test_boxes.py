"""Average precision of boxes beside pycocotools, on random boxes with ties, crowds, sizes and empty pictures."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.metrics.boxes import box_metrics, rank_boxes
from polyfuse.metrics.masks import count_pixels, mask_metrics

LABELS = ("cat", "dog", "cow")


def random_sides(seed, pictures=8, ties=True):
    """True boxes with crowds and areas of their own, and boxes found near some of them."""
    rng = np.random.default_rng(seed)
    true, said = [], []
    for _ in range(pictures):
        boxes = []
        for _ in range(rng.integers(0, 6)):
            w, h = rng.uniform(4, 140, 2).round(1)
            box = {
                "bbox": [float(v) for v in (*rng.uniform(0, 150, 2).round(1), w, h)],
                "label": str(rng.choice(LABELS)),
            }
            box["iscrowd"] = int(rng.random() < 0.15)
            box["area"] = float(w * h * rng.choice([1.0, 0.6]))
            boxes.append(box)
        found = []
        for box in boxes:
            for _ in range(rng.integers(0, 3)):
                near = np.array(box["bbox"]) + rng.normal(0, rng.choice([0.0, 2.0, 10.0]), 4)
                near[2:] = near[2:].clip(1)
                found.append({"bbox": near.tolist(), "label": box["label"] if rng.random() < 0.8 else "cow"})
        for _ in range(rng.integers(0, 4)):
            found.append({"bbox": rng.uniform(1, 100, 4).tolist(), "label": str(rng.choice(LABELS))})
        for box in found:
            box["score"] = float(rng.choice([0.2, 0.5, 0.5, 0.9])) if ties else float(rng.random())
        true.append(boxes if rng.random() < 0.85 else [])
        said.append(found if rng.random() < 0.85 else [])
    return true, said


def by_pycocotools(true, said):
    """The first six numbers of its summary."""
    coco = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    images = [{"id": n + 1} for n in range(len(true))]
    categories = [{"id": n + 1, "name": name} for n, name in enumerate(LABELS)]
    number = {name: n + 1 for n, name in enumerate(LABELS)}
    annotations = [
        {**box, "image_id": n + 1, "category_id": number[box["label"]]} for n, side in enumerate(true) for box in side
    ]
    for at, one in enumerate(annotations):
        one["id"] = at + 1
    found = [
        {**box, "image_id": n + 1, "category_id": number[box["label"]]} for n, side in enumerate(said) for box in side
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        reference = coco.COCO()
        reference.dataset = {"info": {}, "images": images, "categories": categories, "annotations": annotations}
        reference.createIndex()
        run = evaluation.COCOeval(reference, reference.loadRes(found), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return dict(zip(("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"), run.stats[:6], strict=True))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_it_equals_pycocotools(seed, ties):
    true, said = random_sides(seed, ties=ties)
    if not any(said):
        return
    ours = box_metrics(rank_boxes(true, said), np.ones(len(true)))
    for name, value in by_pycocotools(true, said).items():
        if value < 0:
            assert np.isnan(ours[name]), name
        else:
            assert abs(float(ours[name]) - value) < 1e-6, name


def test_more_than_a_hundred_boxes_of_a_picture():
    rng = np.random.default_rng(0)
    true = [
        [{"bbox": [float(n * 12), 0.0, 10.0, 10.0], "label": "cat", "iscrowd": 0, "area": 100.0} for n in range(150)]
    ]
    said = [[{**box, "score": float(rng.random())} for box in true[0]]]
    said = [[{k: v for k, v in box.items() if k in ("bbox", "label", "score")} for box in said[0]]]
    assert abs(float(box_metrics(rank_boxes(true, said), np.ones(1))["ap"]) - by_pycocotools(true, said)["ap"]) < 1e-6


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_the_order_of_rows_is_nothing_and_weights_are_repeated_rows(seed):
    true, said = random_sides(seed, ties=False)
    order = np.random.default_rng(seed).permutation(len(true))
    one = box_metrics(rank_boxes(true, said), np.ones(len(true)))
    other = box_metrics(rank_boxes([true[n] for n in order], [said[n] for n in order]), np.ones(len(true)))
    for name in one:
        assert np.allclose(one[name], other[name], equal_nan=True), name
    weights = np.random.default_rng(seed + 1).integers(0, 3, len(true))
    rows = np.repeat(np.arange(len(true)), weights)
    weighted = box_metrics(rank_boxes(true, said), np.stack([weights, weights]).astype(float))
    repeated = box_metrics(rank_boxes([true[n] for n in rows], [said[n] for n in rows]), np.ones(len(rows)))
    for name in one:
        assert weighted[name].shape == (2,)
        assert np.allclose(weighted[name], repeated[name], equal_nan=True), name


def test_nothing_found_and_nothing_to_find():
    box = {"bbox": [0.0, 0.0, 5.0, 5.0], "label": "cat"}
    assert float(box_metrics(rank_boxes([[box]], [[]]), np.ones(1))["ap"]) == 0
    assert np.isnan(box_metrics(rank_boxes([[]], [[{**box, "score": 1.0}]]), np.ones(1))["ap"])
    assert np.isnan(box_metrics(rank_boxes([[]], [[]]), np.ones(1))["ap"])


def test_masks_equal_counting_by_hand():
    true = [np.array([[0, 0, 1], [1, 255, 1]], np.uint8), np.array([[2, 2, 0]], np.uint8)]
    said = [np.array([[0, 1, 1], [1, 1, 0]], np.uint8), np.array([[2, 0, 0]], np.uint8)]
    found = mask_metrics(count_pixels(true, said, [0, 1, 2]), np.ones(2))
    iou = [2 / (3 + 4 - 2), 2 / (3 + 3 - 2), 1 / 2]
    assert np.isclose(found["miou"], np.mean(iou))
    assert np.isclose(found["dice"], np.mean([2 * 2 / 7, 2 * 2 / 6, 2 / 3]))
    assert np.isclose(found["pixel_accuracy"], 5 / 8)
    with pytest.raises(ValueError, match="row 0: a mask of"):
        count_pixels(true[:1], said[1:], [0, 1])
