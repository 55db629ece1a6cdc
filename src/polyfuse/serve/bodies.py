"""Bodies of requests: read within limits of size and time, counted against the memory of the whole service."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.types import Receive

from polyfuse.serve.intake import parse_json
from polyfuse.serve.problems import Problem
from polyfuse.serve.settings import Settings

JSON, FORM = "application/json", "multipart/form-data"
PARTS = 1000  # of a multipart request
DRAIN = 2.0  # seconds for which a refused body is read and thrown away, so that the client sees why


class Memory:
    """Bytes of all bodies that are held at once.

    Args:
        most: above which no more are taken.
    """

    def __init__(self, most: int):
        self.most, self.held = most, 0

    @contextmanager
    def holding(self) -> Iterator[Holding]:
        """What one request holds, given back at its end."""
        own = Holding(self)
        try:
            yield own
        finally:
            self.held -= own.bytes


@dataclass
class Holding:
    """The bytes of one request."""

    memory: Memory
    bytes: int = 0

    def take(self, upto: int) -> None:
        """Hold at least so many bytes in all.

        Raises:
            Problem: the memory of the service is full.
        """
        more = max(0, upto - self.bytes)
        if self.memory.held + more > self.memory.most:
            raise Problem(429, "the service holds as many requests as its memory allows", retry_after=1)
        self.memory.held += more
        self.bytes += more


@dataclass(frozen=True)
class Body:
    """What came: the object of the request, and the files of a multipart one."""

    asked: dict[str, Any]
    files: dict[str, bytes] = field(default_factory=dict)
    form: bool = False  # a multipart request without a part "request": its parts are the cells of a row


async def read_body(request: Request, settings: Settings, holding: Holding, ends: float) -> Body:
    """The body of a request, as JSON or as a form.

    Args:
        ends: until when it must have arrived, by the monotonic clock.

    Raises:
        Problem: too large, too late, or neither of both.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind not in (JSON, FORM):
            raise Problem(415, f"expected {JSON} or {FORM}", "Content-Type")
        content = await _content(request, settings, holding, ends)
    except Problem:
        await drain(request.receive)
        raise
    if kind == JSON:
        small = len(content) < 2**16
        return Body(parse_json(content) if small else await asyncio.to_thread(parse_json, content))
    return await _form(request, content, settings)


async def _content(request: Request, settings: Settings, holding: Holding, ends: float) -> bytes:
    most = settings.max_bytes
    length = request.headers.get("content-length")
    if length is not None:
        if not length.isascii() or not length.isdecimal() or len(length) > 18:
            raise Problem(400, "Content-Length is no number", "Content-Length")
        if int(length) > most:
            raise Problem(413, f"{int(length):,} bytes, over the limit of {most:,} (max_bytes)", "body")
        holding.take(int(length))
    parts, count = [], 0
    try:
        async with asyncio.timeout(max(0.0, ends - time.monotonic())):
            while True:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise Problem(400, "the client left before the request was whole")
                part = message.get("body", b"")
                count += len(part)
                if count > most:
                    raise Problem(413, f"more than {most:,} bytes (max_bytes)", "body")
                holding.take(count)
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise Problem(408, "the deadline passed before the request was whole") from None


async def drain(receive: Receive) -> None:
    """Read on for a moment without keeping it: a client that is still sending would not read why it is refused."""
    try:
        async with asyncio.timeout(DRAIN):
            while (message := await receive())["type"] == "http.request" and message.get("more_body", False):
                pass
    except (TimeoutError, RuntimeError):
        return


class _InMemory(MultiPartParser):
    spool_max_size = 2**62  # nothing that a client sent is written to a disk


async def _form(request: Request, content: bytes, settings: Settings) -> Body:
    async def once() -> AsyncIterator[bytes]:
        yield content

    headers = Headers(raw=request.headers.raw)
    parser = _InMemory(headers, once(), max_files=PARTS, max_fields=PARTS, max_part_size=settings.max_bytes)  # type: ignore[arg-type]
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise Problem(400, f"the form cannot be read: {error.message[:120]}") from None
    except Exception as error:  # a form without a boundary, or with a charset that does not exist
        raise Problem(400, f"the form cannot be read: {type(error).__name__}") from None
    files: dict[str, bytes] = {}
    texts: dict[str, str] = {}
    for name, value in form.multi_items():
        if name in files or name in texts:
            raise Problem(422, f"part {name[:40]!r} comes twice", name[:40])
        if isinstance(value, UploadFile):
            files[name] = await value.read()
        else:
            texts[name] = value
    if "request" in texts or "request" in files:
        asked = parse_json(texts["request"].encode("utf8", "replace") if "request" in texts else files["request"])
        return Body(asked, files)
    row = {name: {"file": name} for name in files}
    return Body({"row": {**texts, **row}}, files, form=True)
