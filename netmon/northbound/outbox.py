"""What one member of a cluster has still to be told, and when it is to be told again. Pure.

It holds the present state of each alert, not the changes that led to it: a member that was away for a day gets what is true now.
Alertmanager forgets what it is not told again, and forgets everything when it is restarted, so all that stands is repeated,
and so is the end of an alert, for a while.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from netmon.northbound.alerts import Alert, Identity

NS: Final = 1_000_000_000
ENDS_AFTER: Final = 4
"""Times `resend_s`: an alert of which nobody has told for so long ends by itself. Prometheus does the same."""
SETTLE_S: Final = 2
"""A new alert waits so long. In a storm, most alarms turn out to be explained by another one within a second; nobody has to be
told of them, and then of their end."""
WORDING_S: Final = 10
"""A change of nothing but words and counts waits so long for others: in a storm, a cause counts up many times a second."""
ALERTS_MAX: Final = 50_000
"""Alerts that are held, some 3 kB each, shared by all members. What is beyond is left out, and counted."""


class Outbox:
    """Of one member. All times are monotonic nanoseconds, except those in alerts.

    Each queue is in the order in which its alerts fall due, since all that enter it wait equally long.
    """

    def __init__(self, resend_s: float, resolved_s: float) -> None:
        """Args:
        resend_s: Between two times that an alert is told.
        resolved_s: For so long its end is told.
        """
        self._resend_ns = int(resend_s * NS)
        self._resolved_ns = int(resolved_s * NS)
        self._held: dict[Identity, Alert] = {}
        self._now: dict[Identity, int] = {}
        self._settling: dict[Identity, int] = {}
        self._soon: dict[Identity, int] = {}
        self._again: dict[Identity, int] = {}
        self._refused: set[Identity] = set()
        self._over: dict[Identity, int] = {}
        """When the end of an alert was first put."""

    @property
    def waiting(self) -> int:
        """Alerts with news that the member has not taken."""
        return len(self._now) + len(self._settling) + len(self._soon)

    @property
    def refused(self) -> int:
        """Alerts that it has refused, and that have not changed since."""
        return len(self._refused)

    def __len__(self) -> int:
        return len(self._held)

    def put(self, alert: Alert, now_ns: int, *, is_new: bool = False) -> bool:
        """An alert as it is now; False when there is no room. `is_new`: nobody can have told of it before."""
        identity = alert.identity
        before = self._held.get(identity)
        if alert == before:
            return True
        if alert.ended_unix_ns and self._settling.pop(identity, None) is not None:
            self._forget(identity)
            return True
        if before is None and len(self._held) >= ALERTS_MAX:
            return False
        self._held[identity] = alert
        if identity in self._refused:
            self._refused.discard(identity)
            before = None
        if alert.ended_unix_ns:
            self._over.setdefault(identity, now_ns)
        else:
            self._over.pop(identity, None)
        if is_new and before is None and not alert.ended_unix_ns:
            self._settling[identity] = now_ns + SETTLE_S * NS
        elif identity not in self._settling:
            self._queue(identity, alert, before, now_ns)
        return True

    def _queue(self, identity: Identity, alert: Alert, before: Alert | None, now_ns: int) -> None:
        if identity in self._now:
            return
        if before is not None and alert.is_same_news(before):
            if self._again.pop(identity, None) is not None:
                self._soon[identity] = now_ns + WORDING_S * NS
            # Else it is under way, or waits for words already: `delivered` sees that it has changed.
            return
        self._soon.pop(identity, None)
        self._again.pop(identity, None)
        self._now[identity] = now_ns

    def due_ns(self) -> int | None:
        """When there is something to send next; None: not before something is put."""
        firsts = [next(iter(queue.values())) for queue in self._queues() if queue]
        return min(firsts, default=None)

    def take(self, now_ns: int, count: int) -> list[Alert]:
        """Alerts to send now, news first; then tell what became of each: `delivered`, `failed` or `refuse`."""
        taken: list[Alert] = []
        for queue in self._queues():
            while queue and len(taken) < count:
                identity = next(iter(queue))
                if queue[identity] > now_ns:
                    break
                del queue[identity]
                if self._is_outdated(identity, now_ns):
                    self._forget(identity)
                else:
                    taken.append(self._held[identity])
        return taken

    def _queues(self) -> tuple[dict[Identity, int], ...]:
        return self._now, self._settling, self._soon, self._again

    def _is_outdated(self, identity: Identity, now_ns: int) -> bool:
        """Whether the member has ended an alert by itself long ago, because nobody told of it any more."""
        over_ns = self._over.get(identity)
        return over_ns is not None and now_ns - over_ns > self._resolved_ns + ENDS_AFTER * self._resend_ns

    def delivered(self, alerts: Sequence[Alert], now_ns: int) -> None:
        """The member has taken these."""
        for alert in alerts:
            identity = alert.identity
            if identity in self._now:
                continue  # there is fresher news of it
            if self._held[identity] != alert:
                self._soon[identity] = now_ns + WORDING_S * NS
            elif alert.ended_unix_ns and now_ns - self._over[identity] >= self._resolved_ns:
                self._forget(identity)
            else:
                self._again[identity] = now_ns + self._resend_ns

    def failed(self, alerts: Sequence[Alert], now_ns: int) -> None:
        """The member does not answer, or is in trouble: these go again."""
        for alert in alerts:
            self._now.setdefault(alert.identity, now_ns)

    def refuse(self, alert: Alert) -> None:
        """The member takes this one never: it is not sent again before it changes."""
        identity = alert.identity
        if identity in self._now or self._held[identity] != alert:
            self._now.setdefault(identity, 0)
        elif alert.ended_unix_ns:
            self._forget(identity)
        else:
            self._refused.add(identity)

    def _forget(self, identity: Identity) -> None:
        del self._held[identity]
        self._over.pop(identity, None)
