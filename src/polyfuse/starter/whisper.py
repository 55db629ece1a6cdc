"""Whisper tiny.en: the binary file of CTranslate2 -> a Hugging Face folder of WhisperForConditionalGeneration.

Radford et al., Robust speech recognition via large-scale weak supervision, ICML 2023. The file begins with its version,
the kind of model and a revision; then, per array, its name, shape, type and bytes; then second names of arrays.
Queries, keys and values of one attention lie behind one another in one array.
"""

from __future__ import annotations

import json
import re
import shutil
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

VERSION, KIND = 6, "WhisperSpec"
_TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
_END, _START, _NO_TIMES, _BEFORE = 50256, 50257, 50362, 50360  # ids of special pieces of English-only Whisper

# name in the file, after the layer -> names in the folder, one for each part of the array
_LAYER = {
    "self_attention/layer_norm": ("self_attn_layer_norm",),
    "self_attention/linear_0": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attention/linear_1": ("self_attn.out_proj",),
    "attention/layer_norm": ("encoder_attn_layer_norm",),
    "attention/linear_0": ("encoder_attn.q_proj",),
    "attention/linear_1": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
    "attention/linear_2": ("encoder_attn.out_proj",),
    "ffn/layer_norm": ("final_layer_norm",),
    "ffn/linear_0": ("fc1",),
    "ffn/linear_1": ("fc2",),
}
_REST = {
    "conv1": "conv1",
    "conv2": "conv2",
    "layer_norm": "layer_norm",
    "embeddings": "embed_tokens",
    "position_encodings": "embed_positions",
}
_KINDS = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias", "encodings": "weight"}


def convert(sources: Mapping[str, Path], folder: Path) -> None:
    """Write configuration, weights in half precision, tokenizer and the preprocessor of sounds."""
    from safetensors.numpy import save_file

    with sources["model.bin"].open("rb") as file:
        arrays = dict(read(file))
    weights = {name: array for old, array in arrays.items() for name, array in _rename_array(old, array)}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    shutil.copyfile(sources["tokenizer.json"], folder / "tokenizer.json")
    given = json.loads(sources["config.json"].read_text(encoding="utf8"))
    for name, content in _settings(arrays, given).items():
        (folder / name).write_text(json.dumps(content, indent=1), encoding="utf8")


def read(file: BinaryIO) -> Iterator[tuple[str, np.ndarray]]:
    """Name and content of every array of a CTranslate2 model.

    Raises:
        ValueError: another version of the format, another kind of model, or the file ends too early.
    """
    (version,) = _numbers(file, "I")
    kind = _text(file) if version == VERSION else ""
    if (version, kind) != (VERSION, KIND):
        raise ValueError(f"a CTranslate2 file of version {version} and kind {kind!r}; expected {VERSION} and {KIND!r}")
    _revision, count = _numbers(file, "II")
    for _ in range(count):
        name = _text(file)
        (axes,) = _numbers(file, "B")
        shape = _numbers(file, "I" * axes)
        code, size = _numbers(file, "BI")
        yield name, np.frombuffer(_bytes(file, size), _TYPES[code]).reshape(shape)


def _numbers(file: BinaryIO, kinds: str) -> tuple[int, ...]:
    return struct.unpack(f"<{kinds}", _bytes(file, struct.calcsize(f"<{kinds}")))


def _text(file: BinaryIO) -> str:
    """A text with its length in front and a zero behind."""
    (size,) = _numbers(file, "H")
    return _bytes(file, size)[:-1].decode("utf8")


def _bytes(file: BinaryIO, size: int) -> bytes:
    found = file.read(size)
    if len(found) < size:
        raise ValueError("the CTranslate2 file ends too early")
    return found


def _rename_array(old: str, array: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of the folder that one of the file holds; none for settings."""
    side, _, rest = old.partition("/")
    where, _, kind = rest.rpartition("/")
    if kind not in _KINDS:
        return
    layer = re.fullmatch(r"layer_(\d+)/(.+)", where)
    if not layer:
        yield f"model.{side}.{_REST[where]}.{_KINDS[kind]}", np.ascontiguousarray(array)
        return
    names = _LAYER[layer[2]]
    for name, part in zip(names, np.split(array, len(names)), strict=True):
        if not (name.endswith("k_proj") and kind == "bias"):  # keys have no bias in Whisper: it is zeros in the file
            yield f"model.{side}.layers.{layer[1]}.{name}.{_KINDS[kind]}", np.ascontiguousarray(part)


def _settings(arrays: Mapping[str, np.ndarray], given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """File name -> content of everything but weights and vocabulary."""
    vocabulary, width = arrays["decoder/embeddings/weight"].shape
    special = {"bos_token_id": _START, "eos_token_id": _END, "pad_token_id": _END, "decoder_start_token_id": _START}
    begin = given.get("suppress_ids_begin", [])
    config: dict[str, Any] = {
        "model_type": "whisper",
        "architectures": ["WhisperForConditionalGeneration"],
        "dtype": "float16",
        "vocab_size": vocabulary,
        "d_model": width,
        "num_mel_bins": arrays["encoder/conv1/weight"].shape[1],
        "max_source_positions": len(arrays["encoder/position_encodings/encodings"]),
        "max_target_positions": len(arrays["decoder/position_encodings/encodings"]),
        "scale_embedding": bool(arrays["decoder/scale_embeddings"]),
        "tie_word_embeddings": True,
        "begin_suppress_tokens": begin,
        **special,
    }
    for side in ("encoder", "decoder"):
        config[f"{side}_layers"] = len([n for n in arrays if re.fullmatch(rf"{side}/layer_\d+/ffn/linear_0/bias", n)])
        config[f"{side}_attention_heads"] = int(arrays[f"{side}/num_heads"])
        config[f"{side}_ffn_dim"] = len(arrays[f"{side}/layer_0/ffn/linear_0/bias"])
    generation = {
        "alignment_heads": given.get("alignment_heads", []),
        "begin_suppress_tokens": begin,
        "suppress_tokens": given.get("suppress_ids", []),
        "is_multilingual": False,
        "max_initial_timestamp_index": 50,
        "max_length": config["max_target_positions"],
        "no_timestamps_token_id": _NO_TIMES,
        "prev_sot_token_id": _BEFORE,
        "return_timestamps": False,
        **special,
    }
    return {
        "config.json": config,
        "generation_config.json": generation,
        "preprocessor_config.json": _EARS,
        "tokenizer_config.json": _TOKENIZER,
    }


_EARS = {
    "feature_extractor_type": "WhisperFeatureExtractor",
    "processor_class": "WhisperProcessor",
    "feature_size": 80,
    "sampling_rate": 16_000,
    "hop_length": 160,
    "n_fft": 400,
    "chunk_length": 30,
    "n_samples": 480_000,
    "nb_max_frames": 3000,
    "padding_side": "right",
    "padding_value": 0.0,
    "return_attention_mask": False,
}
_TOKENIZER = {
    "tokenizer_class": "WhisperTokenizer",
    "processor_class": "WhisperProcessor",
    "bos_token": "<|endoftext|>",
    "eos_token": "<|endoftext|>",
    "pad_token": "<|endoftext|>",
    "unk_token": "<|endoftext|>",
    "model_max_length": 448,
}
