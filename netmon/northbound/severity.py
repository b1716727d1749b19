"""How severe an alarm is, in the words of others. Pure.

Inside, severities are those of X.733 and RFC 8632; each column of other words stands here, and nowhere else.
"""

from __future__ import annotations

from typing import Final

from netmon.alarms.model import Severity

PROMETHEUS: Final[dict[Severity, str]] = {
    "critical": "critical",
    "major": "critical",
    "minor": "warning",
    "warning": "warning",
    "indeterminate": "info",
}
"""The label `severity` of alerts, as most receivers route by it: wake somebody, have a look, know of it."""
