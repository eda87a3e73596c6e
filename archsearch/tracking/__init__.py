"""Trackers of other programs, with one small interface; each library is imported only if it is chosen."""
