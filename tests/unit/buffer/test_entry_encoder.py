"""One encoder of stream entries, prepared for each stream, says what the general one would."""

from __future__ import annotations

import pytest

from netmon.buffer.connection import encode_command
from netmon.buffer.stream import entry_encoder


@pytest.mark.parametrize("key", ["netmon:{test:0}:traps", "100%:{%d:0}:späte"])
@pytest.mark.parametrize("body", [b"", b"{}", b"\r\n%b\0\xff" * 100])
def test_an_entry_is_the_same_command_whoever_encodes_it(key: str, body: bytes) -> None:
    """Whatever is in the key and in the body."""
    encoded = entry_encoder(key, b"trap")(1_800_000_000_000, 7, body)

    assert encoded == encode_command("XADD", key, "1800000000000-7", "trap", body)
