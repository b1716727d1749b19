"""How far an SNMPv3 notification is trusted, who is heard at all, and what is kept of other engines."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest
from msgspec import structs

from netmon.errors import DecodeError
from netmon.model import AllowRule, LaneSettings, RedisSettings, V3Settings, V3User
from netmon.snmp.encode import encode_v3
from netmon.snmp.keys import LocalKeys, UserKeys
from netmon.trap_receiver.decoder import ENGINES_FILE, Decoder
from netmon.trap_receiver.journal.segment import Record

OPEN = V3User(name="open")
SIGNED = V3User(name="signed", auth="sha256", auth_passphrase="a passphrase")
SECRET = V3User(
    name="secret", auth="sha1", auth_passphrase="a passphrase", priv="aes128", priv_passphrase="another one"
)
NOW = 1_700_000_000_000_000_000
SECOND_NS = 1_000_000_000


def settings(folder: Path, *sources: str) -> LaneSettings:
    """A lane that knows the three users, and hears these networks, or all."""
    return LaneSettings(
        receiver="test",
        lane=0,
        listen="127.0.0.1:0",
        directory=str(folder),
        redis=RedisSettings(url="unix:///nowhere"),
        allow=(AllowRule(sources=sources, communities=("sesame",)),) if sources else (),
        snmpv3=V3Settings(users=(OPEN, SIGNED, SECRET)),
    )


def record(user: V3User, *, boots: int = 5, time_s: int = 10_000, at_s: int = 0) -> Record:
    """A linkDown from 192.0.2.7, received so many seconds after NOW."""
    payload = encode_v3(
        keys=LocalKeys(UserKeys(user), bytes.fromhex("80001f8804aabb")),
        boots=boots,
        time_s=time_s,
        salt=1,
        msg_id=2,
        pdu="trap",
        request_id=3,
        uptime_centis=4,
        trap_oid="1.3.6.1.6.3.1.1.5.3",
        varbinds=[],
    )
    return Record(NOW + at_s * SECOND_NS, "192.0.2.7", 162, "192.0.2.1", payload)


@pytest.mark.parametrize(
    ("user", "sources", "trust"),
    [
        (SECRET, (), "v3_auth_priv"),
        (SIGNED, (), "v3_auth"),
        (OPEN, (), "other"),
        (SECRET, ("192.0.2.0/24",), "v3_auth_priv"),
        (OPEN, ("192.0.2.0/24",), "allow_listed"),
    ],
)
def test_trust_is_what_was_proved_else_where_it_came_from(
    tmp_path: Path, user: V3User, sources: tuple[str, ...], trust: str
) -> None:
    """A rule's communities mean nothing to SNMPv3."""
    notification, found = Decoder(settings(tmp_path, *sources)).decode(record(user))

    assert (found, notification.version, notification.user) == (trust, "v3", user.name)


def test_a_source_that_is_not_listed_is_refused_whatever_it_can_prove(tmp_path: Path) -> None:
    """The allow-list is a fence of its own."""
    with pytest.raises(DecodeError) as caught:
        Decoder(settings(tmp_path, "198.51.100.0/24")).decode(record(SECRET))

    assert caught.value.reason == "source_not_allowed"


def test_an_engine_without_its_boots_is_trusted_as_anybody(tmp_path: Path) -> None:
    """It may be a recorded message, so no rule lifts it either."""
    decoder = Decoder(settings(tmp_path, "192.0.2.0/24"))
    decoder.decode(record(SECRET))

    notification, trust = decoder.decode(record(SECRET, boots=1, time_s=1, at_s=60))

    assert (trust, notification.flags) == ("other", ("engine_boots_reset",))


def test_our_clock_set_back_does_not_let_a_recording_in(tmp_path: Path) -> None:
    """The journal's milliseconds do not go back: by them, the engine is known and the recording is old."""
    decoder = Decoder(settings(tmp_path))
    decoder.decode(record(SECRET, boots=9, time_s=5_000))
    recorded = record(SECRET, boots=9, time_s=4_000, at_s=-3_600)

    with pytest.raises(DecodeError) as caught:
        decoder.decode(structs.replace(recorded, id_ms=NOW // 1_000_000 + 1_000))

    assert caught.value.reason == "usm_not_in_time_window"


def test_clocks_are_on_the_disk_twice_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And before the first is a second old; what is written in between may be lost."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    now = [1_000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    decoder = Decoder(settings(tmp_path))
    counts = []
    for second in (0, 2, 29, 31):
        now[0] = 1_000.0 + second
        decoder.decode(record(SECRET, boots=second + 5, at_s=second))
        decoder.remember()
        counts.append(len(synced))

    assert counts == [1, 1, 1, 2]


def test_clocks_are_kept_when_they_are_asked_to_be(tmp_path: Path) -> None:
    """A replay is known as one by the decoder that comes next; the file is for netmon alone."""
    before = Decoder(settings(tmp_path))
    before.decode(record(SECRET))
    assert not (tmp_path / ENGINES_FILE).exists()
    before.remember(at_once=True)

    with pytest.raises(DecodeError) as caught:
        Decoder(settings(tmp_path)).decode(record(SECRET, time_s=9_000, at_s=1))

    assert caught.value.reason == "usm_not_in_time_window"
    assert stat.S_IMODE((tmp_path / ENGINES_FILE).stat().st_mode) == 0o600


def test_clocks_are_written_once_a_second_at_most(tmp_path: Path) -> None:
    """And not at all while nothing is learnt."""
    decoder = Decoder(settings(tmp_path))
    decoder.remember(at_once=True)
    assert not (tmp_path / ENGINES_FILE).exists()
    decoder.decode(record(SECRET))
    decoder.remember()
    written = (tmp_path / ENGINES_FILE).read_bytes()
    decoder.decode(record(SECRET, boots=6))

    decoder.remember()

    assert (tmp_path / ENGINES_FILE).read_bytes() == written
    decoder.remember(at_once=True)
    assert (tmp_path / ENGINES_FILE).read_bytes() != written


@pytest.mark.parametrize("content", [b"", b"netmon engines 1\n", b"\xff" * 100])
def test_a_broken_file_of_clocks_is_no_file(tmp_path: Path, content: bytes) -> None:
    """What it held, the engines' next messages tell again."""
    (tmp_path / ENGINES_FILE).write_bytes(content)

    assert Decoder(settings(tmp_path)).decode(record(SECRET))[1] == "v3_auth_priv"
