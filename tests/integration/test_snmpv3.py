"""SNMPv3 against Net-SNMP's own senders: who is believed, who is answered, and where everything else goes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from netmon.model import TrapEvent
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


ALL_USERS = [user(None, None), *(user(auth, priv) for auth in AUTHS for priv in PRIVS)]


@pytest.fixture(scope="module")
def netmon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Netmon]:
    """A netmon that knows a user for every pair of protocols."""
    folder = with_passphrases(tmp_path_factory.mktemp("snmpv3"))
    with Netmon(folder, {"snmpv3": {"users": ALL_USERS}}) as netmon:
        yield netmon


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


@pytest.fixture
def sender(tmp_path: Path, require_tool: Callable[[str], str]) -> Sender:
    """Net-SNMP with nothing remembered."""
    return Sender(tmp_path, require_tool)


def trust_of(auth: str | None, priv: str | None) -> str:
    """The tier of what is sent so to a netmon without an allow-list."""
    return "v3_auth_priv" if priv else "v3_auth" if auth else "other"


def newest(netmon: Netmon) -> TrapEvent:
    """The last notification in the stream."""
    return netmon.entries()[-1][1]


# --- What is right. ---


@pytest.mark.parametrize("priv", PRIVS, ids=str)
@pytest.mark.parametrize("auth", AUTHS)
def test_a_trap_is_read_with_every_pair_of_protocols(
    netmon: Netmon, sender: Sender, auth: str, priv: str | None
) -> None:
    """The sender's engine is authoritative; nothing was configured for it but the user."""
    before = netmon.wait_settled()

    done = sender.send(netmon, auth, priv)

    assert done.returncode == 0, done.stderr
    after = netmon.wait_settled(before.captured + 1)
    assert after.buffered == before.buffered + 1, netmon.log_tail()
    event = newest(netmon)
    assert (event.version, event.pdu, event.user) == ("v3", "trap", user_name(auth, priv))
    assert (event.trust, event.engine_id, event.context) == (trust_of(auth, priv), ENGINE, None)
    assert (event.trap_oid, event.varbinds[0].value, event.flags) == (LINK_DOWN, 7, ())


@pytest.mark.parametrize("priv", PRIVS, ids=str)
@pytest.mark.parametrize("auth", AUTHS)
def test_an_inform_is_answered_with_every_pair_of_protocols(
    netmon: Netmon, sender: Sender, auth: str, priv: str | None
) -> None:
    """Discovery, then the INFORM to our engine; exit code 0 is an answer that was authentic."""
    before = netmon.wait_settled()

    done = sender.send(netmon, auth, priv, inform=True)

    assert done.returncode == 0, done.stderr
    netmon.wait_until(lambda: netmon.ledger().buffered == before.buffered + 1)
    event = newest(netmon)
    assert (event.version, event.pdu, event.user) == ("v3", "inform", user_name(auth, priv))
    assert (event.trust, event.varbinds[0].value) == (trust_of(auth, priv), 7)
    netmon.wait_until(lambda: netmon.ledger().informs_answered == before.informs_answered + 1)
    assert netmon.wait_settled().control["v3_discovery"] > before.control["v3_discovery"]


@pytest.mark.parametrize("inform", [False, True])
def test_a_user_without_authentication_is_heard_and_not_trusted(netmon: Netmon, sender: Sender, inform: bool) -> None:
    """noAuthNoPriv is no more than a community that everybody knows."""
    before = netmon.wait_settled()

    done = sender.send(netmon, None, None, inform=inform)

    assert done.returncode == 0, done.stderr
    netmon.wait_until(lambda: netmon.ledger().buffered == before.buffered + 1)
    assert (newest(netmon).trust, newest(netmon).user) == ("other", "open-none")
