from __future__ import annotations

import pytest

from polyfuse.starter.universal import fields


def test_fields_of_a_protocol_buffer():
    buffer = b"\x0a\x03abc" + b"\x10\x96\x01" + b"\x1d\x00\x00\x80\x3f" + b"\x21" + bytes(8)
    assert list(fields(buffer)) == [(1, b"abc"), (3, b"\x00\x00\x80?"), (4, bytes(8))]


def test_something_else_is_refused():
    with pytest.raises(ValueError, match="no SentencePiece model"):
        list(fields(b"\x0b\x03abc"))
