"""Profiles that come with netmon: one for each medium, because one timeout for all of them is wrong.

Pure. A probe that waits 0.5 s says of every geostationary satellite that it is dead; one that waits 3 s finds a cut fibre too late.
"""

from __future__ import annotations

from typing import Final

from netmon.inventory.model import Inventory, Line
from netmon.inventory.probes import Profile

WIRED: Final = Profile(
    interval_s=1.0,
    timeout_s=0.5,
    confirm_interval_s=0.2,
    confirm_timeout_s=0.2,
    standby_interval_s=30.0,
    rtt_cap_s=0.2,
)

BUILT_IN: Final[dict[str, Profile]] = {
    "fibre": WIRED,
    "copper": WIRED,
    # Rain fades for some hundred milliseconds; what is confirmed waits as long as what is asked.
    "radio": Profile(
        interval_s=1.0,
        timeout_s=0.5,
        confirm_interval_s=0.3,
        confirm_timeout_s=0.5,
        standby_interval_s=30.0,
        rtt_floor_s=0.010,
        rtt_cap_s=0.2,
    ),
    # A radio bearer that slept needs some hundred milliseconds to wake, and a handover takes as long.
    "5g": Profile(
        interval_s=2.0,
        timeout_s=1.0,
        confirm_interval_s=0.5,
        confirm_timeout_s=1.0,
        standby_interval_s=30.0,
        rtt_floor_s=0.1,
    ),
    # Satellites are handed over every 15 s, with gaps of up to a second.
    "leo": Profile(
        interval_s=2.0,
        timeout_s=2.0,
        confirm_interval_s=0.5,
        confirm_timeout_s=1.5,
        standby_interval_s=30.0,
        rtt_floor_s=0.15,
    ),
    # 0.5 s for the way there and back alone. A window of two minutes holds 24 probes.
    "geo": Profile(
        interval_s=5.0,
        timeout_s=3.0,
        confirm_interval_s=1.0,
        confirm_timeout_s=2.0,
        standby_interval_s=30.0,
        rtt_floor_s=0.9,
        window_s=120.0,
    ),
    # For lines that carry what may not stop: 20 probes a second find a cut within 0.2 s.
    "fast": Profile(
        interval_s=0.05,
        timeout_s=0.05,
        confirm_interval_s=0.05,
        confirm_timeout_s=0.05,
        standby_interval_s=1.0,
    ),
}
"""By name: the media of `netmon.inventory.model.MEDIA`, and `fast`."""


def profile_of(line: Line, inventory: Inventory) -> Profile:
    """What a line is probed by: the profile that it names, or its medium's; the operator's own go before the built-in ones.

    Raises:
        KeyError: It names a profile that does not exist. The check of the region tells it first.
    """
    name = line.profile or line.medium
    return inventory.profiles.get(name) or BUILT_IN[name]


def fall_s(profile: Profile) -> float:
    """Seconds from when the first missed probe was sent to `down`: it is waited for, and then `fall` - 1 that confirm it.

    The first of these goes out at once when the first miss is known, the others `confirm_interval_s` after one another.
    """
    if profile.fall < 2:
        return profile.timeout_s
    return profile.timeout_s + (profile.fall - 2) * profile.confirm_interval_s + profile.confirm_timeout_s
