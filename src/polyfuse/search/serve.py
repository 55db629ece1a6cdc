"""Local web server of an index: a page to search by text, picture or sound.

The page is three files of this package; it loads nothing from anywhere else. The server answers this machine alone, and
no page of another host: not even one whose name somebody made point here.
"""

from __future__ import annotations

import base64
import binascii
import json
import sys
import threading
import traceback
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from polyfuse.search.index import Index
from polyfuse.search.page import media_type, row_facts
from polyfuse.search.store import SearchError

HOST, PORT = "127.0.0.1", 8765
MOST_BYTES = 32 * 2**20  # of one question, files in it included
MOST_ROWS = 200  # of one answer
SECONDS = 60  # for which a browser may keep a connection waiting
HERE = Path(__file__).parent
FILES = {
    "/": (HERE / "page.html", "text/html; charset=utf-8"),
    "/page.js": (HERE / "page.js", "text/javascript; charset=utf-8"),
    "/page.css": (HERE / "page.css", "text/css; charset=utf-8"),
    "/report.css": (HERE.parent / "evaluation" / "report.css", "text/css; charset=utf-8"),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class RefusedRequest(Exception):
    """A request that is not answered.

    Args:
        status: of HTTP.
        reason: for a person.
    """

    def __init__(self, status: HTTPStatus, reason: str):
        super().__init__(reason)
        self.status = status


class Server(ThreadingHTTPServer):
    """Answers for one index.

    Args:
        port: 0 takes any that is free.

    Raises:
        OSError: the port is taken.
    """

    daemon_threads = True

    def __init__(self, index: Index, port: int = PORT):
        self.index, self.turn = index, threading.Lock()  # one question at a time: it uses all threads
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise OSError(f"port {port} cannot be used ({error}): name another one with --port, or 0 for any") from None

    @property
    def address(self) -> str:
        """The URL of the page."""
        return f"http://{HOST}:{self.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    timeout = SECONDS

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: whoever asks sees the answer."""

    def _answer(self, made: Any) -> None:
        try:
            self._check_source()
            content, kind = made()
            self._send(HTTPStatus.OK, content, kind)
        except RefusedRequest as refused:
            self._fail(refused.status, str(refused))
        except (ValueError, ImportError) as error:  # a question that cannot be answered says why
            self._fail(HTTPStatus.BAD_REQUEST, str(error))
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            self._fail(HTTPStatus.INTERNAL_SERVER_ERROR, f"{type(error).__name__}: {error}")

    def _check_source(self) -> None:
        """Whether a page of this server asks, or a person.

        Raises:
            Refused: the page of another host does.
        """
        port = self.server.server_address[1]
        hosts = {f"{name}:{port}" for name in (HOST, "localhost")}
        if self.headers.get("Host") not in hosts:
            raise RefusedRequest(
                HTTPStatus.FORBIDDEN, f"this server is {self.server.address} and answers to no other name"
            )
        origin = self.headers.get("Origin")
        if origin is not None and origin.removeprefix("http://") not in hosts:
            raise RefusedRequest(HTTPStatus.FORBIDDEN, f"a page of {origin} may not ask here")

    def _get(self) -> tuple[bytes, str]:
        path = self.path.partition("?")[0]
        if path in FILES:
            file, kind = FILES[path]
            return file.read_bytes(), kind
        if path == "/api/index":
            with self.server.turn:
                return _json(_facts(self.server.index))
        if path.startswith("/media/"):
            return self._media(*path.removeprefix("/media/").partition("/")[::2])
        raise RefusedRequest(HTTPStatus.NOT_FOUND, f"there is no {path} here")

    def _media(self, id: str, name: str) -> tuple[bytes, str]:
        content = None
        if id.isdecimal() and len(id) < 20:
            with self.server.turn:
                content = self.server.index.thumbnails([int(id)]).get(int(id), {}).get(unquote(name))
        if content is None:
            raise RefusedRequest(HTTPStatus.NOT_FOUND, f"row {id} has nothing to show of that name")
        return content, media_type(content)

    def _post(self) -> tuple[bytes, str]:
        body = self._body()
        if self.path != "/api/search":
            raise RefusedRequest(HTTPStatus.NOT_FOUND, f"there is no {self.path} here")
        if self.headers.get_content_type() != "application/json":
            raise RefusedRequest(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected application/json")
        try:
            asked = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise SearchError(f"the question is no JSON ({error})") from None
        with self.server.turn:
            return _json(answer(self.server.index, asked))

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or len(length) > 15:
            self.close_connection = True
            raise RefusedRequest(HTTPStatus.LENGTH_REQUIRED, "how long the question is must be said: Content-Length")
        if int(length) > MOST_BYTES:
            self.close_connection = True  # what comes is not read
            most = MOST_BYTES // 2**20
            raise RefusedRequest(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a question may have {most} MiB, files included")
        return self.rfile.read(int(length))

    def _fail(self, status: HTTPStatus, reason: str) -> None:
        self._send(status, *_json({"error": reason}))

    def _send(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)


def answer(index: Index, asked: Any) -> dict[str, Any]:
    """Answer a query: what the page shows.

    Args:
        asked: ``parts``, each with an ``input``, its ``text`` or ``data`` (base64) and a ``weight``; ``like``, the id
            of a row; ``find``, ``where`` and ``k`` as ``Index.search`` takes them.

    Raises:
        SearchError: it cannot be answered.
    """
    if not isinstance(asked, dict):
        raise SearchError("the question must be a JSON object")
    parts = [_part(index, part) for part in _check_type(asked, "parts", list, [])]
    names = [name for name, _, _ in parts]
    if len(set(names)) < len(names):
        raise SearchError("parts: an input is asked with twice")
    like = _check_type(asked, "like", str, "")
    if like and not (like.isdecimal() and len(like) < 20):
        raise SearchError(f"like: {like[:40]!r} is no id of a row")
    k = _check_type(asked, "k", int, 12)
    found = index.search(
        cells={name: cell for name, cell, _ in parts},
        weights={name: weight for name, _, weight in parts},
        id=int(like) if like else None,
        find=[str(name) for name in _check_type(asked, "find", list, [])] or None,
        where=_check_type(asked, "where", str, "").strip() or None,
        k=min(k, MOST_ROWS),
    )
    shown = index.thumbnails([int(id) for id in found.id]) if len(found) else {}
    rows = []
    for id, (_, row) in zip(map(int, found.id), found.iterrows(), strict=True):
        media = [{"input": name, "kind": media_type(content)} for name, content in shown.get(id, {}).items()]
        known = row_facts(row)
        rows.append({"id": str(id), "score": float(row.score), "found": row.found, "media": media, "known": known})
    return {"rows": rows, "of": len(index)}


def _part(index: Index, part: Any) -> tuple[str, Any, float]:
    """The input that is asked with, the cell, and its weight."""
    if not isinstance(part, Mapping):
        raise SearchError("parts: expected objects with an input and its text or data")
    name, weight = _check_type(part, "input", str, ""), _check_type(part, "weight", (int, float), 1.0)
    if "data" not in part:
        if index.inputs.get(name, "text") != "text":  # it would be read as the path of a file of this machine
            raise SearchError(f"{name!r} is asked with as a file: expected its data")
        return name, _check_type(part, "text", str, ""), float(weight)
    try:
        return name, base64.b64decode(_check_type(part, "data", str, ""), validate=True), float(weight)
    except (binascii.Error, ValueError):
        raise SearchError(f"the file for {name!r} did not arrive whole") from None


def _check_type(asked: Mapping[str, Any], name: str, kind: Any, default: Any) -> Any:
    value = asked.get(name, default)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise SearchError(f"{name}: found {str(value)[:40]!r}, expected another kind of value")
    return value


def _facts(index: Index) -> dict[str, Any]:
    return {"name": index.name, "rows": len(index), "inputs": index.inputs, "columns": index.columns}


def _json(document: Any) -> tuple[bytes, str]:
    return json.dumps(document, ensure_ascii=False).encode(), "application/json; charset=utf-8"
