"""Annotation files of COCO as tables: a row per picture with its boxes, and its segments where there are any.

Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014. The file of predictions is written in the same form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from polyfuse.data.cells.segments import MOST_CLASSES
from polyfuse.errors import TableError, format_count

MADE = {"bbox", "segmentation"}  # an annotation that says where something is


def looks_like_coco(whole: Any) -> bool:
    """Whether what a JSON file holds are pictures with annotated places."""
    if not isinstance(whole, Mapping) or not {"images", "annotations", "categories"} <= whole.keys():
        return False
    lists = [whole[name] for name in ("images", "annotations", "categories")]
    if not all(isinstance(part, list) and all(isinstance(one, dict) for one in part) for part in lists):
        return False
    return all("image_id" in one and MADE & one.keys() and "caption" not in one for one in whole["annotations"])


def parse_coco(whole: Mapping[str, Any], path: Path) -> tuple[pd.DataFrame, list[str]]:
    """A row per picture: ``image``, ``image_id``, ``boxes`` and, where there are any, ``masks``; and what it was.

    A picture without annotations has an empty list. Classes of masks are the numbers of the categories, where these are
    1 to 254, and else their places among them.

    Args:
        path: of the file, whose name stands in messages.

    Raises:
        TableError: a picture without a name or number, two of one number, or an annotation of no known category.
    """
    name = path.name
    kinds = _categories(whole["categories"], name)
    rows: dict[Any, dict[str, Any]] = {}
    for at, image in enumerate(whole["images"]):
        number, file = image.get("id"), image.get("file_name")
        if number is None or file is None:
            raise TableError(f"{name}: picture {at} has no {'id' if number is None else 'file_name'}")
        if number in rows:
            raise TableError(f"{name}: two pictures have the id {number}")
        rows[number] = {"image": file, "image_id": number, "boxes": [], "segments": [], "size": _size(image)}
    lost, segmented, counted = list[str](), 0, 0
    codes = _codes(kinds)
    for at, one in enumerate(whole["annotations"]):
        kind, row = one.get("category_id"), rows.get(one["image_id"])
        if kind not in kinds:
            raise TableError(
                f"{name}: annotation {one.get('id', at)} has the category_id {kind!r}, which is none of it"
            )
        if row is None:
            lost.append(f"annotation {one.get('id', at)} of image_id {one['image_id']}")
            continue
        if "bbox" in one:
            row["boxes"].append(_box(one, kinds))
            counted += 1
        if one.get("segmentation"):
            segment = {"class": codes[kind], "shape": one["segmentation"], "area": one.get("area", 0)}
            row["segments"].append(segment | ({"crowd": 1} if one.get("iscrowd") else {}))
            segmented += 1
    columns: dict[str, list[Any]] = {key: [row[key] for row in rows.values()] for key in ("image", "image_id", "boxes")}
    if segmented:
        columns["masks"] = [
            {"segments": row["segments"], **(row["size"] or {})} if row["size"] else None for row in rows.values()
        ]
    what = [f"{counted:,} boxes"] if counted else []
    what += [f"{segmented:,} segments (column 'masks')"] if segmented else []
    notes = [
        f"{name}: {' and '.join(what) or 'nothing annotated'} of {format_count(len(kinds), 'category', 'categories')}"
    ]
    if lost:
        notes.append(
            f"{name}: {len(lost):,} annotations are of no picture of the file, and left out; the first: {lost[0]}"
        )
    frame = pd.DataFrame({key: pd.Series(values, dtype=object) for key, values in columns.items()})
    return frame, notes


def _size(image: Mapping[str, Any]) -> dict[str, int] | None:
    try:
        return {"height": int(image["height"]), "width": int(image["width"])}
    except (KeyError, TypeError, ValueError):
        return None


def _categories(listed: Sequence[Mapping[str, Any]], name: Any) -> dict[Any, str]:
    """Number -> name of each category."""
    found = {one.get("id"): str(one.get("name", one.get("id"))).strip() for one in listed}
    if len(found) < len(listed) or len(set(found.values())) < len(found):
        raise TableError(f"{name}: categories have the same id or name, or none; expected an id and a name of each")
    return found


def _codes(kinds: Mapping[Any, str]) -> dict[Any, int]:
    """Number of a category -> its class in masks, where 0 is what belongs to none."""
    if all(isinstance(kind, int) and 0 < kind <= MOST_CLASSES for kind in kinds):
        return {kind: int(kind) for kind in kinds}
    return {kind: min(at, MOST_CLASSES) for at, kind in enumerate(kinds, 1)}


def _box(one: Mapping[str, Any], kinds: Mapping[Any, str]) -> dict[str, Any]:
    kept = {key: one[key] for key in ("area", "iscrowd", "category_id") if key in one}
    return {"bbox": one["bbox"], "label": kinds[one["category_id"]], **kept}


def coco_of(
    boxes: Sequence[Sequence[Mapping[str, Any]]],
    images: Sequence[Mapping[str, Any]],
    numbers: Mapping[Any, int],
) -> dict[str, Any]:
    """Boxes that were found, as a file of COCO; its ``annotations`` are what pycocotools' ``loadRes`` takes.

    Args:
        boxes: of each picture ``[{bbox, label, score}]``.
        images: of each picture ``id``, ``file_name``, ``width`` and ``height``.
        numbers: label -> number of its category.
    """
    found = [
        {
            "id": 0,
            "image_id": image["id"],
            "category_id": numbers[box["label"]],
            "bbox": list(box["bbox"]),
            "area": box["bbox"][2] * box["bbox"][3],
            "iscrowd": 0,
            "score": box["score"],
        }
        for image, own in zip(images, boxes, strict=True)
        for box in own
    ]
    for at, one in enumerate(found, 1):
        one["id"] = at
    categories = [{"id": number, "name": str(label)} for label, number in numbers.items()]
    return {"images": list(images), "annotations": found, "categories": categories}
