"""The figures that netmon promises: what measures each, beside which peers, and how it is shown."""
