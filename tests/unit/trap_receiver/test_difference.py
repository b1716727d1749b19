"""What differs between two readings of one datagram."""

from __future__ import annotations

import json

import pytest

from netmon.trap_receiver.late.difference import CHANGED, DECODED, Difference, changed_fields, is_same

ENTRY = {"seq": 7, "trust": "other", "varbinds": [{"oid": "1.3", "value": 2}], "digest": "00"}


def body(**changes: object) -> bytes:
    """The entry with other fields, as the stream holds it."""
    return json.dumps({**ENTRY, **changes}, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (body(trust="allow_listed"), ("trust",)),
        (body(user="monitor", flags=["uptime_missing"]), ("flags", "user")),
        (
            body(varbinds=[{"oid": "1.3", "value": 2, "label": "down", "name": "x"}]),
            ("varbinds.label", "varbinds.name"),
        ),
        (body(varbinds=[]), ("varbinds",)),
        (body(duplicate_of=3), ("content",)),
        (b"not json", ("content",)),
    ],
)
def test_the_fields_that_differ_have_names(now: bytes, expected: tuple[str, ...]) -> None:
    """Sorted; those of varbinds by what differs in them."""
    assert changed_fields(body(), now) == expected


def test_whether_an_inform_was_known_to_repeat_another_is_no_difference() -> None:
    """It depends on where the reading began; a value that looks like it is not touched."""
    first = b'{"seq":9,"digest":"00"}'
    assert is_same(first, b'{"seq":9,"digest":"00","duplicate_of":7}')
    assert is_same(b'{"seq":9,"digest":"00","duplicate_of":6}', b'{"seq":9,"digest":"00","duplicate_of":7}')
    assert not is_same(first, b'{"seq":9,"digest":"01","duplicate_of":7}')
    assert is_same(first, first)


def test_counts_and_their_reasons() -> None:
    """Fields are counted each, datagrams once."""
    found = Difference()
    found.count(DECODED, "usm_unknown_user", 3)
    found.count(DECODED, "usm_wrong_key", 0)
    found.count_changed(("trust", "user"))
    assert (found.decoded, found.changed, found.looked_at) == (3, 1, 4)
    assert found.details == {DECODED: {"usm_unknown_user": 3}, CHANGED: {"trust": 1, "user": 1}}
