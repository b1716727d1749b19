"""The active prober: the state of every shared line, found out by asking.

`measure` and parts of `verdict` and `vantage` are pure; `probers` has one file for each way of asking; `vantage` is the process that
probes from one place, `verdict` the process that judges what all places say.
"""
