"""The supervisor's decisions, without processes: back-off, reload plans, locks, damage, notifications."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmon.buffer import embedded
from netmon.errors import ConfigError
from netmon.model import LaneSettings, RedisSettings
from netmon.supervisor import child, service
from netmon.supervisor.reload import Change, Plan, assign, plan

A, B, C = "192.0.2.1:162", "192.0.2.2:162", "[::]:1162"


def lane(number: int, listen: str = A, *, receiver: str = "trap1", level: str = "info") -> LaneSettings:
    """Settings of a lane as the configuration makes them."""
    return LaneSettings(
        receiver=receiver,
        lane=number,
        listen=listen,
        directory=f"/data/{receiver}/lane-{number}",
        redis=RedisSettings(url="redis://192.0.2.9"),
        log_level=level,
    )


@pytest.mark.parametrize(
    ("failures", "expected"), [(1, 0.1), (2, 0.2), (3, 0.4), (7, 6.4), (8, 10.0), (100, 10.0), (10**9, 10.0)]
)
def test_the_delay_doubles_up_to_a_cap(failures: int, expected: float) -> None:
    """A tenth of a second first, ten seconds at most."""
    assert child.restart_delay_s(failures, 0.0) == pytest.approx(expected)


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_jitter_only_shortens_and_by_a_fifth_at_most(failures: int, ratio: float) -> None:
    """The cap stays a cap."""
    full = child.restart_delay_s(failures, 0.0)
    assert full * 0.8 - 1e-9 <= child.restart_delay_s(failures, ratio) <= full <= child.RESTART_DELAY_MAX_S


def test_a_child_that_was_healthy_begins_again() -> None:
    """One crash a day must not add up to ten seconds."""
    assert (child.failures_after(7, 1.0), child.failures_after(7, 30.0)) == (8, 1)


@pytest.mark.parametrize(
    ("returncode", "expected"), [(0, "exit 0"), (1, "exit 1"), (-9, "SIGKILL"), (-64, "SIGRTMAX"), (-99, "signal 99")]
)
def test_the_end_of_a_process_has_a_name(returncode: int, expected: str) -> None:
    """As a person would say it."""
    assert child.exit_name(returncode) == expected


def test_equal_settings_change_nothing() -> None:
    """A reload of the same file touches nothing."""
    lanes = [lane(0, A), lane(1, B)]
    assert plan(lanes, lanes) == Plan((Change("keep", lanes[0], 0), Change("keep", lanes[1], 1)), (), ())


def test_other_settings_restart_the_roles_on_the_same_socket() -> None:
    """Address and journal are the same: role by role."""
    assert plan([lane(0)], [lane(0, level="debug")]).changes == (Change("restart", lane(0, level="debug"), 0),)


def test_another_receiver_name_replaces_the_lane_on_the_same_socket() -> None:
    """Another journal must not be written by old and new roles at once."""
    new = lane(0, receiver="trap2")
    assert plan([lane(0)], [new]) == Plan((Change("replace", new, 0),), (), ())


def test_a_listener_in_front_moves_the_sockets_with_their_addresses() -> None:
    """The socket of B stays open though B's lane has another number now."""
    old, new = [lane(0, A), lane(1, B)], [lane(0, C), lane(1, A), lane(2, B)]
    assert plan(old, new) == Plan(
        (Change("replace", new[0], None), Change("replace", new[1], 0), Change("add", new[2], 1)), (), ()
    )


def test_a_removed_listener_closes_its_socket_only() -> None:
    """Its neighbour is not disturbed."""
    assert plan([lane(0, A), lane(1, B)], [lane(0, A)]) == Plan((Change("keep", lane(0, A), 0),), (1,), (1,))


@given(st.lists(st.sampled_from([A, B, C]), max_size=6), st.lists(st.sampled_from([A, B, C]), max_size=6))
def test_sockets_are_never_given_twice_and_never_left_when_wanted(old: list[str], new: list[str]) -> None:
    """As many sockets are kept for each address as both sides have."""
    found = assign(old, new)
    kept = [index for index in found if index is not None]
    assert len(kept) == len(set(kept))
    assert all(index is None or old[index] == new[position] for position, index in enumerate(found))
    assert len(kept) == sum(min(old.count(address), new.count(address)) for address in (A, B, C))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("# Bad file format reading the append only file appendonly.aof.1.incr.aof: make a backup", True),
        ("*** FATAL AOF MANIFEST FILE ERROR ***", True),
        ("# Unable to obtain the AOF file appendonly.aof.1.base.rdb length. stat: No such file", True),
        ("# Internal error in RDB reading offset 0 -> Unexpected EOF reading RDB file", True),
        ("# Unrecoverable error reading the append only file x: No space left on device", False),
        ("# Can't open the append-only file: Permission denied", False),
        ("* Ready to accept connections unix", False),
        ("", False),
    ],
)
def test_only_a_damaged_file_is_set_aside(said: str, expected: bool) -> None:
    """A full disk or a wrong owner is no reason to start empty."""
    assert embedded.is_damage(said) is expected


def test_a_short_data_directory_holds_the_socket() -> None:
    """Where one would look for it."""
    assert embedded.url(Path("/var/lib/netmon")) == "unix:///var/lib/netmon/run/valkey.sock"


def test_a_long_data_directory_has_its_socket_elsewhere() -> None:
    """Always at the same place for the same directory, or `netmon traps` would not find it."""
    found = embedded.socket_path(Path("/x" * 60))
    assert (found, len(str(found)) < 108) == (embedded.socket_path(Path("/x" * 60)), True)
    assert found != embedded.socket_path(Path("/y" * 60))


def test_a_data_directory_has_one_owner(tmp_path: Path) -> None:
    """The second learns the pid of the first."""
    held = service.lock_data_dir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        service.lock_data_dir(tmp_path)
    assert f"is in use by the netmon with pid {os.getpid()}" in caught.value.mistakes[0]
    os.close(held)
    os.close(service.lock_data_dir(tmp_path))


def test_whoever_asks_finds_with_what_a_netmon_runs(tmp_path: Path) -> None:
    """Not a netmon that has ended, nor one that did not say, nor a file that is gone."""
    config = tmp_path / "sample.yml"
    config.touch()
    before = service.running_config(tmp_path)
    os.close(service.lock_data_dir(tmp_path, config))
    running = service.running_config(tmp_path)
    (tmp_path / service.LOCK_FILE).write_text(f"{2**22 + 1}\n{config}\n")
    ended = service.running_config(tmp_path)
    os.close(service.lock_data_dir(tmp_path))
    silent = service.running_config(tmp_path)
    os.close(service.lock_data_dir(tmp_path, tmp_path / "none.yml"))

    assert (before, running, ended, silent, service.running_config(tmp_path)) == (None, config, None, None, None)


def test_systemd_is_told(tmp_path: Path) -> None:
    """One datagram, one assignment a line; without a socket nothing happens."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        service.notify({"NOTIFY_SOCKET": path}, "READY=1", "STATUS=well")
        assert sock.recv(100) == b"READY=1\nSTATUS=well"
    service.notify({}, "READY=1")
    service.notify({"NOTIFY_SOCKET": path}, "READY=1")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_needed(environ: dict[str, str], expected: float | None) -> None:
    """And only by the process that it watches."""
    assert service.watchdog_interval_s(environ, 7) == expected


def test_a_process_knows_what_it_uses() -> None:
    """Ours has some memory; none has any after its end."""
    assert service.usage(os.getpid()).resident_bytes > 1 << 20
    assert service.usage(None) == service.Usage(0, 0.0)


def test_settings_reach_a_role_whole() -> None:
    """What is written is what is read, however many rules there are."""
    from netmon.supervisor.lane import settings_fd

    settings = msgspec.structs.replace(lane(0), trusted_relays=tuple(f"192.0.2.{n % 256}/32" for n in range(20_000)))
    with open(settings_fd(settings), "rb") as file:
        assert msgspec.json.decode(file.read(), type=LaneSettings) == settings
