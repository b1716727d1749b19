"""Simulated days say nothing in the log of the tests: each tells thousands of lines that nobody reads."""

from __future__ import annotations

import pytest

from netmon import log


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors only."""
    monkeypatch.setattr(log._Setup, "threshold", log.LEVELS["error"])
