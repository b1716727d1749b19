"""What telegrams of the Japan Meteorological Agency are called, in Japanese and, as JMA itself says it, in English. Pure."""

from __future__ import annotations

import re
from typing import Final

TITLES: Final = {
    "震度速報": "VXSE51",
    "震源に関する情報": "VXSE52",
    "震源・震度に関する情報": "VXSE53",
    "津波警報・注意報・予報a": "VTSE41",
    "気象警報・注意報(H27)": "VPWW54",
}
"""Control/Title, with letters and digits narrow (NFKC), to the kind of telegram, for those that are understood."""

INTENSITIES: Final = ("1", "2", "3", "4", "5-", "5+", "6-", "6+", "7")
"""Ascending (震度階級); 5- is 5弱, 5+ is 5強."""

_KINDS_EN: Final = {
    "VXSE51": "seismic intensity",
    "VXSE52": "hypocentre",
    "VXSE53": "seismic intensity",
    "VTSE41": "tsunami",
    "VPWW54": "weather",
}
_INTENSITY_JA: Final = {"5-": "５弱", "5+": "５強", "6-": "６弱", "6+": "６強"}
_PHENOMENA: Final = {
    "大津波": "Major Tsunami",
    "津波": "Tsunami",
    "暴風雪": "Snowstorm",
    "暴風": "Storm",
    "大雨": "Heavy Rain",
    "洪水": "Flood",
    "大雪": "Heavy Snow",
    "波浪": "High Waves",
    "高潮": "Storm Surge",
    "土砂災害": "Landslide",
}
_GRADES: Final = {
    "特別警報": "Emergency Warning",
    "危険警報": "Severe Warning",
    "警報": "Warning",
    "注意報": "Advisory",
    "予報": "Forecast",
}
_WARNING: Final = re.compile(rf"({'|'.join(_PHENOMENA)})({'|'.join(_GRADES)})")


def japanese(kind: str, said: str) -> str:
    """What a telegram says of an area, such as `気象庁: 震度５弱`."""
    if said in INTENSITIES:
        return f"気象庁: 震度{_INTENSITY_JA.get(said) or said.translate(_WIDE)}"
    return f"気象庁: {said or kind}"


def english(kind: str, said: str) -> str:
    """The same, such as `JMA: seismic intensity 5-`; names that no table has stay as they are."""
    names = [
        _WARNING.sub(lambda found: f"{_PHENOMENA[found[1]]} {_GRADES[found[2]]}", name) for name in said.split("、")
    ]
    about = "" if said and said not in INTENSITIES and kind in ("VTSE41", "VPWW54") else f"{_KINDS_EN.get(kind, kind)} "
    return f"JMA: {about}{', '.join(names)}".rstrip()


_WIDE: Final = {ord(digit): chr(ord(digit) + 0xFEE0) for digit in "0123456789"}
