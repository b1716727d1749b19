"""netmon: the network monitor that still works while the network is failing."""

__version__ = "0.1.0"
