"""Where each area stands between normal and disaster, from what is measured, what JMA says and what operators declare.

Pure. Evidence makes a level, and this table makes a posture of it; a declaration stands above the table:

| posture | no evidence for `recover_s` | suspected | disaster |
|---|---|---|---|
| normal | normal | suspected | disaster |
| suspected | normal | suspected | disaster |
| disaster | recovering | disaster | disaster |
| recovering | normal | suspected | disaster |

So a disaster is left only when all evidence has been gone for a while, weak evidence too, or when an operator says so: half of
the lines working again is no reason to relax. What is measured counts once it has held for `confirm_s`; telegrams and
declarations count at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeVar

import msgspec
from msgspec.structs import replace

from netmon.alarms.posture.model import (
    AreaPosture,
    Bulletin,
    Declaration,
    EvidenceKind,
    Posture,
    PostureChange,
    Reason,
)
from netmon.alarms.settings import PostureSettings
from netmon.jma import text as jma_text

Weight = Literal["suspected", "disaster"]
Level = Literal["none", "suspected", "disaster"]
_S = TypeVar("_S", bound=msgspec.Struct)

BULLETINS_MAX: Final = 500
"""Telegrams in force, of the whole country; beyond it those that end first are forgotten."""
REASONS_MAX: Final = 12
"""Of one area; the strongest are kept."""
HOLD_DOWN_MAX_S: Final = 86_400
"""A declaration that holds an area below what evidence may say (normal, suspected) ends by then: nobody remembers to lift it."""
LEARNING_S: Final = 60.0
"""Until so much of an area's notifications has been seen, their rate says nothing: a new netmon knows no baseline."""
RETELL_S: Final = 30
"""So often at most the words of the reasons are told again when only numbers have changed."""
BY_MAX: Final = 100
"""Characters of who declares."""
DECLARED_REASON_MAX: Final = 1_000
"""Characters of why."""

_NS: Final = 1_000_000_000
_RANK: Final[Mapping[Level, int]] = {"none": 0, "suspected": 1, "disaster": 2}
_INFO_RANK: Final = {"issued": 0, "corrected": 1, "cancelled": 2}
_NEXT: Final[Mapping[tuple[Posture, Level], Posture]] = {
    ("normal", "none"): "normal",
    ("normal", "suspected"): "suspected",
    ("normal", "disaster"): "disaster",
    ("suspected", "none"): "normal",
    ("suspected", "suspected"): "suspected",
    ("suspected", "disaster"): "disaster",
    ("disaster", "none"): "recovering",
    ("disaster", "suspected"): "disaster",
    ("disaster", "disaster"): "disaster",
    ("recovering", "none"): "normal",
    ("recovering", "suspected"): "suspected",
    ("recovering", "disaster"): "disaster",
}

_POSTURE_FIELD: Final = "posture:"
_LEARNED_FIELD: Final = "posture-learned:"
_BULLETIN_FIELD: Final = "bulletin:"


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured of one area; taken about each second."""

    notifications: int = 0
    """Since the last sample."""
    span_s: float = 1.0
    """How much time they came in: more than has passed when a backlog is worked off."""
    lines_failing: int = 0
    lines: int = 0
    """Lines with an end in the area."""
    sites_on_battery: int = 0


class _Learned(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What is known of an area beside its posture."""

    baseline: float = 0.0
    """Notifications a second that are usual."""
    learned_s: float = 0.0
    """How much time the baseline was learned from."""
    since_unix_ns: dict[str, int] = {}
    """`kind/weight` to since when that has held without a break."""
    quiet_unix_ns: int = 0
    """Since when there is no evidence; 0: there is."""


class PostureBook:
    """All areas. Methods raise nothing; times are nanoseconds since 1970 UTC.

    Attributes:
        rates: Area ID to notifications a second, in the last sample.
    """

    def __init__(self, settings: PostureSettings, areas: Iterable[str]) -> None:
        """`areas` are the IDs of the inventory; of others nothing is known, and nothing can be declared."""
        self._settings = settings
        self._shown = {area: AreaPosture(area=area) for area in areas}
        self._learned = {area: _Learned(since_unix_ns={}) for area in self._shown}
        self._samples = dict.fromkeys(self._shown, Sample())
        self._bulletins: dict[tuple[str, str, str], Bulletin] = {}
        self._told_unix_ns = dict.fromkeys(self._shown, 0)
        self._told = dict(self._shown)
        self.rates = dict.fromkeys(self._shown, 0.0)

    def postures(self) -> list[AreaPosture]:
        """Where all areas stand, in the order of the inventory."""
        return list(self._shown.values())

    def baseline(self, area: str) -> float:
        """Notifications a second that are usual in an area."""
        return self._learned[area].baseline

    # --- What comes in. ---

    def feed(self, area: str, sample: Sample) -> None:
        """Take a sample; one of an unknown area is dropped. What follows from it, the next `tick` tells."""
        if area not in self._shown:
            return
        learned, span_s = self._learned[area], max(sample.span_s, 1e-3)
        rate = sample.notifications / span_s
        self._samples[area], self.rates[area] = sample, rate
        # A baseline that learned a storm would call it usual in the end. But what an operator declares to be normal is.
        declaration = self._shown[area].declaration
        is_normal = declaration is not None and declaration.posture == "normal"
        if is_normal or not self._is_high(area):
            # Until it has seen `baseline_s`, the plain average: the first second weighs no more than others.
            weight = max(1 - math.exp(-span_s / self._settings.baseline_s), span_s / (learned.learned_s + span_s))
            learned.baseline += weight * (rate - learned.baseline)
            learned.learned_s = min(learned.learned_s + span_s, self._settings.baseline_s)

    def bulletin(self, bulletin: Bulletin, now_unix_ns: int) -> bool:
        """Take a telegram, in any order; whether it is the newest of its event and kind, and still counts.

        The later report decides, then the serial, then that a correction and a cancellation come after what they are about.
        Drills are an event of their own: that one is over says nothing about an earthquake.
        """
        hold_unix_ns = now_unix_ns + int(self._settings.jma_hold_s * _NS)
        until_unix_ns = min(bulletin.until_unix_ns or hold_unix_ns, hold_unix_ns)
        if until_unix_ns <= now_unix_ns:
            return False
        bulletin = replace(bulletin, until_unix_ns=until_unix_ns)
        key = bulletin.event_id, bulletin.kind, bulletin.status
        known = self._bulletins.get(key)
        if known is not None and _order(bulletin) <= _order(known):
            return False
        self._bulletins[key] = bulletin
        if len(self._bulletins) > BULLETINS_MAX:
            del self._bulletins[min(self._bulletins, key=lambda key: self._bulletins[key].until_unix_ns)]
        return True

    def refusal(self, area: str, declaration: Declaration | None, now_unix_ns: int) -> str:
        """Why this cannot be declared, for whoever wants it; empty: it can."""
        if area not in self._shown:
            return f"the region has no area {area[:BY_MAX]!r}"
        if declaration is None:
            return "" if self._shown[area].declaration is not None else "nothing is declared there"
        if not 0 < len(declaration.by.strip()) <= BY_MAX:
            return f"who declares has to be named, in 1 to {BY_MAX} characters"
        if not 0 < len(declaration.reason.strip()) <= DECLARED_REASON_MAX:
            return f"a declaration needs a reason, in 1 to {DECLARED_REASON_MAX} characters"
        if declaration.until_unix_ns and declaration.until_unix_ns <= now_unix_ns:
            return "a declaration needs a time in the future at which it ends, or none"
        return ""

    def declare(self, area: str, declaration: Declaration | None, now_unix_ns: int) -> str:
        """Declare the posture of an area, or withdraw (None) what is declared; why not, or nothing: done."""
        why_not = self.refusal(area, declaration, now_unix_ns)
        if why_not:
            return why_not
        if declaration is not None:
            declaration = capped(replace(declaration, unix_ns=min(declaration.unix_ns, now_unix_ns)))
        self._shown[area] = replace(self._shown[area], declaration=declaration)
        return ""

    # --- What comes of it. ---

    def tick(self, now_unix_ns: int) -> list[PostureChange]:
        """What has changed, in the order of the inventory; call it about each second, and after a declaration or telegram."""
        for key in [key for key, bulletin in self._bulletins.items() if bulletin.until_unix_ns <= now_unix_ns]:
            del self._bulletins[key]
        changes = []
        for area in self._shown:
            self._shown[area] = now = self._step(area, now_unix_ns)
            before = self._told[area]
            if now == before or (
                _gist(now) == _gist(before) and now_unix_ns - self._told_unix_ns[area] < RETELL_S * _NS
            ):
                continue
            self._told[area], self._told_unix_ns[area] = now, now_unix_ns
            changes.append(PostureChange(unix_ns=now_unix_ns, before=before.posture, now=now))
        return changes

    def _step(self, area: str, now_unix_ns: int) -> AreaPosture:
        shown, learned = self._shown[area], self._learned[area]
        declaration = shown.declaration
        if declaration is not None and 0 < declaration.until_unix_ns <= now_unix_ns:
            declaration = None
        reasons = [*self._measured(area, now_unix_ns), *self._told_by_jma(area)]
        reasons.sort(key=lambda reason: (-_RANK[reason.weight], reason.since_unix_ns))
        if declaration is not None:
            learned.quiet_unix_ns = 0
            posture: Posture = declaration.posture
            reasons[:0] = _declared(declaration)
        else:
            posture = self._by_evidence(shown.posture, learned, reasons, now_unix_ns)
        return AreaPosture(
            area=area,
            posture=posture,
            since_unix_ns=shown.since_unix_ns if posture == shown.posture else now_unix_ns,
            reasons=tuple(reasons[:REASONS_MAX]),
            declaration=declaration,
            drill=self._drill(area),
        )

    def _by_evidence(self, posture: Posture, learned: _Learned, reasons: list[Reason], now_unix_ns: int) -> Posture:
        level: Level = max((reason.weight for reason in reasons), key=_RANK.__getitem__, default="none")
        if level != "none":
            learned.quiet_unix_ns = 0
            return _NEXT[posture, level]
        # A clock that was set back must not make us wait for longer.
        learned.quiet_unix_ns = min(learned.quiet_unix_ns or now_unix_ns, now_unix_ns)
        if now_unix_ns - learned.quiet_unix_ns < self._settings.recover_s * _NS:
            return posture
        learned.quiet_unix_ns = now_unix_ns
        return _NEXT[posture, level]

    # --- Evidence. ---

    def _is_high(self, area: str) -> bool:
        settings, learned = self._settings, self._learned[area]
        least = max(settings.trap_rate_min, settings.trap_rate_factor * learned.baseline)
        return learned.learned_s >= min(LEARNING_S, settings.baseline_s) and self.rates[area] >= least

    def _measured(self, area: str, now_unix_ns: int) -> Iterable[Reason]:
        settings, sample = self._settings, self._samples[area]
        failing, lines, sites = sample.lines_failing, sample.lines, sample.sites_on_battery
        ratio = failing / lines if lines and failing >= settings.lines_failing_min else 0.0
        usual, rate = _rounded(self._learned[area].baseline), _rounded(self.rates[area])
        yield from self._confirmed(
            area,
            "trap_rate",
            {"suspected": self._is_high(area)},
            f"{rate} notifications a second; {usual} are usual",
            f"毎秒{rate}件の通知（平常時は{usual}件）",
            now_unix_ns,
        )
        yield from self._confirmed(
            area,
            "lines_failing",
            {
                "suspected": 0 < ratio >= settings.lines_suspected_ratio,
                "disaster": 0 < ratio >= settings.lines_disaster_ratio,
            },
            f"{failing} of {lines} lines are failing",
            f"全{lines}回線のうち{failing}回線が障害中",
            now_unix_ns,
        )
        yield from self._confirmed(
            area,
            "on_battery",
            {
                "suspected": 0 < sites >= settings.battery_suspected_sites,
                "disaster": 0 < sites >= settings.battery_disaster_sites,
            },
            f"{sites} site{'s' if sites > 1 else ''} without mains power",
            f"{sites}拠点が停電中",
            now_unix_ns,
        )

    def _confirmed(
        self, area: str, kind: EvidenceKind, holds: Mapping[Weight, bool], en: str, ja: str, now_unix_ns: int
    ) -> Iterable[Reason]:
        """The strongest of what has held for long enough: nothing or one."""
        since = self._learned[area].since_unix_ns
        found = None
        for weight, is_so in holds.items():
            name = f"{kind}/{weight}"
            if not is_so:
                since.pop(name, None)
                continue
            since[name] = min(since.get(name, now_unix_ns), now_unix_ns)
            if now_unix_ns - since[name] >= self._settings.confirm_s * _NS:
                found = Reason(kind, en, ja, since[name], weight)
        return () if found is None else (found,)

    def _told_by_jma(self, area: str) -> Iterable[Reason]:
        for bulletin in self._bulletins.values():
            weight = level_of(bulletin, area)
            if bulletin.status == "normal" and weight != "none":
                said = bulletin.areas[area]
                en, ja = jma_text.english(bulletin.kind, said), jma_text.japanese(bulletin.kind, said)
                yield Reason("jma", en, ja, bulletin.unix_ns, weight)

    def _drill(self, area: str) -> str:
        drills = [
            bulletin
            for bulletin in self._bulletins.values()
            if bulletin.status != "normal" and bulletin.info != "cancelled" and area in bulletin.areas
        ]
        return max(drills, key=_order).headline if drills else ""

    # --- Across a restart. ---

    def dump(self) -> dict[str, bytes]:
        """All that is known, as fields of the hash beside the alarms: JSON each."""
        encode = msgspec.json.encode
        return {
            **{f"{_POSTURE_FIELD}{area}": encode(shown) for area, shown in self._shown.items()},
            **{f"{_LEARNED_FIELD}{area}": encode(learned) for area, learned in self._learned.items()},
            **{f"{_BULLETIN_FIELD}{bulletin.id}": encode(bulletin) for bulletin in self._bulletins.values()},
        }

    def load(self, fields: Mapping[str, bytes], now_unix_ns: int) -> None:
        """Go on from such fields, among which may be others. Areas that the inventory has lost are left out, and what cannot
        be read, too: a posture is made again from evidence, a worker that does not start is not.
        """
        for name, body in fields.items():
            if name.startswith(_POSTURE_FIELD):
                shown = _read(body, AreaPosture)
                if shown is not None and shown.area in self._shown:
                    self._shown[shown.area] = self._told[shown.area] = shown
            elif name.startswith(_LEARNED_FIELD) and (area := name.removeprefix(_LEARNED_FIELD)) in self._learned:
                self._learned[area] = _read(body, _Learned) or self._learned[area]
            elif name.startswith(_BULLETIN_FIELD) and (bulletin := _read(body, Bulletin)) is not None:
                self.bulletin(bulletin, now_unix_ns)


def capped(declaration: Declaration) -> Declaration:
    """The declaration with the end that it is given if it holds an area down; a disaster has none but what was said."""
    if declaration.posture == "disaster":
        return declaration
    latest = declaration.unix_ns + HOLD_DOWN_MAX_S * _NS
    return replace(declaration, until_unix_ns=min(declaration.until_unix_ns or latest, latest))


def level_of(bulletin: Bulletin, area: str) -> Level:
    """What a telegram makes of an area, once it is known to be no drill."""
    if bulletin.info == "cancelled" or area not in bulletin.areas:
        return "none"
    return bulletin.levels.get(area, bulletin.level)


def _read(body: bytes, kind: type[_S]) -> _S | None:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError:
        return None


def _order(bulletin: Bulletin) -> tuple[int, int, int, str]:
    return bulletin.unix_ns, bulletin.serial, _INFO_RANK[bulletin.info], bulletin.id


def _gist(shown: AreaPosture) -> tuple[object, ...]:
    """What must be told at once."""
    reasons = tuple((reason.kind, reason.weight, reason.since_unix_ns) for reason in shown.reasons)
    return shown.posture, reasons, shown.declaration, shown.drill


def _declared(declaration: Declaration) -> list[Reason]:
    by, why = declaration.by, declaration.reason
    if declaration.posture == "normal":
        # It is no evidence for anything; who said it stands in the declaration.
        return []
    en = f"{by} declares {declaration.posture}: {why}"
    ja = f"{by}が{_JA[declaration.posture]}を宣言: {why}"
    return [Reason("declared", en, ja, declaration.unix_ns, declaration.posture)]


_JA: Final = {"suspected": "災害の疑い", "disaster": "災害"}


def _rounded(number: float) -> str:
    """Two digits that mean something: 0.42, 7.1, 530."""
    if number <= 0:
        return "0"
    digits = max(0, 1 - math.floor(math.log10(number)))
    whole = round(number, 1 - math.floor(math.log10(number)))
    return f"{whole:.{digits}f}"
