"""全国地方公共団体コード: check digits, and what is no code."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmon.inventory.codes import area_code, check_digit, jma_city_code

FIVE = st.builds("{:02}{:03}".format, st.integers(1, 47), st.integers(0, 999))


@pytest.mark.parametrize("code", ["131016", "011002", "271004", "302015", "041009", "473821", "062014", "201006"])
def test_codes_in_force_are_accepted_with_and_without_their_check_digit(code: str) -> None:
    """Chiyoda, Sapporo, Osaka, Wakayama, Sendai, and others whose check digit is 0 or 1 by the rule's edges."""
    assert (area_code(code), area_code(code[:5])) == (code, code)


@given(FIVE, st.integers(0, 4), st.integers(1, 9))
def test_one_wrong_digit_is_noticed_unless_the_check_digit_is_one(five: str, place: int, more: int) -> None:
    """The weights tell every single change apart modulo 11; the remainders 0 and 10 share the check digit 1."""
    changed = f"{five[:place]}{(int(five[place]) + more) % 10}{five[place + 1 :]}"
    assert check_digit(changed) != check_digit(five) or check_digit(five) == "1"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("131017", "found '131017', whose check digit is wrong; expected '131016', or another code"),
        ("1310", "found '1310'; expected 5 digits, or 6 with the check digit, in quotes"),
        (
            "\uff11\uff13\uff11\uff10\uff11\uff16",
            "found '\uff11\uff13\uff11\uff10\uff11\uff16'; expected 5 digits, or 6 with the check digit, in quotes",
        ),
        ("481017", "found '481017'; expected a code that begins with its prefecture, 01 to 47"),
        ("00100", "found '00100'; expected a code that begins with its prefecture, 01 to 47"),
    ],
)
def test_what_is_no_code_is_refused(found: str, expected: str) -> None:
    """Full-width digits are digits to Python, and to nobody else here."""
    with pytest.raises(ValueError, match="expected") as refused:
        area_code(found)
    assert str(refused.value) == expected


@given(FIVE)
def test_the_check_digit_is_stored_whatever_was_written(five: str) -> None:
    """Five digits and six are the same code."""
    code = area_code(five)
    assert (area_code(code), len(code), code[:5]) == (code, 6, five)


def test_the_weather_agency_names_a_city_by_seven_digits() -> None:
    """The first five, and two zeros."""
    assert jma_city_code("131016") == "1310100"
