"""SNMP notifications from bytes and to bytes; pure."""
