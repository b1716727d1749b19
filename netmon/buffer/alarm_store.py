"""The alarms in Redis: the keys, and what everybody but the worker does with them.

    view = AlarmView(settings)
    after = view.last_id()                     # first where the stream is, then the list: no change falls in between
    alarms = {alarm.id: alarm for alarm in view.alarms()}
    while True:
        for told in view.changes(after, block_ms=1_000):
            after = told.entry_id
            ...

Only the alarm worker writes alarms (`netmon.buffer.alarm_writer`); others read, and put commands. All keys are in one slot of a
Redis Cluster: the braces of `{netmon:alarms}` hold the text that is the whole key of the stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from netmon.alarms.model import Alarm, Change, Command, CommandResult
from netmon.alarms.posture.model import AreaPosture, Bulletin, Declaration, PostureChange
from netmon.alarms.rules.unmatched import UnmatchedReport
from netmon.buffer.view import READ_MAX, View

STREAM: Final = "netmon:alarms"
"""Stream of all changes."""
STATE: Final = "{netmon:alarms}:state"
"""Hash: alarm ID to JSON of the Alarm."""
META: Final = "{netmon:alarms}:meta"
"""Hash: whose turn it is, how far each stream has been read, postures, flood, bulletins."""
LEASE: Final = "{netmon:alarms}:lease"
"""String: the worker that works, for as long as it says so."""
COMMANDS: Final = "{netmon:alarms}:commands"
"""Stream of what operators and feeds want."""
COMMAND_ENTRIES_MAX: Final = 10_000
RESULT_S: Final = 600
"""How long the result of a command can be asked for, and how long the same command is recognised."""

_alarm = msgspec.json.Decoder(Alarm).decode
_change = msgspec.json.Decoder(Change).decode
_posture_change = msgspec.json.Decoder(PostureChange).decode
_area_posture = msgspec.json.Decoder(AreaPosture).decode
_bulletin = msgspec.json.Decoder(Bulletin).decode
_result = msgspec.json.Decoder(CommandResult).decode
_unmatched = msgspec.json.Decoder(UnmatchedReport).decode


def result_key(command_id: str) -> str:
    """Key of the result of a command."""
    return f"{{netmon:alarms}}:result:{command_id}"


class DeclarationOf(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in the field `declaration` of the commands stream."""

    area: str
    """Area ID."""
    declaration: Declaration | None
    """None: withdrawn."""
    id: str = ""
    """Of the result, as that of a command; empty: nobody waits for one."""


class Reset(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in the field `reset` of `netmon:alarms`: Redis had forgotten the alarms, and they are made anew."""

    unix_ns: int
    fence: int
    """Number of the worker that begins."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of `netmon:alarms`; all None for a kind that this netmon does not know."""

    entry_id: str
    change: Change | None = None
    posture: PostureChange | None = None
    flood: msgspec.Raw | None = None
    """JSON of a FloodState."""
    reset: Reset | None = None
    """What you know of alarms is void: read the list again."""


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """What stands beside the alarms."""

    fence: int = 0
    """How often the worker has changed; 0: there has been none yet."""
    positions: dict[str, str] = {}
    """`<owner>:<stream key>` to the ID of the last entry whose effects stand."""
    postures: dict[str, AreaPosture] = {}
    """Area ID to where it stands."""
    bulletins: dict[str, Bulletin] = {}
    """ID to telegram, while it counts."""
    flood: msgspec.Raw | None = None
    """JSON of the last FloodState."""
    unmatched: UnmatchedReport = UnmatchedReport()
    """Which notifications no rule knows."""


class AlarmView(View):
    """The alarms as the API, the command line and sinks see them; see `View` for how it fails."""

    stream = STREAM

    # -- the list

    def alarms(self) -> Iterator[Alarm]:
        """All alarms in the list, in no order, as each is when its page is read; one may come twice, the later one counts."""
        return (_alarm(body) for page in self._pages(STATE) for body in page.values())

    def bodies(self) -> Iterator[list[bytes]]:
        """The same as `alarms`, page by page, as JSON: for who does not need all of each."""
        return (list(page.values()) for page in self._pages(STATE))

    def alarm(self, alarm_id: str) -> Alarm | None:
        """One alarm; None when it is not in the list."""
        body = self._ask(lambda client: client.hget(STATE, alarm_id))
        return None if body is None else _alarm(body)

    def find(self, prefix: str, count: int) -> list[str]:
        """IDs in the list that begin with letters and digits, sorted; no more than `count`."""
        found: set[str] = set()
        for page in self._pages(STATE, f"{prefix}*"):
            found.update(name.decode() for name in page)
            if len(found) > count:
                break
        return sorted(found)[:count]

    def meta(self) -> Meta:
        """What stands beside the alarms."""
        fields = self._ask(lambda client: client.hgetall(META))
        return meta_of({name.decode(): body for name, body in fields.items()})

    # -- the stream

    def changes(self, after: str, *, block_ms: int | None = None, count: int = READ_MAX) -> list[Told]:
        """What came after an entry, oldest first; arguments as those of `entries`."""
        return [told_of(*entry) for entry in self.entries(after, block_ms=block_ms, count=count)]

    def has_worker(self) -> bool:
        """Whether a worker leads: without one, commands wait."""
        return bool(self._ask(lambda client: client.exists(LEASE)))

    # -- wishes

    def put(self, command: Command) -> None:
        """Asks the worker to do something to an alarm. The same ID again, within ten minutes, does nothing."""
        self._put("command", command)

    def declare(self, area: str, declaration: Declaration | None, command_id: str = "") -> None:
        """Declares the posture of an area, or withdraws (None) what was declared; with an ID, `result` tells what became of it."""
        self._put("declaration", DeclarationOf(area=area, declaration=declaration, id=command_id))

    def ask_declare(
        self, area: str, declaration: Declaration | None, command_id: str, timeout_s: float
    ) -> CommandResult | None:
        """The same, and waits; None when no worker has done it in time: it may be done later."""
        self.declare(area, declaration, command_id)
        return self._until(lambda: self.result(command_id), timeout_s)

    def put_bulletin(self, bulletin: Bulletin) -> None:
        """Hands a telegram to the worker. The same one twice counts once."""
        self._put("bulletin", bulletin)

    def result(self, command_id: str) -> CommandResult | None:
        """What became of a command; None while it is not done, and ten minutes after it was."""
        body = self._ask(lambda client: client.get(result_key(command_id)))
        return None if body is None else _result(body)

    def ask(self, command: Command, timeout_s: float) -> CommandResult | None:
        """Puts a command and waits for what becomes of it; None when no worker has done it in time: it may be done later."""
        self.put(command)
        return self._until(lambda: self.result(command.id), timeout_s)

    def _put(self, field: str, value: msgspec.Struct) -> None:
        body = msgspec.json.encode(value)
        self._ask(lambda client: client.xadd(COMMANDS, {field: body}, maxlen=COMMAND_ENTRIES_MAX, approximate=True))


def told_of(entry_id: bytes, fields: dict[bytes, bytes]) -> Told:
    """An entry of `netmon:alarms`; raises msgspec.DecodeError for what no netmon has written."""
    name = entry_id.decode()
    if (body := fields.get(b"change")) is not None:
        return Told(entry_id=name, change=_change(body))
    if (body := fields.get(b"posture")) is not None:
        return Told(entry_id=name, posture=_posture_change(body))
    if (body := fields.get(b"flood")) is not None:
        return Told(entry_id=name, flood=msgspec.Raw(body))
    if (body := fields.get(b"reset")) is not None:
        return Told(entry_id=name, reset=msgspec.json.decode(body, type=Reset))
    return Told(entry_id=name)


def meta_of(fields: dict[str, bytes]) -> Meta:
    """The hash of META as a value."""

    def those(prefix: str) -> Iterator[tuple[str, bytes]]:
        return ((name.removeprefix(prefix), body) for name, body in fields.items() if name.startswith(prefix))

    flood, unmatched = fields.get("flood"), fields.get("unmatched")
    return Meta(
        fence=int(fields.get("fence", b"0")),
        positions={name: body.decode() for name, body in those("position:")},
        postures={name: _area_posture(body) for name, body in those("posture:")},
        bulletins={name: _bulletin(body) for name, body in those("bulletin:")},
        flood=None if flood is None else msgspec.Raw(flood),
        unmatched=UnmatchedReport() if unmatched is None else _unmatched(unmatched),
    )
