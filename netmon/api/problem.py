"""What went wrong, as every error of the API says it: RFC 9457 (Problem Details for HTTP APIs). Pure.

`type` is left out, which means `about:blank`: the status says what kind of trouble it is. `code` is a word for programs, of a
closed set; `errors` names every mistake of a request at once.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

Code = Literal[
    "invalid_request",  # parameters, body or headers
    "unauthorized",
    "forbidden_origin",
    "not_found",
    "method_not_allowed",
    "not_possible",  # the alarm's state does not allow it
    "cursor_gone",
    "version_changed",
    "too_large",
    "unsupported_media_type",
    "misdirected",
    "too_many",
    "internal",
    "unavailable",
]

_TITLES: Final = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    410: "Gone",
    412: "Precondition Failed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    417: "Expectation Failed",
    421: "Misdirected Request",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
"""RFC 9110 section 15: with `about:blank`, the title is the status's own phrase (RFC 9457 section 4.2.1)."""
MEDIA_TYPE: Final = "application/problem+json"
ERRORS_MAX: Final = 20
"""Mistakes that one answer names."""
SHOWN_MAX: Final = 60
"""Characters of what somebody sent that an answer repeats."""


class Mistake(msgspec.Struct, frozen=True):
    """One thing that is wrong with a request."""

    where: str
    """`parameter severity`, `body until`, `header If-Match`."""
    detail: str
    """What was found, and what was expected."""


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of an answer that is none."""

    title: str
    status: int
    code: Code
    detail: str = ""
    errors: tuple[Mistake, ...] = ()


class ProblemError(Exception):
    """Ends the handling of a request."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def refusal(status: int, code: Code, detail: str = "", errors: tuple[Mistake, ...] = ()) -> ProblemError:
    """A problem to raise; its title is the status's own phrase."""
    title = _TITLES.get(status, "Error")
    return ProblemError(
        Problem(title=title, status=status, code=code, detail=detail, errors=errors[:ERRORS_MAX]),
    )


def invalid(mistakes: list[Mistake]) -> ProblemError:
    """A request with mistakes: all of them at once."""
    many = f"{len(mistakes)} mistakes" if len(mistakes) > 1 else "1 mistake"
    return refusal(400, "invalid_request", f"the request has {many}", tuple(mistakes))


def shown(value: object) -> str:
    """What somebody sent, fit to be repeated: short, and nothing that a terminal obeys."""
    text = repr(value)
    return text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 1] + "…"
