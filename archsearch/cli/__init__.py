"""The commands: `run`, `show` and `study`, what they share of Hydra, and their messages.

Nothing is imported here, so that `run --help` and `show` stay fast.
"""
