"""Which telegrams have been read, across restarts: one small file, in the data directory."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from netmon.errors import disk_cure
from netmon.log import limited

FILE: Final = "jma.json"
READ_MAX: Final = 10_000
"""Telegrams that are remembered, the newest; a feed lists some hundred."""


class Validators(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a feed said of its state (RFC 9110 section 8.8), so that it need not be sent again while it stays the same."""

    etag: str = ""
    last_modified: str = ""


class _Content(msgspec.Struct, omit_defaults=True):
    read: list[str] = []
    feeds: dict[str, Validators] = {}


class Memory:
    """Read at the start, written by `save`; when it cannot be written, telegrams are read again after a restart."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        content = _Content()
        try:
            content = msgspec.json.decode(self._path.read_bytes(), type=_Content)
        except FileNotFoundError:
            pass
        except (OSError, msgspec.DecodeError) as error:
            # Telegrams that are read twice count once.
            limited.warning("jma.memory_unreadable", file=str(self._path), detail=str(error))
        self._read = dict.fromkeys(content.read)
        self._feeds = dict(content.feeds)
        self._is_saved = True

    def has(self, name: str) -> bool:
        """Whether a telegram has been read."""
        return name in self._read

    def validators(self, feed_url: str) -> Validators:
        """Of a feed, as it was last read completely."""
        return self._feeds.get(feed_url, Validators())

    def add(self, name: str) -> None:
        """A telegram has been read."""
        self._read.pop(name, None)
        self._read[name] = None
        while len(self._read) > READ_MAX:
            del self._read[next(iter(self._read))]
        self._is_saved = False

    def set_validators(self, feed_url: str, validators: Validators) -> None:
        """A feed has been read completely."""
        if validators != self.validators(feed_url):
            self._feeds[feed_url] = validators
            self._is_saved = False

    def save(self) -> None:
        """Writes what has changed. What is lost of it is read again, and counts once."""
        if self._is_saved:
            return
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_bytes(msgspec.json.encode(_Content(read=list(self._read), feeds=self._feeds)))
            fresh.replace(self._path)
            self._is_saved = True
        except OSError as error:
            limited.warning("jma.memory_refused", reason=error.strerror, cure=disk_cure(error))
