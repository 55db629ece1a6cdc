"""Why a request gets no answer: a status of HTTP, a sentence for a person, and the field that it is about."""

from __future__ import annotations

from typing import Any

KINDS = {
    400: "invalid_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    411: "length_required",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid_field",
    429: "overloaded",
    500: "internal_error",
    503: "unavailable",
    504: "deadline_exceeded",
}


class Problem(Exception):
    """A request that is not answered.

    Args:
        status: of HTTP.
        message: for a person; says what was found, what was expected.
        field: of the request, such as ``rows[0].image``.
        retry_after: seconds after which to try again.
    """

    def __init__(self, status: int, message: str, field: str | None = None, retry_after: int | None = None):
        super().__init__(message)
        self.status, self.message, self.field, self.retry_after = status, message, field, retry_after

    @property
    def body(self) -> dict[str, Any]:
        """What the client reads, in the shape of OpenAI's errors."""
        kind = KINDS.get(self.status, "error")
        return {"error": {"message": self.message, "type": kind, "param": self.field, "code": self.status}}

    @property
    def headers(self) -> dict[str, str]:
        """``Retry-After`` and ``WWW-Authenticate``, where they say something."""
        found = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return found | ({"WWW-Authenticate": "Bearer"} if self.status == 401 else {})


def unreadable(field: str, reason: str) -> Problem:
    """A cell that cannot be read, by its field."""
    return Problem(422, f"{field}: {reason}", field)


class Refused(Exception):
    """What a worker says of a row that cannot be answered, for a reason that its client may know.

    Args:
        reason: a sentence.
        column: of the cell that is to blame, where there is one.
    """

    def __init__(self, reason: str, column: str | None = None):
        super().__init__(reason, column)
        self.reason, self.column = reason, column
