"""What an error says of a line: nothing, if it is ours; that it is silent; or that somebody answered."""

from __future__ import annotations

import errno
import ssl

import pytest

from netmon.active_probe.probers.base import DETAIL_CHARS_MAX, Outcome
from netmon.active_probe.probers.service import outcome, outcome_of
from netmon.active_probe.vantage.pinning import PinError


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENETUNREACH, "local_error"),
        (errno.ENETDOWN, "local_error"),
        (errno.EPERM, "local_error"),
        (errno.EADDRNOTAVAIL, "local_error"),
        (errno.EHOSTUNREACH, "lost"),
        (errno.ETIMEDOUT, "lost"),
        (errno.ECONNREFUSED, "failed"),
        (errno.ECONNRESET, "failed"),
        (errno.EPIPE, "failed"),
    ],
)
def test_whose_error_it_is(code: int, kind: str) -> None:
    """Named as the kernel names it."""
    found = outcome_of(OSError(code, "in words"))

    assert (found.kind, found.detail.partition(":")[0]) == (kind, errno.errorcode[code])


def test_pin_that_cannot_be_had() -> None:
    """Says its cure."""
    assert outcome_of(PinError(errno.ENODEV, "pin to interface eth9: gone")) == Outcome(
        "local_error", None, "pin to interface eth9: gone"
    )


def test_tls_that_fails() -> None:
    """Somebody answered; OpenSSL's place in its source is left out."""
    error = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)")
    error.reason = "WRONG_VERSION_NUMBER"

    assert outcome_of(error) == Outcome("failed", None, "TLS: wrong version number")


def test_words_of_the_far_end_are_bounded_and_printable() -> None:
    """They get into tables, logs and alarms."""
    found = outcome("failed", "a\x1b[31m\n" + "x" * 1_000)

    assert found.detail.startswith("a?[31m?xxx")
    assert len(found.detail) == DETAIL_CHARS_MAX
