"""What goes over MQTT between the centre and its gateways: topics, documents, and how long they may be.

Pure. `<prefix>/gateways/<id>/plan` and `/desired` are the centre's, signed (`netmon.failover.plan.sign`); `/reported` is the gateway's own, and
its last will. All three are states and are retained with QoS 1: whoever comes late finds them. `<prefix>/centre` is a sign of life, neither
retained nor acknowledged. IoTA-JSON (FIWARE's IoT Agent for JSON) has topics of its own, in `netmon.failover.actuators.iota_json`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final, Literal, NamedTuple

import msgspec

from netmon.errors import ConfigError, NetmonError
from netmon.failover.plan.model import Reported, ReportedGroup
from netmon.failover.plan.sign import SIGNED_BYTES_MAX

PLAN_BYTES_MAX: Final = SIGNED_BYTES_MAX
DESIRED_BYTES_MAX: Final = 256 << 10
"""A class takes some 300 octets, and more where many lines are to be avoided."""
REPORTED_BYTES_MAX: Final = 128 << 10
BEAT_BYTES_MAX: Final = 1 << 10
REPORTED_GROUPS_MAX: Final = 64
REPORTED_LINES_MAX: Final = 64
REPORTED_TEXT_MAX: Final = 256
"""Letters of each text in a report."""
REPORTED_PHASES_MAX: Final = 16
"""Of one move, that are timed."""
NUMBER_MAX: Final = 1 << 53
"""Of fences, generations and versions: what JSON carries everywhere. A report of a greater one would make the centre's own fences run out."""
TOPIC_OCTETS_MAX: Final = 1_024

Kind = Literal["plan", "desired", "reported"]
KINDS: Final[tuple[Kind, ...]] = ("plan", "desired", "reported")
BYTES_MAX: Final[dict[Kind | Literal["centre"], int]] = {
    "plan": PLAN_BYTES_MAX,
    "desired": DESIRED_BYTES_MAX,
    "reported": REPORTED_BYTES_MAX,
    "centre": BEAT_BYTES_MAX,
}

Reason = Literal["too_long", "malformed", "other_gateway", "out_of_range"]
REASONS: Final[tuple[Reason, ...]] = ("too_long", "malformed", "other_gateway", "out_of_range")

_LEVEL: Final = re.compile(r"[^/+#\x00-\x1f\x7f]+")
_encoder: Final = msgspec.json.Encoder()
_reported: Final = msgspec.json.Decoder(Reported)


class WireError(NetmonError):
    """A report that cannot be used.

    Attributes:
        reason: A word of REASONS, fit for a metric's label.
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


class Place(NamedTuple):
    """What a topic is of."""

    gateway_id: str
    kind: Kind


class Topics:
    """Under one prefix.

    Attributes:
        centre: Of the centre's signs of life.
    """

    def __init__(self, prefix: str) -> None:
        """Raises ConfigError: MQTT allows no such prefix."""
        if not all(is_level(level) for level in prefix.split("/")) or len(prefix.encode()) > TOPIC_OCTETS_MAX:
            raise ConfigError([f"topic prefix {prefix!r}: expected words with / between them, without + and #"])
        self.centre = f"{prefix}/centre"
        self._gateways = f"{prefix}/gateways/"

    def of(self, gateway_id: str, kind: Kind) -> str:
        """The topic of one state of one gateway."""
        assert is_level(gateway_id), "the inventory allows no such ID"
        return f"{self._gateways}{gateway_id}/{kind}"

    def place(self, topic: str) -> Place | None:
        """What a topic is of; None: none of ours, or the centre's."""
        if not topic.startswith(self._gateways):
            return None
        gateway_id, _, kind = topic[len(self._gateways) :].partition("/")
        for known in KINDS:
            if kind == known and gateway_id:
                return Place(gateway_id, known)
        return None


def encode_reported(reported: Reported) -> bytes:
    """A report as it travels, with its texts cut.

    Raises:
        WireError: `too_long`: the centre would not read it.
    """
    groups = tuple(
        each if len(each.detail) <= REPORTED_TEXT_MAX else msgspec.structs.replace(each, detail=each.detail[:REPORTED_TEXT_MAX])
        for each in reported.groups
    )  # fmt: skip
    message = _encoder.encode(msgspec.structs.replace(reported, groups=groups))
    if len(message) > REPORTED_BYTES_MAX:
        raise WireError("too_long")
    return message


def decode_reported(message: bytes, gateway_id: str) -> Reported:
    """What a gateway tells.

    Args:
        message: As it came; anything at all.
        gateway_id: Of the topic that it came by, which the broker lets only this gateway write to.

    Raises:
        WireError: Too long, no report, of another gateway, or with numbers or lists that no gateway has.
    """
    if len(message) > REPORTED_BYTES_MAX:
        raise WireError("too_long")
    try:
        reported = _reported.decode(message)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise WireError("malformed") from None
    if reported.gateway_id != gateway_id:
        raise WireError("other_gateway")
    if not _is_bounded(reported):
        raise WireError("out_of_range")
    return reported


def is_bounded(groups: Collection[ReportedGroup]) -> bool:
    """Whether what is told of classes has no more of anything than a gateway can have."""
    return len(groups) <= REPORTED_GROUPS_MAX and all(
        0 <= group.fence <= NUMBER_MAX
        and 0 <= group.generation <= NUMBER_MAX
        and len(group.detail) <= REPORTED_TEXT_MAX
        and len(group.phases_s) <= REPORTED_PHASES_MAX
        for group in groups
    )


def is_level(word: str) -> bool:
    """Whether a word may stand between two slashes of a topic."""
    return _LEVEL.fullmatch(word) is not None


def _is_bounded(reported: Reported) -> bool:
    numbers = (reported.fence, reported.plan_version, reported.beat, reported.refused)
    are_small = all(0 <= number <= NUMBER_MAX for number in numbers)
    return are_small and len(reported.lines) <= REPORTED_LINES_MAX and is_bounded(reported.groups)
