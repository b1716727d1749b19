"""A whole netmon for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.harness import Netmon


@pytest.fixture
def netmon(tmp_path: Path) -> Iterator[Netmon]:
    """A ready netmon with the test configuration; it must stop cleanly and leave no orphans."""
    with Netmon(tmp_path) as started:
        yield started
