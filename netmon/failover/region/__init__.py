"""Decides for all protection groups of a region. Pure: the controller, drills and the simulation run the same code."""
