"""The Redis streams: every Redis command of netmon is written in this folder."""
