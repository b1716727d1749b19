"""`netmon ack|unack|shelve|unshelve|close|comment`: what an operator does with an alarm; the alarm worker carries it out."""

from __future__ import annotations

import getpass
import secrets
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from datetime import time as time_of_day
from typing import Annotated, Final

import msgspec
import typer

from netmon.alarms.model import Command, CommandKind
from netmon.api.view import alarm_view
from netmon.cli.alarms import language_of, open_view, text_of, the_alarm
from netmon.cli.common import NOT_WELL, AsJson, ConfigFile, exit_codes
from netmon.errors import ConfigError, UnavailableError
from netmon.show import printable

WAIT_S: Final = 10.0
"""For the worker's answer; longer than another worker needs to take over."""

AlarmId = Annotated[str, typer.Argument(metavar="ID", help="The alarm's ID, or how it begins.")]
By = Annotated[str | None, typer.Option("--by", help="Who does it; else who is logged in.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the others.")]
NeededReason = Annotated[str, typer.Option("--reason", help="Why, for the others. Needed.")]
Version = Annotated[int | None, typer.Option("--version", min=1, help="Only if the alarm still has this version.")]


def shelve(
    alarm_id: AlarmId,
    reason: NeededReason,
    by: By = None,
    lasting: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="How long: 90s, 30m, 2h, 1d.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="17:00 (the next one), or ISO 8601.")
    ] = None,
    version: Version = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Put an alarm out of sight until a time. Exit 1: there is none, or its state does not allow it."""
    with exit_codes():
        end = end_of(lasting, until)
    _operate(config, "shelve", alarm_id, by=by, text=reason, until_unix_ns=end, version=version, as_json=as_json)


def comment(
    alarm_id: AlarmId,
    text: Annotated[str, typer.Option("--text", "--reason", help="What to write down. Needed.")],
    by: By = None,
    version: Version = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Write something down beside an alarm. Exit 1: there is none."""
    _operate(config, "comment", alarm_id, by=by, text=text, version=version, as_json=as_json)


def _simple(kind: CommandKind, told: str) -> Callable[..., None]:
    """A command that needs nothing but the alarm."""

    def command(
        alarm_id: AlarmId,
        by: By = None,
        reason: Reason = "",
        version: Version = None,
        config: ConfigFile = None,
        as_json: AsJson = False,
    ) -> None:
        _operate(config, kind, alarm_id, by=by, text=reason, version=version, as_json=as_json)

    command.__name__ = kind
    command.__doc__ = f"{told} Exit 1: there is none, or its state does not allow it."
    return command


_COMMANDS: Final = (
    _simple("ack", "Say that somebody works on an alarm."),
    _simple("unack", "Say that nobody works on an alarm any more."),
    shelve,
    _simple("unshelve", "Bring a shelved alarm back into sight."),
    _simple("close", "Say that an alarm is over, whatever the network says."),
    comment,
)


def register(app: typer.Typer) -> None:
    """Add all of them."""
    for command in _COMMANDS:
        app.command()(command)


def _operate(
    config: ConfigFile,
    kind: CommandKind,
    alarm_id: str,
    *,
    by: str | None,
    text: str,
    version: int | None,
    as_json: bool,
    until_unix_ns: int = 0,
) -> None:
    """Asks the worker, waits for its answer, tells it, and ends with the exit code for it."""
    with exit_codes(interrupted="interrupted; what was asked may be done all the same"):
        view = open_view(config)
        command = Command(
            id=f"cli-{secrets.token_hex(8)}",
            kind=kind,
            alarm_id=the_alarm(view, alarm_id).id,
            by=by or login(),
            text=text,
            until_unix_ns=until_unix_ns,
            version=version,
            unix_ns=time.time_ns(),
        )
        result = view.ask(command, WAIT_S)
        if result is None:
            detail = f"no alarm worker has answered in {WAIT_S:.0f} s; it does it when it runs again"
            raise UnavailableError("timeout", detail)
        if as_json:
            shown = None if result.alarm is None else alarm_view(result.alarm)
            print(msgspec.json.encode({"outcome": result.outcome, "detail": result.detail, "alarm": shown}).decode())
        elif result.outcome != "done":
            print(printable(result.detail))
        elif result.alarm is not None:
            state = result.alarm.operator_state
            done = "commented" if kind == "comment" else "in sight, nobody works on it" if state == "none" else state
            print(f"{result.alarm.id}: {done}. {text_of(result.alarm.text, language_of(None))}")
        raise typer.Exit(0 if result.outcome == "done" else NOT_WELL)


def end_of(lasting: str | None, until: str | None) -> int:
    """When something ends, by how long it lasts or by when it is over; one of them. A time of day is the next one. Raises ConfigError."""
    if (lasting is None) == (until is None):
        raise ConfigError(["when does it end? Expected --for, such as 2h, or --until, such as 17:00, one of them"])
    if lasting is not None:
        return time.time_ns() + lasting_s("--for", lasting) * 1_000_000_000
    assert until is not None, "one of the two is there"
    return coming(until, datetime.now().astimezone())


def lasting_s(option: str, text: str) -> int:
    """A duration in seconds. Raises ConfigError: the option has none."""
    from netmon.cli.union import seconds_of  # noqa: PLC0415 - redis-py is slow to import

    try:
        return seconds_of(text)
    except typer.BadParameter:
        raise ConfigError(
            [f"{option}: found {printable(text)!r}; expected a duration such as 90s, 30m, 2h or 1d"]
        ) from None


def coming(text: str, now: datetime) -> int:
    """The end that `--until` names, in nanoseconds since 1970; a time of day that has passed is tomorrow's. Raises ConfigError."""
    try:
        moment = time_of_day.fromisoformat(text)
    except ValueError:
        return _moment(text, now)
    end = datetime.combine(now.date(), moment, moment.tzinfo or now.tzinfo)
    if end <= now:
        end += timedelta(days=1)
    return round(end.timestamp()) * 1_000_000_000


def _moment(text: str, now: datetime) -> int:
    try:
        end = datetime.fromisoformat(text)
    except ValueError:
        expected = "expected 17:00 (the next one), or a day with it: 2026-03-01T17:00"
        raise ConfigError([f"--until: found {printable(text)!r}; {expected}"]) from None
    if end.astimezone() <= now:
        raise ConfigError([f"--until: {printable(text)} has passed"])
    return round(end.astimezone().timestamp()) * 1_000_000_000


def login() -> str:
    """Who is logged in. Raises ConfigError."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise ConfigError(["nobody is logged in here by a name; expected --by NAME"]) from None
