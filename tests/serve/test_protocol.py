"""What never ends is cut: heads, trailers and sizes of chunks; and a service goes on answering others."""

from __future__ import annotations

import socket

import pytest

from polyfuse.serve import protocol

POST = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
ENDLESS = {
    "a header": (POST + b"X-Long: ", b"x" * 4096),
    "headers": (POST, b"X-Many: some\r\n" * 300),
    "a path": (b"GET /", b"x" * 4096),
    "a trailer": (CHUNKED + b"0\r\nX-Long: ", b"x" * 4096),
    "an extension of a chunk": (CHUNKED + b"2;", b"x" * 4096),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_what_does_not_end_is_cut(served, what):
    first, more = ENDLESS[what]
    with socket.create_connection(("127.0.0.1", int(served.address.rpartition(":")[2])), timeout=20) as line:
        said, sent = b"", len(first)
        line.sendall(first)
        try:
            while sent < 64 * protocol.HEAD:
                line.sendall(more)
                sent += len(more)
        except OSError:
            pass  # it was cut while we sent
        else:
            line.shutdown(socket.SHUT_WR)
        try:
            while piece := line.recv(4096):
                said += piece
        except OSError:
            pass
    assert sent < 64 * protocol.HEAD, f"{sent:,} bytes were taken"
    assert not said or said.startswith(b"HTTP/1.1 4")
    assert served.client.get("/live").status_code == 200


def test_long_bodies_in_many_pieces_are_no_head(served):
    row = b'{"row": {"area": 1, "words": "' + b"x" * 10
    body = row + b" " * (3 * protocol.HEAD) + b'"}}'
    answer = served.client.post("/v1/predict", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 413, 422)
    pieces = (body[at : at + 100] for at in range(0, len(body), 100))
    again = served.client.post("/v1/predict", content=pieces, headers={"Content-Type": "application/json"})
    assert again.status_code == answer.status_code
