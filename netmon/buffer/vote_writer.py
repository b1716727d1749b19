"""What a vantage tells, on its way to Redis: a thread of its own, so that Redis may be slow, stopped or dead while probing goes on.

Nothing queues up. Of each line there is one vote, the newest; what Redis has not got yet is a set of lines. When it was gone, or has
forgotten (FLUSHALL, a failover to an older copy), it gets everything again.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Iterable
from typing import Final

import hiredis
import msgspec

from netmon.active_probe.model import VantageHealth, Vote
from netmon.buffer.connection import Connection, MovedError, encode_command, moved_to
from netmon.buffer.line_store import NEWS, NEWS_ENTRIES_MAX, NEWS_VOTES_MAX, VANTAGES, votes_key
from netmon.errors import UnavailableError
from netmon.log import limited, log
from netmon.model import RedisSettings

_GATHER_S: Final = 0.1
"""Votes that only tell again what is known wait so long for others: a transaction for each would be ten times the work."""
_RETRY_MIN_S: Final = 0.1
_RETRY_MAX_S: Final = 2.0
_CURE: Final = "look after the Redis that redis.url names; it gets everything again when it is back"

_MULTI: Final = encode_command("MULTI")
_EXEC: Final = encode_command("EXEC")
_encode = msgspec.json.Encoder().encode


class Telling(msgspec.Struct, kw_only=True):
    """How it goes, since the start. Written by the thread alone; whoever reads may see one number newer than another."""

    reachable: bool = False
    votes: int = 0
    """That Redis has taken."""
    transactions: int = 0
    failures: int = 0
    """Times that Redis did not answer, or refused."""
    repairs: int = 0
    """Times that it had forgotten."""


class VoteWriter:
    """Tells Redis the newest of everything.

    Attributes:
        telling: How it goes.
    """

    def __init__(self, settings: RedisSettings, vantage_id: str, line_ids: Iterable[str], *, check_s: float) -> None:
        """Prepares.

        Args:
            settings: The server.
            vantage_id: Who tells.
            line_ids: Lines that it votes on: votes on others, of a former configuration, are taken out of Redis.
            check_s: How often to look whether Redis still has everything.
        """
        self.telling = Telling()
        self._settings = settings
        self._vantage_id = vantage_id
        self._line_ids = frozenset(line_ids)
        self._check_s = check_s
        self._votes_key = votes_key(vantage_id)
        self._tell = [b"XADD", NEWS.encode(), b"MAXLEN", b"~", b"%d" % NEWS_ENTRIES_MAX, b"*"]
        self._connection: Connection | None = None
        self._node: tuple[str, int] | None = None
        self._changed = threading.Condition()
        # What follows is shared with the loop that probes, under `_changed`.
        self._newest: dict[str, Vote] = {}
        self._urgent: dict[str, None] = {}
        self._untold: dict[str, None] = {}
        self._health: VantageHealth | None = None
        self._health_untold = False
        self._stopping = False
        self._stop_mono = 0.0
        self._thread = threading.Thread(target=self._run, name="votes", daemon=True)

    # -- for the loop that probes; nothing here waits for Redis

    def start(self) -> None:
        """Begins to tell."""
        self._thread.start()

    def put(self, vote: Vote, *, urgent: bool) -> None:
        """Takes a vote, instead of the line's earlier one; an urgent one goes out at once."""
        with self._changed:
            self._newest[vote.line_id] = vote
            self._untold[vote.line_id] = None
            if urgent:
                self._urgent[vote.line_id] = None
                self._changed.notify()

    def put_health(self, health: VantageHealth) -> None:
        """Takes how the vantage is, and tells it at once."""
        with self._changed:
            self._health, self._health_untold = health, True
            self._changed.notify()

    def stop(self, timeout_s: float) -> None:
        """Tells what is left, if Redis takes it within this time; then the thread ends."""
        with self._changed:
            self._stopping = True
            self._stop_mono = time.monotonic() + timeout_s
            self._changed.notify()
        self._thread.join(timeout_s)

    # -- the thread

    def _run(self) -> None:
        retry_s, check_mono = _RETRY_MIN_S, 0.0
        while True:
            try:
                if self._connection is None:
                    self._connect()
                    check_mono = time.monotonic() + self._check_s
                if self._pass():
                    return
                if time.monotonic() >= check_mono:
                    check_mono = time.monotonic() + self._check_s
                    self._check()
                retry_s = _RETRY_MIN_S
            except UnavailableError as error:
                self._lost(error)
                if self._pause(retry_s * random.uniform(0.5, 1.0)):  # noqa: S311 - a jitter, not a secret
                    return
                retry_s = min(2 * retry_s, _RETRY_MAX_S)

    def _pass(self) -> bool:
        """Waits for something to tell and tells it; True: that was the last."""
        with self._changed:
            if not (self._urgent or self._health_untold or self._stopping):
                self._changed.wait(_GATHER_S)
            stopping = self._stopping
        while self._tell_some():
            pass
        return stopping

    def _tell_some(self) -> bool:
        """One transaction; False: nothing was left. Raises UnavailableError: nothing of it counts as told."""
        with self._changed:
            others = (line_id for line_id in self._untold if line_id not in self._urgent)
            ids = list(itertools.islice(itertools.chain(self._urgent, others), NEWS_VOTES_MAX))
            votes = [self._newest[line_id] for line_id in ids]
            health = self._health if self._health_untold else None
            for line_id in ids:
                self._urgent.pop(line_id, None)
                self._untold.pop(line_id, None)
            self._health_untold = False
        if not votes and health is None:
            return False
        self._transact(self._commands(votes, health))
        self.telling.votes += len(votes)
        return True

    def _commands(self, votes: list[Vote], health: VantageHealth | None) -> list[bytes]:
        commands = []
        if votes:
            bodies = [_encode(vote) for vote in votes]
            pairs = [word for vote, body in zip(votes, bodies, strict=True) for word in (vote.line_id, body)]
            commands.append(encode_command("HSET", self._votes_key, *pairs))
            commands.append(encode_command(*self._tell, "votes", b"[%b]" % b",".join(bodies)))
        if health is not None:
            body = _encode(health)
            commands.append(encode_command("HSET", VANTAGES, self._vantage_id, body))
            commands.append(encode_command(*self._tell, "health", body))
        return commands

    def _transact(self, commands: list[bytes]) -> None:
        """All or nothing. Raises UnavailableError."""
        connection = self._connection
        assert connection is not None, "connected"
        connection.send(b"".join([_MULTI, *commands, _EXEC]))
        replies = connection.replies(len(commands) + 2)
        done = replies[-1]
        refused = next((reply for reply in [*replies, *_list(done)] if isinstance(reply, hiredis.ReplyError)), None)
        if refused is not None:
            raise connection.refusal(refused)
        self.telling.transactions += 1

    def _check(self) -> None:
        """Whether Redis still has what it was told; else everything is told again. Raises UnavailableError."""
        assert self._connection is not None, "connected"
        present = self._connection.command("HLEN", self._votes_key)
        known = self._connection.command("HEXISTS", VANTAGES, self._vantage_id)
        with self._changed:
            expected = len(self._newest) - len(self._untold)
            is_missing = present < expected or (not known and self._health is not None)
        if is_missing:
            self.telling.repairs += 1
            limited.warning("votes.loss_noticed", present=present, expected=expected, cure="they are told again")
            self._tell_all()

    def _tell_all(self) -> None:
        with self._changed:
            self._untold = dict.fromkeys(self._newest)
            self._health_untold = self._health is not None

    # -- the connection

    def _connect(self) -> None:
        """Raises UnavailableError."""
        self._connection = Connection(self._settings, self._node)
        self._remove_former()
        # What was on its way when the last one broke may be there or not, and Redis may have lost more than that.
        self._tell_all()
        if self.telling.failures and not self.telling.reachable:
            log.info("votes.redis_found", lines=len(self._newest))
        self.telling.reachable = True

    def _remove_former(self) -> None:
        """Votes on lines that are not ours any more: nobody would ever say anything else of them."""
        assert self._connection is not None, "connected"
        present = self._connection.command("HKEYS", self._votes_key)
        former = [line_id for line_id in present if line_id.decode(errors="replace") not in self._line_ids]
        for first in range(0, len(former), NEWS_VOTES_MAX):
            self._connection.command("HDEL", self._votes_key, *former[first : first + NEWS_VOTES_MAX])

    def _lost(self, error: UnavailableError) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._node = moved_to(error) if isinstance(error, MovedError) else None
        self.telling.reachable = False
        self.telling.failures += 1
        limited.warning("votes.redis_lost", reason=error.reason, detail=error.detail, cure=_CURE)

    def _pause(self, pause_s: float) -> bool:
        """Before the next try; True: there is no time left for one."""
        with self._changed:
            if self._node is None:
                self._changed.wait_for(lambda: self._stopping, pause_s)
            return self._stopping and time.monotonic() + _RETRY_MIN_S >= self._stop_mono


def _list(reply: object) -> list[object]:
    return reply if isinstance(reply, list) else []
