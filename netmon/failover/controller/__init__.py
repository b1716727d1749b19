"""The process that decides for the region: one leads."""
