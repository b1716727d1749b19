"""`netmon alarms`: what stands and what explains it, straight from Redis: it works when the API does not."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
import typer
from rich.table import Table
from rich.text import Text as Shown

from netmon import config as configuration
from netmon.alarms.model import SEVERITIES, Alarm, Change, Severity, Text
from netmon.api.view import alarm_view, change_view, history_view
from netmon.cli.common import NOT_WELL, AsJson, ConfigFile, LineConsole, config_path, exit_codes, lanes_of
from netmon.errors import ConfigError, UnavailableError
from netmon.show import counted, printable

if TYPE_CHECKING:
    from netmon.buffer.alarm_store import AlarmView

Language = Literal["ja", "en"]
STYLES: Final[dict[Severity, str]] = {
    "critical": "bold white on red",
    "major": "bold red",
    "minor": "yellow",
    "warning": "cyan",
    "indeterminate": "dim",
}
EXPLAINED_SHOWN: Final = 50
"""Of what one cause explains, with --causes."""
WIDE: Final = 120
"""Columns of a terminal from which on the resource has one of its own; the text nearly always names it, too."""
CANDIDATES_SHOWN: Final = 10
_RECONNECT_S: Final = 0.5
_LAST_UNIX_S: Final = 253_402_128_000
"""The end of the year 9999, in any zone."""
_BLOCK_MS: Final = 1_000
_ID: Final = re.compile(r"[0-9a-z]{1,32}")

_group = typer.Typer(name="alarms", help="What stands, what explains it, and since when.", add_completion=False)

Lang = Annotated[str | None, typer.Option("--lang", metavar="ja|en", help="Language of the texts; else that of $LANG.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(_group)


@_group.callback(invoke_without_command=True)
def alarms(
    context: typer.Context,
    config: ConfigFile = None,
    everything: Annotated[bool, typer.Option("--all", help="Cleared, closed and shelved ones, too.")] = False,
    area: Annotated[str | None, typer.Option("--area", help="Of this area only.")] = None,
    severity: Annotated[
        list[str] | None, typer.Option("--severity", help="Of this severity only; may be repeated.")
    ] = None,
    causes: Annotated[bool, typer.Option("--causes", help="Beneath each cause, what it explains.")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what changes.")] = False,
    as_json: AsJson = False,
    lang: Lang = None,
) -> None:
    """Show the alarms that nothing else explains, the worst first, each with how many it explains."""
    if context.invoked_subcommand is not None:
        return
    with exit_codes(endless=follow):
        wanted = Wanted(everything=everything, area=area, severities=_severities(severity), language=language_of(lang))
        view = open_view(config)
        after = view.last_id() if follow else ""
        found = list({alarm.id: alarm for alarm in view.alarms()}.values())
        if as_json:
            for alarm in _sorted(alarm for alarm in found if wanted.has(alarm)):
                print(msgspec.json.encode(alarm_view(alarm)).decode())
        else:
            _print_list(found, wanted, with_explained=causes)
        if not view.has_worker():
            print("no alarm worker runs: what is shown does not change", file=sys.stderr)
        if follow:
            _follow(view, after, wanted, as_json=as_json)


@_group.command()
def show(
    alarm_id: Annotated[str, typer.Argument(metavar="ID", help="The alarm's ID, or how it begins.")],
    config: ConfigFile = None,
    as_json: AsJson = False,
    lang: Lang = None,
) -> None:
    """Show all of one alarm, with its history. Exit 1: there is none."""
    with exit_codes():
        language = language_of(lang)
        alarm = the_alarm(open_view(config), alarm_id)
        if as_json:
            history = history_view(alarm.history)
            about = {**msgspec.to_builtins(alarm_view(alarm)), "history": msgspec.to_builtins(history)}
            print(msgspec.json.encode(about).decode())
        else:
            _print_alarm(alarm, language)


def open_view(config: ConfigFile) -> AlarmView:
    """The alarms of a configuration's Redis. Raises ConfigError."""
    from netmon.buffer.alarm_store import AlarmView  # noqa: PLC0415 - redis-py is slow to import

    return AlarmView(lanes_of(configuration.load(config_path(config)))[0].redis)


def the_alarm(view: AlarmView, alarm_id: str) -> Alarm:
    """The alarm whose ID this is, or begins so.

    Raises:
        ConfigError: Several begin so, or it could be no ID.
        typer.Exit: There is none.
    """
    if not _ID.fullmatch(alarm_id):
        raise ConfigError([f"found {printable(alarm_id)!r}; expected an alarm's ID, as `netmon alarms` shows it"])
    alarm = view.alarm(alarm_id)
    found = [] if alarm is not None else view.find(alarm_id, CANDIDATES_SHOWN)
    if len(found) > 1:
        raise ConfigError([f"{alarm_id}: several alarms begin so, such as {', '.join(found)}; give more of it"])
    if found:
        alarm = view.alarm(found[0])
    if alarm is None:
        print(f"{alarm_id}: there is no such alarm; a cleared one leaves the list after a while", file=sys.stderr)
        raise typer.Exit(NOT_WELL)
    return alarm


def language_of(lang: str | None) -> Language:
    """The language to show: as given, else of the environment (POSIX: LC_ALL, LC_MESSAGES, LANG). Raises ConfigError."""
    if lang is not None and lang not in {"ja", "en"}:
        raise ConfigError([f"--lang: found {printable(lang)!r}; expected ja or en"])
    given = lang or next((os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), "")
    return "ja" if given.startswith("ja") else "en"


def text_of(text: Text, language: Language) -> str:
    """The text in a language, fit for a terminal."""
    return printable((text.ja if language == "ja" else text.en) or text.en)


def _severities(given: Sequence[str] | None) -> frozenset[str]:
    unknown = [name for name in given or () if name not in SEVERITIES]
    if unknown:
        expected = ", ".join(reversed(SEVERITIES))
        raise ConfigError([f"--severity: found {printable(name)!r}; expected {expected}" for name in unknown])
    return frozenset(given or ())


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which alarms to show, and how."""

    everything: bool
    area: str | None
    severities: frozenset[str]
    language: Language

    def is_here(self, alarm: Alarm) -> bool:
        """Whether it is of the area and severity."""
        is_of_area = self.area is None or alarm.place.area == self.area
        return is_of_area and (not self.severities or alarm.severity in self.severities)

    def has(self, alarm: Alarm) -> bool:
        """Whether it is to be shown in a list of all."""
        return self.is_here(alarm) and (self.everything or alarm.is_active)


def _sorted(alarms: Iterable[Alarm]) -> list[Alarm]:
    """The worst first, of them the newest; what no longer stands comes last."""
    return sorted(
        alarms,
        key=lambda alarm: (not alarm.is_active, -SEVERITIES.index(alarm.severity), -alarm.raised_unix_ns, alarm.id),
    )


def _print_list(found: Sequence[Alarm], wanted: Wanted, *, with_explained: bool) -> None:
    here = [alarm for alarm in found if wanted.is_here(alarm)]
    active = [alarm for alarm in here if alarm.is_active]
    roots = [alarm for alarm in active if alarm.is_annunciated]
    shelved = sum(alarm.operator_state == "shelved" for alarm in active)
    hidden = f"; {shelved:,} shelved" if shelved else ""
    print(f"{counted(len(active), 'alarm')}, {counted(len(roots), 'cause')}{hidden}")
    shown = _sorted(alarm for alarm in here if alarm.cause is None) if wanted.everything else _sorted(roots)
    explained: dict[str, list[Alarm]] = {}
    for alarm in found if with_explained else ():
        if alarm.is_active and alarm.cause is not None:
            explained.setdefault(alarm.cause, []).append(alarm)
    if shown:
        console = LineConsole(highlight=False, markup=False, emoji=False)
        console.print(_table(shown, explained, wanted.language, with_where=console.width >= WIDE))


def _table(
    shown: Sequence[Alarm], explained: Mapping[str, Sequence[Alarm]], language: Language, *, with_where: bool
) -> Table:
    """A row an alarm; beneath it, what it explains."""
    table = Table(box=None, pad_edge=False)
    for title in ("ID", "SEVERITY", "SINCE"):
        table.add_column(title, no_wrap=True)
    table.add_column("EXPLAINS", no_wrap=True, justify="right")
    for title in ("WHERE", "ALARM") if with_where else ("ALARM",):
        table.add_column(title, overflow="fold")
    for alarm in shown:
        table.add_row(*_cells(alarm, language, with_where=with_where))
        below = _sorted(explained.get(alarm.id, ()))
        for other in below[:EXPLAINED_SHOWN]:
            table.add_row(*_cells(other, language, with_where=with_where, indent="  "))
        if len(below) > EXPLAINED_SHOWN:
            blanks = [""] * (len(table.columns) - 1)
            table.add_row(*blanks, f"  and {len(below) - EXPLAINED_SHOWN:,} more")
    return table


def _cells(alarm: Alarm, language: Language, *, with_where: bool, indent: str = "") -> Iterator[str | Shown]:
    yield alarm.id
    yield Shown(alarm.severity, style=STYLES[alarm.severity] if alarm.is_active else "dim")
    yield _short_time(alarm.raised_unix_ns, time.time())
    yield f"{alarm.caused:,}" if alarm.caused else ""
    if with_where:
        yield Shown(printable(alarm.resource))
    yield Shown(f"{indent}{text_of(alarm.text, language)}{_state(alarm)}")


def _state(alarm: Alarm) -> str:
    """What else is to know, in words."""
    words = ["flapping"] if alarm.flapping else []
    if alarm.is_cleared:
        words.append(f"cleared {_time(alarm.cleared_unix_ns)}")
    if alarm.operator_state != "none":
        until = f" until {_time(alarm.shelved_until_unix_ns)}" if alarm.operator_state == "shelved" else ""
        words.append(f"{alarm.operator_state} by {printable(alarm.operator_by)}{until}")
    return f" ({'; '.join(words)})" if words else ""


def _print_alarm(alarm: Alarm, language: Language) -> None:
    facts = {
        "ID": alarm.id,
        "alarm": text_of(alarm.text, language),
        "do": text_of(alarm.action, language),
        "severity": alarm.severity,
        "state": f"{'stands' if alarm.is_active else 'does not stand'}{_state(alarm)}",
        "where": printable(alarm.resource),
        "place": printable(", ".join(f"{name} {value}" for name, value in _place(alarm))),
        "type": printable(f"{alarm.alarm_type} {alarm.qualifier}".strip()),
        "probable cause": printable(alarm.probable_cause),
        "first, last raised": f"{_time(alarm.created_unix_ns)}, {_time(alarm.raised_unix_ns)}",
        "notifications": f"{alarm.notifications:,}, raised {counted(alarm.raises, 'time')}",
        "explained by": alarm.cause or "",
        "explains": counted(alarm.caused, "alarm") if alarm.caused else "",
        "trust": alarm.trust,
        "evidence": printable(f"{alarm.evidence.key} {alarm.evidence.entry_id}".strip()),
        "version": str(alarm.version),
    }
    for name, value in facts.items():
        if value:
            print(f"{name:<19} {value}")
    for comment in alarm.comments:
        print(f"comment             {_time(comment.unix_ns)}  {printable(comment.by)}: {printable(comment.text)}")
    for entry in alarm.history:
        who = f"  {printable(entry.by)}: {printable(entry.text)}" if entry.by else ""
        print(f"history             {_time(entry.unix_ns)}  {entry.kind} ({entry.severity}){who}")


def _place(alarm: Alarm) -> Iterable[tuple[str, str]]:
    place = alarm.place
    named = (("area", place.area), ("site", place.site), ("line", place.line), ("device", place.device))
    yield from ((name, value) for name, value in named if value)
    if place.sectors:
        yield "sectors", " ".join(place.sectors)


def _follow(view: AlarmView, after: str, wanted: Wanted, *, as_json: bool) -> None:
    """Prints what changes, for ever; says once that Redis is away, and once that it is back."""
    away = False
    while True:
        try:
            for told in view.changes(after, block_ms=_BLOCK_MS):
                after = told.entry_id
                if told.change is not None and wanted.is_here(told.change.alarm):
                    _print_change(told.change, wanted.language, as_json=as_json)
            if away:
                print("Redis can be read again", file=sys.stderr)
            away = False
        except UnavailableError as error:
            if not away:
                print(f"Redis cannot be read: {error.detail}", file=sys.stderr)
            away = True
            time.sleep(_RECONNECT_S)


def _print_change(change: Change, language: Language, *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(change_view(change)).decode(), flush=True)
        return
    alarm = change.alarm
    line = Shown(f"{_time(change.unix_ns)}  {change.kind:<9}  ")
    line.append(f"{alarm.severity:<13}", style=STYLES[alarm.severity] if alarm.is_active else "dim")
    explains = f"  explains {alarm.caused:,}" if alarm.caused else ""
    by = f"  by {printable(change.by)}" if change.by else ""
    line.append(f"  {alarm.id}  {printable(alarm.resource)}  {text_of(alarm.text, language)}{explains}{by}")
    LineConsole(highlight=False, markup=False, emoji=False).print(line, soft_wrap=True)
    sys.stdout.flush()


def _time(unix_ns: int) -> str:
    """In the machine's zone."""
    return f"{_moment(unix_ns // 1_000_000_000):%Y-%m-%d %H:%M:%S}"


def _short_time(unix_ns: int, now_s: float) -> str:
    """The same, without what goes without saying: today's date, or the seconds of another day."""
    moment, now = _moment(unix_ns // 1_000_000_000), _moment(now_s)
    if moment.date() == now.date():
        return f"{moment:%H:%M:%S}"
    return f"{moment:%m-%d %H:%M}" if moment.year == now.year else f"{moment:%Y-%m-%d}"


def _moment(unix_s: float) -> datetime:
    """In the machine's zone; what is later than Python can say is the last that it can."""
    return datetime.fromtimestamp(min(unix_s, _LAST_UNIX_S)).astimezone()
