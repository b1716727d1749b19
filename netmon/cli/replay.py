"""`netmon replay`: a part of the journal read again with what is configured now, and what has changed by it."""

from __future__ import annotations

import codecs
import gc
import io
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, TextIO

import msgspec
import redis.connection
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from netmon import config as configuration
from netmon.buffer.stream import IdRefusedError
from netmon.cli.common import NOT_WELL, AsJson, ConfigFile, LineConsole, config_path, exit_codes, lanes_of, numbered
from netmon.cli.span import Canary, From, LaneOption, Sources, To, span_of
from netmon.errors import ConfigError, UnavailableError, disk_cure
from netmon.log import set_up
from netmon.model import LaneSettings
from netmon.show import counted
from netmon.trap_receiver import engine
from netmon.trap_receiver.feed import StreamChangedError
from netmon.trap_receiver.journal.segment import segments
from netmon.trap_receiver.journal.survey import Span, segments_of
from netmon.trap_receiver.late.difference import (
    CHANGED,
    CONTROL,
    DECODED,
    KINDS,
    REJECTED,
    UNREADABLE,
    WAITING,
    Difference,
)
from netmon.trap_receiver.late.feed import LateFeed, decoded_limit
from netmon.trap_receiver.late.lock import LATE_LOCK, REPLAY_LOCK, FileLock
from netmon.trap_receiver.late.replay import Patience, Replay
from netmon.trap_receiver.late.reread import Reread
from netmon.trap_receiver.late.waiting import ALL_MARKS, WaitingPass, rehearse
from netmon.trap_receiver.late.worker import NICE
from netmon.trap_receiver.ledger import PARK_REASONS

LOCK_WAIT_S: Final = 60.0
"""The late role gives the lane up between two batches; Redis may let it wait for one."""
REPLAY_WAIT_S: Final = 3.0
SAY_AGAIN_S: Final = 60.0
_GC_THRESHOLD: Final = 50_000

Receiver = Annotated[str | None, typer.Option("--receiver", metavar="NAME", help="Of this receiver.")]

_NAMES: Final = {
    "unchanged": "unchanged",
    CHANGED: "changed",
    DECODED: "now decoded",
    REJECTED: "now rejected",
    UNREADABLE: "now unreadable",
    WAITING: "still waiting",
    "gone": "no longer in a stream",
    CONTROL: "protocol, no trap",
}
_COLUMNS: Final = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
Say = Callable[[str], None]
_STOPPED: Final = "interrupted; the same again goes on where this one stopped"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(replay)


def replay(
    config: ConfigFile = None,
    from_: From = None,
    to: To = None,
    source: Sources = None,
    receiver: Receiver = None,
    lane: LaneOption = None,
    parked: Annotated[bool, typer.Option("--parked", help="Try what waits, and nothing else.")] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Send unchanged traps, too, once: for a consumer that has lost its data.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would change.")] = False,
    canary: Canary = False,
    as_json: AsJson = False,
) -> None:
    """Decode a part of the journal again, with today's MIBs, keys and rules, and send what has changed to the late streams.

    Twice the same sends nothing twice. Exit 1: nothing was there to look at.
    """
    with exit_codes(interrupted=_STOPPED):
        if parked and (from_ is not None or to is not None or every):
            raise ConfigError(["--parked tries all that waits: leave --from, --to and --all out"])
        if not parked and (from_ is None or to is None):
            raise ConfigError(["replay needs --from and --to, or --parked"])
        span = span_of(from_, to, source, canary=canary or not every)
        lanes = chosen_lanes(config_path(config), receiver, lane)
        if not lanes:
            raise typer.Exit(NOT_WELL)
        # What is waited for is told once in a minute, in words; the log would tell it again.
        set_up("error")
        os.nice(NICE)
        # As in a role: what comes is made of tuples and bytes, without cycles.
        gc.freeze()
        gc.set_threshold(_GC_THRESHOLD)
        looked_at = 0
        with _progress(quiet=as_json) as shown:
            for settings, reread in lanes:
                work = _Work(settings, reread, span, shown, dry_run=dry_run)
                try:
                    found, sent = work.try_parked() if parked else work.replay(every=every)
                except OSError as error:
                    place, again = settings.directory, "the same again goes on where this one stopped"
                    detail = f"{place}: {error.strerror}: {disk_cure(error)}; {again}"
                    raise UnavailableError("refused", detail) from None
                looked_at += found.looked_at
                shown.stop()
                _print(settings, span, found, sent, dry_run=dry_run, as_json=as_json)
                shown.start()
        raise typer.Exit(0 if looked_at else NOT_WELL)


def chosen_lanes(path: Path, receiver: str | None, number: int | None) -> list[tuple[LaneSettings, Reread]]:
    """The lanes that the options mean, with their own rights for their files; none when there is no journal, which is said.

    Raises ConfigError, PermissionError.
    """
    loaded = configuration.load(path)
    if receiver not in (None, loaded.receiver.name):
        raise ConfigError([f"--receiver {receiver}: {path} configures {loaded.receiver.name}"])
    expected = lanes_of(loaded)
    if not any(segments(Path(settings.directory)) for settings in expected):
        # Before anything is made: a wrong path, or a user who is not netmon, must leave nothing behind.
        print(
            f"there is no journal in {loaded.data_dir / loaded.receiver.name}: netmon has not run there",
            file=sys.stderr,
        )
        return []
    _load(expected[0])
    directory = loaded.data_dir / loaded.receiver.name
    with _as_owner(directory):
        own = engine.join(directory, loaded.snmpv3.engine_id)
    lanes = numbered(lanes_of(loaded, own), number, path)
    # Catalogues, too, are read before.
    found = [(settings, Reread(settings)) for settings in lanes]
    _become_owner(directory)
    return found


@contextmanager
def _as_owner(directory: Path) -> Iterator[None]:
    """As root, works as who runs netmon for a moment."""
    user, group = os.geteuid(), os.getegid()
    if user != 0:
        yield
        return
    owner = directory.stat()
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(user)
        os.setegid(group)


def _become_owner(directory: Path) -> None:
    """As root, becomes who runs netmon: files that root made, netmon could not write."""
    if os.geteuid() == 0 and (owner := directory.stat()).st_uid != 0:
        os.setgroups([owner.st_gid])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)


def _load(settings: LaneSettings) -> None:
    """Loads what is loaded on its first use: who gives up root may not be able to read where netmon is installed."""
    for encoding in ("ascii", "idna"):
        codecs.lookup(encoding)
    # Looks up its own version, each time.
    redis.connection.Connection()  # type: ignore[no-untyped-call]
    with Progress(*_COLUMNS, console=Console(file=io.StringIO())) as shown:
        _print(settings, Span(), Difference(), 0, dry_run=True, as_json=False, file=io.StringIO())
        shown.add_task("netmon")


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Progress]:
    console = Console(stderr=True)
    with Progress(*_COLUMNS, console=console, disable=quiet or not console.is_terminal, transient=True) as shown:
        yield shown


class Said:
    """What was told a person last, so that it is not told with every try."""

    def __init__(self) -> None:
        self._text = ""
        self._at_s = 0.0

    def is_news(self, text: str, now_s: float) -> bool:
        """Whether to say it now: it is another thing than before, or a minute has passed."""
        if text == self._text and now_s < self._at_s + SAY_AGAIN_S:
            return False
        self._text, self._at_s = text, now_s
        return True


class _Work:
    """One lane's part of the command."""

    def __init__(self, settings: LaneSettings, reread: Reread, span: Span, shown: Progress, *, dry_run: bool) -> None:
        self._settings = settings
        self._reread = reread
        self._directory = Path(settings.directory)
        self._span = span
        self._shown = shown
        self._dry_run = dry_run
        self._said = Said()
        self._task = shown.add_task(f"lane {settings.lane}", total=None)

    def replay(self, *, every: bool) -> tuple[Difference, int]:
        """What the range has become, and how many entries were sent, or would be."""
        if not segments(self._directory):
            return Difference(), 0
        self._expect()
        reread = self._reread
        if self._dry_run:
            work = Replay(self._settings, self._span, reread, None, None, every=every)
            work.run(self._advance)
            return work.found, work.to_send
        with self._feed(reread) as feed:
            patience = Patience(feed, self._say)
            patience.connect()
            work = Replay(self._settings, self._span, reread, patience, feed, every=every)
            work.run(self._advance)
        return work.found, work.to_send

    def try_parked(self) -> tuple[Difference, int]:
        """What has become of all that waited, and how many entries were sent, or would be."""
        if not segments(self._directory):
            return Difference(), 0
        reread = self._reread
        if self._dry_run:
            found = rehearse(self._directory, reread, self._span.has)
            return found, found.decoded + found.rejected
        with self._feed(reread) as feed:
            patience = Patience(feed, self._say)
            before = feed.counts()
            while True:
                patience.connect()
                work = WaitingPass(feed, reread)
                try:
                    limit = decoded_limit(self._directory)
                    if work.run(ALL_MARKS, 0, limit, lambda _: not feed.full, self._span.has) >= limit.seq:
                        break
                    patience.wait_for_room()
                except (IdRefusedError, StreamChangedError, UnavailableError):
                    feed.disconnect()
            found = _made_of(before, feed.counts())
        for reason, count in work.still.items():
            found.count(WAITING, reason, count)
        return found, found.decoded + found.rejected

    def _expect(self) -> None:
        """Tells the bar how much there is to look at."""
        kept = segments_of(self._directory, self._span)
        after = [first for first in segments(self._directory) if kept and first > kept[-1]]
        end = min([decoded_limit(self._directory).seq, *(first - 1 for first in after[:1])])
        self._shown.update(self._task, total=max(0, end - kept[0] + 1) if kept else 0)

    def _advance(self, count: int) -> None:
        self._shown.advance(self._task, count)

    def _say(self, text: str) -> None:
        if self._said.is_news(text, time.monotonic()):
            self._shown.console.print(f"lane {self._settings.lane}: {text}", highlight=False, markup=False)

    @contextmanager
    def _feed(self, reread: Reread) -> Iterator[LateFeed]:
        """The lane's late stream, which the late role leaves to us. Raises UnavailableError."""
        wish, lock = FileLock(self._directory / REPLAY_LOCK), FileLock(self._directory / LATE_LOCK)
        try:
            if not _taken(wish, REPLAY_WAIT_S):
                raise UnavailableError("refused", f"another replay works on lane {self._settings.lane}; wait for it")
            if not _taken(lock, LOCK_WAIT_S):
                raise UnavailableError("refused", f"the late role of lane {self._settings.lane} does not give it up")
            feed = LateFeed(self._settings, reread)
            feed.open()
            try:
                yield feed
            finally:
                feed.disconnect()
                feed.close()
        finally:
            lock.close()
            wish.close()


def _made_of(before: dict[str, int], after: dict[str, int]) -> Difference:
    """What passes have made of what waited, by the counters before and after them: true whatever was interrupted."""
    found = Difference()
    for reason in PARK_REASONS:
        for kind, name in ((DECODED, f"late_{reason}"), (REJECTED, f"late_rejected_{reason}")):
            found.count(kind, reason, after[name] - before[name])
    return found


def _taken(lock: FileLock, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not lock.take():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _print(
    settings: LaneSettings,
    span: Span,
    found: Difference,
    sent: int,
    *,
    dry_run: bool,
    as_json: bool,
    file: TextIO | None = None,
) -> None:
    if as_json:
        print(msgspec.json.encode(_values(settings, span, found, sent, dry_run=dry_run)).decode(), flush=True)
        return
    title = f"lane {settings.lane}: {counted(found.looked_at, 'datagram')}"
    table = Table(title=title, title_justify="left", title_style="")
    table.add_column("")
    table.add_column("datagrams", justify="right")
    table.add_column("of these")
    for kind in KINDS:
        details = found.details.get(kind, Counter())
        text = ", ".join(f"{name} {count:,}" for name, count in sorted(details.items(), key=lambda item: -item[1]))
        table.add_row(_NAMES[kind], f"{getattr(found, kind):,}", text)
    table.add_section()
    table.add_row("would be sent" if dry_run else "sent", f"{sent:,}", f"{settings.key_prefix}:late")
    LineConsole(highlight=False, markup=False, file=file or sys.stdout).print(table)


def _values(settings: LaneSettings, span: Span, found: Difference, sent: int, *, dry_run: bool) -> dict[str, Any]:
    return {
        "receiver": settings.receiver,
        "lane": settings.lane,
        "from_unix_ns": span.from_unix_ns,
        "to_unix_ns": span.to_unix_ns,
        "dry_run": dry_run,
        "looked_at": found.looked_at,
        **{kind: getattr(found, kind) for kind in KINDS},
        "details": {kind: dict(counts) for kind, counts in found.details.items()},
        "sent": sent,
    }
