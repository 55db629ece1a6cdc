"""Files from addresses, of hosts that were allowed by name alone: within size and time, past no private network.

The name is looked up once and the connection goes to what was found, so that a host cannot say one thing to the check
and another to the connection; every redirect is checked as the first address was.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Collection
from urllib.parse import SplitResult, urljoin, urlsplit

from polyfuse.serve.problems import Problem, unreadable

REDIRECTS = 3
PORTS = {"http": 80, "https": 443}
CHUNK = 2**16


class Fetcher:
    """Reads addresses of some hosts.

    Args:
        hosts: ``HOST`` (with the usual port) or ``HOST:PORT``. A host whose name leads to a private address is refused,
            unless it is allowed as that very address, such as ``10.0.0.5:9000``.
        most: bytes of a file.
        seconds: for all of it, redirects included.

    Raises:
        ValueError: an entry that is neither.
    """

    def __init__(self, hosts: Collection[str], most: int, seconds: float):
        self._hosts = {_entry(host) for host in hosts}
        self._most, self._seconds = most, seconds

    def __call__(self, address: str, field: str) -> bytes:
        """The bytes at an address.

        Raises:
            Problem: not allowed, not there, too large or too slow.
        """
        ends = time.monotonic() + self._seconds
        try:
            for _ in range(REDIRECTS + 1):
                split = self._allowed(address, field)
                content, further = self._read(split, field, ends)
                if further is None:
                    return content
                address = urljoin(address, further)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise unreadable(field, f"the address cannot be read: {type(error).__name__}") from None
        raise unreadable(field, f"more than {REDIRECTS} redirects")

    def _allowed(self, address: str, field: str) -> SplitResult:
        try:
            split = urlsplit(address)
            host, port = split.hostname, split.port
        except ValueError:
            raise unreadable(field, "no address") from None
        if split.scheme not in PORTS or not host or split.username or split.password:
            raise unreadable(field, "expected an address of http or https, without a user")
        if (host.lower(), port or PORTS[split.scheme]) not in self._allowed_ports(split.scheme):
            raise unreadable(field, "files of this host are not fetched; send the file itself")
        return split

    def _allowed_ports(self, scheme: str) -> set[tuple[str, int]]:
        return {(host, port or PORTS[scheme]) for host, port in self._hosts}

    def _read(self, split: SplitResult, field: str, ends: float) -> tuple[bytes, str | None]:
        """The content, or where a redirect leads."""
        host, port = str(split.hostname), split.port or PORTS[split.scheme]
        line = _Line(host, port, _place(host, port, field), split.scheme == "https", _left(ends))
        try:
            path = (split.path or "/") + (f"?{split.query}" if split.query else "")
            line.request("GET", path, headers={"User-Agent": "polyfuse", "Accept-Encoding": "identity"})
            answer = line.getresponse()
            if answer.status in (301, 302, 303, 307, 308):
                return b"", answer.headers.get("Location") or ""
            if answer.status != 200:
                raise unreadable(field, f"the host answers {answer.status}")
            parts, count = list[bytes](), 0
            while True:
                if line.sock is not None:
                    line.sock.settimeout(_left(ends))
                part = answer.read1(CHUNK)
                if not part:
                    return b"".join(parts), None
                count += len(part)
                if count > self._most:
                    raise Problem(413, f"{field}: more than {self._most:,} bytes (max_bytes)", field)
                parts.append(part)
        finally:
            line.close()


class _Line(http.client.HTTPConnection):
    """A connection to an address that was looked up and checked before."""

    def __init__(self, host: str, port: int, place: str, secure: bool, seconds: float):
        super().__init__(host, port, timeout=seconds)
        self._place, self._secure = place, secure

    def connect(self) -> None:
        """To the checked address, under the host's own name."""
        self.sock = socket.create_connection((self._place, self.port), self.timeout)
        if self._secure:
            self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)


def _left(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError("too slow")
    return left


def _place(host: str, port: int, field: str) -> str:
    """The address of a host, none of whose addresses leads into a private network."""
    try:
        ipaddress.ip_address(host)
        return host  # written as such on the list
    except ValueError:
        pass
    found = [str(item[4][0]) for item in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for place in found:
        own = ipaddress.ip_address(place.partition("%")[0])
        inner = getattr(own, "ipv4_mapped", None) or own
        if not inner.is_global or inner.is_multicast:
            raise unreadable(field, "this host leads to a private address")
    return found[0]


def _entry(text: str) -> tuple[str, int | None]:
    """Host and port of an entry of the list."""
    try:
        split = urlsplit(f"//{text}")
        if not split.hostname or split.path or split.query or split.username:
            raise ValueError
        return split.hostname.lower(), split.port
    except ValueError:
        raise ValueError(f"host {text!r}: expected HOST or HOST:PORT, such as media.example.org") from None
