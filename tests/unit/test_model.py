"""What the values that roles are told show of themselves."""

from __future__ import annotations

from netmon.model import AllowRule, RedisSettings, V3User


def test_no_secret_is_shown() -> None:
    """Whatever is put into a log or an error by mistake."""
    values = (
        V3User(name="lift", auth="md5", auth_passphrase="sesame-1", priv="des", priv_passphrase="sesame-2"),
        RedisSettings(url="redis://:sesame-3@192.0.2.1", password="sesame-4"),
        AllowRule(sources=("192.0.2.0/24",), communities=("sesame-5",)),
    )

    assert "sesame" not in repr(values)
    assert "lift" in repr(values)
    assert "192.0.2.0/24" in repr(values)
