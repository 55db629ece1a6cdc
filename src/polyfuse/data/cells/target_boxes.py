"""Target transform of boxes: what is seen where in a picture, in the picture's own pixels, as COCO writes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from polyfuse.data.cells.frame import PIXELS, Frame, PictureSize
from polyfuse.data.cells.literals import parse_list
from polyfuse.data.cells.source import BadCell, Limits, UnseenLabel, is_missing
from polyfuse.data.cells.targets import to_json_label
from polyfuse.data.cells.transform import pad

COLUMNS = 7  # x, y, width, height, class, crowd, area
SHARES = 1.0001  # up to which all numbers of a row are shares of the picture's sides
SMALL = 8  # pixels of a side from which no box with sides of a pixel at most is meant in pixels


def listed_boxes(cell: Any) -> list[Mapping[str, Any]] | None:
    """The boxes ``{bbox, label}`` of a cell: a list of objects, or one written as text; None for anything else."""
    if isinstance(cell, np.ndarray):
        cell = cell.tolist()
    cell = parse_list(cell) if isinstance(cell, str) else cell
    if not isinstance(cell, (list, tuple)) or not all(isinstance(box, Mapping) for box in cell):
        return None
    return list(cell) if all({"bbox", "label"} <= box.keys() for box in cell) else None


class Boxes:
    """Boxes with labels (``target.boxes``), of cells (boxes, size of the picture).

    Fields ``target`` (U, N, 7) float32: x, y, width, height, class, 1 for a crowd, and area, in pixels of the picture;
    ``lengths`` (U,).

    Args:
        pixels: boxes are in pixels of the file as it is ``stored``, or of the picture as it is seen, ``upright``.

    Attributes:
        frame: of the input that reads the pictures, and that reader's name: facts of the head.
        ids: label -> number, where cells name a ``category_id``.
    """

    media, joint, sides = False, True, ("value", "size")

    def __init__(self, pixels: str = "stored"):
        check_pixels(pixels)
        self.pixels, self.column, self.reader = pixels, "", ""
        self.frame: Frame | None = None
        self.classes: list[Any] = []
        self.ids: list[int] = []
        self.typical = 1.0
        self.notes: list[str] = []
        self._place: dict[Any, int] = {}

    def see_as(self, frame: Frame, reader: str) -> None:
        """Learn how the pictures are seen, and by which reader."""
        self.frame, self.reader = frame, reader

    def fit(self, cells: Sequence[Any], columns: Mapping[str, str], limits: Limits) -> None:  # noqa: ARG002
        """Learn the labels.

        Raises:
            ValueError: no training row has a box.
        """
        self.column = next(iter(columns))
        read = [self._parse(cell) for cell, _ in cells]
        found = [one for one in read if isinstance(one, list)]
        counts = Counter(box["label"] for one in found for box in one)
        if not counts:
            why = next((f"; the first cell: {one}" for one in read if isinstance(one, BadCell)), "")
            raise ValueError(f"output {self.column!r}: no training row has a box{why}")
        self.classes = sorted(counts, key=lambda label: (isinstance(label, str), label))
        numbers = {box["label"]: box["id"] for one in found for box in one if box["id"] is not None}
        taken = set(numbers.values())
        free = (n for n in range(1, 10**9) if n not in taken)
        self.ids = [numbers[label] if label in numbers else next(free) for label in self.classes]
        self.typical = max(1.0, float(np.mean([len(one) for one in found])))
        self._index()
        empty = sum(not one for one in found)
        kinds = f"{len(counts):,} {'labels' if len(counts) > 1 else 'label'}"
        self.notes = [
            f"output {self.column!r}: {counts.total():,} boxes of {kinds} in {len(found):,} pictures, {empty:,} of "
            "them without any"
        ]

    def _index(self) -> None:
        self._place = {label: n for n, label in enumerate(self.classes)}

    def facts(self) -> dict[str, Any]:
        """``classes``; ``typical``, boxes of a training row; ``frame``, how pictures are seen; ``reader``, by whom."""
        frame = None if self.frame is None else self.frame.to_json()
        return {"classes": self.classes, "typical": self.typical, "frame": frame, "reader": self.reader}

    def state(self) -> dict[str, Any]:
        """All that is fitted, as JSON."""
        return {**self.facts(), "column": self.column, "ids": self.ids}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what ``state()`` described."""
        self.classes, self.typical, self.ids = list(state["classes"]), state["typical"], list(state["ids"])
        self.frame = None if state["frame"] is None else Frame.from_json(state["frame"])
        self.reader, self.column = state["reader"], state["column"]
        self._index()

    def _parse(self, cell: Any) -> list[dict[str, Any]] | BadCell | None:
        """Boxes of a cell whose numbers can be read; None where it is missing."""
        if is_missing(cell) and not (isinstance(cell, (list, tuple, np.ndarray)) and len(cell) == 0):
            return None
        boxes = listed_boxes(cell)
        if boxes is None:
            return BadCell(f"expected boxes [{{bbox: [x, y, width, height], label}}], found {str(cell)[:60]!r}")
        read = [_read_box(n, box) for n, box in enumerate(boxes)]
        bad = next((one for one in read if isinstance(one, BadCell)), None)
        return bad if bad is not None else read  # type: ignore[return-value]

    def _read(self, cell: tuple[Any, Any]) -> list[dict[str, Any]] | BadCell | None:
        """Boxes of a row that lie in its picture; None where there are none to learn, which is nothing wrong."""
        said, size = cell
        boxes = self._parse(said)
        if boxes is None or isinstance(boxes, BadCell):
            return boxes
        if isinstance(size, BadCell):
            return BadCell(f"its picture cannot be read: {size}")
        if not isinstance(size, PictureSize):
            return BadCell("there are boxes, and no picture beside them") if boxes else None
        height, width = size.seen(self.pixels)
        least = min(height, width)
        if boxes and least >= SMALL and all(0 <= at <= SHARES for box in boxes for at in box["bbox"]):
            return BadCell(
                f"box {boxes[0]['bbox']} is in shares of the picture's sides, from 0 to 1; expected pixels, "
                f"[x, y, width, height] in a picture of {width} x {height}"
            )
        for n, (x, y, w, h) in enumerate(box["bbox"] for box in boxes):
            inside = max(0.0, min(width, x + w) - max(0.0, x)) * max(0.0, min(height, y + h) - max(0.0, y))
            if inside < w * h / 2:
                return BadCell(
                    f"box {n}, {_shown((x, y, w, h))}, lies outside the picture of {width} x {height} pixels; expected "
                    f"[x, y, width, height] in pixels of the picture as it is {self.pixels}"
                )
        return boxes

    def encode(self, cells: Sequence[Any], limits: Limits) -> list[np.ndarray | BadCell]:  # noqa: ARG002
        """Per cell float64 (N, 7)."""
        return [self._encode(cell) for cell in cells]

    def _encode(self, cell: tuple[Any, Any]) -> np.ndarray | BadCell:
        boxes = self._read(cell)
        if boxes is None:
            return BadCell("no boxes")
        if isinstance(boxes, BadCell):
            return boxes
        for box in boxes:
            if box["label"] not in self._place:
                known = ", ".join(map(repr, self.classes[:10])) + (" and others" if len(self.classes) > 10 else "")
                return UnseenLabel(f"label {box['label']!r} was not seen in training; known: {known}")
        rows = [[*box["bbox"], self._place[box["label"]], box["crowd"], box["area"]] for box in boxes]
        return np.array(rows, np.float64).reshape(-1, COLUMNS)

    def decode(self, cells: Sequence[np.ndarray]) -> list[list[dict[str, Any]]]:
        """Arrays back to boxes."""
        return [[self._written(box) for box in cell] for cell in cells]

    def _written(self, box_7: np.ndarray) -> dict[str, Any]:
        x, y, w, h, label, crowd, area = box_7.tolist()
        more = {"iscrowd": 1} if crowd else {}
        more |= {"area": area} if abs(area - w * h) > 1e-9 * area else {}
        return {"bbox": [x, y, w, h], "label": self.classes[int(label)], **more}

    def blank(self) -> np.ndarray:
        """Stands for no target."""
        return np.zeros((0, COLUMNS))

    def collate(self, cells: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """``target`` (U, N, 7), ``lengths`` (U,)."""
        target, lengths = pad([cell.astype(np.float32) for cell in cells])
        return {"target": target, "lengths": lengths}


def check_pixels(pixels: str) -> None:
    """Raises ValueError: neither ``stored`` nor ``upright``."""
    if pixels not in PIXELS:
        raise ValueError(f"pixels: expected {' or '.join(PIXELS)}, found {pixels!r}")


def _read_box(at: int, box: Mapping[str, Any]) -> dict[str, Any] | BadCell:
    """Corner, sides, label, whether it is a crowd, area and the label's number."""
    said = box["bbox"].tolist() if isinstance(box["bbox"], np.ndarray) else box["bbox"]
    try:
        sides = [float(side) for side in said]
    except (TypeError, ValueError, OverflowError):
        return BadCell(f"box {at}, {str(said)[:60]!r}: expected [x, y, width, height], four numbers of pixels")
    if len(sides) != 4:
        return BadCell(f"box {at}, {_shown(sides)}: expected [x, y, width, height], four numbers of pixels")
    if not np.isfinite(sides).all():
        return BadCell(f"box {at}, {_shown(sides)}: a side is no finite number")
    if sides[2] <= 0 or sides[3] <= 0:
        return BadCell(f"box {at}, {_shown(sides)}: a box without width or height; expected [x, y, width, height]")
    if is_missing(box["label"]) or isinstance(box["label"], (list, tuple, dict, np.ndarray)):
        return BadCell(f"box {at}, {_shown(sides)}: expected a label, found {str(box['label'])[:60]!r}")
    crowd, area, number = (box.get(name) for name in ("iscrowd", "area", "category_id"))
    own = sides[2] * sides[3]
    size = float(area) if isinstance(area, (int, float, np.number)) and np.isfinite(area) and area > 0 else own
    return {
        "bbox": sides,
        "label": to_json_label(box["label"]),
        "crowd": 0 if is_missing(crowd) else int(bool(crowd)),
        "area": size,
        "id": int(number) if isinstance(number, (int, float, np.number)) and np.isfinite(number) else None,
    }


def _shown(sides: Sequence[float]) -> str:
    return "[" + ", ".join(f"{side:g}" for side in sides) + "]"
