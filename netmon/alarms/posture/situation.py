"""What the leader knows beside the alarms: postures of areas, fed from the book and from what is counted; forecasts. No I/O.

The leader hands in what came, calls `tick`, and writes what `take` returns in the same transaction as the positions of the
streams: so a declaration or a telegram counts once, whoever dies when.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import msgspec

from netmon.alarms.lifecycle.book import Book
from netmon.alarms.lifecycle.causes import POWER_FAILURE
from netmon.alarms.lifecycle.derived import LINE_DOWN
from netmon.alarms.model import CommandResult, Key, alarm_id
from netmon.alarms.posture.forecast import Forecaster
from netmon.alarms.posture.model import AreaPosture, Bulletin, PostureChange
from netmon.alarms.posture.postures import PostureBook, Sample
from netmon.alarms.settings import PostureSettings
from netmon.buffer.alarm_store import DeclarationOf
from netmon.inventory.topology import Topology

SAMPLE_NS: Final = 1_000_000_000
FORECAST_NS: Final = 5_000_000_000
SAVE_NS: Final = 10_000_000_000
"""So often what was learned is written when nothing else is to be."""
LATE_S: Final = 30
"""What was received so long before the last sample is late, and no part of the rate of now."""

_decode_declaration = msgspec.json.Decoder(DeclarationOf).decode
_decode_bulletin = msgspec.json.Decoder(Bulletin).decode


class News(NamedTuple):
    """What is to be written."""

    told: list[PostureChange]
    meta: dict[str, bytes]
    """Fields of the hash beside the alarms."""
    forgotten: list[str]
    """Fields of it that go."""
    results: list[tuple[str, CommandResult]]


class Situation:
    """Postures and forecasts while this worker leads.

    Attributes:
        forecaster: Takes notifications and measurements.
    """

    def __init__(
        self,
        settings: PostureSettings,
        topology: Topology,
        meta: Mapping[str, bytes],
        book: Book,
        now_unix_ns: int,
    ) -> None:
        """Begins with what stands beside the alarms, and with these."""
        self.forecaster = Forecaster(topology)
        self.forecaster.load(book.alarms.values(), now_unix_ns)
        self._forecast_unix_ns = 0
        self._book = PostureBook(settings, topology.areas)
        self._book.load(meta, now_unix_ns)
        self._written = {name: body for name, body in meta.items() if name.startswith(("posture", "bulletin:"))}
        self._lines = {
            area: [alarm_id(Key(f"line/{line}", LINE_DOWN)) for line in topology.lines_of_area(area)]
            for area in topology.areas
        }
        self._sites = {
            area: [alarm_id(Key(f"site/{site}", POWER_FAILURE)) for site in topology.sites_of_area(area)]
            for area in topology.areas
        }
        self._counts = dict.fromkeys(topology.areas, 0)
        self._newest_s = 0
        self._mark_unix_ns = self._sampled_unix_ns = now_unix_ns
        self._saved_unix_ns = 0
        self._is_due = False
        self._told: list[PostureChange] = []
        self._results: list[tuple[str, CommandResult]] = []
        # What failed before a restart must not look whole until the first sample.
        self._sample(book, is_caught_up=True, now_unix_ns=now_unix_ns)

    @property
    def postures(self) -> list[AreaPosture]:
        """Where all areas stand."""
        return self._book.postures()

    @property
    def rates(self) -> dict[str, float]:
        """Area ID to notifications a second."""
        return self._book.rates

    def seconds_left(self, now_unix_ns: int) -> dict[str, float]:
        """Kind of forecast to how long the first of its kind lasts."""
        found: dict[str, float] = {}
        for forecast in self.forecaster.forecasts(now_unix_ns):
            if forecast.seconds_left is not None:
                found.setdefault(forecast.what, forecast.seconds_left)
        return found

    # --- What comes in. ---

    def command(self, kind: bytes, body: bytes, now_unix_ns: int) -> bool:
        """Take an entry of the commands stream; whether it is one of ours. Raises msgspec.DecodeError."""
        if kind == b"bulletin":
            self._book.bulletin(_decode_bulletin(body), now_unix_ns)
        elif kind == b"declaration":
            wanted = _decode_declaration(body)
            why_not = self._book.declare(wanted.area, wanted.declaration, now_unix_ns)
            if wanted.id:
                outcome = CommandResult(
                    command_id=wanted.id, outcome="not_possible" if why_not else "done", detail=why_not
                )
                self._results.append((wanted.id, outcome))
        else:
            return False
        self._is_due = True
        return True

    def count(self, area_seconds: Mapping[tuple[str, int], int]) -> None:
        """Take what was counted: area and second of reception to notifications."""
        oldest_s = self._mark_unix_ns // SAMPLE_NS - LATE_S
        for (area, second), count in area_seconds.items():
            if second >= oldest_s and area in self._counts:
                self._counts[area] += count
                self._newest_s = max(self._newest_s, second)

    # --- What comes of it. ---

    def tick(self, book: Book, is_caught_up: Callable[[], bool], now_unix_ns: int) -> None:
        """Sample once a second, and step the postures; call it several times a second, and after commands."""
        elapsed_ns = now_unix_ns - self._sampled_unix_ns
        if not 0 <= now_unix_ns - self._forecast_unix_ns < FORECAST_NS:
            self._forecast_unix_ns = now_unix_ns
            for observation in self.forecaster.step(now_unix_ns):
                book.observe(observation, now_unix_ns)
        if not 0 <= elapsed_ns < SAMPLE_NS:
            self._sample(book, is_caught_up=is_caught_up(), now_unix_ns=now_unix_ns)
        elif not self._is_due:
            return
        changes = self._book.tick(now_unix_ns)
        self._is_due = self._is_due or bool(changes)
        self._told += changes

    def _sample(self, book: Book, *, is_caught_up: bool, now_unix_ns: int) -> None:
        # A backlog that is worked off is hours in a second; it is as long as the time in which it was received.
        mark = now_unix_ns if is_caught_up else min(now_unix_ns, max(self._mark_unix_ns, self._newest_s * SAMPLE_NS))
        span_s = max(now_unix_ns - self._sampled_unix_ns, mark - self._mark_unix_ns, SAMPLE_NS // 10) / SAMPLE_NS
        self._mark_unix_ns, self._sampled_unix_ns = mark, now_unix_ns
        for area, count in self._counts.items():
            self._book.feed(
                area,
                Sample(
                    notifications=count,
                    span_s=span_s,
                    lines_failing=_active(book, self._lines[area]),
                    lines=len(self._lines[area]),
                    sites_on_battery=_active(book, self._sites[area]),
                ),
            )
            self._counts[area] = 0

    def take(self, now_unix_ns: int) -> News | None:
        """What is to be written with the next flush; None: nothing."""
        if not self._is_due and not self._results and 0 <= now_unix_ns - self._saved_unix_ns < SAVE_NS:
            return None
        fields = self._book.dump()
        news = News(
            told=self._told,
            meta={name: body for name, body in fields.items() if self._written.get(name) != body},
            forgotten=[name for name in self._written if name not in fields],
            results=self._results,
        )
        self._written, self._saved_unix_ns, self._is_due = fields, now_unix_ns, False
        self._told, self._results = [], []
        return news


def _active(book: Book, alarm_ids: list[str]) -> int:
    found = (book.alarms.get(alarm_id) for alarm_id in alarm_ids)
    return sum(1 for alarm in found if alarm is not None and alarm.is_active)
