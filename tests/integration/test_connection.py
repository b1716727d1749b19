"""Whatever a Redis may answer, or not answer, is understood: by a word that the metrics count."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from netmon.buffer import connection
from netmon.buffer.connection import Connection, MovedError
from netmon.buffer.stream import Streams
from netmon.errors import UnavailableError
from netmon.model import RedisSettings
from tests.integration.harness import free_port
from tests.integration.valkey import PREFIX, TRAPS, Valkey, cluster_node, fill, ids, new_streams, reason_of, wait_until


def test_wait_fsync(server: Valkey, streams: Streams, tmp_path: Path) -> None:
    """With an append-only file it is on disk; without one, the server says that it cannot promise that."""
    fill(streams, 1)
    promised = streams.wait_fsync()
    with Valkey(tmp_path) as forgetful:
        other = new_streams(forgetful)
        other.connect()
        with pytest.raises(UnavailableError) as refused:
            other.wait_fsync()

    assert promised
    assert reason_of(refused) == "refused"


def test_nobody_listens(tmp_path: Path) -> None:
    """The socket is not there, or nobody is behind it any more."""
    with Valkey(tmp_path) as server:
        streams = new_streams(server)
        streams.connect()
        server.kill()
        with pytest.raises(UnavailableError) as broken:
            streams.lengths()
        with pytest.raises(UnavailableError) as absent:
            streams.connect()

    assert (reason_of(broken), reason_of(absent)) == ("connection", "connection")


def test_not_connected(server: Valkey) -> None:
    """Every use before `connect`, and after an error, says so."""
    streams = new_streams(server)
    for use in (streams.lengths, streams.settle, streams.renew_lease, lambda: streams.send([])):
        with pytest.raises(UnavailableError) as refused:
            use()
        assert reason_of(refused) == "connection"


def test_a_server_that_hangs_is_given_up(
    server: Valkey, streams: Streams, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the time-out; 5 s, but for this test."""
    monkeypatch.setattr(connection, "_TIMEOUT_S", 0.2)
    streams.connect()
    client.client_pause(2_000)
    with pytest.raises(UnavailableError) as refused:
        streams.lengths()
    client.client_unpause()

    assert reason_of(refused) == "timeout"
    assert not streams.connected


def test_a_replica_takes_no_writes(tmp_path: Path) -> None:
    """After a fail-over the old master may be one."""
    with Valkey(tmp_path) as server, contextlib.closing(server.client()) as client:
        streams = new_streams(server)
        streams.connect()
        client.replicaof("127.0.0.1", free_port(socket.SOCK_STREAM))
        with pytest.raises(UnavailableError) as read_only:
            fill(streams, 1)
        client.config_set("replica-serve-stale-data", "no")
        with pytest.raises(UnavailableError) as stale:
            streams.connect()

    assert (reason_of(read_only), reason_of(stale)) == ("read_only", "loading")


def test_too_few_replicas(server: Valkey, streams: Streams, client: redis.Redis) -> None:
    """The operator wants more copies than there are now."""
    client.config_set("min-replicas-to-write", 1)
    with pytest.raises(UnavailableError) as refused:
        fill(streams, 1)
    client.config_set("min-replicas-to-write", 0)

    assert reason_of(refused) == "read_only"
    assert ids(client) == []


def test_a_server_busy_with_a_script(server: Valkey, streams: Streams, client: redis.Redis) -> None:
    """Somebody else's script: it is waited for."""
    client.config_set("busy-reply-threshold", 10)
    with contextlib.closing(server.client()) as other, contextlib.closing(server.client()) as killer:

        def run() -> None:
            with contextlib.suppress(redis.ResponseError):
                other.eval("while true do end", 0)

        thread = threading.Thread(target=run)
        thread.start()
        wait_until(lambda: is_busy(client), "busy")
        with pytest.raises(UnavailableError) as refused:
            streams.lengths()
        killer.script_kill()
        thread.join()

    assert reason_of(refused) == "loading"


def is_busy(client: redis.Redis) -> bool:
    """Whether a script runs and nobody else is served."""
    try:
        client.get("x")
    except redis.ResponseError as error:
        return str(error).startswith("BUSY") or "busy" in str(error).lower()
    return False


def test_a_key_that_is_no_stream(streams: Streams, client: redis.Redis) -> None:
    """Somebody's string under our name: said, and waited for until somebody takes it away."""
    client.set(TRAPS, "not a stream")
    with pytest.raises(UnavailableError) as refused:
        streams.facts(TRAPS)

    assert reason_of(refused) == "refused"


# -- connecting


def test_redis_py_has_the_socket_that_we_read_from(server: Valkey) -> None:
    """A private name of redis-py's: when a new version lacks it, this fails before anybody's traps do."""
    opened = Connection(RedisSettings(url=server.url))
    owner = opened._owner

    assert isinstance(owner._sock, socket.socket)
    assert opened.command("PING") == b"PONG"
    opened.close()
    opened.close()


def test_a_password(tmp_path: Path) -> None:
    """The default user's, or an ACL user's; a wrong one, or none, is refused, and is in no message."""
    with Valkey(tmp_path, requirepass="correct") as server, contextlib.closing(server.client()) as client:
        client.acl_setuser("netmon", enabled=True, passwords=["+horse"], keys=["netmon:*"], commands=["+@all"])
        good = [
            new_streams(server, password="correct").connect(),
            new_streams(server, username="netmon", password="horse").connect(),
        ]
        refused = []
        for wrong in ({}, {"password": "battery"}, {"username": "netmon", "password": "battery"}):
            with pytest.raises(UnavailableError) as error:
                new_streams(server, **wrong).connect()
            refused.append((reason_of(error), "battery" in str(error.value)))

    assert good == [True, True]
    assert refused == [("refused", False)] * 3


@pytest.fixture
def certificate(tmp_path: Path, require_tool: Callable[[str], str]) -> Path:
    """A certificate for 127.0.0.1 that signs itself, with its key in the same file."""
    path = tmp_path / "certificate.pem"
    request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=test"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", path, "-out", tmp_path / "public.pem"]
    subprocess.run([require_tool("openssl"), *request.split(), *names], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + (tmp_path / "public.pem").read_bytes())
    return path


@contextlib.contextmanager
def tls_in_front_of(server: Valkey, certificate: Path) -> Iterator[str]:
    """Takes one TLS connection and passes it on to the server, which has no TLS itself; yields the URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def serve() -> None:
        with contextlib.suppress(OSError), listener.accept()[0] as accepted, socket.socket(socket.AF_UNIX) as behind:
            behind.connect(str(server.socket_path))
            with context.wrap_socket(accepted, server_side=True) as client:
                while data := client.recv(65_536):
                    behind.sendall(data)
                    client.sendall(behind.recv(65_536))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"rediss://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def test_tls(server: Valkey, client: redis.Redis, certificate: Path) -> None:
    """The server is checked against the certificates that the operator names, and is let go when it is another."""
    with tls_in_front_of(server, certificate) as url:
        streams = Streams(RedisSettings(url=url, tls_ca_file=str(certificate)), PREFIX, "journal-1")
        streams.connect()
        fill(streams, 1)
        streams.close()
    with tls_in_front_of(server, certificate) as url, pytest.raises(UnavailableError) as refused:
        Streams(RedisSettings(url=url), PREFIX, "journal-1").connect()

    assert ids(client) == ["1000-1"]
    assert reason_of(refused) == "connection"
    assert "certificate" in refused.value.detail


def test_a_database_number(server: Valkey, client: redis.Redis) -> None:
    """As the URL says."""
    streams = Streams(RedisSettings(url=f"{server.url}?db=3"), PREFIX, "journal-1")
    streams.connect()
    fill(streams, 1)
    streams.close()

    with contextlib.closing(server.client(db=3)) as third:
        assert (ids(client), ids(third)) == ([], ["1000-1"])


def test_a_redis_cluster_is_followed_to_the_node_of_the_slot(cluster: list[Valkey]) -> None:
    """One of the two nodes answers MOVED; the next connection goes where it pointed. All keys of a lane are in one slot."""
    moves = []
    for seq, node in enumerate(cluster, 1):
        streams = new_streams(node)
        try:
            streams.connect()
        except MovedError:
            moves.append(node.port)
            streams.connect()
        fill(streams, seq, -seq)
        streams.release_lease()
        streams.close()

    assert len(moves) == 1


def test_a_cluster_without_its_slots_is_waited_for(tmp_path: Path) -> None:
    """CLUSTERDOWN: half of it may have gone with the line."""
    with cluster_node(tmp_path) as node:
        streams = new_streams(node)
        with pytest.raises(UnavailableError) as refused:
            streams.connect()

    assert reason_of(refused) == "loading"


def test_a_node_that_is_gone_is_not_insisted_on(tmp_path: Path) -> None:
    """After a MOVED to a dead node, the next try asks at the configured address again."""
    with cluster_node(tmp_path) as node:
        streams = new_streams(node)
        streams._node = ("127.0.0.1", free_port(socket.SOCK_STREAM))
        reasons = []
        for _ in range(2):
            with pytest.raises(UnavailableError) as refused:
                streams.connect()
            reasons.append(reason_of(refused))

    assert reasons == ["connection", "loading"]
