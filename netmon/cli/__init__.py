"""The command line, a file for each group of commands. `main` has those of daily use and knows all others."""

from netmon.cli.main import app, main

__all__ = ["app", "main"]
