"""From single probes to the state of a line as one vantage point sees it: window, profiles, state table. All of it is pure."""
