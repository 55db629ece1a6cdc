"""Messages between a service and its own worker: a length, then a pickle. Only these two processes hold the ends."""

from __future__ import annotations

import asyncio
import pickle
import struct
from typing import Any, BinaryIO

HEAD = struct.Struct("!Q")


def packed(message: Any) -> bytes:
    """A message as bytes."""
    body = pickle.dumps(message, protocol=5)
    return HEAD.pack(len(body)) + body


def send(file: BinaryIO, message: Any) -> None:
    """Write a message."""
    file.write(packed(message))
    file.flush()


def receive(file: BinaryIO) -> Any:
    """The next message.

    Raises:
        EOFError: the other side is gone.
    """
    return pickle.loads(_exactly(file, HEAD.unpack(_exactly(file, HEAD.size))[0]))


def _exactly(file: BinaryIO, count: int) -> bytes:
    parts = []
    while count:
        part = file.read(count)
        if not part:
            raise EOFError("the other side is gone")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


async def receive_async(reader: asyncio.StreamReader) -> Any:
    """The next message of a worker.

    Raises:
        asyncio.IncompleteReadError: the worker is gone.
    """
    (count,) = HEAD.unpack(await reader.readexactly(HEAD.size))
    return pickle.loads(await reader.readexactly(count))
