"""How bytes become requests: by a parser and an event loop in C where these are installed, else in Python."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

HEAD = 2**16  # bytes that may come without a whole head or a piece of a body; httptools itself has no limit

try:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
except ImportError:
    PROTOCOL: Any = "h11"  # which limits the size of headers itself
else:

    class Parser(HttpToolsProtocol):
        """uvicorn's protocol over httptools, closed when headers, trailers or sizes of chunks do not end."""

        _silent = 0

        def data_received(self, data: bytes) -> None:
            """Parse what came, and refuse a head that has become too long."""
            self._silent += len(data)
            super().data_received(data)
            if self._silent > HEAD and self.parser is not None and not self.transport.is_closing():
                self.send_400_response("The head of the request is too long.")

        def on_headers_complete(self) -> None:
            """The head is whole."""
            self._silent = 0
            super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            """A piece of the body."""
            self._silent = 0
            super().on_body(body)

        def on_message_complete(self) -> None:
            """The request is whole."""
            self._silent = 0
            super().on_message_complete()

    PROTOCOL = Parser


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end, on uvloop where it is installed."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        asyncio.run(main)
        return
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main)
