"""The process above all others: sockets, child processes, reload, upgrade, stop."""
