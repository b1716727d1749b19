"""What one run of a figure is: measured values, what went wrong, and the verdict."""

from __future__ import annotations

from typing import Any

import msgspec


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one figure."""

    passed: bool
    figures: dict[str, float]
    """What was measured, by a name that has the unit."""
    faults: list[str]
    """What went wrong, a sentence for each."""
    detail: Any
    """Everything else that was measured."""
