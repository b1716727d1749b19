"""From the UDP socket to the Redis stream: capture, journal, commit, decode."""
