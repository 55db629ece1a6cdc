"""Requests that nobody should answer, as many as are wanted: a family of faults each, varied by a seed."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np

from tests.serve.conftest import coded, png, torn, wav

Asked = dict[str, Any]
JSON = {"Content-Type": "application/json"}


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of(width: int, height: int, *chunks: bytes) -> bytes:
    """A picture by its header, whatever follows."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IEND", b"")


def zip_like() -> bytes:
    """Twelve hundred megabytes of black in a megabyte."""
    packer, row = zlib.compressobj(9), b"\0" * (1 + 3 * 20_000)
    return png_of(20_000, 20_000, chunk(b"IDAT", b"".join(packer.compress(row) for _ in range(200)) + packer.flush()))


def text_bomb() -> bytes:
    """A remark in a picture that would fill the memory."""
    return png_of(8, 8, chunk(b"zTXt", b"a\0\0" + zlib.compress(b"\0" * 200_000_000, 9)))


def hours(count: float) -> bytes:
    """A FLAC file that says how long it is, and ends."""
    samples = int(count * 3600 * 8000)
    info = struct.pack(">HH", 4096, 4096) + b"\0" * 6
    info += ((8000 << 44) | (0 << 41) | (15 << 36) | samples).to_bytes(8, "big") + b"\0" * 16
    return b"fLaC" + b"\x80" + len(info).to_bytes(3, "big") + info


@cache
def bombs() -> tuple[bytes, bytes]:
    """Both are made when the first is asked for, which takes a second."""
    return zip_like(), text_bomb()


def row(**cells: Any) -> Asked:
    return at("predict", {"row": cells})


def at(route: str, document: Any) -> Asked:
    return {"path": f"/v1/{route}", "json": document}


def raw(content: bytes, path: str = "/v1/predict", **headers: str) -> Asked:
    return {"path": path, "content": content, "headers": {**JSON, **headers}}


def pick(rng: np.random.Generator, *values: Any) -> Any:
    return values[int(rng.integers(len(values)))]


PATHS = ("/etc/passwd", "../../secret.png", "file:///etc/passwd", "C:\\windows\\win.ini", "\\\\host\\share", "a.png")
URLS = (
    "http://127.0.0.1:22/",
    "https://example.org/a.png",
    "ftp://a/b",
    "http://169.254.169.254/latest/",
    "gopher://x",
)


def families() -> list[Callable[[np.random.Generator], Asked]]:
    """What can be wrong."""
    lists = ([], {}, "x", 3, [3], [[]], [{}], [None], [{"area": 1}] * 65)
    vectors = ([], "x", 3, {}, [None], ["a"], [[1], [1, 2]], [True], [1, [2]], [1, 2, 3], [1e400])
    array = b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'shape': (%d,)}"
    forms = ("{", "[]", "{}", '{"row": {"photo": {"file": "b"}}}')
    places = ("/v1/nothing", "/../etc/passwd", "/v1/predict/x", "/page.js/..%2f..%2fx", "/%00")
    torn_row = {"row": {"photo": coded(torn())}}
    wrong = (3, True, [], {}, [[]], {"base64": 3}, {"file": "nowhere"}, {"url": "x"}, {"base64": "", "file": "x"})
    return [
        lambda r: row(photo=coded(png()[: int(r.integers(1, 40))])),
        lambda r: row(photo=coded(torn()[: int(r.integers(45, 120))])),
        lambda r: row(sound=coded(wav()[: int(r.integers(1, 43))])),
        lambda r: row(**{pick(r, "photo", "sound"): coded(r.bytes(int(r.integers(1, 2000))))}),
        lambda r: row(**{pick(r, "photo", "sound"): pick(r, *wrong)}),
        lambda r: row(photo=coded(png_of(int(r.integers(50_000, 60_000)), 50_000, chunk(b"IDAT", b"x")))),
        lambda r: row(photo=coded(pick(r, *bombs())), area=int(r.integers(9))),
        lambda r: row(sound=coded(hours(float(r.integers(10, 90))))),
        lambda r: row(photo=coded(array % r.integers(10**9, 10**12))),
        lambda r: raw(b"[" * int(r.integers(2_000, 200_000))),
        lambda r: raw(b'{"row":' * int(r.integers(2_000, 50_000)) + b"1"),
        lambda r: raw(b'{"row": {"area": %s}}' % pick(r, b"NaN", b"Infinity", b"-Infinity", b"nan", b"1e", b"01")),
        lambda r: raw(b'{"row": {"area": %s}}' % (b"9" * int(r.integers(400, 20_000)))),
        lambda r: row(area=pick(r, "many", [], {}, "1,2,3", "12_345", "", None, [1], "nan", "inf")),
        lambda r: row(kind=pick(r, [], {}, [1], {"a": 1}, "x" * 2000)),
        lambda r: row(day=pick(r, 3, True, [], "yesterday", "2024-99-99", "31.12")),
        lambda r: row(vector=pick(r, *vectors)),
        lambda r: row(words=pick(r, 3, [], {}, True, " ", "x" * 20_001)),
        lambda r: row(**{pick(r, "photo", "sound"): pick(r, *PATHS)}),
        lambda r: row(**{pick(r, "photo", "sound"): pick(r, *PATHS, *URLS)}),
        lambda r: row(photo={"url": pick(r, *URLS)}),
        lambda r: row(**{pick(r, "foto", "Photo", "label", "__class__", "\ud800", "a" * 5000, ""): "x"}),
        lambda r: at("predict", {"rows": pick(r, *lists)}),
        lambda r: at("predict", pick(r, {}, {"row": None}, {"row": {"area": 1}, "rows": []}, {"roes": []})),
        lambda r: at("predict", {"row": {"area": 1}, pick(r, "x", "\ud800", "without", "model"): 3}),
        lambda r: at("predict", {"row": {"area": 1}, "without": pick(r, ["nose"], [3], "photo", [[]])}),
        lambda r: at("predict", {"row": {"area": 1}, "model": pick(r, "../stub", "", "x" * 500, "none")}),
        lambda r: raw(json.dumps({"row": {"words": "häuser"}}).encode()[: int(r.integers(1, 20))]),
        lambda r: raw(b'{"row": {"words": "' + pick(r, b"\xff\xfe", b"\xc3", b"\xed\xa0\x80") + b'"}}'),
        lambda r: raw(r.bytes(int(r.integers(1, 500)))),
        lambda r: raw(b""),
        lambda r: raw(b"{}", **{"Content-Type": pick(r, "text/plain", "application/xml", "", "multipart/form-data")}),
        lambda r: raw(r.bytes(50), **{"Content-Type": f"multipart/form-data; boundary={pick(r, 'x', '', 'y' * 300)}"}),
        lambda r: raw(b'{"row": {"area": 1}}', **{"X-Timeout": pick(r, "nan", "-1", "0", "soon", "inf", "")}),
        lambda r: {"path": "/v1/predict", "data": {pick(r, "foto", "area"): "x"}, "files": {"photo": png()}},
        lambda r: {"path": "/v1/predict", "files": {"request": (None, pick(r, *forms))}},
        lambda r: {"path": "/v1/predict", "files": [("photo", png()), ("photo", png())]},
        lambda r: {"path": pick(r, *places), "json": {}},
        lambda r: {"path": "/v1/predict", "method": pick(r, "PUT", "DELETE", "PATCH", "GET", "TRACE")},
        lambda r: at("embeddings", {"input": pick(r, [], None, 3, [3], [[1, 2]], "", [""], {"x": 1}, True)}),
        lambda r: at("embeddings", {"input": "x", pick(r, "modality", "encoding_format", "dimensions"): "y"}),
        lambda r: at("embeddings", {"input": [coded(torn())], "modality": pick(r, "image", "photo", "audio")}),
        lambda r: at("generate", pick(r, {}, {"row": {}}, {"row": {"area": 1}, "output": "price"}, {"row": 3})),
        lambda r: at("generate", torn_row | {"stream": pick(r, True, False)}),
        lambda r: at("generate", {"row": {"words": "x"}, pick(r, "stream", "output"): pick(r, 3, [], "no")}),
        lambda r: at("explain", pick(r, {}, {"row": {}}, {"rows": [{"area": 1}] * 9}, torn_row)),
        lambda r: at("explain", {"row": {"area": 1}, "output": pick(r, "x", 3, "caption")}),
    ]  # fmt: skip


def requests(count: int, seed: int = 0) -> Iterator[Asked]:
    """So many of them, each family in turn."""
    rng, made = np.random.default_rng(seed), families()
    for n in range(count):
        yield made[n % len(made)](rng)
