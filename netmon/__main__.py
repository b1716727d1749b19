"""`python -m netmon` is `netmon`."""

from __future__ import annotations

from netmon.cli import main

main()
