"""The vantage process: probes all its lines on time, each pinned to its line, and tells the verdict process what it sees."""
