"""Telegrams of the Japan Meteorological Agency: fetched or dropped in a folder, understood, and handed to the alarm worker."""
