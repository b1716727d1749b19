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
from xml.parsers import expat

from netmon.alarms.jma_text import INTENSITIES, TITLES
from netmon.alarms.posture_model import Bulletin
from netmon.alarms.settings import PostureSettings
from netmon.errors import DecodeError
from netmon.inventory.model import Area

TELEGRAM_BYTES_MAX: Final = 4 << 20
"""Every station of the country in one earthquake is half a megabyte."""
DEPTH_MAX: Final = 32
"""Elements within each other; telegrams have 12."""
ELEMENTS_MAX: Final = 200_000
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


class TelegramError(DecodeError):
    """A telegram that cannot be used: where, and what is wrong there.

    `reason` is one of too_large, malformed, dtd, too_deep, too_many, missing, invalid; `offset` is in bytes.
    """

    def __init__(self, reason: str, offset: int, line: int, path: str, what: str) -> None:
        super().__init__(reason, offset)
        self.where = f"line {line}{f', {path}' if path else ''}"
        self.what = what

    def __str__(self) -> str:
        """For people."""
        return f"{self.where}: {self.what}"


def parse(data: bytes, areas: Sequence[Area], settings: PostureSettings) -> Bulletin | None:
    """A telegram, as far as it matters for these areas.

    Returns:
        Also a telegram that names none of them, since it may replace one that did; None for a kind that is not understood.

    Raises:
        TelegramError: It is no telegram, or says something impossible of one of the areas.
    """
    report = _tree(data)
    if report.name != (REPORT, "Report"):
        raise report.error(
            "invalid", f"expected Report of {REPORT}, found {report.name[1]} of {report.name[0] or 'nothing'}"
        )
    control, head = report.child(REPORT, "Control"), report.child(BASIS, "Head")
    kind = TITLES.get(unicodedata.normalize("NFKC", control.child(REPORT, "Title").text))
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


# --- XML. ---


class _Node:
    """An element; `name` is its namespace and its name in it."""

    __slots__ = ("attributes", "children", "line", "name", "offset", "parent", "parts")

    def __init__(
        self, name: tuple[str, str], attributes: dict[str, str], parent: _Node | None, offset: int, line: int
    ) -> None:
        self.name, self.attributes, self.parent = name, attributes, parent
        self.offset, self.line = offset, line
        self.children: list[_Node] = []
        self.parts: list[str] = []

    @property
    def text(self) -> str:
        """Without the blanks around it."""
        return "".join(self.parts).strip()

    @property
    def path(self) -> str:
        """For people."""
        return self.name[1] if self.parent is None else f"{self.parent.path}/{self.name[1]}"

    def error(self, reason: str, what: str, *below: str) -> TelegramError:
        """About this element, or one that should be below it."""
        return TelegramError(reason, self.offset, self.line, "/".join((self.path, *below)), what)

    def all(self, namespace: str, name: str) -> Iterator[_Node]:
        """The children of this name, may be none."""
        return (child for child in self.children if child.name == (namespace, name))

    def maybe(self, namespace: str, *names: str) -> _Node | None:
        """The first one on this path; None when there is none."""
        found: _Node | None = self
        for name in names:
            found = None if found is None else next(found.all(namespace, name), None)
        return found

    def child(self, namespace: str, *names: str) -> _Node:
        """The first one on this path. Raises TelegramError."""
        found = self
        for name in names:
            below = next(found.all(namespace, name), None)
            if below is None:
                other = next((child for child in found.children if child.name[1] == name), None)
                if other is not None:
                    raise other.error("invalid", f"expected it in {namespace}, found {other.name[0] or 'no namespace'}")
                raise found.error("missing", "missing", name)
            found = below
        return found


class _Builder:
    """Makes a tree of what expat tells."""

    def __init__(self) -> None:
        self.root: _Node | None = None
        self._open: _Node | None = None
        self._depth = self._count = 0
        self._parser = parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = self._refuse
        parser.EntityDeclHandler = self._refuse

    def parse(self, data: bytes) -> _Node:
        try:
            self._parser.Parse(data, True)
        except expat.ExpatError as error:
            raise self._error("malformed", f"no XML: {expat.ErrorString(error.code)}") from None
        except (LookupError, ValueError) as error:
            raise self._error("malformed", f"no XML: {error}") from None
        finally:
            # Parser and handlers hold each other: without this, each telegram would wait for the collector of circles.
            parser = self._parser
            parser.StartElementHandler = parser.EndElementHandler = parser.CharacterDataHandler = None
            parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = None
        assert self.root is not None
        return self.root

    def _error(self, reason: str, what: str) -> TelegramError:
        path = "" if self._open is None else self._open.path
        return TelegramError(reason, max(0, self._parser.ErrorByteIndex), self._parser.ErrorLineNumber, path, what)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._count += 1
        if self._depth > DEPTH_MAX:
            raise self._error("too_deep", f"more than {DEPTH_MAX} elements within each other")
        if self._count > ELEMENTS_MAX:
            raise self._error("too_many", f"more than {ELEMENTS_MAX} elements")
        namespace, _, local = name.rpartition(" ")
        offset, line = self._parser.CurrentByteIndex, self._parser.CurrentLineNumber
        node = _Node((namespace, local), attributes, self._open, offset, line)
        if self._open is None:
            self.root = node
        else:
            self._open.children.append(node)
        self._open = node

    def _end(self, _name: str) -> None:
        self._depth -= 1
        assert self._open is not None
        self._open = self._open.parent

    def _text(self, text: str) -> None:
        if self._open is not None:
            self._open.parts.append(text)

    def _refuse(self, *_about: object) -> None:
        raise self._error("dtd", "a document type or entities, which no telegram has")


def _tree(data: bytes) -> _Node:
    if len(data) > TELEGRAM_BYTES_MAX:
        raise TelegramError("too_large", TELEGRAM_BYTES_MAX, 1, "", f"more than {TELEGRAM_BYTES_MAX} bytes")
    return _Builder().parse(data)


# --- The head. ---


def _one_of(node: _Node, words: Mapping[str, _T]) -> _T:
    if node.text not in words:
        raise node.error("invalid", f"expected one of {'、'.join(words)}, found {node.text[:40]!r}")
    return words[node.text]


def _unix_ns(node: _Node) -> int:
    try:
        moment = datetime.fromisoformat(node.text)
        # The standard has a zone in each time; without one it can only be Japan's.
        since = (moment if moment.tzinfo else moment.replace(tzinfo=_JST)) - _EPOCH
    except (ValueError, OverflowError):
        raise node.error(
            "invalid", f"expected a time such as 2024-01-01T16:10:00+09:00, found {node.text[:40]!r}"
        ) from None
    return max(0, since // timedelta(microseconds=1)) * 1_000


def _event_id(head: _Node, family: Family) -> str:
    """Weather warnings have none: there is one state of warnings for each forecast region, which its title names."""
    node = head.maybe(BASIS, "EventID")
    if family == "weather" and (node is None or not node.text):
        return head.child(BASIS, "Title").text[:64]
    node = head.child(BASIS, "EventID")
    if not _EVENT_ID.fullmatch(node.text):
        raise node.error("invalid", f"expected digits, found {node.text[:40]!r}")
    return node.text


def _serial(head: _Node) -> int:
    node = head.maybe(BASIS, "Serial")
    if node is None or not node.text:
        return 0
    if not _SERIAL.fullmatch(node.text):
        raise node.error("invalid", f"expected a number, found {node.text[:40]!r}")
    return int(node.text)


def _headline(head: _Node) -> str:
    node = head.maybe(BASIS, "Headline", "Text") or head.child(BASIS, "Title")
    return " ".join(node.text.split())[:HEADLINE_MAX]


# --- What a body says of which place. ---


class _Said(NamedTuple):
    scale: Scale
    code: str
    names: tuple[str, ...]
    """An intensity, or kinds of warning."""
    node: _Node


class _Judged(NamedTuple):
    level: Level
    text: str


def _quake(report: _Node, kind: str) -> Iterator[_Said]:
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


def _intensity(node: _Node, scale: Scale) -> _Said:
    code = node.child(SEISMOLOGY, "Code").text
    strongest, condition = node.maybe(SEISMOLOGY, "MaxInt"), node.maybe(SEISMOLOGY, "Condition")
    if strongest is not None and strongest.text:
        # An exclamation mark: no report came from a station that must have felt it.
        return _Said(scale, code, (strongest.text.removeprefix("!"),), strongest)
    if condition is not None and "未入電" in condition.text:
        return _Said(scale, code, ("5-",), condition)
    return _Said(scale, code, (), node)


def _tsunami(report: _Node, _kind: str) -> Iterator[_Said]:
    for item in report.child(SEISMOLOGY, "Body", "Tsunami", "Forecast").all(SEISMOLOGY, "Item"):
        code = item.child(SEISMOLOGY, "Area", "Code").text
        kind = item.child(SEISMOLOGY, "Category", "Kind", "Name")
        yield _Said("region", code, (kind.text.partition("：")[0],), kind)


def _weather(report: _Node, _kind: str) -> Iterator[_Said]:
    body = report.child(METEOROLOGY, "Body")
    body.child(METEOROLOGY, "Warning")
    for warning in body.all(METEOROLOGY, "Warning"):
        for item in warning.all(METEOROLOGY, "Item"):
            code = item.child(METEOROLOGY, "Area", "Code").text
            scale: Scale = "city" if len(code) == 7 else "prefecture" if code.endswith("0000") else "region"
            yield _Said(scale, code[:2] if scale == "prefecture" else code, tuple(_standing(item)), item)


def _standing(item: _Node) -> Iterator[str]:
    for kind in item.all(METEOROLOGY, "Kind"):
        name, status = kind.maybe(METEOROLOGY, "Name"), kind.maybe(METEOROLOGY, "Status")
        # An item without a warning has a kind that says only so.
        if name is not None and name.text and not (status is not None and "解除" in status.text):
            yield name.text


_SAYS: Final[Mapping[Family, Callable[[_Node, str], Iterable[_Said]]]] = {
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
