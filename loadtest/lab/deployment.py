"""netmon for a region of the lab: its region file and configuration as an operator would write them, keys, broker, agents and reflectors.

What the gateways and the centre are told is made by netmon itself from these files, so that nothing in a lab is easier than in earnest.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import redis

from loadtest.lab.flows import Flow
from loadtest.lab.gateways import CENTRE, Region
from loadtest.lab.namespaces import Namespace
from loadtest.lab.prober import REFLECTOR, VANTAGE, VERDICT, Role
from netmon.buffer import embedded
from netmon.config import load
from netmon.config.failover import controller_settings
from netmon.config.probe import vantage_settings, verdict_settings
from netmon.failover.agent.store import PLAN_FILE
from netmon.failover.plan.compute import Plans, plan_of
from netmon.failover.plan.model import Plan
from netmon.failover.plan.sign import generate, private_key, sign
from netmon.failover.settings import AgentSettings, ControllerSettings, MqttSettings
from netmon.model import RedisSettings

STAMP_PORT: Final = 862
BROKER_PORT: Final = 1_883
AGENT: Final = ("-m", "netmon.failover.agent")
CONTROLLER: Final = ("-m", "netmon.failover.controller")
MBPS: Final = 1_000_000
_LISTENING: Final = "0A"
"""TCP_LISTEN, as /proc/net/tcp has it."""
_PRIORITIES: Final = "P0", "P1", "P2", "P3"


class Drawn(msgspec.Struct, frozen=True, kw_only=True):
    """A line as the region has it."""

    carrier: str
    medium: str = "fibre"
    capacity_bps: int = 1_000 * MBPS
    duct: str = ""
    """Empty: none that others share."""
    profile: str = ""
    """Empty: its medium's."""
    is_standby: bool = False
    cost_tier: int = 1
    shares: str = ""
    """Line of another gateway that this is a way onto, too, such as the cell that two modems are in; empty: none."""


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """A class of traffic, and the flow that stands for it."""

    priority: int
    bandwidth_bps: int
    mark: int = 0
    """0: its packets are told by their destination."""
    to: tuple[str, int]
    interval_s: float
    moves_on_sd: bool = False
    """Also leaves a line that is degraded."""


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """Who has which lines, where, and what they carry."""

    gateways: dict[str, dict[str, Drawn]]
    """Gateway to its lines, the preferred one first."""
    areas: dict[str, str]
    """Gateway to its area."""
    classes: dict[str, Carried]
    carries: dict[str, tuple[str, ...]] = {}
    """Gateway to its classes; one that is missing carries all."""
    sites: dict[str, str] = {}
    """More sites than the gateways', each with its area."""
    devices: dict[str, Any] = {}
    """More that sends notifications, as region.yml has devices."""
    profiles: dict[str, Any] = {}
    """As region.yml has them."""

    def lines(self) -> dict[str, Drawn]:
        """All of them."""
        return {name: line for lines in self.gateways.values() for name, line in lines.items()}

    def line_id(self, name: str) -> str:
        """What the region calls a line of the lab."""
        return self.lines()[name].shares or name

    def lines_of(self, gateway: str) -> list[str]:
        """Its lines, as the region calls them."""
        return [self.line_id(name) for name in self.gateways[gateway]]

    def classes_of(self, gateway: str) -> tuple[str, ...]:
        """What it carries."""
        return self.carries.get(gateway, tuple(self.classes))

    def groups(self) -> list[str]:
        """All of them."""
        return [f"{gateway}/{name}" for gateway in self.gateways for name in self.classes_of(gateway)]

    def flows(self, gateway: str) -> list[Flow]:
        """What a gateway sends; a flow's number tells gateway and class."""
        first = list(self.gateways).index(gateway) * len(self.classes)
        return [
            Flow(number=first + place, to=carried.to, interval_s=carried.interval_s, mark=carried.mark)
            for place, (name, carried) in enumerate(self.classes.items())
            if name in self.classes_of(gateway)
        ]

    def group_of(self, number: int) -> str:
        """The group whose flow has a number."""
        gateway, carried = divmod(number, len(self.classes))
        return f"{list(self.gateways)[gateway]}/{list(self.classes)[carried]}"


def region_of(scene: Scene) -> Region:
    """The lab's region for a scene."""
    return Region(
        {gateway: {name: line.carrier for name, line in lines.items()} for gateway, lines in scene.gateways.items()}
    )


def is_open(space: Namespace, port: int) -> bool:
    """Whether somebody listens on a TCP port there."""
    lines = Path(f"/proc/{space.pid}/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == _LISTENING for line in lines)


class Deployment:
    """Files and processes of netmon in a region. As a context manager the processes that it started end."""

    def __init__(self, scene: Scene, region: Region, folder: Path, *, is_blind: bool = False, **failover: Any) -> None:
        """Writes the files; starts nothing.

        Args:
            scene: What there is.
            region: As the lab has built it.
            folder: For all files.
            is_blind: Gateways ask over their lines no further than the carrier's router, so that they see none of the lab's cuts.
            **failover: Keys of the section `failover`.
        """
        self.scene = scene
        self.region = region
        self.folder = folder
        self.config = folder / "netmon.yml"
        self.agents: dict[str, Role] = {}
        self._stack = contextlib.ExitStack()
        self._private, self.verify_key = generate()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "signing.key").write_text(f"{self._private}\n")
        (folder / "signing.key").chmod(0o600)
        self._is_blind = is_blind
        _write(folder / "region.yml", _region(scene, region, is_blind=is_blind))
        _write(self.config, _configuration(folder, failover))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, _)

    @property
    def redis(self) -> RedisSettings:
        """A socket, which is the same in every namespace; whoever starts netmon as a whole has one of its own."""
        return RedisSettings(url=f"unix://{self.folder}/valkey.sock")

    @property
    def settings(self) -> ControllerSettings:
        """What the controller is told."""
        settings = controller_settings(load(self.config), redis_url=self.redis.url)
        assert settings is not None
        return settings

    @property
    def plans(self) -> dict[str, Plan]:
        """What each gateway is told while all is well."""
        settings = self.settings
        plans = Plans(settings.lines, settings.groups)
        plans.advance()
        return {
            gateway.gateway_id: plan_of(gateway, plans.rankings(gateway.gateway_id), None, fence=1, now_unix_ns=1)
            for gateway in settings.gateways
        }

    def run(self, role: Role) -> Role:
        """A process more, which ends with this."""
        return self._stack.enter_context(role)

    def reflect(self, *, without: Collection[str] = ()) -> None:
        """Reflectors at both ends of each line, at the carrier's router, and at each gateway's end of the management network.

        Args:
            without: Addresses of gateways where somebody else answers.
        """
        self._reflect(CENTRE, [line.target for line in self.region.lines.values()])
        for carrier in {line.carrier for line in self.region.lines.values()} if self._is_blind else ():
            routers = [line.next_hop for line in self.region.lines.values() if line.carrier == carrier]
            self._reflect(carrier, routers)
        for gateway in self.region.gateways:
            near = [line.source for line in self.region.of(gateway) if line.source not in without]
            self._reflect(gateway, [*near, self.region.managed(gateway)])

    def _reflect(self, name: str, addresses: Sequence[str]) -> None:
        words = [word for address in addresses for word in ("--listen", f"{address}:{STAMP_PORT}")]
        self.run(Role(self.region[name], self.folder / f"reflector-{name}", [*REFLECTOR, *words]))

    def serve_broker(self) -> subprocess.Popen[bytes]:
        """Mosquitto at the centre, for everybody in the management networks."""
        file = self.folder / "mosquitto.conf"
        file.write_text(
            f"user root\nlistener {BROKER_PORT}\nallow_anonymous true\npersistence false\nset_tcp_nodelay true\n"
        )
        with (self.folder / "mosquitto.log").open("ab") as output:
            return self.region[CENTRE].start(["mosquitto", "-c", str(file)], stdout=output, stderr=output)

    def serve_redis(self) -> subprocess.Popen[bytes]:
        """Valkey, for the processes of the centre one by one."""
        options = {"port": "0", "unixsocket": self.redis.url.removeprefix("unix://"), "dir": str(self.folder)}
        options |= {"save": "", "appendonly": "yes"}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        return self.region[CENTRE].start([str(embedded.find_binary()), *words], stdout=subprocess.DEVNULL)

    def is_redis_up(self) -> bool:
        """Whether it answers."""
        with contextlib.closing(redis.Redis.from_url(self.redis.url)) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

    def start_centre(self) -> None:
        """Those processes of netmon at the centre without which nothing moves: a vantage, the verdict, the controller. Redis is there."""
        config, url = load(self.config), self.redis.url
        vantage, verdict = vantage_settings(config, redis_url=url), verdict_settings(config, redis_url=url)
        for words, settings in ((VANTAGE, vantage), (VERDICT, verdict), (CONTROLLER, self.settings)):
            assert settings is not None
            self.run(Role(self.region[CENTRE], self.folder / words[1].rpartition(".")[2], words, settings))

    def run_netmon(self) -> Role:
        """All of the centre, as `netmon run` starts it."""
        words = ["-m", "netmon", "run", "-c", str(self.config)]
        return self.run(Role(self.region[CENTRE], self.folder / CENTRE, words))

    def run_agent(self, gateway: str) -> Role:
        """An agent, as `netmon agent` starts it."""
        folder = self.folder / gateway
        folder.mkdir()
        (folder / "centre.pub").write_text(f"{self.verify_key}\n")
        _write(
            folder / "agent.yml",
            {
                "gateway": gateway,
                "data_dir": str(folder / "data"),
                "verify_key_file": "centre.pub",
                "mqtt": {"url": f"mqtt://{self.region.centre_of(gateway)}:{BROKER_PORT}"},
                "log": {"format": "json"},
            },
        )
        words = ["-m", "netmon", "agent", "-c", str(folder / "agent.yml")]
        self.agents[gateway] = self.run(Role(self.region[gateway], folder, words))
        return self.agents[gateway]

    def start_agent(self, gateway: str, *, is_alone: bool = False) -> Role:
        """The agent of a gateway; `is_alone`: it has its plan, and no broker."""
        folder = self.folder / gateway
        mqtt = None if is_alone else MqttSettings(url=f"mqtt://{self.region.centre_of(gateway)}:{BROKER_PORT}")
        settings = AgentSettings(
            gateway_id=gateway, directory=str(folder / "data"), mqtt=mqtt, verify_key=self.verify_key
        )
        if is_alone:
            (folder / "data").mkdir(parents=True)
            (folder / "data" / PLAN_FILE).write_bytes(sign(self.plans[gateway], private_key(self._private)))
        self.agents[gateway] = self.run(Role(self.region[gateway], folder, AGENT, settings))
        return self.agents[gateway]


def _write(file: Path, document: Mapping[str, Any]) -> None:
    """JSON is YAML, too."""
    file.write_text(json.dumps(document, ensure_ascii=False, indent=1))


def _configuration(folder: Path, failover: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "data_dir": str(folder / "data"),
        "region": {"file": str(folder / "region.yml")},
        "receiver": {"trusted_relays": ["127.0.0.0/8"]},
        "failover": {
            "mode": "act",
            "mqtt": {"url": f"mqtt://127.0.0.1:{BROKER_PORT}"},
            "signing_key_file": str(folder / "signing.key"),
            **failover,
        },
        "log": {"format": "json"},
    }


def _region(scene: Scene, region: Region, *, is_blind: bool) -> dict[str, Any]:
    gateways = list(scene.gateways)
    areas = dict.fromkeys(scene.areas.values())
    drawn = scene.lines()
    return {
        "name": "lab",
        "areas": {area: {"name": area, "code": _code(number)} for number, area in enumerate(areas)},
        "carriers": {name: {"name": name} for name in sorted({line.carrier for line in drawn.values()})},
        "risk_groups": {
            name: {"name": name, "kind": "duct"} for name in sorted({line.duct for line in drawn.values()} - {""})
        },
        "sites": {
            name: {"name": name, "area": area, "latitude": 38.3 + place / 50, "longitude": 141.0}
            for place, (name, area) in enumerate({**scene.areas, **scene.sites}.items())
        },
        "lines": {
            name: _line(scene, region, name, is_blind=is_blind) for name, line in drawn.items() if not line.shares
        },
        "profiles": scene.profiles,
        "devices": scene.devices,
        "vantages": {
            CENTRE: {
                "name": CENTRE,
                "site": gateways[0],
                "anchors": [
                    {"stamp": f"{region.managed(gateway)}:{STAMP_PORT}", "interface": f"m{place}"}
                    for place, gateway in enumerate(gateways)
                ],
            }
        },
        "traffic_classes": {name: _class(name, carried) for name, carried in scene.classes.items()},
        "gateways": {gateway: _gateway(scene, region, gateway) for gateway in gateways},
    }


def _line(scene: Scene, region: Region, name: str, *, is_blind: bool) -> dict[str, Any]:
    """Asked from both ends, each by its own interface, and so is every other way onto it."""
    drawn = scene.lines()[name]
    ways = [region.lines[way] for way in scene.lines() if scene.line_id(way) == name]
    asked = [
        probe
        for way in ways
        for probe in (
            {
                "stamp": f"{way.next_hop if is_blind else way.target}:{STAMP_PORT}",
                "interface": way.interface,
                "from": [way.gateway],
            },
            {"stamp": f"{way.source}:{STAMP_PORT}", "interface": way.far_interface, "from": [CENTRE]},
        )
    ]
    optional = {"profile": drawn.profile} if drawn.profile else {}
    return {
        "name": name,
        "medium": drawn.medium,
        "carrier": drawn.carrier,
        "ends": [way.gateway for way in ways],
        "capacity_bps": drawn.capacity_bps,
        "cost_tier": drawn.cost_tier,
        "standby": drawn.is_standby,
        "risk_groups": [drawn.duct] if drawn.duct else [],
        "probes": asked,
        **optional,
    }


def _class(name: str, carried: Carried) -> dict[str, Any]:
    told = {"mark": carried.mark} if carried.mark else {"prefixes": [f"{carried.to[0]}/32"]}
    return {
        "name": name,
        "priority": _PRIORITIES[carried.priority],
        "bandwidth_bps": carried.bandwidth_bps,
        "moves_on_sd": carried.moves_on_sd,
        **told,
    }


def _gateway(scene: Scene, region: Region, gateway: str) -> dict[str, Any]:
    return {
        "name": gateway,
        "site": gateway,
        "lines": scene.lines_of(gateway),
        "classes": list(scene.classes_of(gateway)),
        "actuator": "agent",
        "ports": {
            scene.line_id(line.line_id): {
                "interface": line.interface,
                "next_hop": line.next_hop,
                "next_hop6": line.next_hop6,
            }
            for line in region.of(gateway)
        },
    }


def _code(number: int) -> str:
    """全国地方公共団体コード of a made-up municipality, with its check digit."""
    digits = f"{4_201 + number:05d}"
    rest = sum(int(digit) * weight for digit, weight in zip(digits, (6, 5, 4, 3, 2), strict=True)) % 11
    return f"{digits}{(11 - rest) % 10}"
