"""`netmon canary --to HOST`: numbered notifications from this host to any receiver, and what was answered.

Only an INFORM has an answer. What became of a TRAP, the receiver's streams know: their entries carry run and number.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import socket
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Protocol

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from netmon.canary.message import KINDS, Kind, encode, request_id_of_answer
from netmon.cli.common import NOT_WELL, AsJson, LineConsole, exit_codes, live_table
from netmon.errors import ConfigError, DecodeError, UnavailableError
from netmon.model import V3User
from netmon.snmp.v3 import is_v3, read_message, read_scoped_pdu

SNMP_TRAP_PORT: Final = 162
COUNT_MAX: Final = 1_000_000
_REFRESH_S: Final = 0.25
_DATAGRAM_BYTES: Final = 65_535
_ASK_S: Final = 1.0
"""Until a question for the receiver's engine is asked again."""
_ENGINE_PREFIX: Final = bytes.fromhex("80001f8805")
"""SnmpEngineID of octets (RFC 3411 section 5), Net-SNMP's enterprise: the random octets behind it make it ours."""


_NOTHING_LISTENS: Final = "nothing listens there: the port is closed (ICMP)"
_REPORT: Final = 0xA8
_USM_STATS: Final = bytes.fromhex("2b060106030f0101")
"""usmStats, 1.3.6.1.6.3.15.1.1 (RFC 3414 section 5), as BER has it."""
_REPORTS: Final = {
    1: "unsupported security level: less or other protection than the user is configured with there",
    2: "not in its time window; once is part of the protocol",
    3: "unknown user",
    4: "unknown engine ID; once is part of the protocol",
    5: "wrong digest: passphrase or --auth differs from what is configured there",
    6: "cannot be decrypted: passphrase or --priv differs from what is configured there",
}
_AUTH: Final = "md5, sha1, sha224, sha256, sha384, sha512"
_PRIV: Final = "des, aes128, aes192, aes256, aes192c, aes256c"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(canary)


class Tally(msgspec.Struct):
    """The notifications of one kind."""

    sent: int = 0
    answered: int = 0
    lost: int = 0
    """INFORMs that were not answered in time."""
    latencies_ms: list[float] = []

    def summary(self, kind: Kind) -> dict[str, float | int]:
        """For programs; latencies in milliseconds, only of INFORMs that were answered."""
        found: dict[str, float | int] = {"sent": self.sent}
        if kind == "inform":
            found |= {"answered": self.answered, "lost": self.lost}
            found |= {f"{name}_ms": value for name, value in percentiles(self.latencies_ms).items()}
        return found


def percentiles(latencies_ms: Sequence[float]) -> dict[str, float]:
    """The median, the 95th and 99th percentile and the maximum, in milliseconds; empty without any."""
    ordered = sorted(latencies_ms)
    if not ordered:
        return {}
    found = {f"p{p}": ordered[math.ceil(len(ordered) * p / 100) - 1] for p in (50, 95, 99)}
    return {name: round(value, 3) for name, value in {**found, "max": ordered[-1]}.items()}


class Voice(Protocol):
    """How canaries are said, and answers understood."""

    def message(self, kind: Kind, *, run: str, number: int, sent_unix_ns: int, now_ns: int) -> bytes:
        """The datagram of a canary."""

    def hear(self, datagram: bytes, now_ns: int) -> int | None:
        """The number of the INFORM that a datagram answers, None when it is something else."""


class Community:
    """SNMPv2c."""

    def __init__(self, community: bytes) -> None:
        self._community = community

    def message(self, kind: Kind, *, run: str, number: int, sent_unix_ns: int, now_ns: int) -> bytes:
        """As `Voice` has it; time does not matter."""
        del now_ns
        return encode(kind, community=self._community, run=run, number=number, sent_unix_ns=sent_unix_ns)

    def hear(self, datagram: bytes, now_ns: int) -> int | None:
        """As `Voice` has it."""
        del now_ns
        return request_id_of_answer(datagram)


def report_in(datagram: bytes) -> str | None:
    """Why the receiver refused a message, by an SNMPv3 Report that anybody can read; None when it is something else."""
    if not is_v3(datagram):
        return None
    try:
        message = read_message(datagram)
        if message.salt:
            return None
        scoped = read_scoped_pdu(datagram, message.data_start, message.data_stop)
    except (DecodeError, IndexError):
        return None
    _, found, behind = datagram[scoped.pdu_start : scoped.pdu_stop].partition(_USM_STATS)
    if scoped.pdu_tag != _REPORT or not found or not behind:
        return None
    return f"the receiver refuses: {_REPORTS.get(behind[0], 'for a reason that no standard names')}"


class Sender:
    """One run of canaries to one receiver."""

    def __init__(self, sock: socket.socket, voice: Voice, kinds: Sequence[Kind], timeout_s: float) -> None:
        """`sock` is connected and non-blocking; an answer that takes longer than `timeout_s` is a loss."""
        self.run = os.urandom(8).hex()
        self.tallies: dict[Kind, Tally] = {kind: Tally(latencies_ms=[]) for kind in kinds}
        self._sock = sock
        self._voice = voice
        self._timeout_s = timeout_s
        self._number = 0
        self._waiting: dict[int, float] = {}
        self.refused: Counter[str] = Counter()
        """Why the receiver did not take messages, as it says in SNMPv3 Reports; and that nothing listens."""

    @property
    def waiting(self) -> bool:
        """Whether an answer may still come."""
        return bool(self._waiting)

    @property
    def lost(self) -> int:
        """INFORMs without an answer."""
        return sum(tally.lost for tally in self.tallies.values())

    def send(self) -> None:
        """One of each kind. What cannot be sent is lost."""
        for kind, tally in self.tallies.items():
            self._number += 1
            datagram = self._voice.message(
                kind,
                run=self.run,
                number=self._number,
                sent_unix_ns=time.time_ns(),
                now_ns=time.monotonic_ns(),
            )
            tally.sent += 1
            if kind == "inform":
                self._waiting[self._number] = time.monotonic()
            for _ in range(2):
                try:
                    self._sock.send(datagram)
                    break
                except ConnectionRefusedError:  # the answer to the one before
                    self.refused[_NOTHING_LISTENS] += 1
                except OSError:
                    continue

    def listen(self, seconds: float) -> None:
        """Takes answers for so long, and gives up what has waited too long."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self._sock], [], [], left)[0]:
                self._take()
        now = time.monotonic()
        for number in [number for number, sent in self._waiting.items() if now - sent > self._timeout_s]:
            del self._waiting[number]
            self.tallies["inform"].lost += 1

    def _take(self) -> None:
        try:
            datagram = self._sock.recv(_DATAGRAM_BYTES)
        except ConnectionRefusedError:
            self.refused[_NOTHING_LISTENS] += 1
            return
        except OSError:
            return
        number = self._voice.hear(datagram, time.monotonic_ns())
        if number is None and (why := report_in(datagram)) is not None:
            self.refused[why] += 1
        sent = None if number is None else self._waiting.pop(number, None)
        if sent is not None:
            self.tallies["inform"].answered += 1
            self.tallies["inform"].latencies_ms.append((time.monotonic() - sent) * 1_000)


def canary(  # a person's options
    to: Annotated[str, typer.Option("--to", metavar="HOST[:PORT]", help="The receiver; port 162 unless given.")],
    count: Annotated[int, typer.Option("--count", min=1, max=COUNT_MAX, help="How many of each kind.")] = 10,
    interval_s: Annotated[float, typer.Option("--interval", min=0.001, help="Seconds between two.")] = 1.0,
    inform: Annotated[bool, typer.Option("--inform", help="Send INFORMs only.")] = False,
    trap: Annotated[bool, typer.Option("--trap", help="Send TRAPs only.")] = False,
    community_file: Annotated[
        Path | None, typer.Option("--community-file", help="File with the community; without it: public.")
    ] = None,
    user: Annotated[str | None, typer.Option("--user", help="SNMPv3: the user, in place of a community.")] = None,
    auth: Annotated[str | None, typer.Option("--auth", help="SNMPv3: md5, sha1, sha224 to sha512.")] = None,
    auth_file: Annotated[Path | None, typer.Option("--auth-passphrase-file", help="File with the passphrase.")] = None,
    priv: Annotated[str | None, typer.Option("--priv", help="SNMPv3: des, aes128 to aes256, aes192c, aes256c.")] = None,
    priv_file: Annotated[Path | None, typer.Option("--priv-passphrase-file", help="File with the passphrase.")] = None,
    timeout_s: Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds to wait for an answer.")] = 5.0,
    as_json: AsJson = False,
) -> None:
    """Send numbered INFORMs and TRAPs to a receiver, from any host. Exit 1: an INFORM was not answered, or nothing listens.

    Only INFORMs are answered. The TRAPs, trap OID 1.3.6.1.3.1162.0.1 with run and number, are to be found in the
    receiver's streams: netmon traps --canary.
    """
    with exit_codes():
        kinds = KINDS if inform == trap else ("inform",) if inform else ("trap",)
        v3 = None if user is None else _v3_user(user, auth, auth_file, priv, priv_file)
        with contextlib.closing(_connected(to)) as sock:
            voice = Community(_line(community_file)) if v3 is None else _v3_voice(v3, sock, kinds, timeout_s)
            sender = Sender(sock, voice, kinds, timeout_s)
            _run(sender, to, count, interval_s, as_json=as_json)
        if as_json:
            summaries = {kind: tally.summary(kind) for kind, tally in sender.tallies.items()}
            about = {"to": to, "run": sender.run, "refused": dict(sender.refused)}
            print(msgspec.json.encode({**about, **summaries}).decode(), flush=True)
        for why, times in sender.refused.most_common():
            print(f"{why} ({times:,} times)", file=sys.stderr)
        raise typer.Exit(NOT_WELL if sender.lost or sender.refused[_NOTHING_LISTENS] else 0)


def _run(sender: Sender, to: str, count: int, interval_s: float, *, as_json: bool) -> None:
    """Sends all, and waits for the last answer; Ctrl-C ends it early, with what has been counted."""
    console = Console(quiet=True) if as_json else LineConsole()
    with contextlib.suppress(KeyboardInterrupt), live_table(table(sender, to), console) as live:
        due = time.monotonic()
        for _ in range(count):
            sender.send()
            due += interval_s
            while (left := due - time.monotonic()) > 0:
                sender.listen(min(left, _REFRESH_S))
                live.update(table(sender, to), refresh=True)
        while sender.waiting:
            sender.listen(_REFRESH_S)
            live.update(table(sender, to), refresh=True)


def table(sender: Sender, to: str) -> Table:
    """What has been counted so far."""
    found = Table(title=f"canaries to {to}, run {sender.run}", title_justify="left", title_style="")
    for name in ("", "sent", "answered", "lost", "p50 ms", "p95 ms", "p99 ms", "max ms"):
        found.add_column(name, justify="left" if not name else "right")
    for kind, tally in sender.tallies.items():
        cells = [f"{tally.sent:,}"]
        if kind == "inform":
            latencies = [f"{value:.1f}" for value in percentiles(tally.latencies_ms).values()]
            cells += [f"{tally.answered:,}", f"{tally.lost:,}", *(latencies or ["-"] * 4)]
        else:
            cells += ["-"] * 6
        found.add_row(kind, *cells)
    return found


def _connected(to: str) -> socket.socket:
    """A non-blocking socket to `HOST`, `HOST:PORT`, `[IPv6]` or `[IPv6]:PORT`.

    Raises:
        ConfigError: It is none of these.
        UnavailableError: The host is not known, or there is no way to it.
    """
    host, port = _split(to)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        sock = socket.socket(family, kind, protocol)
        sock.connect(address)
    except OSError as error:
        raise UnavailableError("refused", f"--to {to}: {error.strerror or error}") from None
    sock.setblocking(False)
    return sock


def _split(to: str) -> tuple[str, int]:
    host, _, port = to.rpartition(":") if to.count(":") == 1 or "]:" in to else (to, "", str(SNMP_TRAP_PORT))
    if not host or not (port.isascii() and port.isdecimal()) or not 0 < int(port) <= 65_535:
        raise ConfigError([f"--to {to}: expected HOST, HOST:PORT or [IPV6-ADDRESS]:PORT"])
    return host.strip("[]"), int(port)


def _line(file: Path | None) -> bytes:
    """The one line of a file with a secret; `public` without a file.

    Raises:
        ConfigError: The file cannot be read or is not one line.
    """
    if file is None:
        return b"public"
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError([f"{file}: cannot be read: {error.strerror}"]) from None
    if len(lines) != 1 or not lines[0]:
        raise ConfigError([f"{file}: found {len(lines)} lines; expected one"])
    return lines[0]


def _v3_user(name: str, auth: str | None, auth_file: Path | None, priv: str | None, priv_file: Path | None) -> V3User:
    """Raises ConfigError for protocols that do not exist, or without their passphrases."""
    for option, value, known in (("--auth", auth, _AUTH), ("--priv", priv, _PRIV)):
        if value is not None and value not in known.split(", "):
            raise ConfigError([f"{option} {value}: expected one of {known}"])
    if (auth is None) != (auth_file is None) or (priv is None) != (priv_file is None) or (priv and not auth):
        raise ConfigError(["--auth and --priv need their --…-passphrase-file, and --priv needs --auth"])
    found = {
        "name": name,
        "auth": auth,
        "auth_passphrase": None if auth_file is None else _line(auth_file).decode("utf-8", "surrogateescape"),
        "priv": priv,
        "priv_passphrase": None if priv_file is None else _line(priv_file).decode("utf-8", "surrogateescape"),
    }
    return msgspec.convert(found, V3User)


def _v3_voice(user: V3User, sock: socket.socket, kinds: Sequence[Kind], timeout_s: float) -> Voice:
    """A voice that knows the receiver's engine, where it must.

    Raises:
        UnavailableError: The receiver does not tell its engine ID.
    """
    from netmon.canary.v3 import Voice as V3Voice  # noqa: PLC0415 - cryptography is slow to import

    voice = V3Voice(user, _ENGINE_PREFIX + os.urandom(8), int.from_bytes(os.urandom(8)), time.monotonic_ns())
    deadline = time.monotonic() + timeout_s
    while "inform" in kinds and not voice.discovered:
        if time.monotonic() > deadline:
            raise UnavailableError("timeout", "the receiver does not tell its SNMPv3 engine ID; is it there?")
        try:
            sock.send(voice.question())
            if select.select([sock], [], [], _ASK_S)[0]:
                voice.hear(sock.recv(_DATAGRAM_BYTES), time.monotonic_ns())
        except ConnectionRefusedError:
            raise UnavailableError("refused", _NOTHING_LISTENS) from None
        except OSError:
            # No way there, for now: it is asked again, but not at once.
            time.sleep(_REFRESH_S)
    return voice
