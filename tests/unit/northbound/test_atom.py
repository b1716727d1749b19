"""The feed of telegrams: what is worth fetching, and what is refused."""

from __future__ import annotations

import pytest

from netmon.jma.atom import Entry, entries
from netmon.jma.markup import TelegramError

FEED_URL = "https://feed.example/xml/eqvol.xml"


def feed(*listed: tuple[str, str, str]) -> bytes:
    """A feed with entries of this title, URL and time."""
    written = "".join(
        f"<entry><title>{title}</title><id>{url}</id><updated>{updated}</updated>"
        f'<link type="application/xml" href="{url}"/></entry>'
        for title, url, updated in listed
    )
    return f'<feed xmlns="http://www.w3.org/2005/Atom"><title>地震火山</title>{written}</feed>'.encode()


def test_telegrams_come_oldest_first() -> None:
    """A feed has its newest first."""
    body = feed(
        ("震源・震度に関する情報", "https://feed.example/data/2_VXSE53_010000.xml", "2024-01-01T07:15:00Z"),
        ("震度速報", "/data/1_VXSE51_010000.xml", "2024-01-01T07:12:00Z"),
    )

    assert entries(body, FEED_URL, ["13"]) == [
        Entry(
            id="/data/1_VXSE51_010000.xml",
            url="https://feed.example/data/1_VXSE51_010000.xml",
            updated_unix_ns=1_704_093_120 * 10**9,
        ),
        Entry(
            id="https://feed.example/data/2_VXSE53_010000.xml",
            url="https://feed.example/data/2_VXSE53_010000.xml",
            updated_unix_ns=1_704_093_300 * 10**9,
        ),
    ]


def test_other_kinds_servers_and_prefectures_are_left_out() -> None:
    """A feed does not choose whom netmon talks to; weather of elsewhere is not fetched."""
    body = feed(
        ("火山の状況に関する解説情報", "https://feed.example/a.xml", ""),
        ("震度速報", "https://other.example/b.xml", ""),
        ("震度速報", "http://feed.example/c.xml", ""),
        ("震度速報", "file:///etc/passwd", ""),
        ("震度速報", "https://feed.example:8443/d.xml", ""),
        ("震度速報", "https://[feed.example/e.xml", ""),
        ("気象警報・注意報（Ｈ２７）", "https://feed.example/1_VPWW54_270000.xml", ""),
        ("気象警報・注意報（Ｈ２７）", "https://feed.example/1_VPWW54_130000.xml", ""),
    )

    assert [entry.url for entry in entries(body, FEED_URL, ["13"])] == ["https://feed.example/1_VPWW54_130000.xml"]


def test_what_is_no_feed_is_refused() -> None:
    """A page of an error, or of a proxy that wants a password."""
    with pytest.raises(TelegramError, match=r"line 1, html: expected feed of http://www.w3.org/2005/Atom, found html"):
        entries(b"<html/>", FEED_URL, [])
