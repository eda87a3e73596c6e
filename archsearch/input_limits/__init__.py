"""Limits on the size of input, so that no file and no override costs minutes or gigabytes."""
