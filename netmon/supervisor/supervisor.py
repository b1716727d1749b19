"""The process above all others: it holds the sockets, starts the roles, and restarts what dies.

It reads no trap itself. Signals: SIGTERM and SIGINT stop in order (a second one at once), SIGHUP reads the
configuration again, SIGUSR2 replaces this process by a new netmon on the same sockets.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NoReturn, TypedDict

from netmon import config as configuration
from netmon import sockets
from netmon.buffer import embedded
from netmon.config import EMBEDDED, Config
from netmon.errors import ConfigError
from netmon.log import log, set_up
from netmon.model import Engine, LaneSettings
from netmon.sockets import BoundSocket
from netmon.status.health import LaneSample, ProcessSample, Snapshot
from netmon.status.http import HttpServer
from netmon.supervisor import service, upgrade
from netmon.supervisor.alarms import AlarmServiceKeeper
from netmon.supervisor.canary import CanaryKeeper
from netmon.supervisor.child import Child
from netmon.supervisor.lane import ROLES, Lane, new_landing
from netmon.supervisor.reload import Change, Plan, plan
from netmon.trap_receiver import engine, ledger

STOP_GRACE_S: Final = 10.0
"""What each role, and then Valkey, gets to finish."""
STOP_REPEAT_S: Final = 1.0
"""A second signal this soon is the first one once more: timeout(1) and terminals tell a process and its group."""
HTTP_RETRY_S: Final = 5.0

Event = Literal["stop", "reload", "upgrade"]


class Supervisor:
    """One run of netmon."""

    def __init__(self, path: Path, config: Config, announce: Callable[[Supervisor], None]) -> None:
        """Prepare.

        Args:
            path: The configuration file, read again on SIGHUP.
            config: What it said.
            announce: Called when everything is started: tells a person what runs where.
        """
        self.config = config
        self.lanes: list[Lane] = []
        self.http = HttpServer(self.snapshot)
        self._path = path
        self._announce = announce
        self._valkey: embedded.EmbeddedValkey | None = None
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._stop_asked_mono: float | None = None
        self._tasks = asyncio.TaskGroup()
        self._lock_fd = -1
        self._inherited = False
        self._canary = CanaryKeeper(config.data_dir, self._keep_running, lambda: (self._lock_fd,))
        self._alarm_service = AlarmServiceKeeper(config.data_dir, self._keep_running, lambda: (self._lock_fd,))
        self._background_tasks: list[asyncio.Task[None]] = []
        self._engines: dict[tuple[str, str | None], Engine] = {}
        self._reloads = {"applied": 0, "refused": 0}

    # --- Life.

    async def run(self) -> None:
        """Run until told to stop.

        Raises:
            ConfigError: It could not start: an address, the data directory, or the embedded server.
        """
        for number, event in _SIGNALS.items():
            asyncio.get_running_loop().add_signal_handler(number, self._signalled, event)
        self._lock_fd = service.lock_data_dir(self.config.data_dir, self._path.absolute())
        bound = self._sockets()
        landings = upgrade.inherited_landings()
        self._valkey = self._valkey_for(self.config)
        http_listens = await self._start_http()
        async with self._tasks:
            self._run_valkey()
            for settings, sock in zip(self._settings(self.config), bound, strict=True):
                self.lanes.append(self._started(settings, sock, landings.get(settings.directory)))
            self._background(self._watchdog())
            if not http_listens:
                self._background(self._retry_http())
            await self._canary.follow(self.config, self.lanes, STOP_GRACE_S)
            gc.freeze()  # what is loaded now lives as long as the process
            self._tell_ready()
            self._announce(self)
            upgrade.tell_finished()
            _warn_of_orphans(self.config, [lane.settings for lane in self.lanes])
            await self._follow_alarm_service()
            await self._serve()
            for task in self._background_tasks:
                task.cancel()

    async def _serve(self) -> None:
        while True:
            match await self._events.get():
                case "reload":
                    await self._reload()
                case "upgrade":
                    await self._upgrade()
                case "stop":
                    await self._stop()
                    return

    def _signalled(self, event: Event) -> None:
        if event == "stop":
            now = time.monotonic()
            if self._stop_asked_mono is not None:
                if now - self._stop_asked_mono > STOP_REPEAT_S:
                    self._kill_all()
                return
            self._stop_asked_mono = now
        self._events.put_nowait(event)

    async def _stop(self) -> None:
        service.notify(os.environ, "STOPPING=1")
        log.info("supervisor.stop_begun", grace_s=STOP_GRACE_S)
        await asyncio.gather(self._canary.stop(STOP_GRACE_S), self._alarm_service.stop(STOP_GRACE_S))
        await self._stop_lanes(self.lanes)
        if self._valkey is not None:
            await self._valkey.child.stop(STOP_GRACE_S)
        await self.http.stop()
        log.info("supervisor.stop_finished")

    async def _stop_lanes(self, lanes: Sequence[Lane], roles: Sequence[str] = ROLES) -> None:
        """Stop role after role, all lanes at once."""
        for role in roles:
            await asyncio.gather(*(lane.children[role].stop(STOP_GRACE_S) for lane in lanes))

    def _kill_all(self) -> NoReturn:
        log.error("supervisor.stop_forced", reason="second signal")
        for child in self._children():
            child.send(signal.SIGKILL)
        os._exit(1)

    # --- What it holds.

    def _settings(self, config: Config, *, start: bool = True) -> list[LaneSettings]:
        """Of all lanes, in order; without `start`, an engine of ours that has not started is left out."""
        lanes = configuration.lane_settings(
            config, redis_url=_redis_url(config), engine=self._engine(config, start=start)
        )
        return self._canary.admitted(config, lanes)

    def _engine(self, config: Config, *, start: bool) -> Engine:
        """Our SNMP engine of a receiver; it starts once in each run, so that a reload changes nothing about it."""
        name, engine_id = config.receiver.name, config.snmpv3.engine_id
        if (name, engine_id) not in self._engines:
            if not start:
                return Engine()
            self._engines[name, engine_id] = engine.start(config.data_dir / name, engine_id)
        return self._engines[name, engine_id]

    def _sockets(self) -> list[BoundSocket]:
        """The sockets of all lanes, in order: handed down to us, or bound now."""
        lanes = self._settings(self.config)
        listens = [lane.listen for lane in lanes]
        handed = sockets.take_inherited(os.environ, os.getpid())
        self._inherited = bool(handed)
        for name in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"):
            os.environ.pop(name, None)
        found = sockets.match(handed, listens)
        return [
            sockets.adopt(sock, lane.listen, receive_buffer_bytes=lane.receive_buffer_bytes)
            if sock is not None
            else _bind(lane, listens)
            for lane, sock in zip(lanes, found, strict=True)
        ]

    def _started(self, settings: LaneSettings, bound: BoundSocket, landing_fd: int | None) -> Lane:
        landing = new_landing(settings) if landing_fd is None else landing_fd
        lane = Lane(settings, bound, landing, inherit=(self._lock_fd,), run=self._keep_running)
        lane.start()
        return lane

    def _keep_running(self, child: Child) -> None:
        name = child.name if child.lane is None else f"lane-{child.lane}.{child.name}"
        self._tasks.create_task(child.keep_running(), name=name)

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        self._background_tasks.append(self._tasks.create_task(work, name="supervisor.background"))

    async def _follow_alarm_service(self) -> None:
        url = _redis_url(self.config)
        await self._alarm_service.follow(self.config, url, STOP_GRACE_S)
        if not self.config.alarms.enabled:
            self._background(self._alarm_service.give_up_streams(self.config, url))

    def _valkey_for(self, config: Config) -> embedded.EmbeddedValkey | None:
        """The embedded server that a configuration asks for: the one that runs, or one that is ready to start."""
        if config.redis.url != EMBEDDED:
            return None
        if self._valkey is not None:
            return self._valkey
        return embedded.EmbeddedValkey(config.data_dir, inherit=(self._lock_fd,), **_valkey_limits(config))

    def _run_valkey(self) -> None:
        if self._valkey is not None:
            self._tasks.create_task(self._valkey.keep_running(), name="valkey")

    async def _start_http(self) -> bool:
        try:
            await self.http.start(self.config.http.listen)
        except ConfigError:
            if not self._inherited:
                raise
            # Handed-down sockets are worth more than a page of figures: receive, and keep trying.
            return False
        return True

    async def _retry_http(self) -> None:
        while True:
            try:
                await self.http.start(self.config.http.listen)
            except ConfigError as error:
                log.error("supervisor.http_refused", mistakes=error.mistakes, retry_in_s=HTTP_RETRY_S)
                await asyncio.sleep(HTTP_RETRY_S)
            else:
                return

    async def _watchdog(self) -> None:
        interval_s = service.watchdog_interval_s(os.environ, os.getpid())
        while interval_s is not None:
            service.notify(os.environ, "WATCHDOG=1")
            await asyncio.sleep(interval_s)

    def _tell_ready(self) -> None:
        listening = ", ".join(dict.fromkeys(lane.settings.listen for lane in self.lanes))
        service.notify(os.environ, "READY=1", f"STATUS=receiving on {listening}")

    # --- What it knows.

    def snapshot(self) -> Snapshot:
        """The present state of the whole tree; reads the roles' counters from their files."""
        samples = tuple(
            LaneSample(
                settings=lane.settings,
                ledger=ledger.read(Path(lane.settings.directory)),
                granted_bytes=lane.bound.granted_bytes,
            )
            for lane in self.lanes
        )
        return Snapshot(
            unix_ns=time.time_ns(),
            lanes=samples,
            processes=(_sample("supervisor", None, os.getpid(), 0), *(_child_sample(c) for c in self._children())),
            embedded=None if self._valkey is None else self._valkey.state,
            reloads_applied=self._reloads["applied"],
            reloads_refused=self._reloads["refused"],
            canaries=self._canary.samples(),
            alarms=self._alarm_service.report(),
            northbound=self._alarm_service.northbound(),
            probe=self._alarm_service.probe(),
            verdict=self._alarm_service.verdict(),
            failover=self._alarm_service.failover(),
            services_refused=tuple(self._alarm_service.refused),
        )

    def _children(self) -> Iterator[Child]:
        if self._valkey is not None:
            yield self._valkey.child
        for lane in self.lanes:
            yield from lane.children.values()
        if self._canary.child is not None:
            yield self._canary.child
        yield from self._alarm_service.children()

    # --- SIGHUP.

    async def _reload(self) -> None:
        service.notify_reloading(os.environ)
        try:
            await self._apply(configuration.load(self._path))
        except ConfigError as error:
            self._reloads["refused"] += 1
            log.error("supervisor.configuration_refused", mistakes=error.mistakes, in_force="the one before")
        else:
            self._reloads["applied"] += 1
            log.info("supervisor.configuration_applied", lanes=len(self.lanes))
        self._tell_ready()

    async def _apply(self, config: Config) -> None:
        """Make a new configuration the one in force; all that can be refused is refused before anything changes."""
        if config.data_dir != self.config.data_dir:
            raise ConfigError([f"data_dir: cannot change from {self.config.data_dir} while netmon runs; restart it"])
        before = [lane.settings for lane in self.lanes]
        planned = plan(before, self._settings(config, start=False))
        valkey = self._valkey_for(config)
        http = await self._http_for(config)
        try:
            found = self._sockets_for(planned.changes)
        except ConfigError:
            if http is not self.http:
                await http.stop()
            raise
        # A start of our engine is counted on the disk, so only now; the sockets are the same.
        planned = plan(before, self._settings(config))
        self.config = config
        set_up(config.log.level, configuration.log_format(config))
        http, self.http = self.http, http
        if http is not self.http:
            await http.stop()
        valkey, self._valkey = self._valkey, valkey
        await self._switch_valkey(valkey, planned, found)
        await self._canary.follow(config, self.lanes, STOP_GRACE_S)
        await self._follow_alarm_service()

    async def _switch_valkey(
        self, before: embedded.EmbeddedValkey | None, planned: Plan, found: Sequence[BoundSocket]
    ) -> None:
        """Change the lanes between the start of a new embedded server and the stop of one that is not wanted."""
        if self._valkey is not None and self._valkey is before:
            await self._valkey.reconfigure(**_valkey_limits(self.config), grace_s=STOP_GRACE_S)
        elif self._valkey is not None:
            self._run_valkey()
        await self._change_lanes(planned, found)
        if before is not None and self._valkey is None:
            await before.child.stop(STOP_GRACE_S)

    async def _change_lanes(self, planned: Plan, found: Sequence[BoundSocket]) -> None:
        old = self.lanes
        replaced = [change.settings.lane for change in planned.changes if change.action == "replace"]
        stopped = [old[index] for index in (*planned.removed, *replaced)]
        await self._stop_lanes(stopped)
        for lane in stopped:
            lane.close()
        # A lane's landing memory goes with its directory, like its journal.
        landings = {lane.settings.directory: lane.landing_fd for lane in old}
        self.lanes = [
            self._changed(change, sock, landings) for change, sock in zip(planned.changes, found, strict=True)
        ]
        restarting = [change.settings for change in planned.changes if change.action == "restart"]
        await asyncio.gather(*(self.lanes[settings.lane].restart(settings, STOP_GRACE_S) for settings in restarting))
        _close_all([old[index].bound.sock for index in planned.closed])
        for landing_fd in set(landings.values()) - {lane.landing_fd for lane in self.lanes}:
            os.close(landing_fd)

    async def _http_for(self, config: Config) -> HttpServer:
        """The HTTP server that a configuration asks for: the present one, or one that listens already."""
        if config.http.listen == self.config.http.listen:
            return self.http
        moved = HttpServer(self.snapshot)
        await moved.start(config.http.listen)
        return moved

    def _sockets_for(self, changes: Sequence[Change]) -> list[BoundSocket]:
        """Kept sockets with their new receive buffer, and new ones."""
        listens = [change.settings.listen for change in changes]
        for lane in self.lanes:
            if listens.count(lane.settings.listen) > 1:
                sockets.share_port(lane.bound.sock)
        opened: list[BoundSocket] = []
        try:
            for change in (change for change in changes if change.socket_from is None):
                opened.append(_bind(change.settings, listens))  # noqa: PERF401 - what was opened before a failure is closed
        except ConfigError:
            _close_all([bound.sock for bound in opened])
            raise
        fresh = iter(opened)
        return [next(fresh) if c.socket_from is None else self._kept(c.socket_from, c.settings) for c in changes]

    def _kept(self, index: int, settings: LaneSettings) -> BoundSocket:
        bound = self.lanes[index].bound
        if bound.wanted_bytes == settings.receive_buffer_bytes:
            return bound
        granted = sockets.set_receive_buffer(bound.sock, settings.receive_buffer_bytes)
        return BoundSocket(bound.listen, bound.sock, settings.receive_buffer_bytes, granted)

    def _changed(self, change: Change, bound: BoundSocket, landings: dict[str, int]) -> Lane:
        if change.action in {"keep", "restart"}:
            lane = self.lanes[change.settings.lane]
            lane.bound = bound
            return lane
        return self._started(change.settings, bound, landings.get(change.settings.directory))

    # --- SIGUSR2.

    async def _upgrade(self) -> None:
        """Become a new netmon on the same sockets; a netmon or configuration that would not start changes nothing."""
        if not await asyncio.to_thread(upgrade.would_start, self._path):
            log.error("supervisor.upgrade_refused", cure=f"netmon check -c {self._path}")
            return
        log.info("supervisor.upgrade_begun")
        upgrade.note_begun()
        service.notify_reloading(os.environ)
        await asyncio.gather(self._canary.stop(STOP_GRACE_S), self._alarm_service.stop(STOP_GRACE_S))
        # Capture last: while it runs, nothing waits in the kernel only.
        await self._stop_lanes(self.lanes, ("late", "decode", "commit"))
        if self._valkey is not None:
            await self._valkey.child.stop(STOP_GRACE_S)
        await self.http.stop()
        await self._stop_lanes(self.lanes, ("capture",))
        if self._stop_asked_mono is None:
            self._replace_process()

    def _replace_process(self) -> NoReturn:
        for number in (signal.SIGHUP, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)  # survives the exec; their default would kill the newcomer
        kept = [lane.bound.sock.fileno() for lane in self.lanes]
        upgrade.replace_process(kept, {lane.settings.directory: lane.landing_fd for lane in self.lanes})


_SIGNALS: Final[dict[signal.Signals, Event]] = {
    signal.SIGTERM: "stop",
    signal.SIGINT: "stop",
    signal.SIGHUP: "reload",
    signal.SIGUSR2: "upgrade",
}


def _redis_url(config: Config) -> str:
    """The URL that is really used."""
    return embedded.url(config.data_dir) if config.redis.url == EMBEDDED else config.redis.url


def _bind(settings: LaneSettings, listens: Sequence[str]) -> BoundSocket:
    shared = listens.count(settings.listen) > 1
    return sockets.bind(settings.listen, receive_buffer_bytes=settings.receive_buffer_bytes, shared=shared)


class _ValkeyLimits(TypedDict):
    memory_bytes_max: int
    fsync_always: bool


def _valkey_limits(config: Config) -> _ValkeyLimits:
    return {
        "memory_bytes_max": configuration.embedded_memory_bytes_max(config),
        "fsync_always": config.receiver.inform_ack == "buffer",
    }


def _close_all(closing: Sequence[socket.socket]) -> None:
    for sock in closing:
        log.info("supervisor.socket_closed", listen=sockets.name_of(sock))
        sock.close()


def _sample(role: str, lane: int | None, pid: int | None, restarts: int) -> ProcessSample:
    used = service.usage(pid)
    return ProcessSample(
        role=role,
        lane=lane,
        pid=pid,
        restarts=restarts,
        resident_bytes=used.resident_bytes,
        cpu_seconds=used.cpu_seconds,
    )


def _child_sample(child: Child) -> ProcessSample:
    return _sample(child.name, child.lane, child.pid, child.restarts)


def _warn_of_orphans(config: Config, lanes: Sequence[LaneSettings]) -> None:
    """A lane that is configured no more may have left datagrams in its journal that Redis never got."""
    known = {lane.directory for lane in lanes}
    for directory in sorted(config.data_dir.glob("*/lane-*")):
        in_flight = 0 if str(directory) in known else ledger.read(directory).in_flight
        if in_flight:
            cure = "configure that receiver and lane again until it has drained"
            log.error("supervisor.journal_orphaned", directory=str(directory), in_flight=in_flight, cure=cure)
