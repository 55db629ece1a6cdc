"""The tables of ``defaults.py``: shared real data cut for one question each, with a ``split`` of train and test rows.

Draws are seeded and go by the classes of the output, so that few rows still hold them all.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
from common import DATA

HOUSE_NUMBERS, HOUSE_PHOTOS = ["bedrooms", "bathrooms", "area"], ["frontal", "bedroom", "bathroom", "kitchen"]
BEINGS = {
    "child": r"\b(?:child|children|kids?|boys?|girls?|bab(?:y|ies)|toddlers?)\b",
    "dog": r"\b(?:dogs?|pupp(?:y|ies))\b",
    "woman": r"\b(?:wom[ae]n|lad(?:y|ies))\b",
    "man": r"\b(?:m[ae]n|guys?)\b",
}


def draw(frame: pd.DataFrame, rows: int | None, by: str | None = None, seed: int = 0) -> pd.DataFrame:
    """At most that many rows, in which each value of ``by`` keeps its share within a row."""
    if rows is None or len(frame) <= rows:
        return frame.reset_index(drop=True)
    order = np.random.default_rng(seed).permutation(len(frame))
    if by:
        order = order[np.argsort(frame[by].astype(str).to_numpy()[order], kind="stable")]
    # along rows sorted by class, evenly spaced ones
    taken = order[((np.arange(rows) + 0.5) * len(frame) / rows).astype(int)]
    return frame.iloc[np.sort(taken)].reset_index(drop=True)


def joined(train: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([train.assign(split="train"), test.assign(split="test")], ignore_index=True)


def cut(frame: pd.DataFrame, train: int | None, test: int | None, by: str | None = None, seed: int = 0) -> pd.DataFrame:
    """At most that many training rows, validation rows among them, drawn by ``seed``, and always the same test rows."""
    held = frame.split == "test"
    return joined(draw(frame[~held], train, by, seed), draw(frame[held], test, by))


def _text(cell: object) -> str:
    if isinstance(cell, str):
        return cell
    return "" if cell is None or isinstance(cell, float) else " ".join(map(str, cell))


def emoji(columns: list[str]) -> pd.DataFrame:
    """Names to group; rows without a group are left out."""
    frame = pd.read_parquet(DATA / "emoji/emoji.parquet")
    frame = frame[frame.group.notna() & (frame.group != "")]
    text = frame[columns].map(_text).agg(" ".join, axis=1)
    return pd.DataFrame({"text": text, "group": frame.group, "split": frame.split}).reset_index(drop=True)


def emoji_en() -> pd.DataFrame:
    return emoji(["name_en", "tags_en"])


def emoji_zh() -> pd.DataFrame:
    return emoji(["name_zh"])


def emoji_pictures() -> pd.DataFrame:
    frame = pd.read_parquet(DATA / "emoji/emoji.parquet", columns=["image", "group", "split"])
    return frame[frame.group.notna() & (frame.group != "")].reset_index(drop=True)


def mosi() -> pd.DataFrame:
    """Transcripts to sentiment."""
    train, test = (pd.read_csv(DATA / f"cmu_mosi/{side}.csv")[["text", "label"]] for side in ("train", "test"))
    return joined(train, test)


def conll() -> pd.DataFrame:
    """Sentences of news to whether an organisation is named."""
    return joined(_sentences("eng.train"), _sentences("eng.testb"))


def _sentences(name: str) -> pd.DataFrame:
    rows = []
    for block in (DATA / "conll2003" / name).read_text(encoding="utf8").split("\n\n"):
        lines = [line.split() for line in block.splitlines() if line.strip() and not line.startswith("-DOCSTART-")]
        if len(lines) > 2:
            named = any(line[-1].endswith("-ORG") for line in lines)
            rows.append({"text": " ".join(line[0] for line in lines), "organisation": "yes" if named else "no"})
    return pd.DataFrame(rows)


def main_subject(captions: list[str]) -> str:
    """Who at least half of the captions name, and more of them than name any other; else ``other``."""
    named = {kind: sum(bool(re.search(words, text.lower())) for text in captions) for kind, words in BEINGS.items()}
    best, second = sorted(named.values(), reverse=True)[:2]
    return max(named, key=named.__getitem__) if 2 * best >= len(captions) and best > second else "other"


def flickr_en() -> pd.DataFrame:
    """The first caption of a picture to who the other four name."""
    return _flickr(lambda row: (row.captions_en[0], main_subject(list(row.captions_en[1:]))))


def flickr_zh() -> pd.DataFrame:
    """The first Chinese caption of a picture to who its English captions name."""
    return _flickr(lambda row: (row.captions_zh[0], main_subject(list(row.captions_en))))


def _flickr(make) -> pd.DataFrame:
    def read(name: str) -> pd.DataFrame:
        frame = pd.read_parquet(DATA / f"flickr8k/{name}.parquet", columns=["captions_en", "captions_zh"])
        whole = [row for row in frame.itertuples() if len(row.captions_en) > 1 and len(row.captions_zh)]
        return pd.DataFrame([make(row) for row in whole], columns=["text", "being"])

    return joined(read("train-0"), read("test"))


WORDS = {  # table -> how it is made, its output
    "emoji_en": (emoji_en, "group"),
    "emoji_zh": (emoji_zh, "group"),
    "mosi": (mosi, "label"),
    "conll": (conll, "organisation"),
    "flickr_en": (flickr_en, "being"),
    "flickr_zh": (flickr_zh, "being"),
}


def houses() -> pd.DataFrame:
    frame = pd.read_csv(DATA / "houses/table.csv")
    return frame.assign(**{name: [str(DATA / "houses" / path) for path in frame[name]] for name in HOUSE_PHOTOS})


def fsdd() -> pd.DataFrame:
    """Spoken digits with their speakers."""
    frame = pd.read_csv(DATA / "fsdd/table.csv")
    audio = [str(DATA / "fsdd" / path) for path in frame.audio]
    return frame.assign(audio=audio, digit=frame.digit.astype(str))[["audio", "digit", "speaker", "split"]]


def mnist() -> pd.DataFrame:
    parts = [pd.read_parquet(DATA / f"mnist/{side}.parquet").assign(split=side) for side in ("train", "test")]
    return pd.concat(parts, ignore_index=True).assign(digit=lambda frame: frame.digit.astype(str))


def first_frames() -> pd.DataFrame:
    """The first frame of each clip as a picture, and the video it was cut from."""
    frame = pd.read_csv(DATA / "fights/table.csv")
    frame["image"] = [_first_frame(DATA / "fights" / path) for path in frame.video]
    return frame[["image", "label", "source", "split"]]


def _first_frame(path: Path) -> bytes:
    import av

    with av.open(str(path)) as clip:
        image = next(clip.decode(video=0)).to_image()
    kept = io.BytesIO()
    image.save(kept, "PNG")
    return kept.getvalue()
