"""Annotation files of the field as tables, told by their content: a row per picture or question.

``OF_JSON`` and ``OF_TEXT`` hold a row per kind of file: another kind is another row.
Chen et al., Microsoft COCO captions, 2015; Goyal et al., Making the V in VQA matter, CVPR 2017 (VQA v2); Young et al.,
From image descriptions to visual denotations, TACL 2014 (Flickr30k); Karpathy and Fei-Fei, CVPR 2015 (its splits).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from polyfuse.data.annotations_coco import looks_like_coco, parse_coco
from polyfuse.errors import TableError

Read = tuple[pd.DataFrame, list[str]]
LOOKED_AT = 20  # lines by which a text is known
_TOKEN = re.compile(r"([^\t#]+\.\w{2,5})#(\d+)\t(.*)")
_BARS = re.compile(r"([^|]+\.\w{2,5})\s*\|\s*(\d+)\s*(?:\||\s)\s*(.*)")  # one line of Flickr30k lacks its second bar
_BARS_HEADER = re.compile(r"image_name\s*\|\s*comment_number\s*\|\s*comment\s*")
_PARTNER = {"questions": "annotations", "annotations": "questions"}  # parts of VQA, of which each names a file


@dataclass(frozen=True)
class Kind:
    """A kind of annotation file.

    Args:
        name: what notes call it.
        fits: whether the content is of this kind: what JSON holds, or the text.
        read: content and path -> a frame and notes; raises a TableError that names what is wrong and where. Further
            files that it reads stand in ``frame.attrs["files"]``, and columns that tell each other in ``["alike"]``.
    """

    name: str
    fits: Callable[[Any], bool]
    read: Callable[[Any, Path], Read]


def kind_of(content: Any, kinds: Sequence[Kind]) -> Kind | None:
    """The kind of annotation file with that content, if it is any."""
    return next((kind for kind in kinds if kind.fits(content)), None)


def read_annotations(kind: Kind, content: Any, path: Path) -> Read:
    """The table of an annotation file; its first note says what the file was taken for."""
    frame, notes = kind.read(content, path)
    return frame, [f"{path.name} is taken for {kind.name}: {len(frame):,} rows, columns {', '.join(frame)}", *notes]


def _objects(whole: Any, key: str) -> list[Mapping[str, Any]] | None:
    """The list of objects under a key; None where there is none."""
    found = whole.get(key) if isinstance(whole, Mapping) else None
    return found if isinstance(found, list) and found and all(isinstance(one, Mapping) for one in found) else None


def _have(objects: Sequence[Mapping[str, Any]] | None, *keys: str) -> bool:
    """Whether most objects have some keys: a file of which a few are damaged is still of its kind."""
    return objects is not None and 2 * sum(all(key in one for key in keys) for one in objects) > len(objects)


def _need(path: Path, what: str, objects: Iterable[Mapping[str, Any]], *keys: str) -> None:
    """Whether all objects have some keys.

    Raises:
        TableError: one has not; names it by its place.
    """
    for at, one in enumerate(objects):
        for key in keys:
            if one.get(key) is None:
                raise TableError(f"{path}: {what} {at} has no {key!r}; it has: {', '.join(map(str, one)) or 'nothing'}")


def _column(cells: Iterable[Any]) -> pd.Series:
    return pd.Series(list(cells), dtype=object)


def _without(name: str, rows: Sequence[int], what: str) -> list[str]:
    """A note on rows that lack something."""
    return [f"{name}: {len(rows):,} {what}, missing there; the first is row {rows[0]}"] if rows else []


def _uncaptioned(path: Path, frame: pd.DataFrame) -> list[str]:
    """A note on pictures without any caption."""
    rows = [n for n, own in enumerate(frame["caption"]) if own is None]
    return _without(path.name, rows, "pictures without caption")


# ---- COCO captions


def _is_coco_captions(whole: Any) -> bool:
    return _have(_objects(whole, "images"), "id") and _have(_objects(whole, "annotations"), "caption")


def _read_coco_captions(whole: Any, path: Path) -> Read:
    images, annotations = whole["images"], whole["annotations"]
    _need(path, "image", images, "id", "file_name")
    _need(path, "annotation", annotations, "image_id", "caption")
    captions: dict[Any, list[str]] = {image["id"]: [] for image in images}
    for at, one in enumerate(annotations):
        if one["image_id"] not in captions:
            raise TableError(
                f"{path}: annotation {at} is of image_id {one['image_id']!r}, which is not among the {len(images):,} "
                "images"
            )
        captions[one["image_id"]].append(str(one["caption"]).strip())
    frame = pd.DataFrame(
        {
            "image_id": _column(image["id"] for image in images),
            "image": _column(str(image["file_name"]) for image in images),
            "caption": _column(captions[image["id"]] or None for image in images),
        }
    )
    return frame, _without(
        path.name, [n for n, own in enumerate(frame.caption) if own is None], "pictures without caption"
    )


# ---- VQA v2


def _is_vqa(whole: Any) -> bool:
    asked = _have(_objects(whole, "questions"), "question", "question_id", "image_id")
    return asked or _have(_objects(whole, "annotations"), "answers", "question_id", "image_id")


def _read_vqa(whole: Any, path: Path) -> Read:
    mine = "questions" if "questions" in whole else "annotations"
    found = _find_partner(whole, path, mine)
    files = {mine: (path, whole), **({_PARTNER[mine]: found} if found else {})}
    if "questions" not in files:
        raise TableError(
            f"{path}: these are answers of VQA, and no file of their questions lies beside them (the same name with "
            "questions in place of annotations, and the same data_subtype)"
        )
    place, asked = files["questions"]
    questions = asked["questions"]
    _need(place, "question", questions, "question", "question_id", "image_id")
    frame = pd.DataFrame(
        {
            "question_id": _column(one["question_id"] for one in questions),
            "image": _column(_picture_of(asked, one["image_id"]) for one in questions),
            "question": _column(str(one["question"]) for one in questions),
        }
    )
    if "annotations" in files:
        answered, notes = _answers(*files["annotations"], frame.question_id, place.name)
        frame = frame.assign(**answered)
        notes = [f"{place.name} goes with {files['annotations'][0].name}", *notes]
    else:
        notes = [f"{path.name}: no file of answers lies beside it, so there are questions alone"]
    frame.attrs["alike"] = (("answer", "answers"),)
    frame.attrs["files"] = [str(file.resolve()) for file, _ in files.values()]
    return frame, notes


def _answers(path: Path, whole: Any, ids: Iterable[Any], name: str) -> tuple[dict[str, pd.Series], list[str]]:
    """Answers by question, that of most people and all; and notes on what does not go together."""
    _need(path, "annotation", whole["annotations"], "question_id", "answers")
    by_id = {}
    for at, one in enumerate(whole["annotations"]):
        said = [own.get("answer") for own in one["answers"]] if isinstance(one["answers"], list) else []
        if not said or None in said:
            raise TableError(f"{path}: annotation {at} (question_id {one['question_id']}) has answers without 'answer'")
        by_id[one["question_id"]] = [str(own) for own in said], one.get("multiple_choice_answer")
    known = list(ids)
    rows = [n for n, own in enumerate(known) if own not in by_id]
    notes = _without(name, rows, "questions without annotation")
    if over := by_id.keys() - set(known):
        notes.append(f"{path.name}: {len(over):,} annotations of questions that are not in {name} are left out")
    found = [by_id.get(own) for own in known]
    return {
        "answer": _column(None if own is None else _majority(*own) for own in found),
        "answers": _column(None if own is None else own[0] for own in found),
    }, notes


def _majority(answers: list[str], chosen: Any) -> str:
    """The most frequent answer; of several such the one that the file chose, or else the first."""
    counts = Counter(answers)
    most = [answer for answer in counts if counts[answer] == max(counts.values())]
    return str(chosen) if chosen in most else most[0]


def _picture_of(whole: Mapping[str, Any], image_id: Any) -> str:
    """The file of a picture, which VQA names by its number alone."""
    kind, part = str(whole.get("data_type", "mscoco")), str(whole.get("data_subtype", "")).replace("-dev", "")
    if not isinstance(image_id, int) or not part:
        return str(image_id)
    return f"COCO_{part}_{image_id:012d}.jpg" if kind == "mscoco" else f"{kind}_{part}_{image_id:012d}.png"


def _find_partner(whole: Mapping[str, Any], path: Path, mine: str) -> tuple[Path, Any] | None:
    """The file with the answers of questions, or the questions of answers, that lies beside one.

    Raises:
        TableError: it cannot be read.
    """
    other = _PARTNER[mine]
    files = [file for file in sorted(path.parent.glob("*.json")) if other in file.name.lower() and file != path]
    wanted = whole.get("data_subtype")
    near = [file for file in files if wanted is not None and str(wanted) in file.name] or files
    for file in near:
        try:
            found = json.loads(file.read_text(encoding="utf8"))
        except (ValueError, RecursionError) as error:
            raise TableError(f"{file}: not JSON, and {path.name} goes with it: {error}") from None
        if _is_vqa(found) and other in found and found.get("data_subtype") == wanted:
            return file, found
    return None


# ---- Flickr30k


def _is_karpathy(whole: Any) -> bool:
    return _have(_objects(whole, "images"), "sentences", "split")


def _read_karpathy(whole: Any, path: Path) -> Read:
    images = whole["images"]
    _need(path, "image", images, "filename", "sentences", "split")
    captions = []
    for at, image in enumerate(images):
        sentences = image["sentences"]
        if not isinstance(sentences, list) or not all(isinstance(one, Mapping) and "raw" in one for one in sentences):
            raise TableError(f"{path}: image {at} ({image['filename']}) has sentences without 'raw'")
        captions.append([str(one["raw"]).strip() for one in sentences] or None)
    frame = pd.DataFrame(
        {
            "image": _column(str(Path(image.get("filepath") or "", image["filename"])) for image in images),
            "caption": _column(captions),
            "split": _column("train" if image["split"] == "restval" else str(image["split"]) for image in images),
        }
    )
    return frame, _uncaptioned(path, frame)


def _lines(text: str) -> list[tuple[int, str]]:
    return [(number, line) for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1) if line.strip()]


def _is_token_file(text: str) -> bool:
    lines = [line for _, line in _lines(text)[:LOOKED_AT]]
    return len(lines) > 1 and sum(bool(_TOKEN.fullmatch(line)) for line in lines) > 0.8 * len(lines)


def _is_bar_file(text: str) -> bool:
    return bool(_BARS_HEADER.fullmatch(text.lstrip("\ufeff").partition("\n")[0].strip()))


def _read_token_file(text: str, path: Path) -> Read:
    return _grouped(_lines(text), _TOKEN, path, "PICTURE.jpg#NUMBER, a tab and a caption")


def _read_bar_file(text: str, path: Path) -> Read:
    return _grouped(_lines(text)[1:], _BARS, path, "PICTURE.jpg| NUMBER| CAPTION")


def _grouped(lines: Sequence[tuple[int, str]], form: re.Pattern[str], path: Path, wanted: str) -> Read:
    """A row per picture of lines that hold a caption each.

    Raises:
        TableError: a line of another form, named by its number; or no line.
    """
    captions: dict[str, list[str]] = {}
    for number, line in lines:
        match = form.fullmatch(line.strip())
        if match is None:
            raise TableError(f"{path}: line {number}: expected {wanted}, found {line[:60]!r}")
        own = captions.setdefault(match[1].strip(), [])
        own += [match[3].strip()] if match[3].strip() else []
    if not captions:
        raise TableError(f"{path}: no line holds a caption; expected {wanted}")
    frame = pd.DataFrame({"image": _column(captions), "caption": _column(own or None for own in captions.values())})
    return frame, _without(
        path.name, [n for n, own in enumerate(frame.caption) if own is None], "pictures without caption"
    )


OF_JSON = (
    Kind("VQA", _is_vqa, _read_vqa),
    Kind("a file of COCO instances", looks_like_coco, parse_coco),
    Kind("COCO captions", _is_coco_captions, _read_coco_captions),
    Kind("captions with Karpathy's splits", _is_karpathy, _read_karpathy),
)
OF_TEXT = (
    Kind("Flickr30k captions", _is_token_file, _read_token_file),
    Kind("Flickr30k captions between bars", _is_bar_file, _read_bar_file),
)
