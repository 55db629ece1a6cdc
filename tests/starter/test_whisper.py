from __future__ import annotations

import io
import shutil
import struct
import subprocess

import numpy as np
import pytest

from polyfuse import starter
from polyfuse.starter.whisper import read
from tests.starter.needed import needed

pytestmark = pytest.mark.usefixtures("own_cache")


def text(word: str) -> bytes:
    return struct.pack("<H", len(word) + 1) + word.encode() + b"\0"


def made(arrays: dict[str, np.ndarray], *, version: int = 6, kind: str = "WhisperSpec") -> bytes:
    out = struct.pack("<I", version) + text(kind) + struct.pack("<II", 3, len(arrays))
    for name, array in arrays.items():
        out += text(name) + struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
        out += struct.pack("<BI", {"f2": 4, "i2": 2}[array.dtype.str[1:]], array.nbytes) + array.tobytes()
    return out + struct.pack("<I", 0)


def test_arrays_come_back_as_they_were_written():
    arrays = {"a/weight": np.arange(6, dtype=np.float16).reshape(2, 3), "heads": np.array(6, dtype=np.int16)}
    found = dict(read(io.BytesIO(made(arrays))))
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (made({}, version=5), "version 5"),
        (made({}, kind="TransformerSpec"), "TransformerSpec"),
        (made({"a": np.zeros(9, np.float16)})[:-12], "ends too early"),
        (b"", "ends too early"),
    ],
)
def test_another_file_is_refused(content, message):
    with pytest.raises(ValueError, match=message):
        list(read(io.BytesIO(content)))


def test_it_writes_down_what_is_said(tmp_path):
    from transformers import AutoProcessor, WhisperForConditionalGeneration

    if not shutil.which("espeak-ng"):
        pytest.skip("espeak-ng, which speaks, is not installed")
    folder = starter.find(needed("whisper-tiny.en"))
    sound = tmp_path / "fox.wav"
    subprocess.run(["espeak-ng", "-w", str(sound), "The quick brown fox jumps over the lazy dog."], check=True)
    model, report = WhisperForConditionalGeneration.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    processor = AutoProcessor.from_pretrained(folder)
    heard = processor(samples_of(sound), sampling_rate=16_000, return_tensors="pt").input_features
    said = processor.batch_decode(model.float().generate(heard, max_new_tokens=20), skip_special_tokens=True)[0]
    assert "quick brown fox" in said.lower()
    assert "lazy dog" in said.lower()


def samples_of(sound) -> np.ndarray:
    import soundfile
    import soxr

    samples, rate = soundfile.read(sound)
    return soxr.resample(samples, rate, 16_000).astype(np.float32)
