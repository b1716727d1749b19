"""`netmon failover force|manual|lockout|exercise|clear|freeze|unfreeze|approve`: what an operator wants; the controller carries it out."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Final

import msgspec
import typer

from netmon import config as configuration
from netmon.cli.alarms import Lang, Language, language_of
from netmon.cli.common import NOT_WELL, AsJson, ConfigFile, config_in_use, exit_codes
from netmon.cli.failover_evidence import sentence
from netmon.cli.failover_source import Source, unknown
from netmon.cli.failover_table import target
from netmon.cli.failover_words import COMMANDS, OUTCOMES, UNTIL_LIFTED, of, until
from netmon.cli.line_table import since
from netmon.cli.operate import end_of, login
from netmon.errors import ConfigError, UnavailableError
from netmon.failover.controller.commands import LONGEST_NS
from netmon.failover.record import REQUEST_KINDS, Command, CommandKind, CommandResult
from netmon.show import printable

WAIT_S: Final = 10.0
"""For the controller's answer."""

GroupId = Annotated[str, typer.Argument(metavar="GROUP", help="GATEWAY/CLASS, as `netmon failover status` shows it.")]
LineId = Annotated[str, typer.Argument(metavar="LINE", help="One of the gateway's lines.")]
MayBeLine = Annotated[str, typer.Argument(metavar="LINE", help="One of the gateway's lines.")]
Why = Annotated[str, typer.Option("--why", help="Why, for the others. Needed.")]
By = Annotated[str | None, typer.Option("--by", help="Who wants it; else who is logged in.")]
Ticket = Annotated[str, typer.Option("--ticket", help="Number of a ticket.")]
Lasting = Annotated[
    str | None,
    typer.Option("--for", metavar="DURATION", help="How long: 30m, 2h, 1d, 31 days at the most; else 8 hours."),
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="17:00 (the next one), or ISO 8601.")]


def add_to(group: typer.Typer) -> None:
    """Add all of them, once."""
    for command in (force, manual, lockout, exercise, clear, freeze, unfreeze, approve):
        group.command()(command)


def _onto_line(name: str, kind: CommandKind, told: str) -> Callable[..., None]:
    """A command that names the line to go to."""

    def command(
        group: GroupId,
        line: LineId,
        why: Why,
        by: By = None,
        lasting: Lasting = None,
        until: Until = None,
        ticket: Ticket = "",
        config: ConfigFile = None,
        as_json: AsJson = False,
        lang: Lang = None,
    ) -> None:
        _operate(kind, config, group, line, why=why, by=by, ends=(lasting, until), ticket=ticket, shown=(as_json, lang))

    return _named_command(command, name, told)


def _of_line_or_all(name: str, kind: CommandKind, told: str) -> Callable[..., None]:
    """A command that may name a line."""

    def command(
        group: GroupId,
        why: Why,
        line: MayBeLine = "",
        by: By = None,
        lasting: Lasting = None,
        until: Until = None,
        ticket: Ticket = "",
        config: ConfigFile = None,
        as_json: AsJson = False,
        lang: Lang = None,
    ) -> None:
        _operate(kind, config, group, line, why=why, by=by, ends=(lasting, until), ticket=ticket, shown=(as_json, lang))

    return _named_command(command, name, told)


def _named_command(command: Callable[..., None], name: str, told: str) -> Callable[..., None]:
    command.__name__ = name
    command.__doc__ = f"{told} Exit 1: it was refused."
    return command


force = _onto_line(
    "force", "forced", "Put a group onto a line even if nobody knows how that is; only a line that is down is refused."
)
manual = _onto_line("manual", "manual", "Put a group onto a line that is good; void when a line fails.")
lockout = _of_line_or_all(
    "lockout", "lockout", "Keep a group where it is, whatever happens; with LINE, only from that line."
)
exercise = _of_line_or_all(
    "exercise",
    "exercise",
    "Try everything of a switch but the switch: whether the line (or the best one) would do.",
)


def clear(
    group: GroupId,
    why: Why,
    by: By = None,
    ticket: Ticket = "",
    config: ConfigFile = None,
    as_json: AsJson = False,
    lang: Lang = None,
) -> None:
    """Take back everything that operators want of a group; one that does not return by itself may. Exit 1: it was refused."""
    _operate("clear", config, group, why=why, by=by, ticket=ticket, shown=(as_json, lang))


def freeze(
    why: Why,
    by: By = None,
    lasting: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="How long; else until it is lifted.")
    ] = None,
    until: Until = None,
    ticket: Ticket = "",
    config: ConfigFile = None,
    as_json: AsJson = False,
    lang: Lang = None,
) -> None:
    """Have nothing in the region move by itself; forced switches still do. Exit 1: it was refused."""
    _operate("freeze", config, why=why, by=by, ends=(lasting, until), ticket=ticket, shown=(as_json, lang))


def unfreeze(
    why: Why,
    by: By = None,
    ticket: Ticket = "",
    config: ConfigFile = None,
    as_json: AsJson = False,
    lang: Lang = None,
) -> None:
    """Let the region's traffic move by itself again. Exit 1: it was refused."""
    _operate("unfreeze", config, why=why, by=by, ticket=ticket, shown=(as_json, lang))


def approve(
    group: GroupId,
    why: Why,
    generation: Annotated[
        int | None, typer.Option("--generation", min=1, help="Of the proposal; else the one that waits.")
    ] = None,
    by: By = None,
    ticket: Ticket = "",
    config: ConfigFile = None,
    as_json: AsJson = False,
    lang: Lang = None,
) -> None:
    """Have a proposal done (mode advise). Exit 1: none waits, or it was refused."""
    _operate("approve", config, group, why=why, by=by, ticket=ticket, shown=(as_json, lang), generation=generation)


def _operate(
    kind: CommandKind,
    config: ConfigFile,
    group: str = "",
    line: str = "",
    *,
    why: str,
    by: str | None,
    ticket: str,
    shown: tuple[bool, str | None],
    ends: tuple[str | None, str | None] = (None, None),
    generation: int | None = None,
) -> None:
    """Asks the controller, waits for its answer, tells it (as JSON, or in a language), and ends with the exit code for it."""
    with exit_codes(interrupted="interrupted; what was asked may be done all the same"):
        as_json, language = shown[0], language_of(shown[1])
        if not why.strip():
            raise ConfigError(["--why: found nothing; expected the reason, for whoever looks at it later"])
        until_unix_ns = _end(*ends) if any(ends) else 0
        source = Source(configuration.load(config_in_use(config)))
        _check(source, group, line)
        command = Command(
            id=f"cli-{secrets.token_hex(8)}",
            kind=kind,
            group_id=group,
            line_id=line,
            by=by or login(),
            why=why,
            ticket=ticket,
            unix_ns=time.time_ns(),
            until_unix_ns=until_unix_ns,
            generation=_waiting(source, group, language)
            if kind == "approve" and generation is None
            else generation or 0,
        )
        result = source.view.ask(command, WAIT_S)
        if result is None:
            raise UnavailableError("timeout", printable(_unanswered(command, language)))
        if as_json:
            print(msgspec.json.encode(result).decode())
        else:
            print(_told(command, result, language))
        raise typer.Exit(0 if result.outcome == "done" else NOT_WELL)


def _end(lasting: str | None, until: str | None) -> int:
    """When what is wanted ends. Raises ConfigError: both are given, one is no time, or it is too far away."""
    if lasting is not None and until is not None:
        raise ConfigError(["--for, --until: found both; expected one of them"])
    end = end_of(lasting, until)
    if end > time.time_ns() + LONGEST_NS:
        option, given = ("--for", lasting) if lasting is not None else ("--until", until)
        days = LONGEST_NS // 86_400_000_000_000
        raise ConfigError(
            [f"{option}: found {printable(given or '')!r}; expected no more than {days} days, and to ask again then"]
        )
    return end


def _check(source: Source, group_id: str, line_id: str) -> None:
    """Raises ConfigError: there is no such group, or it has no such line."""
    if not group_id:
        return
    group = source.group(group_id)
    lines = (group.working, *group.protections)
    if line_id and line_id not in lines:
        raise ConfigError([unknown("LINE", line_id, lines)])


def _waiting(source: Source, group_id: str, language: Language) -> int:
    """Generation of the proposal that waits. Ends with 1: none does. Raises UnavailableError."""
    state = source.view.group(group_id)
    attempt = None if state is None else state.attempt
    if attempt is None or attempt.stage != "proposed":
        print(f"{group_id}: {'承認待ちの提案はありません' if language == 'ja' else 'no proposal waits for approval'}")
        raise typer.Exit(NOT_WELL)
    return attempt.generation


def _unanswered(command: Command, language: Language) -> str:
    """That nobody has answered, what becomes of the command, and how it is taken back."""
    takes_back = f"netmon failover clear {command.group_id} --why ..." if command.kind in REQUEST_KINDS else ""
    takes_back = "netmon failover unfreeze --why ..." if command.kind == "freeze" else takes_back
    if language == "ja":
        after = f"。取り消すには {takes_back} を入力してください（直後に実行されます）" if takes_back else ""
        return f"{WAIT_S:.0f} 秒以内に制御装置の応答がありません。1 日以内に制御装置が動けば実行されます{after}"
    after = f"; to take it back: {takes_back} (it is done right behind it)" if takes_back else ""
    return f"no controller has answered in {WAIT_S:.0f} s; it waits, and is done when one leads, within a day{after}"


def asked(command: Command, language: Language) -> str:
    """A command that waits: of which group, what, who, and why."""
    who = f"{command.by}: {command.why}"
    return f"{_named(command, language)}: {who}" if language == "en" else f"{_named(command, language)}（{who}）"


def _named(command: Command, language: Language) -> str:
    group = command.group_id or ("全域" if language == "ja" else "region")
    return f"{group}: {of(COMMANDS[command.kind], language)}{target(command.kind, command.line_id)}"


def _told(command: Command, result: CommandResult, language: Language) -> str:
    told = f"{_named(command, language)}: {of(OUTCOMES[result.outcome], language)}"
    if result.outcome != "done":
        return printable(f"{told}: {sentence(result.detail, result.cure, language=language)}")
    if command.kind == "freeze" and not result.until_unix_ns:
        return printable(f"{told}, {of(UNTIL_LIFTED, language)}")
    end = since(result.until_unix_ns, datetime.now().astimezone())
    told = f"{told}, {until(end, language)}" if result.until_unix_ns else told
    return printable("; ".join(filter(None, (told, sentence(result.detail, language=language)))))
