"""`netmon probe`: asks over one line from here, now, and shows each step: the pin, the way, the answer, and what it means."""

from __future__ import annotations

import asyncio
import difflib
import os
import socket
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path as FilePath
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from netmon import config as configuration
from netmon.active_probe.model import OutcomeKind
from netmon.active_probe.probers.base import ServiceContext
from netmon.active_probe.settings import ProbedLine, VantageSettings
from netmon.cli.alarms import Lang, Language, language_of
from netmon.cli.common import (
    NOT_WELL,
    UNAVAILABLE,
    AsJson,
    ConfigFile,
    LineConsole,
    config_in_use,
    exit_codes,
    redis_url,
)
from netmon.cli.path import Path, path_of
from netmon.cli.single import Found, asker_of
from netmon.config import probe_agent
from netmon.config.probe import vantage_settings
from netmon.errors import ConfigError
from netmon.inventory import schema
from netmon.inventory.probes import AnyProbe, HttpProbe, MqttProbe, Pin, kind_of, label
from netmon.show import printable

PATIENCE: Final = 3.0
"""A probe by hand waits so many times as long as the line's profile, and `PATIENCE_S` at least: late is another thing than never."""
PATIENCE_S: Final = 2.0
COUNT_MAX: Final = 10_000

_STYLES: Final[dict[OutcomeKind, str]] = {
    "reply": "green",
    "lost": "bold white on red",
    "failed": "bold red",
    "local_error": "bold cyan",
}
_MEANINGS: Final[dict[str, tuple[str, str]]] = {
    "reply": ("the line brings it there and back", "往復とも通じています"),
    "late": (
        "it answers, but later than the prober waits ({timeout}): there it counts as lost",
        "応答はありますが、監視の待ち時間({timeout})を超えており、監視では損失と数えます",
    ),
    "unpinned": (
        "it answers, by whatever way the routing table has now: nothing pins it to this line",
        "応答はありますが、この回線に固定されておらず、経路表の選んだ経路の結果です",
    ),
    "lost": (
        "nobody answered in {patience}: the line, or its far end, is dead, or something on the way drops the probe",
        "{patience}以内に応答がありません: 回線か対向が停止しているか、途中で破棄されています",
    ),
    "guess": (
        "nobody answered, and no route leads there by this interface: add one, or a table with a rule for a mark",
        "応答がなく、このインターフェースからの経路もありません: 経路か、マークの規則と表を追加してください",
    ),
    "failed": (
        "the line brings it there and back, but the far end does not answer as it should",
        "回線は往復とも通じていますが、対向の応答が正常ではありません",
    ),
    "local_error": (
        "it did not leave by this line: that says nothing of the line, and the prober votes unknown",
        "この回線から送信できませんでした: 回線の状態は判断できず、監視では不明となります",
    ),
}
_ROWS: Final[dict[str, str]] = {
    "pin": "固定",
    "way": "経路",
    "came in by": "受信",
    "time": "時間",
    "round trip": "往復",
    "result": "結果",
    "answered": "応答数",
    "it means": "意味",
}


class Finding(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One probe, as JSON has it."""

    line_id: str
    probe: str
    kind: str
    unix_ns: int
    pin: Pin
    path: Path
    result: OutcomeKind
    detail: str = ""
    round_trip_s: float | None = None
    phases: dict[str, float] = {}
    """Seconds."""
    came_in_by: str = ""
    ttl: int = 0
    meaning: str = ""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(probe)


def probe(
    line: Annotated[str, typer.Argument(metavar="LINE", help="ID of the line.")],
    config: ConfigFile = None,
    only: Annotated[
        str | None, typer.Option("--probe", metavar="LABEL", help="This probe only: its label, or its kind.")
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=COUNT_MAX, help="How many times.")] = 1,
    agent: Annotated[
        FilePath | None, typer.Option("--agent", help="Configuration of a probe agent, on a machine that has no other.")
    ] = None,
    as_json: AsJson = False,
    lang: Lang = None,
) -> None:
    """Ask over one line from here, with each of its probes, in detail. Exit 1: not all answered; 3: none could be made."""
    with exit_codes():
        language = language_of(lang)
        settings, region = _of_agent(agent) if agent else _of_netmon(config_in_use(config))
        probed = _line(settings, region, line)
        chosen = _chosen(probed, only)
        paths = {label(each): _path(each) for each in chosen}
        rounds = asyncio.run(_ask(settings, probed, chosen, paths, count, language, as_json=as_json))
        if not as_json:
            _print(probed, rounds, language)
        raise typer.Exit(_code([finding.result for findings in rounds for finding in findings]))


def _code(results: Sequence[OutcomeKind]) -> int:
    if all(result == "reply" for result in results):
        return 0
    return UNAVAILABLE if all(result == "local_error" for result in results) else NOT_WELL


# --- What was asked for. ---


def _of_netmon(path: FilePath) -> tuple[VantageSettings, FilePath]:
    """What its vantage is told, and the file of the region. Raises ConfigError."""
    config = configuration.load(path)
    settings = vantage_settings(config, redis_url=redis_url(config))
    if settings is None or config.region.file is None:
        cure = "probe.enabled is false, or the region has no probes for this vantage"
        raise ConfigError([f"{path}: no line is asked from here: {cure}"])
    return settings, config.region.file


def _of_agent(path: FilePath) -> tuple[VantageSettings, FilePath]:
    """The same of a probe agent."""
    agent = probe_agent.load(path)
    return probe_agent.agent_settings(agent), agent.region.file


def _line(settings: VantageSettings, region: FilePath, line_id: str) -> ProbedLine:
    found = next((each for each in settings.lines if each.line_id == line_id), None)
    if found is not None:
        return found
    known = [each.id for each in schema.read(region).lines]
    if line_id in known:
        cure = f"see `probes` of lines in {region}"
        raise ConfigError([f"{line_id}: has no probes, or none from {settings.vantage_id}; {cure}"])
    near = difflib.get_close_matches(line_id, known, n=3)
    cure = f"did you mean {' or '.join(near)}?" if near else "`netmon inventory show lines` lists them"
    raise ConfigError([f"{printable(line_id)}: there is no such line; {cure}"])


def _chosen(line: ProbedLine, only: str | None) -> list[AnyProbe]:
    chosen = [each for each in line.probes if only in {None, label(each), kind_of(each)}]
    if not chosen:
        labels = ", ".join(label(each) for each in line.probes)
        raise ConfigError([f"--probe: {printable(str(only))}: {line.line_id} has no such probe; it has {labels}"])
    return chosen


def _path(probe: AnyProbe) -> Path:
    """By which way it goes, as far as this machine can tell."""
    match probe:
        case HttpProbe():
            host = probe.address or urlsplit(probe.url).hostname or ""
        case MqttProbe():
            host = urlsplit(probe.url).hostname or ""
        case _:
            host = probe.address
    try:
        address = str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        return Path(error=f"{host}: {error.strerror}")
    return path_of(probe.pin, address)


# --- The probes. ---


async def _ask(
    settings: VantageSettings,
    line: ProbedLine,
    probes: Sequence[AnyProbe],
    paths: dict[str, Path],
    count: int,
    language: Language,
    *,
    as_json: bool,
) -> list[list[Finding]]:
    """All rounds, a list of findings for each; printed as they come, if they are many."""
    # A vantage name of our own: a broker would take the running prober's connection for ours, and end it.
    context = ServiceContext(f"{settings.vantage_id}.{os.getpid()}", line.line_id, settings.secrets)
    patience_s = max(PATIENCE_S, PATIENCE * line.profile.timeout_s)
    askers = [asker_of(each, context) for each in probes]
    rounds = []
    try:
        for number in range(count):
            began = time.monotonic()
            found = await asyncio.gather(*(asker.ask(patience_s) for asker in askers))
            told = zip(probes, found, strict=True)
            rounds.append([_finding(line, each, paths[label(each)], one, patience_s, language) for each, one in told])
            if as_json or count > 1:
                _print_round(rounds[-1], number, as_json=as_json)
            if number + 1 < count:
                await asyncio.sleep(max(0.0, began + line.profile.interval_s - time.monotonic()))
    finally:
        for asker in askers:
            await asker.close()
    return rounds


def _finding(
    line: ProbedLine, probe: AnyProbe, path: Path, found: Found, patience_s: float, language: Language
) -> Finding:
    outcome = found.outcome
    return Finding(
        line_id=line.line_id,
        probe=label(probe),
        kind=kind_of(probe),
        unix_ns=time.time_ns(),
        pin=probe.pin,
        path=path,
        result=outcome.kind,
        detail=outcome.detail,
        round_trip_s=outcome.rtt_s,
        phases=found.phases,
        came_in_by=found.came_in_by,
        ttl=found.ttl,
        meaning=_meaning(_case(line, probe.pin, path, found), line.profile.timeout_s, patience_s, language),
    )


def _case(line: ProbedLine, pin: Pin, path: Path, found: Found) -> str:
    kind = found.outcome.kind
    if kind == "lost" and path.is_guess:
        return "guess"
    if kind != "reply":
        return kind
    if (found.outcome.rtt_s or 0.0) > line.profile.timeout_s:
        return "late"
    is_pinned = pin.interface or pin.mark or pin.netns or path.interface == "lo"
    return "reply" if is_pinned else "unpinned"


def _meaning(case: str, timeout_s: float, patience_s: float, language: Language) -> str:
    text = _MEANINGS[case][language == "ja"]
    return text.format(timeout=_seconds(timeout_s), patience=_seconds(patience_s))


# --- As it is printed. ---


def _print_round(findings: Iterable[Finding], number: int, *, as_json: bool) -> None:
    for finding in findings:
        if as_json:
            print(msgspec.json.encode(finding).decode(), flush=True)
        else:
            rtt = "" if finding.round_trip_s is None else _seconds(finding.round_trip_s)
            print(
                f"{number + 1:>5}  {printable(finding.probe):<30}  {finding.result:<11}  {rtt:>9}  {printable(finding.detail)}".rstrip()
            )
    sys.stdout.flush()


def _print(line: ProbedLine, rounds: Sequence[Sequence[Finding]], language: Language) -> None:
    console = LineConsole(highlight=False, markup=False, emoji=False)
    for index, newest in enumerate(rounds[-1]):
        console.print(_table(line, newest, [findings[index] for findings in rounds], language))


def _table(line: ProbedLine, newest: Finding, all_of_it: Sequence[Finding], language: Language) -> Table:
    title = f"{line.line_id}: {printable(newest.probe)}"
    table = Table(title=title, title_justify="left", show_header=False, min_width=60)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    rows = {
        "pin": _pin(newest.pin, language),
        "way": _way(newest.path, language),
        "came in by": _arrival(newest),
        "time": ", ".join(f"{name} {_seconds(spent_s)}" for name, spent_s in newest.phases.items()),
        "round trip": "" if newest.round_trip_s is None else _seconds(newest.round_trip_s),
    }
    for name, value in rows.items():
        if value:
            table.add_row(_row(name, language), printable(value))
    result = Text(newest.result, style=_STYLES[newest.result])
    table.add_row(
        _row("result", language),
        result.append(f"  {printable(newest.detail)}" if newest.detail else "", style="default"),
    )
    if len(all_of_it) > 1:
        table.add_row(_row("answered", language), _answered(all_of_it))
    table.add_row(_row("it means", language), newest.meaning)
    return table


def _row(name: str, language: Language) -> str:
    return _ROWS[name] if language == "ja" else name


def _pin(pin: Pin, language: Language) -> str:
    parts = {
        "interface": pin.interface,
        "mark": f"{pin.mark:#x}" if pin.mark else "",
        "source": pin.source,
        "netns": pin.netns,
        "expect_interface": pin.expect_interface,
    }
    told = ", ".join(f"{name} {value}" for name, value in parts.items() if value)
    return told or ("なし: 経路表に従います" if language == "ja" else "none: the routing table decides")


def _way(path: Path, language: Language) -> str:
    if path.error:
        return path.error
    if language == "ja":
        by = f"次ホップ {path.gateway}" if path.gateway else "直接"
        guess = "(経路なし: カーネルが隣接とみなしています)" if path.is_guess else ""
        return f"{path.interface} 送信元 {path.source} {by}{guess}"
    by = f"by {path.gateway}" if path.gateway else "to a neighbour"
    guess = " (no route: the kernel only assumes that it is one)" if path.is_guess else ""
    return f"out {path.interface} from {path.source}, {by}{guess}"


def _arrival(finding: Finding) -> str:
    parts = [finding.came_in_by, f"TTL {finding.ttl}" if finding.ttl else ""]
    return ", ".join(filter(None, parts))


def _answered(findings: Sequence[Finding]) -> str:
    times = [each.round_trip_s for each in findings if each.result == "reply" and each.round_trip_s is not None]
    share = f"{sum(each.result == 'reply' for each in findings)} of {len(findings)}"
    if not times:
        return share
    low, middle, high = min(times), statistics.median(times), max(times)
    return f"{share}; {_seconds(low)} to {_seconds(high)}, median {_seconds(middle)}"


def _seconds(value_s: float) -> str:
    return f"{value_s:.3g} s" if value_s >= 1 else f"{value_s * 1e3:.3g} ms"
