"""A whole netmon, or a Valkey with a lane's streams, for each test that asks for one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from netmon.buffer.stream import Streams
from tests.integration.harness import Netmon
from tests.integration.snmpv3 import Sender
from tests.integration.valkey import Valkey, cluster_node, new_streams, raw, wait_until


@pytest.fixture
def netmon(tmp_path: Path) -> Iterator[Netmon]:
    """A ready netmon with the test configuration; it must stop cleanly and leave no orphans."""
    with Netmon(tmp_path) as started:
        yield started


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """One server for all tests that leave its settings alone."""
    with Valkey(tmp_path_factory.mktemp("valkey"), appendonly="yes") as running:
        yield running


@pytest.fixture
def client(server: Valkey) -> Iterator[redis.Redis]:
    """The administrator's view of an empty server."""
    with contextlib.closing(server.client()) as client:
        client.flushall()
        yield client
        client.config_set("maxmemory", 0)


@pytest.fixture
def streams(server: Valkey, client: redis.Redis) -> Iterator[Streams]:
    """A lane's streams on the empty server."""
    streams = new_streams(server)
    streams.connect()
    yield streams
    streams.close()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[Valkey]]:
    """A Redis Cluster of two masters, half of the slots each."""
    with contextlib.ExitStack() as stack:
        nodes = [stack.enter_context(cluster_node(tmp_path / name)) for name in ("a", "b")]
        first, second = (stack.enter_context(contextlib.closing(node.client())) for node in nodes)
        first.execute_command("CLUSTER ADDSLOTSRANGE", 0, 8_191)
        second.execute_command("CLUSTER ADDSLOTSRANGE", 8_192, 16_383)
        second.execute_command("CLUSTER SET-CONFIG-EPOCH", 2)
        cluster_port = first.config_get("cluster-port")["cluster-port"]
        second.execute_command("CLUSTER MEET", "127.0.0.1", nodes[0].port, cluster_port)
        for client in (first, second):
            wait_until(lambda client=client: b"cluster_state:ok" in raw(client, "CLUSTER INFO"), "the cluster is up")
        yield nodes


@pytest.fixture
def sender(tmp_path: Path, require_tool: Callable[[str], str]) -> Sender:
    """Net-SNMP's snmptrap and snmpinform for SNMPv3, with nothing remembered."""
    return Sender(tmp_path, require_tool)
