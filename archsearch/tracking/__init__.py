"""Trackers that people already use, behind one small interface; each library is imported only where it is chosen."""
