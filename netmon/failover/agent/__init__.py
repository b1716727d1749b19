"""The process on a gateway: probes its own lines, moves its own traffic, obeys the centre."""
