"""What the tests of SNMPv3 share: users and their passphrases, Net-SNMP's senders, and a device whose messages can be broken."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from netmon.model import TrapEvent, V3User
from netmon.snmp.encode import encode_discovery, encode_v3
from netmon.snmp.keys import LocalKeys, UserKeys
from netmon.snmp.v3 import Message, read_message
from tests.integration.harness import Netmon

AUTHS = {
    "md5": "MD5",
    "sha1": "SHA",
    "sha224": "SHA-224",
    "sha256": "SHA-256",
    "sha384": "SHA-384",
    "sha512": "SHA-512",
}
PRIVS = {
    None: None,
    "des": "DES",
    "aes128": "AES",
    "aes192": "AES-192",
    "aes256": "AES-256",
    "aes192c": "AES-192-C",
    "aes256c": "AES-256-C",
}
"""As netmon and as Net-SNMP call them."""
AUTH_PHRASE = "correct horse battery"
PRIV_PHRASE = "staple of the privy"
ENGINE = "80001f8804646576696365"
OTHER_ENGINE = "80001f88046f74686572"
LINK_DOWN = "1.3.6.1.6.3.1.1.5.3"
IF_INDEX = "1.3.6.1.2.1.2.2.1.1.7"


def user_name(auth: str | None, priv: str | None) -> str:
    """Of the user with these protocols."""
    return f"{auth or 'open'}-{priv or 'none'}"


def user(auth: str | None, priv: str | None, name: str | None = None, **more: Any) -> dict[str, Any]:
    """A user as the configuration has it."""
    return {
        "name": name or user_name(auth, priv),
        **({"auth": auth, "auth_passphrase_file": "auth.txt"} if auth else {}),
        **({"priv": priv, "priv_passphrase_file": "priv.txt"} if priv else {}),
        **more,
    }


def with_passphrases(folder: Path) -> Path:
    """The folder, with the files that `user` names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("auth.txt", AUTH_PHRASE), ("priv.txt", PRIV_PHRASE), ("other.txt", "another passphrase")):
        (folder / name).write_text(f"{text}\n")
        (folder / name).chmod(0o640)
    return folder


class Sender:
    """Net-SNMP's snmptrap and snmpinform, with a folder of their own for what they remember."""

    def __init__(self, folder: Path, tool: Callable[[str], str]) -> None:
        self.environ = {**os.environ, "MIBS": "", "SNMP_PERSISTENT_DIR": str(folder), "SNMPCONFPATH": str(folder)}
        self._tool = tool

    def send(
        self,
        netmon: Netmon,
        auth: str | None,
        priv: str | None,
        *,
        name: str | None = None,
        inform: bool = False,
        engine: str = ENGINE,
        auth_phrase: str = AUTH_PHRASE,
        priv_phrase: str = PRIV_PHRASE,
        boots_time: str | None = None,
        value: int = 7,
        retries: int = 0,
    ) -> subprocess.CompletedProcess[str]:
        """Send one notification as a user; skip the test when this build of Net-SNMP lacks a protocol."""
        level = "authPriv" if priv else "authNoPriv" if auth else "noAuthNoPriv"
        command = [self._tool("snmpinform" if inform else "snmptrap"), "-v3", "-u", name or user_name(auth, priv)]
        command += ["-l", level, "-r", str(retries), "-t", "3"]
        command += ["-a", AUTHS[auth], "-A", auth_phrase] if auth else []
        command += ["-x", str(PRIVS[priv]), "-X", priv_phrase] if priv else []
        command += [] if inform else ["-e", f"0x{engine}", "-E", f"0x{engine}"]
        command += ["-Z", boots_time] if boots_time else []
        done = subprocess.run(
            [*command, f"127.0.0.1:{netmon.port}", "", LINK_DOWN, IF_INDEX, "i", str(value)],
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        if re.search(r"Invalid (authentication|privacy) protocol", done.stderr):
            pytest.skip(f"Net-SNMP refuses: {done.stderr.strip()}")
        return done


def newest(netmon: Netmon) -> TrapEvent:
    """The last notification in the stream."""
    return netmon.entries()[-1][1]


class Device:
    """An SNMPv3 sender under our control: each message is made by hand, and may be broken by hand."""

    def __init__(self, known: V3User, engine: str, boots: int = 5, time_s: int = 10_000) -> None:
        self.keys = LocalKeys(UserKeys(known), bytes.fromhex(engine))
        self.boots, self.time_s, self._count = boots, time_s, 0

    def message(self, *, pdu: Literal["trap", "inform"] = "trap", boots: int | None = None, ago_s: int = 0) -> bytes:
        """A linkDown, said `ago_s` seconds before now by the engine's clock."""
        self._count += 1
        return encode_v3(
            keys=self.keys,
            boots=self.boots if boots is None else boots,
            time_s=self.time_s - ago_s,
            salt=self._count,
            msg_id=self._count,
            pdu=pdu,
            request_id=self._count,
            uptime_centis=12_345,
            trap_oid=LINK_DOWN,
            varbinds=[(IF_INDEX, "Integer32", self._count)],
        )


KNOWN = V3User(
    name="sha256-aes128", auth="sha256", auth_passphrase=AUTH_PHRASE, priv="aes128", priv_passphrase=PRIV_PHRASE
)


def new_engine() -> str:
    """An engine ID that nobody has used before."""
    return "80001f8805" + secrets.token_hex(8)


def counted(netmon: Netmon, datagrams: list[bytes]) -> dict[str, int]:
    """What the ledger has counted of these datagrams: `buffered`, and the reasons of the others."""
    before = netmon.wait_settled()
    netmon.send(datagrams)
    after = netmon.wait_settled(before.captured + len(datagrams))
    counts = {"buffered": after.buffered - before.buffered}
    for now, then in (
        (after.rejected, before.rejected),
        (after.parked, before.parked),
        (after.control, before.control),
    ):
        counts |= {reason: now[reason] - then[reason] for reason in now}
    return {reason: count for reason, count in counts.items() if count}


def ask(netmon: Netmon, datagram: bytes, timeout_s: float = 5.0) -> Message | None:
    """Send a datagram; the header of the answer, None when none comes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", netmon.port))
        sock.settimeout(timeout_s)
        sock.send(datagram)
        with contextlib.suppress(TimeoutError):
            return read_message(sock.recv(65_536))
    return None


def told(netmon: Netmon) -> Message:
    """What a netmon says about itself: engine ID, boots and time."""
    answer = ask(netmon, encode_discovery(msg_id=1, request_id=1))
    assert answer is not None, netmon.log_tail()
    return answer
