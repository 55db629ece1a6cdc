"""Tables of pictures: handwriting, emoji, icons, photographs, frames of clips."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.suite.sources import debian, shared
from benchmarks.suite.table import table


def png(pixels: np.ndarray | Image.Image) -> bytes:
    whole = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(whole, "PNG")
    return whole.getvalue()


def smaller(content: bytes, size: int) -> bytes:
    """A JPEG whose sides are at most that long."""
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    picture.thumbnail((size, size))
    whole = io.BytesIO()
    picture.save(whole, "JPEG", quality=90)
    return whole.getvalue()


def handwriting() -> pd.DataFrame:
    frame = pd.read_parquet(shared("mnist", "train.parquet")).sample(4000, random_state=0)
    return frame.assign(image=[c if isinstance(c, bytes) else c["bytes"] for c in frame.image])


@table("picture", "digit", "classification", family="mnist", train=100, test=1000, image=["image"])
def handwriting_100():
    return handwriting()


@table("picture", "digit", "classification", family="mnist", train=200, test=1000, image=["image"])
def handwriting_200():
    return handwriting()


@table("picture", "digit", "classification", family="mnist", train=1000, test=1000, image=["image"])
def handwriting_1000():
    return handwriting()


@table("picture", "digit", "classification", image=["image"])
def handwriting_8x8():
    """The 8 x 8 digits of scikit-learn."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = [png(np.round(p.reshape(8, 8) * 255 / 16).astype(np.uint8)) for p in pixels]
    return pd.DataFrame({"image": images, "digit": labels})


def emoji() -> pd.DataFrame:
    frame = pd.read_parquet(shared("emoji", "emoji.parquet"))
    return frame[frame.group.notna() & ~frame.group.isin(["components", "flags", ""])]


@table("picture", "group", "classification", family="emoji", image=["image"])
def emoji_pictures():
    return emoji()[["image", "group"]]


def icons(name: str, folder: str, contexts: list[str]) -> pd.DataFrame:
    """Icons of one theme and their context; one picture, one row."""
    root = debian(name) / "icons" / folder
    paths = [(path, context) for context in contexts for path in sorted((root / context).glob("*.png"))]
    frame = pd.DataFrame({"image": [p.read_bytes() for p, _ in paths], "context": [c for _, c in paths],
                          "name": [p.stem for p, _ in paths]})  # fmt: skip
    return frame.drop_duplicates("image")


@table("picture", "context", "classification", family="icons", image=["image"])
def icons_oxygen():
    """Icons to what they stand for: actions, programs, devices, kinds of files, places, states."""
    contexts = ["actions", "apps", "devices", "mimetypes", "places", "status", "categories"]
    return icons("oxygen-icon-theme", "oxygen/base/48x48", contexts).drop(columns="name")


@table("picture", "context", "classification", family="icons", image=["image"])
def icons_tango():
    contexts = ["actions", "apps", "devices", "mimetypes", "places", "status", "categories"]
    return icons("tango-icon-theme", "Tango/32x32", contexts).drop(columns="name")


def photographs(parts=("val", "test")) -> pd.DataFrame:
    """Photographs of 96 pixels and the captions that people wrote for them."""
    frame = pd.concat([pd.read_parquet(shared("flickr8k", f"{part}.parquet")) for part in parts])
    return frame.assign(image=[smaller(content, 96) for content in frame.image])


def _mentions(captions, words: set[str]) -> bool:
    """Whether at least two of the captions hold one of the words."""
    return sum(bool(words & set(caption.lower().split())) for caption in captions) >= 2


SEEN = {
    "dog": {"dog", "dogs", "puppy"},
    "water": {"water", "pool", "ocean", "lake", "sea", "beach", "river", "waves", "wave"},
    "snow": {"snow", "snowy", "ski", "snowboarder", "skier", "ice"},
    "grass": {"grass", "grassy", "field", "lawn"},
}


@table("picture", "dog", "classification", family="flickr8k", image=["image"])
def photographs_dog():
    """Whether people who described a photograph saw a dog."""
    frame = photographs()
    seen = ["yes" if _mentions(captions, SEEN["dog"]) else "no" for captions in frame.captions_en]
    return pd.DataFrame({"image": frame.image, "dog": seen})


@table("picture", "scene", "classification", family="flickr8k", image=["image"])
def photographs_scene():
    """Water, snow, grass or none of them, as people described a photograph."""
    frame = photographs(("val", "test", "train-0"))
    seen = [[name for name in ("water", "snow", "grass") if _mentions(c, SEEN[name])] for c in frame.captions_en]
    frame = frame.assign(scene=["none" if not s else s[0] if len(s) == 1 else None for s in seen])
    return frame[frame.scene.notna()][["image", "scene"]].groupby("scene").head(500)


def houses() -> pd.DataFrame:
    frame = pd.read_csv(shared("houses", "table.csv")).drop(columns="split")
    folder = shared("houses")
    views = ["frontal", "bedroom", "bathroom", "kitchen"]
    return frame.assign(**{v: [(folder / name).read_bytes() for name in frame[v]] for v in views})


@table("picture", "price", "regression", family="houses", image=["frontal", "bedroom", "bathroom", "kitchen"])
def house_photos():
    """Four photographs of a house to its price."""
    return houses()[["frontal", "bedroom", "bathroom", "kitchen", "price"]]


def fights() -> pd.DataFrame:
    """First frame and sound of surveillance clips."""
    frame = pd.read_csv(shared("fights", "table.csv")).drop(columns="split")
    read = [_frame_and_sound(shared("fights") / name) for name in frame.video]
    return frame.drop(columns="video").assign(frame=[r[0] for r in read], sound=[r[1] for r in read])


def _frame_and_sound(path: Path) -> tuple[bytes, bytes | None]:
    import av

    from benchmarks.suite.tables_sound import wav

    with av.open(str(path)) as clip:
        first = next(clip.decode(video=0)).to_image()
    with av.open(str(path)) as clip:
        if not clip.streams.audio:
            return png(first), None
        frames = list(clip.decode(audio=0))
    samples_S = np.concatenate([np.atleast_2d(f.to_ndarray().astype(np.float32)).mean(0) for f in frames])
    rate = frames[0].sample_rate
    scale = max(1.0, float(np.abs(samples_S).max()))
    return png(first), wav(samples_S / scale, rate)


@table("picture", "label", "classification", family="fights", group="source", image=["frame"])
def fight_frames():
    """First frame of a clip to whether there is a fight, sources unseen: little can be known."""
    return fights().drop(columns="sound")
