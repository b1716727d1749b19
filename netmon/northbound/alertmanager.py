"""Alarms to Prometheus Alertmanager (API v2): every member of a cluster is told by itself, for none speaks for another.

Who is told: of alarms that stand and that no other alarm explains. A cause carries, as an annotation, how many it explains.
An acknowledged or shelved alarm goes on firing there and is silenced (`netmon.northbound.silencing`); without silences, a
shelved one ends.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Final

import msgspec

from netmon.alarms.model import Alarm, Command
from netmon.inventory.model import Inventory
from netmon.log import limited
from netmon.northbound.alerts import Alert, Writer, body, resolved
from netmon.northbound.client import Client
from netmon.northbound.outbox import ENDS_AFTER, NS, Outbox
from netmon.northbound.report import MemberReport, Outcome, SinkReport
from netmon.northbound.settings import AlertmanagerSettings
from netmon.northbound.silencing import Silencing

PATH: Final = "/api/v2/alerts"
BATCH: Final = 200
"""Alerts in one request: some 300 KB at most; Prometheus sends 64."""
RETRY_MIN_S: Final = 0.5
RETRY_MAX_S: Final = 30.0


class Known(msgspec.Struct, frozen=True):
    """What is remembered of an alarm that others are told of."""

    alert: Alert
    operator_unix_ns: int
    """When somebody last did something to it here."""
    is_free: bool
    """Whether nobody has: it could be acknowledged."""


class Alertmanager:
    """The sink."""

    def __init__(
        self, settings: AlertmanagerSettings, inventory: Inventory, acknowledge: Callable[[Sequence[Command]], None]
    ) -> None:
        """`acknowledge`: carries out what silences amount to; may block, and is called in a thread of its own."""
        self._settings = settings
        self._writer = Writer(inventory, settings.language, settings.runbook_url)
        self._known: dict[str, Known] = {}
        self._unseen: set[str] | None = None
        """While the list comes anew: alarms that have not come yet."""
        self._left_out = 0
        self._members = [Member(Client(url, settings), settings) for url in settings.urls]
        self._silencing = Silencing(settings, [member.client for member in self._members], self._known, acknowledge)

    # --- What it is told.

    def begin(self) -> None:
        """See `Sink`."""
        self._unseen = set(self._known)
        self._silencing.begin()

    def put(self, alarm: Alarm) -> None:
        """See `Sink`."""
        if self._unseen is not None:
            self._unseen.discard(alarm.id)
        now_unix_ns = time.time_ns()
        known = self._known.get(alarm.id)
        if not self._is_told(alarm):
            if known is not None or self._has_just_ended(alarm, now_unix_ns):
                alert = known.alert if known is not None else self._writer.alert(alarm, now_unix_ns)
                ended_unix_ns = alarm.cleared_unix_ns if alarm.is_cleared else now_unix_ns
                self._over(alarm.id, resolved(alert, ended_unix_ns, now_unix_ns))
        else:
            alert = self._writer.alert(alarm, now_unix_ns)
            if known is not None and known.alert.identity != alert.identity:
                self._over(alarm.id, resolved(known.alert, now_unix_ns, now_unix_ns))
            # What is in the list when it is read may have been told of by a former run.
            if self._tell(alert, is_new=known is None and self._unseen is None):
                self._known[alarm.id] = Known(alert, alarm.operator_unix_ns, alarm.operator_state == "none")
        self._silencing.put(alarm)

    def drop(self, alarm_id: str) -> None:
        """See `Sink`."""
        known = self._known.get(alarm_id)
        if known is not None:
            now_unix_ns = time.time_ns()
            self._over(alarm_id, resolved(known.alert, now_unix_ns, now_unix_ns))
        self._silencing.drop(alarm_id)

    def end(self) -> None:
        """See `Sink`."""
        for alarm_id in self._unseen or ():
            self.drop(alarm_id)
        self._unseen = None
        self._silencing.end()

    def _is_told(self, alarm: Alarm) -> bool:
        if self._settings.silences:
            return alarm.is_active and alarm.cause is None
        return alarm.is_annunciated

    def _has_just_ended(self, alarm: Alarm, now_unix_ns: int) -> bool:
        """Whether a former run of ours may have told of it, and nobody of its end."""
        is_recent = now_unix_ns - alarm.changed_unix_ns < self._settings.resolved_s * NS
        return self._unseen is not None and alarm.is_cleared and alarm.cause is None and is_recent

    def _over(self, alarm_id: str, alert: Alert) -> None:
        self._known.pop(alarm_id, None)
        self._tell(alert)

    def _tell(self, alert: Alert, *, is_new: bool = False) -> bool:
        had_room = [member.put(alert, is_new=is_new) for member in self._members]
        if not all(had_room):
            self._left_out += 1
            limited.warning(
                "alertmanager.alert_left_out", reason="there are too many", cure="find the cause of the flood"
            )
        return all(had_room)

    # --- What it does.

    async def run(self) -> None:
        """See `Sink`."""
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
            for member in self._members:
                await stack.enter_async_context(member.client)
            for number, member in enumerate(self._members):
                tasks.create_task(member.run(), name=f"alertmanager.member-{number}")
            if self._settings.silences or self._settings.acks_from_silences:
                tasks.create_task(self._silencing.run(), name="alertmanager.silences")

    def report(self) -> SinkReport:
        """See `Sink`."""
        return SinkReport(
            members=tuple(member.report() for member in self._members),
            alerts=len(self._known),
            refused=max((member.outbox.refused for member in self._members), default=0),
            left_out=self._left_out,
        )


class Member:
    """One member of the cluster, with what it has still to be told."""

    def __init__(self, client: Client, settings: AlertmanagerSettings) -> None:
        self.client = client
        self.outbox = Outbox(settings.resend_s, settings.resolved_s)
        self._resend_s = settings.resend_s
        self._wake = asyncio.Event()
        self._last_success_unix_ns = 0
        self._retry_s = RETRY_MIN_S
        self._is_lost = False

    def put(self, alert: Alert, *, is_new: bool) -> bool:
        """An alert as it is now; False when there is no room."""
        has_room = self.outbox.put(alert, time.monotonic_ns(), is_new=is_new)
        self._wake.set()
        return has_room

    def report(self) -> MemberReport:
        """How it stands."""
        return MemberReport(
            requests=dict(self.client.counts),
            queue_entries=self.outbox.waiting,
            last_success_unix_ns=self._last_success_unix_ns,
        )

    async def run(self) -> None:
        """Tells it, until cancelled."""
        while True:
            self._wake.clear()
            alerts = self.outbox.take(time.monotonic_ns(), BATCH)
            if alerts:
                await self._push(alerts)
            else:
                await self._wait()

    async def _wait(self) -> None:
        due_ns = self.outbox.due_ns()
        timeout_s = None if due_ns is None else max(due_ns - time.monotonic_ns(), 0) / NS
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _push(self, alerts: list[Alert]) -> None:
        """Sends a batch; one that they do not like is halved until the alert that they do not like is alone."""
        ends_unix_ns = time.time_ns() + int(ENDS_AFTER * self._resend_s * NS)
        answer = await self.client.ask("POST", PATH, body(alerts, ends_unix_ns))
        if answer.outcome == "ok":
            self._succeeded()
            self.outbox.delivered(alerts, time.monotonic_ns())
        elif answer.outcome != "refused":
            self.outbox.failed(alerts, time.monotonic_ns())
            await self._back_off(answer.outcome, answer.detail)
        elif len(alerts) == 1:
            limited.error(
                "alertmanager.alert_refused", reason=answer.detail, member=self.client.url, labels=alerts[0].labels
            )
            self._succeeded()
            self.outbox.refuse(alerts[0])
        else:
            # The good ones of the batch have been taken; that they are told twice does no harm.
            limited.warning("alertmanager.batch_refused", reason=answer.detail, member=self.client.url)
            middle = len(alerts) // 2
            await self._push(alerts[:middle])
            await self._push(alerts[middle:])

    def _succeeded(self) -> None:
        self._last_success_unix_ns = time.time_ns()
        self._retry_s = RETRY_MIN_S
        if self._is_lost:
            self._is_lost = False
            limited.info("alertmanager.member_found", member=self.client.url)

    async def _back_off(self, outcome: Outcome, detail: str) -> None:
        self._is_lost = True
        cure = "the token or user" if outcome == "denied" else "that it runs and can be reached"
        limited.warning(
            "alertmanager.member_lost",
            reason=detail,
            member=self.client.url,
            cure=f"look at alertmanager.urls, and {cure}",
        )
        await asyncio.sleep(self._retry_s * random.uniform(0.5, 1.0))  # noqa: S311 - a jitter, not a secret
        self._retry_s = min(2 * self._retry_s, RETRY_MAX_S)
