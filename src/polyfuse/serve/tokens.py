"""Bearer tokens: who may ask. Compared in constant time, whatever their number and length."""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

VARIABLE = "POLYFUSE_TOKENS"
SHORT = 16  # characters below which a token is easily guessed


class Tokens:
    """The tokens of a service; without any, everybody may ask."""

    def __init__(self, tokens: Iterable[str] = ()):
        self._digests = [_digest(token) for token in tokens]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def allow(self, header: str | None) -> bool:
        """Whether the ``Authorization`` header of a request names a token; every token is compared, whole."""
        if not self:
            return True
        kind, _, token = (header or "").partition(" ")
        given = _digest(token.strip())
        fits = [hmac.compare_digest(given, digest) for digest in self._digests]
        return any(fits) and kind.lower() == "bearer"


def read_tokens(
    file: str | Path | None = None, environment: Mapping[str, str] = os.environ
) -> tuple[Tokens, list[str]]:
    """The tokens of a file, a line each (``#`` begins a comment), and of ``POLYFUSE_TOKENS``, parted by commas; and
    what is to be said of them.

    Raises:
        ValueError: the file cannot be read, or holds no token.
    """
    notes, tokens = [], [part.strip() for part in environment.get(VARIABLE, "").split(",") if part.strip()]
    if file is not None:
        path = Path(file)
        try:
            lines = path.read_text(encoding="utf8").splitlines()
            mode = path.stat().st_mode
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
            raise ValueError(f"token file {path} cannot be read: {reason}") from None
        found = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
        if not found:
            raise ValueError(f"token file {path} holds no token: write one per line")
        if os.name == "posix" and mode & stat.S_IROTH:
            notes.append(f"token file {path} can be read by every user of this machine: chmod o-r {path}")
        tokens += found
    if short := sum(len(token) < SHORT for token in tokens):
        notes.append(f"{short} of {len(tokens)} tokens have fewer than {SHORT} characters, which is easily guessed")
    return Tokens(tokens), notes


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf8", "surrogatepass")).digest()
