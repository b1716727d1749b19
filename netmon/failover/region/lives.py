"""Which of a gateway's reports are news: a broker keeps, delays and repeats them, and an agent that is restarted begins to count anew.

Pure.
"""

from __future__ import annotations

from typing import Final, NamedTuple

AGAIN: Final = 2
"""New reports of the life before, with none of the last one between them, until that is taken for the one that lives: one may be late."""


class Lives(NamedTuple):
    """The two lives of a gateway's agent that began to be heard last, and the newest report of each.

    Which of them is the later one is not told by its clock: it may start in 1970, after it had started in 2026.
    """

    started_unix_ns: int = 0
    """Of the life that is believed, by its own clock; 0: nothing was heard yet."""
    beat: int = 0
    """Of its newest report."""
    before_unix_ns: int = 0
    """The same of the life before."""
    before_beat: int = 0
    again: int = 0
    """New reports of the life before since the last one was heard."""

    def hear(self, started_unix_ns: int, beat: int) -> tuple[Lives, bool]:
        """Takes a report; tells whether it is news, and no copy and none that was late."""
        if started_unix_ns == self.started_unix_ns:
            return (self._replace(beat=beat, again=0), True) if beat > self.beat else (self, False)
        if started_unix_ns != self.before_unix_ns:
            return Lives(started_unix_ns, beat, self.started_unix_ns, self.beat), True
        if beat <= self.before_beat:
            return self, False
        if self.again + 1 < AGAIN:
            return self._replace(before_beat=beat, again=self.again + 1), False
        # What was taken for a new life was an old one, told late.
        return Lives(started_unix_ns, beat, self.started_unix_ns, self.beat), True
