"""Who may ask: the token, or the loopback under its own name."""

from __future__ import annotations

import pytest

from netmon.api.guard import check_host, check_token, is_loopback
from netmon.api.problem import ProblemError

TOKEN = "correct-horse-battery"


@pytest.mark.parametrize("header", [f"Bearer {TOKEN}", f"bearer  {TOKEN}"])
def test_whoever_knows_the_token_may_ask(header: str) -> None:
    """The scheme's letters may be small or capital (RFC 9110 section 11.1)."""
    check_token(header, TOKEN)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer \udcff"])
def test_others_may_not(header: str | None) -> None:
    """401, whatever they bring."""
    with pytest.raises(ProblemError) as error:
        check_token(header, TOKEN)
    assert (error.value.problem.status, TOKEN in str(error.value.problem)) == (401, False)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8643", "127.0.0.1:8643", "[::1]:8643", "console.example:80"])
def test_our_own_names_are_good(host: str) -> None:
    """With the same origin, or none."""
    check_host(host, None, ("console.example",))
    check_host(host, f"http://{host}", ("console.example",))


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("evil.example", None, 421),
        (None, None, 421),
        ("", None, 421),
        ("127.0.0.1.evil.example", None, 421),
        ("127.0.0.1@evil.example", None, 421),
        ("[::1", None, 421),
        ("localhost", "http://evil.example", 403),
        ("localhost:8643", "http://localhost:80", 403),
        ("localhost", "null", 403),
        ("localhost", "http://[", 403),
    ],
)
def test_what_a_web_page_of_others_makes_is_refused(host: str | None, origin: str | None, status: int) -> None:
    """Rebound names are 421, foreign origins 403."""
    with pytest.raises(ProblemError) as error:
        check_host(host, origin, ())
    assert error.value.problem.status == status


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1", True), ("::1", True), ("0.0.0.0", False), ("::", False)])
def test_loopback_is_known(host: str, expected: bool) -> None:
    """A wildcard is open to others."""
    assert is_loopback(host) == expected
