"""What is known of the SNMP engines that authenticated notifications came from: their clocks, and whose keys are right.

Owns the time window for messages of which the sender is authoritative (RFC 3414 sections 2.2.3, 2.3 and 3.2 step 7 b),
told so that a message has one verdict, whenever and in whatever order it is judged. Pure: time comes in, and it is
always the time at which the kernel had the message.

The RFC keeps one notion of a remote clock and moves it with each message. Here a message may be judged long after it
came (after a crash, from parked, by replay), so each engine has a short history: a **session** is one value of boots,
or one life of an engine that has forgotten its boots; it has one or more **epochs**, each a fixed point of the
engine's clock from a receive time on. A message is judged by the epoch that was current when it was received, which
does not change any more once later messages are known. It is in time when

- its boots are the newest that were known then, and its engine time is within 150 s of the epoch's clock, or is greater
  than any that was heard with these boots (RFC 3414 section 3.2 step 7 b 1: it cannot have been said before; our clock
  was set, or the engine's stood still). When it is off by more than `DRIFT_S`, a new epoch begins;
- or its boots are greater than all that were known then: a new session begins;
- or nothing was known at all: the first authentic message is believed. What came before anything was known, by our
  clock, and says no more than was heard since, is treated as a **reset** (below): it may be a recording.

An engine that has lost its boots comes back with boots, or an engine time, of long ago. When what it says is that it
started after we last heard of it, a new session begins that is marked as a **reset**, if resets are accepted at all:
a message that was recorded in an earlier life of the engine may look the same. Earlier sessions are not over by that:
if it was such a recording, the engine itself goes on in its own session, unmarked.

What this cannot tell: an exact copy of a message that is replayed within the 150 s (RFC 3414 section 2.2.3 leaves
that to the application), and a message that is held back while nothing newer of its engine reaches us.
"""

from __future__ import annotations

import heapq
from typing import Final, Literal

import msgspec

ENGINES_MAX: Final = 65_536
"""Engines of which at least one message was authentic; the one that was not heard of for longest goes first."""
EVICTED_AT_ONCE: Final = 1_024
EPOCHS_MAX: Final = 8
USERS_MAX: Final = 16
"""Users of one engine whose key was right; the one that was first so goes first."""
WINDOW_S: Final = 150
"""RFC 3414 section 2.2.3."""
DRIFT_S: Final = 10
"""An engine's clock is off by more from where the epoch has it: a new epoch begins. So the window is exact to 10 s."""
LATCHED: Final = 2**31 - 1
"""snmpEngineBoots of an engine that must get new keys before it is believed again (RFC 3414 section 2.2.2)."""
_SECOND_NS: Final = 10**9
_WINDOW_NS: Final = WINDOW_S * _SECOND_NS
_DRIFT_NS: Final = DRIFT_S * _SECOND_NS
_MAGIC: Final = b"netmon engines 1\n"

Verdict = Literal["in_time", "reset", "late"]


class Epoch(msgspec.Struct, array_like=True):
    """A fixed point of an engine's clock."""

    session: int
    """Number of the session it belongs to; of no other meaning."""
    boots: int
    time_s: int
    """snmpEngineTime when the reference message was received."""
    reference_unix_ns: int
    """When the reference message was received."""
    first_seen_unix_ns: int
    """From when on the epoch is current."""
    heard_unix_ns: int
    """When the last message that was in time was received."""
    latest_s: int
    """Greatest snmpEngineTime in time."""
    reset: bool
    """The engine had lost its boots."""

    def late_ns(self, time_s: int, received_unix_ns: int) -> int:
        """Returns how far behind the epoch's clock an engine time is; negative when it is ahead."""
        return (received_unix_ns - self.reference_unix_ns) - (time_s - self.time_s) * _SECOND_NS


class Engine(msgspec.Struct, array_like=True):
    """One remote engine."""

    epochs: list[Epoch] = []
    """By `first_seen_unix_ns`, at most `EPOCHS_MAX`."""
    sessions: int = 0
    """Sessions that there were."""
    boots_forgotten: int = -1
    """Greatest boots of the sessions that are no longer in `epochs`; -1 when all are."""
    proven: dict[str, int] = {}
    """User to the proof (`netmon.snmp.keys.Mac.proof`) of the key that was right."""

    @property
    def heard_unix_ns(self) -> int:
        """When the engine was last heard of; 0 when never."""
        return max((epoch.heard_unix_ns for epoch in self.epochs), default=0)


class EngineTable:
    """All engines that are known. Not thread-safe. Bounded: see `ENGINES_MAX`.

    Attributes:
        changes: Grows whenever `to_bytes` would give something else that is worth keeping; at most once a second for
            each engine in steady operation.
    """

    def __init__(self) -> None:
        self._engines: dict[bytes, Engine] = {}
        self.changes = 0

    def __len__(self) -> int:
        """How many engines are known."""
        return len(self._engines)

    def get(self, engine_id: bytes) -> Engine | None:
        """Returns what is known of an engine."""
        return self._engines.get(engine_id)

    def is_proven(self, engine_id: bytes, user: str, proof: int) -> bool:
        """Whether this key of the user was right at this engine before."""
        engine = self._engines.get(engine_id)
        return engine is not None and engine.proven.get(user) == proof

    def prove(self, engine_id: bytes, user: str, proof: int) -> None:
        """Remembers that this key of the user was right at this engine."""
        engine = self._engines.get(engine_id) or self._new(engine_id)
        if engine.proven.get(user) == proof:
            return
        engine.proven.pop(user, None)
        if len(engine.proven) >= USERS_MAX:
            del engine.proven[next(iter(engine.proven))]
        engine.proven[user] = proof
        self.changes += 1

    def judge(
        self, engine_id: bytes, boots: int, time_s: int, received_unix_ns: int, *, accept_resets: bool
    ) -> Verdict:
        """Says whether an authentic message is in time, and learns from one that is.

        Args:
            engine_id: The sender, which is authoritative.
            boots: msgAuthoritativeEngineBoots.
            time_s: msgAuthoritativeEngineTime.
            received_unix_ns: When the message was received.
            accept_resets: Whether an engine that has lost its boots is listened to.

        Returns:
            `in_time`; `reset`, in time in a session that began with lost boots; `late`, not in the time window.
        """
        engine = self._engines.get(engine_id)
        if engine is not None and engine.epochs:
            # Nearly every message: the current epoch, its clock, and no history to look at.
            epoch = engine.epochs[-1]
            if epoch.boots == boots and received_unix_ns >= epoch.first_seen_unix_ns and not epoch.reset:
                late_ns = received_unix_ns - epoch.reference_unix_ns - (time_s - epoch.time_s) * _SECOND_NS
                if -_DRIFT_NS <= late_ns <= _DRIFT_NS:
                    self._heard(epoch, time_s, received_unix_ns)
                    return "in_time"
        if boots == LATCHED:
            return "late"
        verdict = self._judge(
            engine or self._new(engine_id), boots, time_s, received_unix_ns, accept_resets=accept_resets
        )
        return "late" if verdict == "reset" and not accept_resets else verdict

    def _judge(self, engine: Engine, boots: int, time_s: int, unix_ns: int, *, accept_resets: bool) -> Verdict:
        known = [epoch for epoch in engine.epochs if epoch.first_seen_unix_ns <= unix_ns]
        epoch = _session_of(known, boots, time_s, unix_ns)
        if epoch is not None:
            if time_s > epoch.latest_s and abs(epoch.late_ns(time_s, unix_ns)) > _DRIFT_NS:
                epoch = self._begin(engine, epoch.session, boots, time_s, unix_ns, reset=epoch.reset)
            self._heard(epoch, time_s, unix_ns)
            return "reset" if epoch.reset else "in_time"
        reset = boots <= max((epoch.boots for epoch in known), default=-1) or boots <= engine.boots_forgotten
        if reset and known and not (accept_resets and _is_reset(known, boots, time_s, unix_ns)):
            return "late"
        if (epoch := _begun_later(engine.epochs, known, boots, time_s, unix_ns)) is not None:
            epoch.first_seen_unix_ns = unix_ns
            self.changes += 1
            return "reset" if epoch.reset else "in_time"
        if not known and engine.boots_forgotten >= 0:
            return "late"
        if not known and _is_stale(engine.epochs, boots, time_s):
            return "reset"
        self._begin(engine, None, boots, time_s, unix_ns, reset=reset)
        return "reset" if reset else "in_time"

    def _heard(self, epoch: Epoch, time_s: int, unix_ns: int) -> None:
        epoch.heard_unix_ns = max(epoch.heard_unix_ns, unix_ns)
        if time_s > epoch.latest_s:
            epoch.latest_s = time_s
            self.changes += 1

    def _begin(
        self, engine: Engine, session: int | None, boots: int, time_s: int, unix_ns: int, *, reset: bool
    ) -> Epoch:
        """Begins an epoch, of a new session when `session` is None."""
        if session is None:
            session = engine.sessions
            engine.sessions += 1
        epoch = Epoch(session, boots, time_s, unix_ns, unix_ns, unix_ns, time_s, reset)
        for later in engine.epochs:
            # Learnt out of turn that boots were greater before: what came later had lost them.
            if later.first_seen_unix_ns > unix_ns and later.boots < boots:
                later.reset = True
        engine.epochs.append(epoch)
        engine.epochs.sort(key=_first_seen)
        if len(engine.epochs) > EPOCHS_MAX:
            _forget_one(engine)
        self.changes += 1
        return epoch

    def _new(self, engine_id: bytes) -> Engine:
        if len(self._engines) >= ENGINES_MAX:
            ages = ((engine.heard_unix_ns, known_id) for known_id, engine in self._engines.items())
            for _, oldest in heapq.nsmallest(EVICTED_AT_ONCE, ages):
                del self._engines[oldest]
        engine = self._engines[engine_id] = Engine()
        self.changes += 1
        return engine

    def to_bytes(self) -> bytes:
        """Returns the table for `from_bytes`. Holds no key, and no name but those of engines and users."""
        return _MAGIC + msgspec.msgpack.encode(self._engines)

    @classmethod
    def from_bytes(cls, data: bytes) -> EngineTable:
        """Returns the table that `to_bytes` was asked for; an empty one when the bytes are anything else."""
        table = cls()
        if not data.startswith(_MAGIC):
            return table
        try:
            engines = msgspec.msgpack.decode(data[len(_MAGIC) :], type=dict[bytes, Engine])
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return table
        if len(engines) <= ENGINES_MAX and all(len(engine.epochs) <= EPOCHS_MAX for engine in engines.values()):
            table._engines = engines
        return table


def _session_of(known: list[Epoch], boots: int, time_s: int, unix_ns: int) -> Epoch | None:
    """Returns the current epoch of the session that a message is in time for, of several the nearest.

    Sessions that were followed by one of greater boots are over.
    """
    newest_boots = -1
    latest_s = -1
    sessions: dict[int, Epoch] = {}
    for epoch in reversed(known):
        if epoch.boots == boots and boots >= newest_boots:
            sessions.setdefault(epoch.session, epoch)
            latest_s = max(latest_s, epoch.latest_s)
        newest_boots = max(newest_boots, epoch.boots)
    if not sessions:
        return None
    nearest = min(sessions.values(), key=lambda epoch: abs(epoch.late_ns(time_s, unix_ns)))
    in_time = time_s > latest_s or abs(nearest.late_ns(time_s, unix_ns)) <= _WINDOW_NS
    return nearest if in_time else None


def _is_reset(known: list[Epoch], boots: int, time_s: int, unix_ns: int) -> bool:
    """Whether an engine whose boots are not new has lost them: it says that it started after it was last heard of.

    Within a reset, what its clock does not explain, such as a clock of ours that was set, begins another one.
    """
    current = known[-1]
    jumped = current.reset and current.boots == boots and time_s > current.latest_s
    return jumped or unix_ns - time_s * _SECOND_NS > max(epoch.heard_unix_ns for epoch in known)


def _begun_later(epochs: list[Epoch], known: list[Epoch], boots: int, time_s: int, unix_ns: int) -> Epoch | None:
    """Returns the epoch that began next after a message was received, when the message belongs to its session.

    So it is when messages are decoded out of turn: the session had begun before the message that first told us.
    """
    if len(known) == len(epochs):
        return None
    epoch = epochs[len(known)]
    sessions = {other.session for other in known}
    if epoch.boots != boots or epoch.session in sessions or abs(epoch.late_ns(time_s, unix_ns)) > _WINDOW_NS:
        return None
    return epoch


def _is_stale(epochs: list[Epoch], boots: int, time_s: int) -> bool:
    """Whether what came, by our clock, before all that we know may have been recorded: the engine has said later things.

    Our clock may have been set back, or the message is decoded out of turn: which of both cannot be told.
    """
    if not epochs or boots > epochs[0].boots:
        return False
    return boots < epochs[0].boots or time_s <= max(epoch.latest_s for epoch in epochs if epoch.boots == boots)


def _first_seen(epoch: Epoch) -> int:
    return epoch.first_seen_unix_ns


def _forget_one(engine: Engine) -> None:
    """Drops the oldest epoch, but never the current one of the session with the greatest boots that is no reset.

    Otherwise whoever replays recorded messages as resets could make us forget the engine's true clock.
    """
    epochs = engine.epochs
    head = max(epochs, key=lambda epoch: (not epoch.reset, epoch.boots, epoch.first_seen_unix_ns))
    oldest = next(epoch for epoch in epochs if epoch is not head)
    epochs.remove(oldest)
    heir = next((epoch for epoch in epochs if epoch.session == oldest.session), None)
    if heir is None:
        engine.boots_forgotten = max(engine.boots_forgotten, oldest.boots)
        return
    heir.first_seen_unix_ns = oldest.first_seen_unix_ns
    heir.heard_unix_ns = max(heir.heard_unix_ns, oldest.heard_unix_ns)
    epochs.sort(key=_first_seen)
