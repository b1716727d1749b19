"""`netmon agent`: the agent of this gateway, how it is, and what an operator on the spot may do without the centre."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from netmon.cli.alarms import Lang, Language, language_of
from netmon.cli.common import NOT_WELL, AsJson, LineConsole, exit_codes
from netmon.cli.failover_words import PHASES, REASONS, of
from netmon.cli.line_table import since
from netmon.cli.operate import end_of, login
from netmon.config import failover_agent
from netmon.errors import ConfigError, UnavailableError
from netmon.failover.agent.local import Question, ask
from netmon.failover.agent.report import REPORT_FILE, AgentReport, CentreState, decode
from netmon.failover.plan.model import ReportedGroup
from netmon.failover.settings import AgentSettings
from netmon.show import printable

CONFIG: Final = Path("/etc/netmon/agent.yml")
MODULE: Final = "netmon.failover.agent"
WAIT_S: Final = 10.0
"""How long a command waits to see what has become of it."""
POLL_S: Final = 0.05
WORDS_MAX: Final = 200
"""Letters of who and why."""
_CENTRE: Final[dict[CentreState, str]] = {
    "heard": "centre heard",
    "awaited": "centre not heard yet",
    "lost": "centre lost",
    "none": "no broker",
}
NOWHERE: Final = ("nowhere: shed", "遮断")

Of = Annotated[Path, typer.Option("-c", "--config", help="Its configuration: see config/agent.yml.")]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--dir", help="Its data_dir, for when the configuration itself is what is broken.", show_default=False
    ),
]
Class = Annotated[str, typer.Argument(metavar="CLASS", help="ID of the traffic class.")]
By = Annotated[str | None, typer.Option("--by", help="Who asks; else who is logged in.", show_default=False)]
Why = Annotated[str, typer.Option("--why", help="Why; it is noted, and the centre is told.")]

_group = typer.Typer(name="agent", no_args_is_help=False)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_group)


@_group.callback(invoke_without_command=True)
def agent(
    context: typer.Context,
    config: Of = CONFIG,
    check: Annotated[bool, typer.Option("--check", help="Say whether all is right with it, and end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Move this gateway's traffic away from dead lines, until SIGTERM or Ctrl-C; what was moved stays where it is."""
    context.obj = config
    if context.invoked_subcommand is not None:
        return
    with exit_codes(endless=True):
        loaded = failover_agent.load(config)
        settings = failover_agent.agent_settings(loaded)
        doubts = failover_agent.warnings(loaded)
        if check:
            _print_check(config, settings, doubts, as_json=as_json)
            return
        for doubt in doubts:
            print(f"warning: {doubt}", file=sys.stderr)
        _become(settings)


def _print_check(config: Path, settings: AgentSettings, doubts: list[str], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"ok": True, "gateway": settings.gateway_id, "warnings": doubts}))
        return
    for doubt in doubts:
        print(f"warning: {doubt}", file=sys.stderr)
    what = "says what it would move" if settings.dry_run else "moves its traffic"
    broker = settings.mqtt.url if settings.mqtt is not None else "nobody"
    print(f"{config}: ok. The agent of {settings.gateway_id} {what}, and listens to {broker}")


def _become(settings: AgentSettings) -> None:
    """This process is the agent from here on, without what reading YAML has taken of memory; secrets are in no process list."""
    told = os.memfd_create("agent-settings")
    os.write(told, msgspec.json.encode(settings))
    os.lseek(told, 0, os.SEEK_SET)
    os.dup2(told, sys.stdin.fileno())
    command = [sys.executable, "-m", MODULE]
    os.execv(command[0], command)  # noqa: S606 - the agent is to have this process's pid


# --- How it is. ---


@_group.command()
def status(context: typer.Context, folder: Folder = None, as_json: AsJson = False, lang: Lang = None) -> None:
    """Show where each class is, and how the lines are, as the gateway sees it. Exit 1: something is not well; 3: no agent runs."""
    with exit_codes():
        language = language_of(lang)
        place = _folder(context, folder)
        report, is_live = _report(place)
        if as_json:
            print(msgspec.json.encode(report).decode())
        else:
            _print(report, language)
        if not is_live:
            raise UnavailableError("stopped", f"{place}: no agent runs; this is how it was when it last wrote")
        raise typer.Exit(NOT_WELL if list(_troubles(report)) else 0)


def _report(folder: Path) -> tuple[AgentReport, bool]:
    """From the agent itself; from its file, if it does not run. Raises ConfigError, UnavailableError."""
    try:
        return _asked(folder, Question(kind="status")), True
    except UnavailableError:
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            return decode((folder / REPORT_FILE).read_bytes()), False
        raise


def _troubles(report: AgentReport) -> Iterator[str]:
    """What is not well, each in words."""
    reported = report.reported
    yield from report.plan_mistakes
    if not reported.plan_version:
        yield "it has no plan yet: the centre has not told it one"
    if report.isolated:
        yield f"it judges no line: {report.isolated}"
    if report.centre == "lost":
        yield f"the centre is not heard{': ' + report.why if report.why else ''}"
    for name in report.local:
        yield f"{name} is forced by an operator here"
    for group in reported.groups:
        if group.phase == "NO_BACKUP":
            yield f"{group.group_id} has to leave its line, and no other will do"


def _print(report: AgentReport, language: Language) -> None:
    console = LineConsole(highlight=False, markup=False, emoji=False)
    reported, now = report.reported, datetime.now().astimezone()
    head = f"{reported.gateway_id}: plan {reported.plan_version}, fence {reported.fence}, {reported.refused} refused"
    centre = _CENTRE[report.centre]
    told = f"{since(reported.started_unix_ns, now)} started"
    console.print(f"{head}; {centre}; {told}{'; dry run' if report.dry_run else ''}", soft_wrap=True)
    groups = Table("CLASS", "ON", "PHASE", "BY", "WHY", "SINCE", box=None, pad_edge=False)
    for group in reported.groups:
        groups.add_row(*_cells(group, language, now))
    lines = Table("LINE", "STATE", "SINCE", "LOSS", "RTT", "WHY", box=None, pad_edge=False)
    for sight in reported.lines:
        style = {"up": "green", "degraded": "bold yellow", "down": "bold red"}.get(sight.state, "bold cyan")
        loss = "-" if sight.loss is None else f"{sight.loss:.0%}"
        rtt = "-" if sight.rtt_s is None else f"{sight.rtt_s * 1e3:.1f} ms"
        state = Text(sight.state, style=style)
        lines.add_row(sight.line_id, state, since(sight.since_unix_ns, now), loss, rtt, printable(sight.reason))
    for table in (groups, lines):
        if table.row_count:
            console.print(table)
    for trouble in _troubles(report):
        print(f"warning: {printable(trouble)}", file=sys.stderr)


def _cells(group: ReportedGroup, language: Language, now: datetime) -> tuple[str, ...]:
    on = group.on or NOWHERE[language == "ja"]
    why = of(REASONS[group.reason], language)
    spent = ", ".join(f"{name} {spent_s * 1e3:.0f} ms" for name, spent_s in group.phases_s.items())
    about = "; ".join(text for text in (why, spent, group.detail) if text)
    phase = f"{group.phase} ({of(PHASES[group.phase], language)})"
    return group.group_id.rpartition("/")[2], on, phase, group.by, printable(about), since(group.since_unix_ns, now)


# --- What may be done. ---


@_group.command()
def force(
    context: typer.Context,
    class_id: Class,
    line_id: Annotated[str, typer.Argument(metavar="LINE", help="ID of the line that it is to use.")],
    why: Why,
    by: By = None,
    for_: Annotated[str, typer.Option("--for", metavar="DURATION", help="After which it ends: 30m, 8h, 1d.")] = "8h",
    folder: Folder = None,
    as_json: AsJson = False,
    lang: Lang = None,
) -> None:
    """Put a class onto a line now, whatever probes, plan and centre say. It stands until --for is over, or `netmon agent clear`."""
    with exit_codes():
        language = language_of(lang)
        question = Question(
            kind="force",
            class_id=class_id,
            line_id=line_id,
            by=_words("--by", by or login()),
            why=_words("--why", why),
            for_s=end_of(for_, None) / 1e9 - time.time(),
        )
        place = _folder(context, folder)
        before = _group_of(_asked(place, question), class_id)
        after = _await_end(place, class_id, line_id, before)
        _print_end(after, language, as_json=as_json)
        raise typer.Exit(0 if after.on == line_id else NOT_WELL)


@_group.command()
def clear(
    context: typer.Context, class_id: Class, why: Why, by: By = None, folder: Folder = None, lang: Lang = None
) -> None:
    """Take a forced switch of `netmon agent force` back; the class stays where it is until it is ordered, or returns by itself."""
    with exit_codes():
        language = language_of(lang)
        place = _folder(context, folder)
        person = _words("--by", by or login())
        question = Question(kind="clear", class_id=class_id, by=person, why=_words("--why", why))
        after = _group_of(_asked(place, question), class_id)
        on = after.on or of(NOWHERE, language)
        print(
            f"{after.group_id}: {f'強制切替を解除、使用回線 {on}' if language == 'ja' else f'no longer forced; on {on}'}"
        )


def _asked(folder: Path, question: Question) -> AgentReport:
    """How it is after it was asked. Raises ConfigError: it refuses."""
    answer = ask(folder, question)
    if answer.refused or answer.report is None:
        raise ConfigError([f"{printable(question.class_id)}: {answer.refused}"])
    return answer.report


def _await_end(folder: Path, class_id: str, line_id: str, group: ReportedGroup) -> ReportedGroup:
    """The class once it is there, or has been tried."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        group = _group_of(_asked(folder, Question(kind="status")), class_id)
        if (group.on == line_id and "verify" in group.phases_s) or group.detail:
            break
        time.sleep(POLL_S)
    return group


def _group_of(report: AgentReport, class_id: str) -> ReportedGroup:
    name = class_id if "/" in class_id else f"{report.reported.gateway_id}/{class_id}"
    return next(each for each in report.reported.groups if each.group_id == name)


def _print_end(group: ReportedGroup, language: Language, *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(group).decode())
        return
    detail = f": {printable(group.detail)}" if group.detail else ""
    on = group.on or of(NOWHERE, language)
    print(f"{group.group_id}: {'使用回線 ' if language == 'ja' else 'on '}{on}, {group.phase}{detail}")


def _folder(context: typer.Context, folder: Path | None) -> Path:
    """Raises ConfigError: there is no such configuration."""
    return folder if folder is not None else failover_agent.load(context.obj).data_dir


def _words(option: str, text: str) -> str:
    """Raises ConfigError: nothing that could be noted."""
    if not text.strip() or len(text) > WORDS_MAX or not text.isprintable():
        raise ConfigError([f"{option}: expected 1 to {WORDS_MAX} printable letters"])
    return text.strip()
