"""Network namespaces to break lines in: real interfaces, real routes, real packets, on any Linux, with or without root.

A namespace has no name: it lives as long as a process that reads a pipe of ours does, and everything that runs in it dies with us.
So nothing is left behind, not even by `kill -9`, and there is nothing to be tidied up before the next run. Without root, all of them
belong to one user namespace, in which we are (user_namespaces(7)).
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Literal, Self

TOOLS: Final = ("unshare", "nsenter", "setpriv", "ip")
_PATH: Final = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
_ENVIRONMENT: Final = {**os.environ, "PATH": _PATH, "LC_ALL": "C"}
_SETTINGS: Final = {
    "ipv4/ip_forward": "1",
    "ipv6/conf/all/forwarding": "1",
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    "ipv6/conf/default/accept_dad": "0",  # an address can be used at once
    "ipv6/conf/default/keep_addr_on_down": "1",  # as IPv4 does: a cable that is put back works again
    "ipv6/conf/all/keep_addr_on_down": "1",
    "ipv4/icmp_ratelimit": "0",
}
_GRACE_S: Final = 5.0
_IF_WE_LIVE: Final = '[ "$PPID" = "$0" ] && exec "$@"'
"""For sh(1): the kernel tells of our death only from when it was asked to, and we may have died before."""

Family = Literal["any", "inet6"]
"""`ip`, or `ip -6`, which rules without an address need."""
_FAMILIES: Final[dict[Family, tuple[str, ...]]] = {"any": (), "inet6": ("-6",)}


class LabError(OSError):
    """The kernel refused a command; says which, and what it said."""


@functools.cache
def missing() -> str:
    """Why no namespaces can be had here; empty: they can."""
    absent = [tool for tool in TOOLS if shutil.which(tool, path=_PATH) is None]
    if absent:
        return f"{', '.join(absent)} not found: install iproute2 and util-linux"
    try:
        with Namespaces() as spaces:
            spaces.add("probe")
    except OSError as error:
        return f"no network namespaces, neither as root nor in a user namespace of our own: {error}"
    return ""


def require(*tools: str) -> None:
    """Returns if namespaces can be had, and these programs.

    Raises:
        LabError: Why not.
    """
    absent = [tool for tool in tools if shutil.which(tool, path=_PATH) is None]
    reason = missing() or (f"{', '.join(absent)} not found: install them, see loadtest/README.md" if absent else "")
    if reason:
        raise LabError(reason)


class Namespaces:
    """All namespaces of one lab. As a context manager they go with everything that runs in them."""

    def __init__(self, *, rootless: bool | None = None) -> None:
        """`rootless`: in a user namespace of our own; None: only if we are not root."""
        self._rootless = os.geteuid() != 0 if rootless is None else rootless
        self._stack = contextlib.ExitStack()
        self._by_name: dict[str, Namespace] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stack.close()

    def __getitem__(self, name: str) -> Namespace:
        return self._by_name[name]

    def add(self, name: str) -> Namespace:
        """A namespace with nothing but its loopback; forwards packets; `name` is for us alone.

        Raises:
            LabError: It cannot be had.
        """
        first = next(iter(self._by_name.values()), None)
        if first is None:
            command = ["unshare", *(["-Ur"] if self._rootless else []), "-n"]
        else:
            command = [*first.enter(user_only=True), "unshare", "-n"]
        space = self._stack.enter_context(Namespace(name, command, rootless=self._rootless))
        self._by_name[name] = space
        return space

    def link(self, one: str, interface: str, other: str, peer: str) -> None:
        """A cable between two of them: `interface` in `one`, `peer` in `other`; both ends are up."""
        self[one].ip(
            f"link add {interface} type veth peer name {peer} netns {self[other].pid}", f"link set {interface} up"
        )
        self[other].ip(f"link set {peer} up")


class Namespace:
    """One of them."""

    def __init__(self, name: str, command: Sequence[str], *, rootless: bool) -> None:
        """`command` runs what is put after it in a new namespace."""
        self.name = name
        self._command = [*command, "sh", "-c", "echo ready; exec cat"]
        self._rootless = rootless
        self._stack = contextlib.ExitStack()
        self._holder: subprocess.Popen[str] | None = None
        self._prompts: dict[Family, subprocess.Popen[str]] = {}
        self._processes: list[subprocess.Popen[Any]] = []

    def __enter__(self) -> Self:
        self._holder = _talk(self._command)
        try:
            self._await_ready(self._holder)
            self.renew()
            self.ip("link set lo up")
            self.sysctl(_SETTINGS)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def _await_ready(self, holder: subprocess.Popen[str]) -> None:
        said = _line(holder)
        if said != "ready\n":
            raise LabError(f"{' '.join(self._command[:4])}: {said.strip() or 'refused'}")

    def renew(self) -> None:
        """Starts the commands of ip(8) anew: they remember the number of each interface, also of one that has been replaced."""
        for prompt in self._prompts.values():
            end(prompt)
        # -force: it stays after an error; -o: one line for each link, so one line ends each answer.
        self._prompts = {
            family: _talk([*self.enter(), "ip", *options, "-o", "-force", "-batch", "-"])
            for family, options in _FAMILIES.items()
        }

    def close(self) -> None:
        """Ends what runs in it, then the namespace itself with its interfaces."""
        for process in self._processes:
            end(process)
        for talk in (*self._prompts.values(), *([self._holder] if self._holder else ())):
            end(talk)

    @property
    def pid(self) -> int:
        """Of the process that holds it."""
        assert self._holder is not None, "not entered"
        return self._holder.pid

    @property
    def path(self) -> Path:
        """For setns(2)."""
        return Path(f"/proc/{self.pid}/ns/net")

    def enter(self, *, user_only: bool = False) -> list[str]:
        """What to put before a command, so that it runs here and dies with us; `user_only`: only in our user namespace."""
        user = ["-U", "--preserve-credentials"] if self._rootless else []
        net = [] if user_only else ["-n"]
        enter = ["nsenter", "-t", str(self.pid), *user, *net] if user or net else []
        return [*enter, "setpriv", "--pdeathsig", "KILL", "sh", "-c", _IF_WE_LIVE, str(os.getpid())]

    def ip(self, *commands: str, family: Family = "any") -> None:
        """Has commands of iproute2 done: all are in force when this returns, each within a fraction of a millisecond.

        Raises:
            LabError: One of them is refused; those after it are not tried.
        """
        prompt = self._prompts[family]
        assert prompt.stdin is not None
        for command in commands:
            # The loopback is always number 1, and shown last: whatever comes before its line is an answer or a complaint.
            prompt.stdin.write(f"{command}\nlink show lo\n")
            prompt.stdin.flush()
            said = []
            while not (line := _line(prompt)).startswith("1: lo:"):
                said.append(line)
                if not line:
                    break
            if said:
                raise LabError(f"{self.name}: ip {command}: {''.join(said).strip()}")

    def sysctl(self, settings: dict[str, str]) -> None:
        """Sets files below /proc/sys/net, which are those of the process that opens them."""
        program = "".join(f"echo {value} > /proc/sys/net/{name}\n" for name, value in settings.items())
        done = subprocess.run([*self.enter(), "sh", "-ec", program], capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabError(f"{self.name}: sysctl: {done.stderr.strip()}")

    def start(self, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """A process in it, by its own process ID; killed with the namespace at the latest. `options` are Popen's."""
        environment = {**_ENVIRONMENT, **options.pop("env", {})}
        process: subprocess.Popen[bytes] = subprocess.Popen([*self.enter(), *command], env=environment, **options)
        self._processes.append(process)
        return process


def end(process: subprocess.Popen[Any]) -> None:
    """Kills a process, stopped or not, and closes its pipes; nothing if it has ended already."""
    if process.poll() is None:
        process.kill()
    process.wait(_GRACE_S)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def _talk(command: Sequence[str]) -> subprocess.Popen[str]:
    """A process that is told things line by line, and ends when we do."""
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=_ENVIRONMENT
    )


def _line(process: subprocess.Popen[str]) -> str:
    """The next line of what it says; empty if it has ended."""
    output: IO[str] | None = process.stdout
    assert output is not None
    return output.readline()
