"""Universal Sentence Encoder: arrays and a SentencePiece model -> a checkpoint's folder with a ``tokenizer.json``.

The model of SentencePiece (Kudo and Richardson, EMNLP 2018) is a protocol buffer, of which three things matter: the
pieces with their scores, and the table by which texts are normalised. The ``tokenizers`` library does the rest.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from polyfuse.data.cells.universal import CHUNKS, WINDOWS, shapes

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5  # how a protocol buffer says what follows
_PIECES, _NORMALIZER = 1, 3  # fields of a SentencePiece model
_PIECE, _SCORE = 1, 2  # fields of a piece
_CHARSMAP = 2  # field of the normalizer
# what polyfuse calls an array -> what the package calls it; the second lot has one for every window
_ONE = {"lowest": "lo", "gain": "ln_g", "shift": "ln_b", "joined": "cnn_W", "joined_bias": "cnn_b"}
_EACH = {"first": "w1_", "second": "w2_", "first_bias": "b1_", "second_bias": "b2_"}
_JOINED = {"project": "proj", "project_bias": "proj_b", "gain_in": "ln_g", "shift_in": "ln_b"}  # those, side by side


def convert(sources: Mapping[str, Path], folder: Path) -> None:
    """Write ``config.json``, ``model.safetensors`` and ``tokenizer.json``."""
    from safetensors.numpy import save_file

    with np.load(sources["weights.npz"], allow_pickle=False) as arrays:
        save_file(_weights(arrays), folder / "model.safetensors")
    (folder / "tokenizer.json").write_text(_tokenizer(sources["sp.model"].read_bytes()), encoding="utf8")
    config = {"model_type": "universal_sentence_encoder", "encoder": "universal"}
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf8")


def _weights(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays under the names that ``shapes()`` lists."""
    table = np.stack([arrays[f"q{n + 1}"] for n in range(CHUNKS)], 1)  # rows are dealt out to the chunks in turn
    old = {f"{new}{window}": f"{name}{window}" for window in WINDOWS for new, name in _EACH.items()} | _ONE
    found = {name: arrays[old.get(name, name)] for name in shapes() if name != "table" and name not in _JOINED}
    side = {new: np.concatenate([arrays[f"{name}{n}"] for n in WINDOWS], -1) for new, name in _JOINED.items()}
    return {"table": table.reshape(-1, table.shape[-1]), **found, **side}


def _tokenizer(model: bytes) -> str:
    """A SentencePiece model of single pieces as ``tokenizer.json``."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    pieces, charsmap = [], b""
    for field, content in fields(model):
        inner = dict(fields(content)) if field in (_PIECES, _NORMALIZER) else {}
        if field == _PIECES:
            score = struct.unpack("<f", inner[_SCORE])[0] if _SCORE in inner else 0.0
            pieces.append((inner[_PIECE].decode("utf8"), score))
        charsmap = inner.get(_CHARSMAP, b"") if field == _NORMALIZER else charsmap
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=False))
    blanks = [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    tokenizer.normalizer = normalizers.Sequence([normalizers.Precompiled(charsmap), *blanks])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("\u2581", prepend_scheme="always")
    return tokenizer.to_str()


def fields(buffer: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of the fields of a protocol buffer that hold bytes or four of them.

    Raises:
        ValueError: this is no protocol buffer.
    """
    at = 0
    while at < len(buffer):
        tag, at = _number(buffer, at)
        kind = tag & 7
        if kind == _VARINT:
            _, at = _number(buffer, at)
            continue
        if kind == _BYTES:
            size, at = _number(buffer, at)
        elif kind in (_EIGHT, _FOUR):
            size = 8 if kind == _EIGHT else 4
        else:
            raise ValueError(f"a field of unknown kind {kind} at byte {at:,}: this is no SentencePiece model")
        yield tag >> 3, buffer[at : at + size]
        at += size


def _number(buffer: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits per byte, lowest first, and the place behind it."""
    found = shift = 0
    while True:
        found |= (buffer[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if buffer[at - 1] < 128:
            return found, at
