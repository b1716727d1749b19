"""Early warning: what will run out, and when, and which errors become more. Pure.

Known from notifications: how long a UPS says that its batteries last, and how their charge falls (UPS-MIB, RFC 1628); error
counters of interfaces (IF-MIB, RFC 2863), where notifications carry them. Measured on our side: the disk under the journal, and
the memory of Redis. A forecast that is near becomes an alarm of severity warning, and is cleared when it has not been made for
a while: a forecast is no evidence for anything that has happened.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple, TypeVar

import msgspec

from netmon.alarms.model import Alarm, EventType, Evidence, Key, Observation, Place, Text
from netmon.alarms.posture.trend import Trend
from netmon.inventory.topology import Topology
from netmon.model import TrapEvent, Varbind

_K = TypeVar("_K")
_V = TypeVar("_V")
What = Literal["ups_battery", "journal_disk", "redis_memory", "errors"]

SERIES_MAX: Final = 2_000
"""UPSs, and counters of interfaces, that are followed; beyond it the one not heard of for the longest is forgotten."""
BATTERY_FRESH_S: Final = 300.0
"""A UPS on battery says so each minute (RFC 1628, upsTrapOnBattery); after some that are missing, nothing is known."""
CHARGE_WINDOW_S: Final = 1_800.0
DISK_WINDOW_S: Final = 1_800.0
MEMORY_WINDOW_S: Final = 600.0
ERRORS_WINDOW_S: Final = 7_200.0
NEAR_S: Final[Mapping[What, float]] = {"ups_battery": 7_200.0, "journal_disk": 86_400.0, "redis_memory": 3_600.0}
"""From how near on it is an alarm."""
DISK_FREE_RATIO: Final = 0.25
"""With more of the disk free, its trend says nothing: a new journal grows until it has its size."""
MEMORY_USED_RATIO: Final = 0.8
"""With less of the memory used, its trend says nothing: streams grow until they have their size."""
ERRORS_RATE_MIN: Final = 0.1
"""Errors a second that are worth a word."""
ENDED_S: Final = 60.0
"""A forecast that has not been made for so long has ended."""
RESTART_S: Final = 900.0
"""After a start, until what stood before has ended: the series have to grow first."""
NETMON_DISK: Final = "netmon/disk"
NETMON_REDIS: Final = "netmon/redis"

_UPS: Final = "1.3.6.1.2.1.33."
_SECONDS_ON_BATTERY: Final = f"{_UPS}1.2.2.0"
_MINUTES_REMAINING: Final = f"{_UPS}1.2.3.0"
_CHARGE_REMAINING: Final = f"{_UPS}1.2.4.0"
_ON_BATTERY_TRAP: Final = f"{_UPS}2.1"
_ENTRY_REMOVED_TRAP: Final = f"{_UPS}2.4"
_ON_BATTERY_ALARM: Final = f"{_UPS}1.6.3.2"
_COUNTERS: Final = {
    "1.3.6.1.2.1.2.2.1.13": "ifInDiscards",
    "1.3.6.1.2.1.2.2.1.14": "ifInErrors",
    "1.3.6.1.2.1.2.2.1.19": "ifOutDiscards",
    "1.3.6.1.2.1.2.2.1.20": "ifOutErrors",
}
_WATCHED_COUNTERS: Final = tuple(f"{oid}." for oid in _COUNTERS)
_WATCHED: Final = (f"{_UPS}1.2.", *_WATCHED_COUNTERS)
_COUNTER32: Final = 1 << 32
_IF_INDEX_MAX: Final = (1 << 31) - 1

_TYPES: Final[Mapping[What, tuple[str, EventType, str]]] = {
    "ups_battery": ("battery-running-out", "environmentalAlarm", "low_battery_threshold"),
    "journal_disk": ("journal-disk-filling", "processingErrorAlarm", "storage_capacity_problem"),
    "redis_memory": ("redis-memory-filling", "processingErrorAlarm", "storage_capacity_problem"),
    "errors": ("errors-rising", "qualityOfServiceAlarm", "degraded_signal"),
}
_WHATS: Final = {alarm_type: what for what, (alarm_type, _, _) in _TYPES.items()}
_SAID: Final[Mapping[What, Text]] = {
    "ups_battery": Text("The batteries are expected to be empty", "バッテリーが切れる見込み"),
    "journal_disk": Text("The disk of the journal is expected to be full", "ジャーナルのディスクが満杯になる見込み"),
    "redis_memory": Text("The memory of Redis is expected to be used up", "Redisのメモリが枯渇する見込み"),
    "errors": Text("Errors are becoming more", "エラーが増加中"),
}
_ACTIONS: Final[Mapping[What, Text]] = {
    "ups_battery": Text("Restore mains power, or bring a generator.", "電源を復旧するか、発電機を手配してください。"),
    "journal_disk": Text("Make room on the disk of data_dir.", "data_dirのディスクを空けてください。"),
    "redis_memory": Text(
        "Give Redis more memory, or see what fills it.", "Redisのメモリを増やすか、使用状況を確認してください。"
    ),
    "errors": Text(
        "Look at the cable, the optics and the far end.", "ケーブル、光モジュール、対向装置を確認してください。"
    ),
}
_SPANS: Final = (
    (600.0, "within 10 minutes", "10分以内"),
    (1_800.0, "within 30 minutes", "30分以内"),
    (3_600.0, "within an hour", "1時間以内"),
    (10_800.0, "within 3 hours", "3時間以内"),
    (43_200.0, "within 12 hours", "12時間以内"),
    (float("inf"), "within a day", "1日以内"),
)
"""Coarse on purpose: a text that changes each second would be a change of the alarm each second."""


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What will happen if it goes on like this."""

    what: What
    resource: str
    """As of an alarm: `device/<id>`, `device/<id>/interface/<ifIndex>`, `netmon/disk`, `netmon/redis`."""
    qualifier: str = ""
    """For `errors`: the counter."""
    seconds_left: float | None = None
    """Until it has run out; None for `errors`, which run out of nothing."""
    basis: Text
    """What makes us think so."""


class _Ups:
    __slots__ = ("at_s", "charge", "minutes")

    def __init__(self) -> None:
        self.at_s, self.minutes = 0.0, None
        self.charge = Trend(CHARGE_WINDOW_S)

    at_s: float
    minutes: float | None


class _Counter:
    __slots__ = ("at_s", "rates", "value")

    def __init__(self, at_s: float, value: int) -> None:
        self.at_s, self.value = at_s, value
        self.rates = Trend(ERRORS_WINDOW_S)


class _Standing(NamedTuple):
    forecast: Forecast | None
    """None: from before the start."""
    until_s: float
    """It has ended if it is not made again by then."""


class Forecaster:
    """All forecasts of a region. Times are nanoseconds since 1970 UTC."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._upses: dict[str, _Ups] = {}
        self._counters: dict[tuple[str, str], _Counter] = {}
        self._disk, self._memory = Trend(DISK_WINDOW_S), Trend(MEMORY_WINDOW_S)
        self._disk_low = self._memory_high = False
        self._memory_max = 0.0
        self._standing: dict[Key, _Standing] = {}

    def load(self, alarms: Iterable[Alarm], now_unix_ns: int) -> None:
        """Alarms as they stood before: those that came from a forecast end by themselves."""
        for alarm in alarms:
            if alarm.alarm_type in _WHATS and not alarm.is_cleared:
                self._standing[alarm.key] = _Standing(None, now_unix_ns / 1e9 + RESTART_S)

    # --- What is known. ---

    def hear(self, event: TrapEvent) -> None:
        """Take what a notification says of batteries and errors; most say nothing."""
        for varbind in event.varbinds:
            if varbind.oid.startswith(_WATCHED):
                break
        else:
            if not event.trap_oid.startswith(_UPS):
                return
        device = self._topology.device_of(event.source, event.engine_id)
        resource = f"source/{event.source}" if device is None else f"device/{device.id}"
        at_s = min(event.event_unix_ns, event.received_unix_ns) / 1e9
        self._hear_ups(resource, event, at_s)
        for varbind in event.varbinds:
            if varbind.oid.startswith(_WATCHED_COUNTERS) and isinstance(varbind.value, int):
                self._hear_counter(resource, varbind, varbind.value, at_s)

    def disk(self, free_bytes: int, total_bytes: int, now_unix_ns: int) -> None:
        """What is free on the disk under the journal."""
        self._disk.add(now_unix_ns / 1e9, free_bytes)
        self._disk_low = free_bytes < DISK_FREE_RATIO * total_bytes

    def memory(self, used_bytes: int, max_bytes: int, now_unix_ns: int) -> None:
        """What Redis uses of what it may; 0: there is no limit, and nothing to run out."""
        if max_bytes != self._memory_max:
            self._memory, self._memory_max = Trend(MEMORY_WINDOW_S), max_bytes
        self._memory.add(now_unix_ns / 1e9, used_bytes)
        self._memory_high = 0 < MEMORY_USED_RATIO * max_bytes < used_bytes

    def _hear_ups(self, resource: str, event: TrapEvent, at_s: float) -> None:
        said = {varbind.oid: varbind.value for varbind in event.varbinds}
        seconds = said.get(_SECONDS_ON_BATTERY)
        is_over = event.trap_oid == _ENTRY_REMOVED_TRAP and _ON_BATTERY_ALARM in said.values()
        ups = self._upses.get(resource)
        if ups is not None and at_s < ups.at_s:
            return
        if is_over or seconds == 0:
            self._upses.pop(resource, None)
            return
        is_on_battery = event.trap_oid == _ON_BATTERY_TRAP or (isinstance(seconds, int) and seconds > 0)
        if ups is None and not is_on_battery:
            return
        ups = ups or _Ups()
        _keep(self._upses, resource, ups)
        minutes, charge = said.get(_MINUTES_REMAINING), said.get(_CHARGE_REMAINING)
        if isinstance(minutes, int) and minutes >= 0:
            ups.at_s, ups.minutes = at_s, minutes
        if isinstance(charge, int) and 0 <= charge <= 100:
            ups.at_s = at_s
            ups.charge.add(at_s, charge)

    def _hear_counter(self, resource: str, varbind: Varbind, value: int, at_s: float) -> None:
        oid, _, index = varbind.oid.rpartition(".")
        if not index.isascii() or not index.isdigit() or len(index) > len(str(_IF_INDEX_MAX)):
            return
        name = (f"{resource}/interface/{index}", _COUNTERS.get(oid, ""))
        known = self._counters.get(name)
        if not name[1] or (known is not None and at_s <= known.at_s):
            return
        grown = 0 if known is None else value - known.value
        if known is not None and grown < 0 and known.value > _COUNTER32 // 2:
            grown += _COUNTER32
        if known is None or grown < 0:
            # A device that has started again counts from 0.
            known = _Counter(at_s, value)
        else:
            known.rates.add(at_s, grown / (at_s - known.at_s))
            known.at_s, known.value = at_s, value
        _keep(self._counters, name, known)

    # --- What comes of it. ---

    def forecasts(self, now_unix_ns: int) -> list[Forecast]:
        """Everything that is clear, also what is far away, in the order of urgency."""
        now_s = now_unix_ns / 1e9
        found = [*self._of_batteries(now_s), *self._of_disk(), *self._of_memory(), *self._of_errors(now_s)]
        return sorted(found, key=lambda one: (one.seconds_left is None, one.seconds_left or 0.0, one.resource))

    def step(self, now_unix_ns: int) -> list[Observation]:
        """What alarms come and go with the forecasts; call it every few seconds."""
        now_s = now_unix_ns / 1e9
        observations = []
        for forecast in self.forecasts(now_unix_ns):
            if forecast.seconds_left is not None and forecast.seconds_left > NEAR_S[forecast.what]:
                continue
            key = Key(forecast.resource, _TYPES[forecast.what][0], forecast.qualifier)
            known = self._standing.get(key)
            if known is None or known.forecast is None or _text(known.forecast) != _text(forecast):
                observations.append(self._observation(key, forecast.what, _text(forecast), now_unix_ns))
            self._standing[key] = _Standing(forecast, now_s + ENDED_S)
        for key in [key for key, standing in self._standing.items() if standing.until_s < now_s]:
            del self._standing[key]
            what = _WHATS[key.alarm_type]
            observations.append(self._observation(key, what, _SAID[what], now_unix_ns, cleared=True))
        return observations

    def _of_batteries(self, now_s: float) -> Iterable[Forecast]:
        for resource, ups in list(self._upses.items()):
            if not 0 <= now_s - ups.at_s <= BATTERY_FRESH_S:
                continue
            ends = []
            if ups.minutes is not None:
                said = Text(f"the UPS says {ups.minutes:.0f} minutes", f"UPSの報告では残り{ups.minutes:.0f}分")
                ends.append((60 * ups.minutes, said))
            if (seconds := ups.charge.seconds_until(0.0)) is not None and ups.charge.last is not None:
                percent = ups.charge.last[1]
                ends.append(
                    (seconds, Text(f"the charge falls, {percent:.0f} % now", f"充電率が低下中、現在{percent:.0f}%"))
                )
            if ends:
                seconds, basis = min(ends, key=lambda end: end[0])
                left_s = max(0.0, seconds - (now_s - ups.at_s))
                yield Forecast(what="ups_battery", resource=resource, seconds_left=left_s, basis=basis)

    def _of_disk(self) -> Iterable[Forecast]:
        seconds = self._disk.seconds_until(0.0) if self._disk_low else None
        if seconds is not None and self._disk.last is not None:
            free = self._disk.last[1] / 2**30
            basis = Text(f"{free:.1f} GiB are free and become less", f"空き{free:.1f} GiB、減少中")
            yield Forecast(what="journal_disk", resource=NETMON_DISK, seconds_left=seconds, basis=basis)

    def _of_memory(self) -> Iterable[Forecast]:
        seconds = self._memory.seconds_until(self._memory_max) if self._memory_high else None
        if seconds is not None and self._memory.last is not None:
            percent = 100 * self._memory.last[1] / self._memory_max
            basis = Text(f"{percent:.0f} % are used and become more", f"使用率{percent:.0f}%、増加中")
            yield Forecast(what="redis_memory", resource=NETMON_REDIS, seconds_left=seconds, basis=basis)

    def _of_errors(self, now_s: float) -> Iterable[Forecast]:
        for (resource, counter), known in self._counters.items():
            slope, last = known.rates.slope(), known.rates.last
            if slope is None or last is None or slope <= 0 or last[1] < ERRORS_RATE_MIN:
                continue
            if now_s - last[0] <= ERRORS_WINDOW_S / 2:
                basis = Text(f"{counter}: {last[1]:.1f} a second and rising", f"{counter}: 毎秒{last[1]:.1f}件、増加中")
                yield Forecast(what="errors", resource=resource, qualifier=counter, basis=basis)

    def _observation(self, key: Key, what: What, text: Text, now_unix_ns: int, *, cleared: bool = False) -> Observation:
        _, event_type, probable_cause = _TYPES[what]
        kind, _, rest = key.resource.partition("/")
        return Observation(
            key=key,
            cleared=cleared,
            severity="warning",
            event_type=event_type,
            probable_cause=probable_cause,
            text=text,
            action=_ACTIONS[what],
            place=self._topology.place(rest.partition("/")[0]) if kind == "device" else Place(),
            event_unix_ns=now_unix_ns,
            trust="v3_auth_priv" if kind == "netmon" else "other",
            evidence=Evidence("", f"forecast {what}"),
        )


def _text(forecast: Forecast) -> Text:
    said = _SAID[forecast.what]
    if forecast.seconds_left is None:
        return said
    _, en, ja = next(span for span in _SPANS if forecast.seconds_left <= span[0])
    return Text(f"{said.en} {en}", f"{said.ja}（{ja}）")


def _keep(series: dict[_K, _V], name: _K, one: _V) -> None:
    """As the newest; beyond the limit, the oldest is forgotten."""
    series.pop(name, None)
    series[name] = one
    if len(series) > SERIES_MAX:
        del series[next(iter(series))]
