"""The JSON API of the alarms: reads from a mirror in memory, and hands what operators want to the worker."""
