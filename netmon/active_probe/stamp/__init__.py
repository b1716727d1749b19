"""STAMP, the Simple Two-way Active Measurement Protocol (RFC 8762): packets, and the reflector."""
