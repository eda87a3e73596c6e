"""Adapters for external experiment trackers, with one small interface; only the chosen library is imported."""
