"""What stands before every route: who may ask, by which name, what is said when something fails, what is counted."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from polyfuse.serve.bodies import drain
from polyfuse.serve.logs import Log, report
from polyfuse.serve.metrics import Metrics
from polyfuse.serve.problems import Problem
from polyfuse.serve.tokens import Tokens

OPEN = {"/", "/live", "/ready", "/docs", "/openapi.json", "/page.js", "/page.css", "/report.css", "/docs.js"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob: data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
RAW = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
SMALL = 2**16  # bytes of a body that a client has sent before it could hear that it is refused


class Guard:
    """Wraps an application.

    Args:
        app: the routes.
        tokens: who may ask; the page, its parts, ``/live`` and ``/ready`` are open to all.
        routes: paths that are counted by name; others are counted as one.
        hosts: names by which the service is called; None for any. A service on this machine alone answers to its own
            names, so that no page of another host can ask it.
        metrics, log: where it is counted and told.
        full: seconds after which there may be room again, where no model has any.
    """

    def __init__(
        self,
        app: ASGIApp,
        tokens: Tokens,
        routes: Collection[str],
        hosts: Collection[str] | None,
        metrics: Metrics,
        log: Log,
        full: Callable[[], int | None],
    ):
        self._app, self._tokens, self._routes, self._hosts = app, tokens, routes, hosts
        self._metrics, self._log, self._full = metrics, log, full

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As every ASGI application is called."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1000})
                return
            await self._app(scope, receive, send)
            return
        began, number = time.monotonic(), secrets.token_hex(8)
        route = scope["path"] if scope["path"] in self._routes else "other"
        scope["state"] = {**scope.get("state", {}), "began": began}
        status = 0

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *RAW, (b"x-request-id", number.encode())]
            await send(message)

        try:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            self._check(scope["path"], headers)
            if scope["method"] == "POST" and (wait := self._full()) is not None:
                length = headers.get("content-length", "")
                if not length.isdecimal() or len(length) > 5 or int(length) > SMALL:
                    await drain(receive)
                raise Problem(429, "every queue is full", retry_after=wait)  # before anything is read or parsed
            await self._app(scope, receive, told)
        except Problem as problem:
            await answer(told, problem)
        except Exception as error:
            report(error, self._log)
            if not status:
                await answer(told, Problem(500, "the service failed; its log says where"))
        finally:
            seconds = time.monotonic() - began
            self._metrics.count(route, status or 499, seconds)
            if route not in ("/live", "/ready", "/metrics"):
                facts = {"route": route, "method": scope["method"][:10], "status": status or 499, "request": number}
                level = "error" if status >= 500 else "info"
                self._log("request", level, later=status < 500, ms=round(1000 * seconds, 1), **facts)

    def _check(self, path: str, headers: Mapping[str, str]) -> None:
        """Whether the request may go on.

        Raises:
            Problem: another host's page asks, or there is no token that fits.
        """
        if self._hosts is not None:
            if _host(headers.get("host", "")) not in self._hosts:
                raise Problem(403, "this service answers this machine alone, by its own name", "Host")
            origin = headers.get("origin")
            if origin is not None and _host(origin.partition("://")[2]) not in self._hosts:
                raise Problem(403, "a page of another host may not ask here", "Origin")
        if path not in OPEN and not self._tokens.allow(headers.get("authorization")):
            raise Problem(401, "expected Authorization: Bearer TOKEN with a token of this service", "Authorization")


def _host(text: str) -> str:
    """A host without its port."""
    return text.rpartition("]")[0].lstrip("[") if text.startswith("[") else text.partition(":")[0].lower()


async def answer(send: Send, problem: Problem) -> None:
    """Say why there is no answer."""
    body = encoded(problem.body)
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **problem.headers}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def encoded(document: Any) -> bytes:
    """A document as JSON; halves of characters, which clients may send, become question marks."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False).encode("utf8", "replace")
