"""The consumers in docs/buffer-schema.md, as they are printed there, against a running netmon."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.harness import REPOSITORY, Netmon


@pytest.fixture
def netmon(tmp_path: Path) -> Iterator[Netmon]:
    """A netmon with the name that the document uses."""
    with Netmon(tmp_path, {"receiver": {"name": "trap1"}}) as running:
        yield running


def program(language: str, heading: str) -> str:
    """The one program in a language that the document shows below a heading."""
    text = (REPOSITORY / "docs" / "buffer-schema.md").read_text()
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    (found,) = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    return str(found)


def pending(netmon: Netmon, group: str) -> tuple[int, int]:
    """Entries that a group has read and not acknowledged, and those that it has not read."""
    with contextlib.closing(netmon.redis()) as client:
        (found,) = [each for each in client.xinfo_groups(netmon.key()) if each["name"] == group.encode()]
        return found["pending"], found["lag"]


def test_the_consumer_in_python(netmon: Netmon, tmp_path: Path) -> None:
    """It gets every trap once, acknowledges it, and after kill -9 goes on with what it had not acknowledged."""
    script, output = tmp_path / "consumer.py", tmp_path / "output.txt"
    script.write_text(program("python", "A consumer in Python"))
    netmon.send(netmon.trap(number) for number in range(1, 1_201))
    netmon.wait_settled(1_200)
    with contextlib.closing(netmon.redis()) as client:
        client.xgroup_create(netmon.key(), "example", id="0")
        client.xreadgroup("example", "worker-1", {netmon.key(): ">"}, count=700)
    with output.open("wb") as file:
        command = [sys.executable, str(script), f"unix://{netmon.data_dir}/run/valkey.sock"]
        consumer = subprocess.Popen(command, stdout=file)
    try:
        netmon.wait_until(lambda: pending(netmon, "example") == (0, 0), what="all acknowledged")
        netmon.send([netmon.trap(1_201)])
        netmon.wait_until(lambda: len(output.read_text().splitlines()) == 1_201, what="the new one printed")
        netmon.wait_until(lambda: pending(netmon, "example") == (0, 0), what="the new one acknowledged")
    finally:
        consumer.kill()
        consumer.wait()
    lines = [line.split() for line in output.read_text().splitlines()]

    assert [entry_id for entry_id, _, _ in lines] == [entry_id for entry_id, _ in netmon.entries()]
    assert {tuple(rest) for _, *rest in lines} == {("127.0.0.1", "1.3.6.1.6.3.1.1.5.3")}


def test_the_consumer_in_the_shell(netmon: Netmon, tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    """The commands are those of redis-cli, typed in the folder of `make run`."""
    require_tool("redis-cli")
    netmon.send(netmon.trap(number) for number in range(1, 16))
    netmon.wait_settled(15)
    (tmp_path / "var").symlink_to(netmon.data_dir)
    command = ["sh", "-eu", "-c", program("sh", "A consumer in the shell")]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=30)
    lines = run.stdout.splitlines()

    assert (lines[0], lines[-1]) == ("OK", "10")
    assert sum(line.startswith('{"seq":') for line in lines) == 10
    assert pending(netmon, "shell") == (0, 5)


def test_the_consumer_of_two_receivers(netmon: Netmon, tmp_path: Path) -> None:
    """Each notification once, from whichever receiver tells it first; it begins with what comes now."""
    output = tmp_path / "output.txt"
    url = f"unix://{netmon.data_dir}/run/valkey.sock"
    with Netmon(tmp_path / "second", {"receiver": {"name": "trap2"}, "redis": {"url": url}}) as second:
        command = [sys.executable, "-c", program("python", "Each notification once, from two receivers"), url, url]
        with output.open("wb") as file:
            consumer = subprocess.Popen(command, stdout=file, cwd=REPOSITORY)
        try:
            # Until it listens, what is sent is before its time.
            netmon.wait_until(lambda: netmon.send([netmon.trap(0)]) and output.read_text(), what="it listens")
            netmon.send(netmon.trap(number) for number in range(1, 60))
            second.send(second.trap(number) for number in range(40, 100))
            netmon.wait_settled(59 + 1)
            second.wait_settled(60)
            numbers = {
                (receiver, entry_id): number
                for receiver, of in (("trap1", netmon), ("trap2", second))
                for (entry_id, _), number in zip(of.entries(), of.numbers(), strict=True)
            }
            netmon.wait_until(lambda: len(told(output, numbers)) >= 99, what="all are told")
        finally:
            consumer.kill()
            consumer.wait()

    assert sorted(told(output, numbers)) == list(range(1, 100))


def told(output: Path, numbers: dict[tuple[str, str], int]) -> list[int]:
    """The numbers of what was printed, without those that made sure that it listens."""
    lines = [line.split() for line in output.read_text().splitlines()]
    return [number for receiver, entry_id, *_ in lines if (number := numbers[receiver, entry_id])]
