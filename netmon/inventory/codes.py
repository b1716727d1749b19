"""全国地方公共団体コード: the six digits that name a municipality, of which the last one checks the others.

Pure. Two digits for the prefecture (JIS X 0401), three for the municipality (JIS X 0402), and a check digit, by the rule that
the Ministry of Internal Affairs and Communications publishes with the codes. Codes are text: those of Hokkaido to Fukushima
and beyond begin with a zero, which a number loses.
"""

from __future__ import annotations

import re
from typing import Final

_DIGITS: Final = re.compile(r"[0-9]{5,6}", re.ASCII)
_WEIGHTS: Final = (6, 5, 4, 3, 2)
_PREFECTURES: Final = range(1, 48)


def check_digit(five: str) -> str:
    """The digit that belongs behind the five others: the last one of 11 minus their weighted sum modulo 11.

    Where the sum is below 11, 11 minus the sum itself: the same number, so no case of its own.
    """
    weighted = sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, five, strict=True))
    return str((11 - weighted % 11) % 10)


def area_code(found: str) -> str:
    """The code with its check digit.

    Args:
        found: Five digits, or six with the check digit.

    Raises:
        ValueError: It is no such code; the message says what was found and what was expected.
    """
    if not _DIGITS.fullmatch(found):
        raise ValueError(f"found {found[:60]!r}; expected 5 digits, or 6 with the check digit, in quotes")
    five, right = found[:5], check_digit(found[:5])
    if int(five[:2]) not in _PREFECTURES:
        raise ValueError(f"found {found!r}; expected a code that begins with its prefecture, 01 to 47")
    if len(found) == 6 and found[5] != right:
        raise ValueError(f"found {found!r}, whose check digit is wrong; expected {five + right!r}, or another code")
    return five + right


def jma_city_code(code: str) -> str:
    """How telegrams of the Japan Meteorological Agency name the municipality: seven digits.

    Args:
        code: From `area_code`.
    """
    return code[:5] + "00"
