"""The command line. Exit codes: 0 well, 1 what was asked about is not well, 2 usage or configuration, 3 unavailable."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Final

import typer

from netmon import __version__

INTERRUPTED: Final = 130
"""As a shell has it: 128 and SIGINT."""

_PLACES: Final[dict[str, tuple[str, ...]]] = {
    "rejects": ("rejects",),
    "journal": ("parked", "journal"),
    "replay": ("replay",),
    "canary": ("canary",),
    "operate": ("ack", "unack", "shelve", "unshelve", "close", "comment"),
    "daemons": ("run", "receive", "alarm-worker", "capture", "commit", "decode", "late"),
    "check": ("check",),
    "traps": ("traps", "ledger"),
    "mib": ("mib",),
    "alarms": ("alarms",),
    "posture": ("posture",),
    "lines": ("lines",),
    "agent": ("agent",),
    "probe": ("probe",),
    "probing": ("probe-agent", "reflector", "rehearse"),
    "inventory": ("inventory",),
    "rules": ("rules",),
    "failover": ("failover",),
    "plan": ("plan",),
    "drill": ("drill",),
}
"""Module of `netmon.cli` to the commands that its `register` adds. A new command is its file and a line here."""


def main() -> None:
    """Entry point of `netmon` and `python -m netmon`."""
    try:
        app = build(sys.argv[1:])
    except KeyboardInterrupt:
        # Imports take a third of a second: who is impatient then wants no traceback.
        raise SystemExit(INTERRUPTED) from None
    app()


def build(words: Sequence[str] = ()) -> typer.Typer:
    """The program, with as few of its commands as `words` need: importing all of them takes longer than most of them run.

    Args:
        words: Of the command line. All commands are there when the first is not one of them: for the help, and for the
            word that was meant.
    """
    app = typer.Typer(
        name="netmon",
        help="The network monitor that still works while the network is failing.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        epilog="For those who let systemd supervise, one role by itself: netmon capture, commit, decode, late, alarm-worker.",
    )
    app.callback()(_options)
    first = words[0] if words else ""
    places = [place for place, names in _PLACES.items() if first in names] or _PLACES
    for place in places:
        import_module(f"netmon.cli.{place}").register(app)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"netmon {__version__}")
        raise typer.Exit


def _options(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """The network monitor that still works while the network is failing."""
