"""What the log tells when trouble with Redis is over: how long it was away, and that a stream is whole again.

Told when the streams are looked after, which is once in a second, and only while it holds: a Redis that comes and goes, or a
stream that is changed again and again, writes no more lines than that.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from netmon.log import log
from netmon.trap_receiver.batch import Track


class Recovery:
    """The troubles of one lane's streams that have no end in the log yet."""

    def __init__(self) -> None:
        self._away_since: float | None = None
        self._away_s = 0.0
        self._backlog = 0
        self._served = False
        self._rebuilds: dict[Track, tuple[int, float]] = {}
        """Seq of the last entry that the stream had, and since when it is made anew."""
        self._whole: set[Track] = set()

    def lost(self) -> None:
        """Redis cannot be used."""
        self._served = False
        if self._away_since is None:
            self._away_since = time.monotonic()

    def attached(self, backlog: int) -> None:
        """Redis answers; whether it also takes what waits is seen by the first batch.

        Args:
            backlog: Datagrams that are durable in the journal and not settled.
        """
        self._backlog = backlog
        if not backlog:
            self._serve()

    def rebuild_begun(self, track: Track, last_seq: int) -> None:
        """The streams of a track are empty.

        Args:
            track: Whose streams.
            last_seq: Of the last entry that they had.
        """
        before, since = self._rebuilds.get(track, (0, time.monotonic()))
        self._rebuilds[track] = max(before, last_seq), since
        self._whole.discard(track)

    def settled(self, track: Track, after_seq: int) -> None:
        """Redis has taken what the journal holds up to a place."""
        self._serve()
        if track in self._rebuilds and after_seq >= self._rebuilds[track][0]:
            self._whole.add(track)

    def caught_up(self) -> None:
        """Redis has all that there is."""
        self._serve()
        self._whole.update(self._rebuilds)

    def _serve(self) -> None:
        if self._away_since is not None and not self._served:
            self._served = True
            self._away_s = time.monotonic() - self._away_since

    def tell(self, values: Mapping[str, int]) -> None:
        """The streams have just been found as they should be: what is over is logged.

        Args:
            values: Decode's state.
        """
        if self._served:
            log.warning("redis.reachable_again", away_s=round(self._away_s, 1), backlog=self._backlog)
            self._away_since, self._served = None, False
        for track in self._whole:
            _, since = self._rebuilds.pop(track)
            took_s = round(time.monotonic() - since, 1)
            entries = sum(values[name] for name in track.lengths)
            log.warning("stream.rebuild_finished", streams=track.keys, entries=entries, took_s=took_s)
        self._whole.clear()
