"""Trackers that people already use, behind one small interface; each is imported only where it is chosen."""
