"""Real servers for the service probers: Mosquitto, snmpd, and a certificate; each in a folder and on a port of its own."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import gc
import ipaddress
import os
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from netmon.active_probe.probers import load_service_prober
from netmon.active_probe.probers.base import ServiceContext
from netmon.inventory.probes import AnyProbe, kind_of
from netmon.model import V3User
from netmon.sockets import has_ipv6

START_S = 20.0
TIMEOUT_S = 5.0
"""Of a probe that is to be answered: a machine with two busy cores is no line that is lost."""

Start = Callable[..., subprocess.Popen[bytes]]
AGENT_USER = V3User(
    name="line-probe",
    auth="sha256",
    auth_passphrase="回線はいかに",
    priv="aes128",
    priv_passphrase="nobody reads it",
)
COMMUNITY = "回線"


def user_file(user: V3User) -> str:
    """What a vantage gets for a `user_file`."""
    return msgspec.json.encode(user).decode()


@contextlib.asynccontextmanager
async def prober(probe: AnyProbe, *, line_id: str = "line", **secrets: str) -> AsyncIterator[Any]:
    """A service prober, closed at the end."""
    made = load_service_prober(kind_of(probe))(probe, ServiceContext("here", line_id, secrets))
    try:
        yield made
    finally:
        await made.close()


class Program:
    """A server as a process. As a context manager it starts, and is killed."""

    def __init__(
        self, folder: Path, command: Sequence[str], *, start: Start = subprocess.Popen, **environment: str
    ) -> None:
        """`start` runs it somewhere else, such as in a network namespace."""
        self._log = folder / "log"
        self._command = command
        self._start = start
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.kill()
        if error is not None:
            error.add_note(self._log.read_text("utf-8", "replace")[-3_000:])

    def start(self) -> None:
        """Starts it; returns when it answers."""
        with self._log.open("ab") as output:
            self._started_at = output.tell()
            self._process = self._start(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **self._environment},
            )
        deadline = time.monotonic() + START_S
        while not self.is_ready():
            assert self._process.poll() is None, self._log.read_text("utf-8", "replace")
            assert time.monotonic() < deadline, f"not ready within {START_S} s"
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def signal(self, number: int) -> None:
        """Such as SIGSTOP."""
        assert self._process is not None
        self._process.send_signal(number)

    def is_ready(self) -> bool:
        """By what it has said since it started."""
        return self.ready in self._log.read_bytes()[self._started_at :]

    ready = b""


class Mosquitto(Program):
    """A broker that lets anybody in, or only one user."""

    ready = b"running"

    def __init__(
        self,
        folder: Path,
        port: int,
        *,
        address: str = "127.0.0.1",
        password: str = "",
        tls: Certificate | None = None,
        settings: Sequence[str] = (),
        **more: Any,
    ) -> None:
        """`settings`: further lines of its configuration."""
        folder.mkdir(parents=True, exist_ok=True)
        lines = [
            *settings,
            f"listener {port} {address}",
            "allow_anonymous false" if password else "allow_anonymous true",
        ]
        if os.geteuid() == 0:
            lines.append("user root")
        if password:
            users = folder / "users"
            users.write_text(f"probe:{password}\n")
            subprocess.run(["mosquitto_passwd", "-U", str(users)], check=True)
            lines.append(f"password_file {users}")
        if tls is not None:
            lines += [f"certfile {tls.file}", f"keyfile {tls.key_file}"]
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        super().__init__(folder, [_SBIN_MOSQUITTO, "-c", str(folder / "mosquitto.conf")], **more)


class Snmpd(Program):
    """An agent with a community and one user; ifIndex 1 is the loopback."""

    ready = b"NET-SNMP version"

    def __init__(self, folder: Path, port: int, *, address: str = "127.0.0.1", **more: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        user = AGENT_USER
        # On the loopback by IPv6, too.
        also = f",udp6:[::1]:{port}" if has_ipv6() and address == "127.0.0.1" else ""
        (folder / "snmpd.conf").write_text(
            f"agentaddress udp:{address}:{port}{also}\nrocommunity {COMMUNITY}\nrocommunity6 {COMMUNITY}\nrouser {user.name} priv\n"
            f'createUser {user.name} SHA-256 "{user.auth_passphrase}" AES "{user.priv_passphrase}"\n'
        )
        command = ["/usr/sbin/snmpd", "-f", "-Lo", "-C", "-c", str(folder / "snmpd.conf"), "-p", str(folder / "pid")]
        super().__init__(folder, command, SNMP_PERSISTENT_DIR=str(folder), MIBS="", **more)


_SBIN_MOSQUITTO = "/usr/sbin/mosquitto"


class Certificate:
    """A certificate that vouches for itself.

    Attributes:
        file: The certificate, which is its own authority.
        key_file: Its private key.
    """

    def __init__(self, folder: Path, *names: str, days: int = 1) -> None:
        """For these names and addresses; with `days` below 0 it has expired."""
        self.file, self.key_file = folder / "certificate.pem", folder / "key.pem"
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "netmon test")])
        now = dt.datetime.now(dt.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=10))
            .not_valid_after(now + dt.timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName([_name(each) for each in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self.key_file.write_bytes(key.private_bytes(*encoding))


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@contextlib.asynccontextmanager
async def leaving_nothing() -> AsyncIterator[None]:
    """What is done inside leaves no socket and no task. What was there before may go at any time: other tests' garbage is collected when it is."""
    files, tasks = open_files(), asyncio.all_tasks()
    yield
    async with asyncio.timeout(TIMEOUT_S):
        while open_files() - files or asyncio.all_tasks() - tasks:
            gc.collect()
            await asyncio.sleep(0.01)


async def cancelled(asked: Any, turns: int = 1) -> None:
    """A probe that is ended in the middle, after so many turns of the loop."""
    probing = asyncio.create_task(asked.probe(TIMEOUT_S))
    for _ in range(turns):
        await asyncio.sleep(0)
    probing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probing


def open_files() -> set[tuple[str, str]]:
    """Of this process, number and name of each (a socket's has its inode): what leaks a socket leaks one of these."""
    found = set()
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the folder itself, for one
            found.add((each.name, str(each.readlink())))
    return found


def refused_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
