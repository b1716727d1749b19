"""Carries out `netmon.northbound.silences`: looks at the silences of each member, and makes, prolongs and ends ours.

Members are visited one after another: in a cluster, the second one has heard of the first one's new silences, or soon will, and
what is there twice is put right with the next look.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol
from urllib.parse import quote

import msgspec

from netmon.alarms.model import Alarm, Command
from netmon.log import limited
from netmon.northbound import silences
from netmon.northbound.alerts import Alert
from netmon.northbound.client import Client
from netmon.northbound.settings import AlertmanagerSettings
from netmon.northbound.silences import Plan, Silence, Wish

PATH: Final = "/api/v2/silences"
SETTLE_S: Final = 0.2
"""After a change, others are waited for that come with it."""
GOSSIP_S: Final = 1.0
"""Between the first member and the next: silences travel in a cluster within 200 ms."""
RETRY_S: Final = 5.0
"""After a member did not answer."""
ASKED_MAX: Final = 10_000
"""Silences that are remembered as carried out."""


class Known(Protocol):
    """What the sink knows of an alarm that others are told of."""

    @property
    def alert(self) -> Alert:
        """As it was told."""

    @property
    def operator_unix_ns(self) -> int:
        """When somebody last did something to it here."""

    @property
    def is_free(self) -> bool:
        """Whether it could be acknowledged."""


class Silencing:
    """Keeps the silences of all members as they are wished."""

    def __init__(
        self,
        settings: AlertmanagerSettings,
        clients: Sequence[Client],
        known: Mapping[str, Known],
        acknowledge: Callable[[Sequence[Command]], None],
    ) -> None:
        """Args:
        settings: `silences` and `acks_from_silences` say what is done.
        clients: Of the members.
        known: Alarms that others are told of, by ID; kept by the sink.
        acknowledge: Carries out commands; called in a thread.
        """
        self._settings = settings
        self._clients = clients
        self._known = known
        self._acknowledge = acknowledge
        self._wishes: dict[str, Wish] = {}
        self._unseen: set[str] | None = None
        self._is_loaded = False
        self._asked: dict[str, None] = {}
        self._wake = asyncio.Event()

    # --- What it is told, as the sink is.

    def begin(self) -> None:
        """The list of alarms comes anew."""
        self._unseen = set(self._wishes)

    def put(self, alarm: Alarm) -> None:
        """An alarm as it is now."""
        if self._unseen is not None:
            self._unseen.discard(alarm.id)
        wished = silences.wish(alarm) if self._settings.silences else None
        if wished == self._wishes.get(alarm.id):
            return
        if wished is None:
            self.drop(alarm.id)
        elif alarm.id in self._wishes or len(self._wishes) < silences.WISHES_MAX:
            self._wishes[alarm.id] = wished
            self._wake.set()
        else:
            limited.warning("alertmanager.silence_left_out", reason=f"there are {silences.WISHES_MAX:,} already")

    def drop(self, alarm_id: str) -> None:
        """An alarm has left the list, or is no longer to be silent."""
        if self._wishes.pop(alarm_id, None) is not None:
            self._wake.set()

    def end(self) -> None:
        """The list is complete."""
        for alarm_id in self._unseen or ():
            self.drop(alarm_id)
        self._unseen = None
        self._is_loaded = True
        self._wake.set()

    # --- What it does.

    async def run(self) -> None:
        """Works until cancelled."""
        is_well = True
        while True:
            await self._wait(self._settings.silence_poll_s if is_well else RETRY_S)
            if self._is_loaded:
                # Before the list is known, every silence of ours would look like one that nobody wishes.
                is_well = await self._visit_all()

    async def _wait(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        except TimeoutError:
            return
        await asyncio.sleep(SETTLE_S)
        self._wake.clear()

    async def _visit_all(self) -> bool:
        is_well = True
        for number, client in enumerate(self._clients):
            if number:
                await asyncio.sleep(GOSSIP_S)
            is_well = await self._visit(client) and is_well
        return is_well

    async def _visit(self, client: Client) -> bool:
        """Puts the silences of one member right; returns whether it answered."""
        answer = await client.ask("GET", PATH)  # all of them: it filters by whole matchers only
        if answer.outcome != "ok":
            limited.warning("alertmanager.silences_unknown", member=client.url, reason=answer.detail)
            return False
        try:
            found = silences.read(answer.body)
        except msgspec.MsgspecError as error:
            limited.warning("alertmanager.silences_unreadable", member=client.url, reason=str(error))
            return False
        is_well = True
        if self._settings.silences:
            is_well = await self._carry_out(client, silences.plan(self._wishes.values(), found, time.time_ns()))
        if self._settings.acks_from_silences:
            await self._take_acks(found)
        return is_well

    async def _carry_out(self, client: Client, plan: Plan) -> bool:
        for wanted in plan.create:
            answer = await client.ask("POST", PATH, msgspec.json.encode(wanted))
            if answer.outcome != "ok":
                limited.warning("alertmanager.silence_refused", member=client.url, reason=answer.detail)
                return False
        for silence_id in plan.delete:
            answer = await client.ask("DELETE", f"/api/v2/silence/{quote(silence_id, safe='')}")
            if answer.outcome != "ok" and not answer.detail.startswith("404"):  # it has ended meanwhile
                limited.warning("alertmanager.silence_kept", member=client.url, reason=answer.detail)
                return False
        return True

    async def _take_acks(self, found: Sequence[Silence]) -> None:
        commands = [command for silence in found if (command := self._ack(silence)) is not None]
        if commands:
            await asyncio.to_thread(self._acknowledge, commands)

    def _ack(self, silence: Silence) -> Command | None:
        known = self._known.get(silence.alarm_id)
        if known is None or not known.is_free:
            return None
        command = silences.ack(silence, known.operator_unix_ns, known.alert.labels, time.time_ns())
        if command is None or command.id in self._asked:
            return None
        if len(self._asked) >= ASKED_MAX:
            del self._asked[next(iter(self._asked))]
        self._asked[command.id] = None
        return command
