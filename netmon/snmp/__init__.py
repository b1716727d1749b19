"""SNMP notifications, from bytes to values and back. Pure.

`decode_notification` is for every datagram; `find_inform` and `encode_response` for those that want an answer;
`mask_community` for datagrams that are shown or kept where secrets must not be. `netmon.snmp.encode` makes
notifications for tests and load.
"""

from __future__ import annotations

from typing import Final

from netmon.snmp.message import find_inform, mask_community
from netmon.snmp.notification import (
    SNMP_TRAP_ADDRESS,
    SNMP_TRAP_COMMUNITY,
    SNMP_TRAP_ENTERPRISE,
    SNMP_TRAP_OID,
    SYS_UPTIME,
    Notification,
    decode_notification,
    decode_notification_v3,
)
from netmon.snmp.response import encode_response

REASONS: Final[tuple[str, ...]] = (
    "datagram_too_big",  # more octets than Limits.datagram_bytes_max
    "truncated",  # the datagram ends within a value
    "length_invalid",  # indefinite, reserved, or more than 4 octets of length
    "length_overrun",  # a value goes past the end of the one around it
    "tag_unexpected",  # something else stands where the standard wants this
    "integer_empty",  # an INTEGER of the header without contents
    "integer_too_long",  # an INTEGER of the header above 64 bits
    "oid_invalid",  # an OID cut within a sub-identifier, or a sub-identifier above 2^32 - 1
    "oid_too_long",  # more sub-identifiers than Limits.oid_arcs_max
    "nesting_too_deep",  # a constructed value deeper than Limits.nesting_max
    "too_many_varbinds",  # more than Limits.varbinds_max
    "version_unknown",  # neither SNMPv1, v2c nor v3
    "pdu_not_notification",  # a request, response or report, or a trap of the other version
    "v3_header_invalid",  # an SNMPv3 header that breaks RFC 3412 section 6, such as privacy without authentication
    "v3_security_model_unknown",  # another security model than USM
    "v3_discovery",  # a question for our engine ID or time, which is answered and no notification
    "usm_unknown_user",  # no configured user has this name
    "usm_unknown_engine",  # users of this name are configured, but for other engines
    "usm_wrong_key",  # the digest is wrong, and never was right with this user's key at this engine
    "usm_wrong_digest",  # the digest is wrong, and was right before: a forgery, or damage
    "usm_security_level",  # less or other protection than the user is configured with
    "usm_not_in_time_window",  # said before, or by an engine whose clock we do not share
    "usm_decryption_error",  # what was decrypted is no scoped PDU
    "v3_unknown_context",  # a context that is not configured
)
"""Why a datagram is not decoded: every reason of a `DecodeError` from this package."""

FLAGS: Final[tuple[str, ...]] = (
    "trailing_bytes",  # octets after the message, or after the last value inside a constructed one
    "uptime_missing",  # no sysUpTime.0
    "uptime_type",  # sysUpTime.0 or time-stamp is a number, but not TimeTicks
    "uptime_without_instance",  # sysUpTime without .0
    "trap_oid_missing",  # no snmpTrapOID.0: trap_oid is 0.0
    "trap_oid_without_instance",  # snmpTrapOID without .0
    "heads_misplaced",  # sysUpTime.0 and snmpTrapOID.0 are not the first bindings, in this order
    "oid_empty",  # an OID without contents, read as 0.0
    "oid_padded",  # an OID with leading zeros in a sub-identifier
    "integer_padded",  # a number with redundant leading octets
    "integer_out_of_range",  # a number above 32 bits in a type that has 32
    "unsigned_high_bit",  # an unsigned number without its leading zero octet, or with an extended sign
    "value_malformed",  # a value that does not fit its type, kept in hexadecimal
    "tag_unknown",  # a value of a type that SNMP does not know, kept in hexadecimal
    "agent_addr_malformed",  # an SNMPv1 agent-addr that is not 4 octets, read as 0.0.0.0
    "generic_trap_unknown",  # a generic-trap outside 0 to 6, read as enterpriseSpecific
    "specific_trap_wrapped",  # a specific-trap outside 0 to 2^32 - 1, read modulo 2^32
    "engine_boots_reset",  # an SNMPv3 engine that has lost its boots: what it says may have been recorded long ago
)
"""What a notification was forgiven; each word is at most once in `Notification.flags`."""

__all__ = [
    "FLAGS",
    "REASONS",
    "SNMP_TRAP_ADDRESS",
    "SNMP_TRAP_COMMUNITY",
    "SNMP_TRAP_ENTERPRISE",
    "SNMP_TRAP_OID",
    "SYS_UPTIME",
    "Notification",
    "decode_notification",
    "decode_notification_v3",
    "encode_response",
    "find_inform",
    "mask_community",
]
