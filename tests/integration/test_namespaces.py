"""The namespaces that lines are broken in: with root and without, and gone with whoever made them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.lab.lines import GATEWAY, Lab
from loadtest.lab.namespaces import Namespaces, missing
from tests.integration.harness import REPOSITORY, is_alive
from tests.integration.valkey import wait_until

PROGRAM = """
import subprocess, sys
from loadtest.lab.namespaces import Namespaces
with Namespaces() as spaces:
    space = spaces.add("one")
    print(space.pid, space.start(["sleep", "1000"]).pid, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _possible() -> None:
    if reason := missing():
        pytest.skip(reason)


@pytest.mark.parametrize("rootless", [False, True])
def test_lab_is_built_and_cut(*, rootless: bool) -> None:
    """In a user namespace of our own as well: the cut line is silent, the other is not."""
    with Lab(["fibre", "radio"], rootless=rootless or None) as lab:
        fibre, radio = lab.lines["fibre"], lab.lines["radio"]
        before = [answers(lab, target) for target in (fibre.target, fibre.target6, radio.target)]
        lab.cut("fibre")
        after = [answers(lab, target) for target in (fibre.target, fibre.target6, radio.target)]
        lab.mend("fibre")

        assert (before, after) == ([True, True, True], [False, False, True])
        assert answers(lab, fibre.target)


def answers(lab: Lab, target: str) -> bool:
    """Whether a UDP port that nobody listens at is refused by the far end."""
    program = (
        "import socket, sys; kind = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET;"
        "sock = socket.socket(kind, socket.SOCK_DGRAM); sock.settimeout(0.5); sock.connect((sys.argv[1], 9));"
        "sock.send(b'?'); sock.recv(1)"
    )
    process = lab[GATEWAY].start([sys.executable, "-c", program, target], stderr=subprocess.PIPE)
    return b"ConnectionRefusedError" in process.communicate()[1]


def test_nothing_is_left_after_a_kill() -> None:
    """kill -9 of whoever made them: the namespace and what runs in it end by themselves."""
    maker = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert maker.stdout is not None
    pids = [int(word) for word in maker.stdout.readline().split()]
    running = [is_alive(pid) for pid in pids]

    maker.send_signal(signal.SIGKILL)
    maker.communicate()
    wait_until(lambda: not any(is_alive(pid) for pid in pids), "everything is gone")

    assert running == [True, True]


def test_namespace_has_its_own_path() -> None:
    """As `pin.netns` names it."""
    with Namespaces() as spaces:
        path = spaces.add("one").path

        assert path.exists()
        assert path.readlink() != Path("/proc/self/ns/net").readlink()
