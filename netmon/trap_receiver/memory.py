"""Memory: what the streams of a lane use of Redis, kept within the budget; and which of them may take more.

The express and the late stream may each use a quarter of the budget; what they use, the traps and the rejects stream
have not. A sixteenth is kept for the express stream: what goes first shall go, too, while a group that lags stops
everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from netmon.buffer.retention import NoTrim, TrimOldest, choose_trim
from netmon.buffer.stream import EntryId, GroupFacts, Streams
from netmon.trap_receiver.batch import Track

_SIDE_SHARE = 4
_RESERVE_SHARE = 16


class Memory:
    """The keeper of one lane's budget. What it finds out stands in decode's state."""

    def __init__(
        self, budget_bytes: int, values: dict[str, int], tracks: tuple[Track, Track], publish: Callable[[], None]
    ) -> None:
        """Args:
        budget_bytes: What all streams of the lane may use.
        values: Decode's state.
        tracks: The one of the traps and rejects streams; the one of the express stream.
        publish: Makes the state visible.
        """
        self._budget = budget_bytes
        self._values = values
        self._main, self._express = tracks
        self._publish = publish
        self._groups: dict[str, list[GroupFacts]] = {}

    def groups(self, streams: Streams, key: str) -> list[GroupFacts]:
        """The consumer groups of a stream, as they are or, where there are none, as they were when last looked at."""
        return streams.groups(key) or self._groups.get(key, [])

    def look_after(self, streams: Streams) -> None:
        """Measures all streams, trims what may go, and says which of them may take more.

        Raises:
            UnavailableError: Redis does not answer.
        """
        values = self._values
        keys = (*self._main.keys, *self._express.keys, streams.late)
        self._groups = {key: streams.groups(key) for key in keys}
        values["late_length"] = streams.length(streams.late)
        express = self._trim_track(streams, self._express, self._budget // _SIDE_SHARE)
        late = self._trim_late(streams, self._budget // _SIDE_SHARE)
        main = self._trim_track(streams, self._main, self._budget - express - late)
        total = main + express + late
        kept = self._budget // _RESERVE_SHARE
        values["stream_bytes"] = total
        values["paused"] = int(total + max(0, kept - express) >= self._budget)
        # The others may have gone beyond the budget by a batch or two: what is kept for the express stream is kept.
        values["express_paused"] = int(
            express >= self._budget // _SIDE_SHARE or (total >= self._budget and express >= kept)
        )
        self._publish()

    def lagging(self, streams: Streams) -> list[str]:
        """The groups that the traps and rejects streams wait for."""
        floors = self._floors(streams, self._main.keys, self._main.sent)
        return [name for floor, name in floors if floor == min(floors)[0]]

    def _trim_track(self, streams: Streams, track: Track, budget: int) -> int:
        """Trims the streams of a track as a budget wants it; returns the bytes that they use afterwards."""
        values = self._values
        usage = streams.memory_bytes(*track.keys)
        floors = [floor for floor, _ in self._floors(streams, track.keys, track.sent)]
        trim = choose_trim(usage, budget, floors, track.floor)
        if isinstance(trim, NoTrim):
            return usage
        # Until the outcome is known and published, the lengths prove nothing.
        values["trimming"] = 1
        self._publish()
        floor = self._trim_oldest(streams, track, trim) if isinstance(trim, TrimOldest) else trim.floor
        for name, key in zip(track.lengths, track.keys, strict=True):
            self._trimmed(name, streams.trim_up_to(key, floor))
        track.floor = floor
        values["trimming"] = 0
        return streams.memory_bytes(*track.keys)

    def _trim_oldest(self, streams: Streams, track: Track, trim: TrimOldest) -> EntryId:
        """Trims the longest stream of a track by the share; returns the floor that this makes for all of them."""
        values = self._values
        name, key = max(zip(track.lengths, track.keys, strict=True), key=lambda stream: values[stream[0]])
        self._trimmed(name, streams.trim_to_length(key, int(values[name] * trim.keep_ratio)))
        return _before(streams.first_id(key, EntryId(0, 0))) or track.sent

    def _trim_late(self, streams: Streams, budget: int) -> int:
        """Trims the late stream, in which others write: of its entries nothing is known but what Redis says."""
        key = streams.late
        usage = streams.memory_bytes(key)
        floors = [floor for floor, _ in self._floors(streams, (key,), streams.facts(key).last)] if usage else []
        trim = choose_trim(usage, budget, floors, EntryId(0, 0))
        if isinstance(trim, NoTrim):
            return usage
        if isinstance(trim, TrimOldest):
            self._trimmed(
                "late_length", streams.trim_to_length(key, int(self._values["late_length"] * trim.keep_ratio))
            )
        else:
            self._trimmed("late_length", streams.trim_up_to(key, trim.floor))
        return streams.memory_bytes(key)

    def _trimmed(self, name: str, entries: int) -> None:
        self._values[name] -= entries
        self._values["trimmed"] += entries

    def _floors(self, streams: Streams, keys: Iterable[str], end: EntryId) -> list[tuple[EntryId, str]]:
        """For each consumer group of some streams, the ID up to which it needs nothing any more, and its name.

        That is just before the next entry of its own stream, not where it stands: a group that has read all of a quiet
        stream must not keep the other one from being trimmed. With no next entry it is `end`.
        """
        return [
            (_before(streams.first_id(key, group.floor)) or end, group.name)
            for key in keys
            for group in self._groups[key]
        ]


def _before(entry_id: EntryId | None) -> EntryId | None:
    """Just before an ID; None for None."""
    return EntryId(entry_id.ms, entry_id.seq - 1) if entry_id else None
