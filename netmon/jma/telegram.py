"""Telegrams of the Japan Meteorological Agency (気象庁防災情報XML) as bulletins about the areas of one region.

Pure. Understood are VXSE51 (震度速報), VXSE52 (震源), VXSE53 (震源・震度), VTSE41 (津波警報・注意報・予報) and VPWW54
(気象警報・注意報); others are nobody's business here. An area is recognised by its city code (the first five digits of its
municipality code and 00), by its own `jma_codes`, and where a telegram names nothing finer by its prefecture.

A telegram comes from a network: one with a document type or entities is refused, and so is what is larger, deeper or longer
than any telegram is. What a telegram says of other places is not judged, so nothing odd there can hide what it says of ours.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Final, Literal, NamedTuple, TypeVar

from netmon.alarms.posture.model import Bulletin
from netmon.alarms.settings import PostureSettings
from netmon.inventory.model import Area
from netmon.jma.markup import Node, read
from netmon.jma.text import INTENSITIES, TITLES

TELEGRAM_BYTES_MAX: Final = 4 << 20
"""Every station of the country in one earthquake is half a megabyte."""
HEADLINE_MAX: Final = 300
"""Characters of a headline that are kept."""
NAMES_MAX: Final = 5
"""Warnings of one area that are named."""

REPORT: Final = "http://xml.kishou.go.jp/jmaxml1/"
BASIS: Final = f"{REPORT}informationBasis1/"
SEISMOLOGY: Final = f"{REPORT}body/seismology1/"
METEOROLOGY: Final = f"{REPORT}body/meteorology1/"

Family = Literal["quake", "tsunami", "weather"]
Scale = Literal["city", "region", "prefecture"]
_FAMILIES: Final[Mapping[str, Family]] = {
    "VXSE51": "quake",
    "VXSE52": "quake",
    "VXSE53": "quake",
    "VTSE41": "tsunami",
    "VPWW54": "weather",
}
_REGION_DIGITS: Final[Mapping[Family, int]] = {"quake": 3, "tsunami": 3, "weather": 6}
_STATUS: Final[Mapping[str, Literal["normal", "drill", "test"]]] = {"通常": "normal", "訓練": "drill", "試験": "test"}
_INFO: Final[Mapping[str, Literal["issued", "corrected", "cancelled"]]] = {
    "発表": "issued",
    "遅延": "issued",
    "訂正": "corrected",
    "取消": "cancelled",
}
_RANK: Final = {"none": 0, "suspected": 1, "disaster": 2}
_EVENT_ID: Final = re.compile(r"[0-9A-Za-z._-]{1,64}", re.ASCII)
_SERIAL: Final = re.compile(r"\d{1,9}", re.ASCII)
_JST: Final = timezone(timedelta(hours=9))
_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")

Level = Literal["none", "suspected", "disaster"]
_T = TypeVar("_T")


def parse(data: bytes, areas: Sequence[Area], settings: PostureSettings) -> Bulletin | None:
    """A telegram, as far as it matters for these areas.

    Returns:
        Also a telegram that names none of them, since it may replace one that did; None for a kind that is not understood.

    Raises:
        TelegramError: It is no telegram, or says something impossible of one of the areas.
    """
    report = read(data, TELEGRAM_BYTES_MAX)
    if report.name != (REPORT, "Report"):
        raise report.error(
            "invalid", f"expected Report of {REPORT}, found {report.name[1]} of {report.name[0] or 'nothing'}"
        )
    control, head = report.child(REPORT, "Control"), report.child(BASIS, "Head")
    kind = kind_of(control.child(REPORT, "Title").text)
    if kind is None:
        return None
    family = _FAMILIES[kind]
    status = _one_of(control.child(REPORT, "Status"), _STATUS)
    info = _one_of(head.child(BASIS, "InfoType"), _INFO)
    unix_ns = _unix_ns(head.child(BASIS, "ReportDateTime"))
    event_id = _event_id(head, family)
    serial = _serial(head)
    said = [] if info == "cancelled" else list(_SAYS[family](report, kind))
    found = {area.id: judged for area in areas if (judged := _about(area, family, said, settings))}
    levels = {area: judged.level for area, judged in found.items()}
    level, differing = _levels(levels)
    return Bulletin(
        id="-".join((event_id, kind, str(serial), str(unix_ns // 1_000_000_000), info, status)),
        event_id=event_id,
        kind=kind,
        serial=serial,
        status=status,
        info=info,
        unix_ns=unix_ns,
        headline=_headline(head),
        areas={area: judged.text for area, judged in found.items()},
        level=level,
        levels=differing,
        until_unix_ns=unix_ns + int(settings.jma_hold_s * 1e9),
    )


def kind_of(title: str) -> str | None:
    """Of a telegram with this Control/Title; None: not understood."""
    return TITLES.get(unicodedata.normalize("NFKC", title.strip()))


# --- The head. ---


def _one_of(node: Node, words: Mapping[str, _T]) -> _T:
    if node.text not in words:
        raise node.error("invalid", f"expected one of {'、'.join(words)}, found {node.text[:40]!r}")
    return words[node.text]


def _unix_ns(node: Node) -> int:
    try:
        moment = datetime.fromisoformat(node.text)
        # The standard has a zone in each time; without one it can only be Japan's.
        since = (moment if moment.tzinfo else moment.replace(tzinfo=_JST)) - _EPOCH
    except (ValueError, OverflowError):
        raise node.error(
            "invalid", f"expected a time such as 2024-01-01T16:10:00+09:00, found {node.text[:40]!r}"
        ) from None
    return max(0, since // timedelta(microseconds=1)) * 1_000


def _event_id(head: Node, family: Family) -> str:
    """Weather warnings have none: there is one state of warnings for each forecast region, which its title names."""
    node = head.maybe(BASIS, "EventID")
    if family == "weather" and (node is None or not node.text):
        return head.child(BASIS, "Title").text[:64]
    node = head.child(BASIS, "EventID")
    if not _EVENT_ID.fullmatch(node.text):
        raise node.error("invalid", f"expected digits, found {node.text[:40]!r}")
    return node.text


def _serial(head: Node) -> int:
    node = head.maybe(BASIS, "Serial")
    if node is None or not node.text:
        return 0
    if not _SERIAL.fullmatch(node.text):
        raise node.error("invalid", f"expected a number, found {node.text[:40]!r}")
    return int(node.text)


def _headline(head: Node) -> str:
    node = head.maybe(BASIS, "Headline", "Text") or head.child(BASIS, "Title")
    return " ".join(node.text.split())[:HEADLINE_MAX]


# --- What a body says of which place. ---


class _Said(NamedTuple):
    scale: Scale
    code: str
    names: tuple[str, ...]
    """An intensity, or kinds of warning."""
    node: Node


class _Judged(NamedTuple):
    level: Level
    text: str


def _quake(report: Node, kind: str) -> Iterator[_Said]:
    body = report.child(SEISMOLOGY, "Body")
    # Only hypocentres, and earthquakes abroad, have none.
    if kind == "VXSE51":
        body.child(SEISMOLOGY, "Intensity", "Observation")
    observation = body.maybe(SEISMOLOGY, "Intensity", "Observation")
    for prefecture in () if observation is None else observation.all(SEISMOLOGY, "Pref"):
        yield _intensity(prefecture, "prefecture")
        for region in prefecture.all(SEISMOLOGY, "Area"):
            yield _intensity(region, "region")
            for city in region.all(SEISMOLOGY, "City"):
                yield _intensity(city, "city")


def _intensity(node: Node, scale: Scale) -> _Said:
    code = node.child(SEISMOLOGY, "Code").text
    strongest, condition = node.maybe(SEISMOLOGY, "MaxInt"), node.maybe(SEISMOLOGY, "Condition")
    if strongest is not None and strongest.text:
        # An exclamation mark: no report came from a station that must have felt it.
        return _Said(scale, code, (strongest.text.removeprefix("!"),), strongest)
    if condition is not None and "未入電" in condition.text:
        return _Said(scale, code, ("5-",), condition)
    return _Said(scale, code, (), node)


def _tsunami(report: Node, _kind: str) -> Iterator[_Said]:
    for item in report.child(SEISMOLOGY, "Body", "Tsunami", "Forecast").all(SEISMOLOGY, "Item"):
        code = item.child(SEISMOLOGY, "Area", "Code").text
        kind = item.child(SEISMOLOGY, "Category", "Kind", "Name")
        yield _Said("region", code, (kind.text.partition("：")[0],), kind)


def _weather(report: Node, _kind: str) -> Iterator[_Said]:
    body = report.child(METEOROLOGY, "Body")
    body.child(METEOROLOGY, "Warning")
    for warning in body.all(METEOROLOGY, "Warning"):
        for item in warning.all(METEOROLOGY, "Item"):
            code = item.child(METEOROLOGY, "Area", "Code").text
            scale: Scale = "city" if len(code) == 7 else "prefecture" if code.endswith("0000") else "region"
            yield _Said(scale, code[:2] if scale == "prefecture" else code, tuple(_standing(item)), item)


def _standing(item: Node) -> Iterator[str]:
    for kind in item.all(METEOROLOGY, "Kind"):
        name, status = kind.maybe(METEOROLOGY, "Name"), kind.maybe(METEOROLOGY, "Status")
        # An item without a warning has a kind that says only so.
        if name is not None and name.text and not (status is not None and "解除" in status.text):
            yield name.text


_SAYS: Final[Mapping[Family, Callable[[Node, str], Iterable[_Said]]]] = {
    "quake": _quake,
    "tsunami": _tsunami,
    "weather": _weather,
}


# --- What that means for an area. ---


def _about(area: Area, family: Family, said: Sequence[_Said], settings: PostureSettings) -> _Judged | None:
    """The most serious of what is said of an area at the finest scale that the telegram has; None: nothing."""
    own = {code for code in map(_own_code(family), area.jma_codes) if code}
    if any(one.scale == "city" for one in said):
        scale, codes = "city", own | {f"{area.code[:5]}00"}
    elif any(len(code) == _REGION_DIGITS[family] for code in own):
        scale, codes = "region", own
    else:
        scale, codes = "prefecture", {area.code[:2]}
    judged = [_judge(one, family, settings) for one in said if one.scale == scale and one.code in codes and one.names]
    return max(judged, key=_seriousness, default=None)


def _seriousness(judged: _Judged) -> tuple[int, int, str]:
    intensity = INTENSITIES.index(judged.text) if judged.text in INTENSITIES else 0
    return _RANK[judged.level], intensity, judged.text


def _own_code(family: Family) -> Callable[[str], str]:
    """`tsunami:220` is a code of tsunami forecasts alone: regions of earthquakes have the same numbers; 220 counts in both."""

    def code(written: str) -> str:
        scheme, colon, digits = written.partition(":")
        return written if not colon else digits if scheme == family else ""

    return code


def _judge(said: _Said, family: Family, settings: PostureSettings) -> _Judged:
    if family == "quake":
        return _Judged(_shaken(said, settings), said.names[0])
    grades: list[tuple[Level, str]] = [(_warned(name, settings), name) for name in said.names]
    level = max((grade for grade, _ in grades), key=_RANK.__getitem__)
    serious = [name for grade, name in grades if grade != "none"] or said.names
    return _Judged(level, "、".join(serious[:NAMES_MAX]))


def _shaken(said: _Said, settings: PostureSettings) -> Level:
    if said.names[0] not in INTENSITIES:
        raise said.node.error(
            "invalid", f"expected an intensity ({', '.join(INTENSITIES)}), found {said.names[0][:40]!r}"
        )
    rank = INTENSITIES.index(said.names[0])
    if rank >= INTENSITIES.index(settings.jma_intensity_disaster):
        return "disaster"
    return "suspected" if rank >= INTENSITIES.index(settings.jma_intensity_suspected) else "none"


def _warned(name: str, settings: PostureSettings) -> Level:
    """By its name, not by its code: names say what they mean, also of warnings that are new."""
    if "解除" in name:
        return "none"
    if "特別警報" in name or name in ("大津波警報", "津波警報"):
        return "disaster"
    if name == "津波注意報":
        return "suspected"
    return settings.jma_warning if name.endswith("警報") else "none"


def _levels(levels: Mapping[str, Level]) -> tuple[Level, dict[str, Literal["suspected", "disaster"]]]:
    """Of all areas, and of those that differ from it."""
    if len(set(levels.values())) == 1:
        return next(iter(levels.values())), {}
    return "none", {area: level for area, level in levels.items() if level != "none"}
