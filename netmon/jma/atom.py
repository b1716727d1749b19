"""The Atom feed in which JMA lists its telegrams: which of them are worth fetching. Pure (RFC 4287)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Final
from urllib.parse import urljoin, urlsplit

import msgspec

from netmon.jma.markup import Node, read
from netmon.jma.telegram import kind_of

FEED_BYTES_MAX: Final = 8 << 20
"""The feed of all telegrams of several days is two megabytes."""
ENTRIES_MAX: Final = 5_000
URL_MAX: Final = 500

ATOM: Final = "http://www.w3.org/2005/Atom"
_OF_PREFECTURE: Final = re.compile(r"_VPWW54_(\d\d)\d{4}\.xml\Z", re.ASCII)
_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_JST: Final = timezone(timedelta(hours=9))


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One telegram of a feed."""

    id: str
    url: str
    updated_unix_ns: int
    """0 when the feed does not say."""


def entries(data: bytes, feed_url: str, prefectures: Sequence[str]) -> list[Entry]:
    """The telegrams that are understood, oldest first.

    What is not on the feed's own server is left out: whoever can change a feed must not choose what we talk to. So are weather
    warnings of other prefectures, which there are many of.

    Args:
        data: The feed.
        feed_url: Where it came from.
        prefectures: Two digits each, of our areas.

    Raises:
        TelegramError: It is no feed.
    """
    feed = read(data, FEED_BYTES_MAX)
    if feed.name != (ATOM, "feed"):
        raise feed.error("invalid", f"expected feed of {ATOM}, found {feed.name[1]}")
    nodes = list(feed.all(ATOM, "entry"))[:ENTRIES_MAX]
    found = [entry for node in nodes if (entry := _entry(node, feed_url)) and _is_ours(entry.url, prefectures)]
    return sorted(found, key=lambda entry: (entry.updated_unix_ns, entry.id))


def _entry(node: Node, feed_url: str) -> Entry | None:
    title, link = node.maybe(ATOM, "title"), node.maybe(ATOM, "link")
    written = "" if link is None else link.attributes.get("href", "")
    name, updated = node.maybe(ATOM, "id"), node.maybe(ATOM, "updated")
    if title is None or kind_of(title.text) is None or not written or len(written) > URL_MAX:
        return None
    try:
        url = urljoin(feed_url, written)
        is_same = urlsplit(url)[:2] == urlsplit(feed_url)[:2]
    except ValueError:
        return None
    if not is_same:
        return None
    return Entry(
        id=(name.text if name is not None and name.text else url)[:URL_MAX],
        url=url,
        updated_unix_ns=0 if updated is None else _unix_ns(updated.text),
    )


def _is_ours(url: str, prefectures: Sequence[str]) -> bool:
    found = _OF_PREFECTURE.search(url)
    return found is None or found[1] in prefectures


def _unix_ns(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
        since = (moment if moment.tzinfo else moment.replace(tzinfo=_JST)) - _EPOCH
    except (ValueError, OverflowError):
        return 0
    return max(0, since // timedelta(microseconds=1)) * 1_000
